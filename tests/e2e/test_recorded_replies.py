"""What providers really answered reaches OpenAI's client: as it came, or translated and strictly of its types."""

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from router.domain.stream import Event, EventKind
from tests.support import fake_upstream as fake
from tests.support import phrasings
from tests.support.fake_upstream import Cut, Reply
from tests.support.messages_streams import fold_messages
from tests.support.phrasings import Said
from tests.support.pool import Pool, at, pool, served_by
from tests.support.recordings import RECORDINGS, Call, Recording, meant, player, recorded
from tests.support.running import KEY, http_client
from tests.support.wire import post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

DIALECTS = ("chat", "messages", "responses")
Client = Any
"""The SDK's overloads ask for its own dictionaries; what is sent here is JSON as people write it."""

NOT_AS_OPENAI = {
    "DeepSeek": 1,  # no `created`
    "Groq": 7,  # `service_tier: on_demand`
    "Mistral": 7,  # a content in parts, a call without a type
    "Azure OpenAI": 1,  # `object: ""` in the first event
    "Moonshot, calls by their place alone": 1,
    "Moonshot, an index only later": 1,
    "Gemini, all in one event without an id": 1,
}
"""How many replies of each that pass as they came are not what OpenAI's types say, at the provider already."""

LATE = "OpenRouter, an error after the end"


def replies(*dialects: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("recording", recorded(*dialects), ids=str)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    """A model of each name at a provider of that dialect."""
    members: dict[str, dict[str, object]] = {
        "chat": {"dialects": ["chat"]},
        "messages": {"kind": "anthropic"},
        "responses": {"dialects": ["responses"]},
    }
    models = [served_by(name, at(name, name=name)) for name in DIALECTS]
    models.append(served_by("ours", at("chat", name="ours"), reply_model="alias"))
    retry = {"attempts_per_deployment": 1, "retry_ratio_pct": 100}
    folder = tmp_path_factory.mktemp("router")
    keys = [{"name": "test", "key": KEY}]
    async with pool(folder, *DIALECTS, models=models, members=members, retry=retry, keys=keys) as providers:
        yield providers


@pytest.fixture
def live(running: Pool) -> Pool:
    live = running.start_over()
    live.script(**dict.fromkeys(DIALECTS, player()))
    return live


@pytest_asyncio.fixture(loop_scope="module")
async def client(live: Pool) -> AsyncIterator[Client]:
    async with strict(f"{live.router.url}/v1") as client:
        yield client


def strict(url: str) -> Client:
    return openai.AsyncOpenAI(
        base_url=url, api_key=KEY, max_retries=0, http_client=http_client(url), _strict_response_validation=True
    )


def chat(recording: Recording) -> dict[str, object]:
    turns = [{"role": "user", "content": recording.prompt}]
    asked: dict[str, object] = {"model": recording.dialect, "messages": turns}
    return asked if recording.body is not None else {**asked, "stream": True}


def calls_of(message: Any) -> list[Call]:
    return [(one.id, one.function.name, json.loads(one.function.arguments or "{}")) for one in message.tool_calls or ()]


async def test_there_are_two_hundred_recorded_answers_and_none_twice() -> None:
    errors = {said.body for name in vars(phrasings) if name.isupper() for said in getattr(phrasings, name)}
    spoken = {body for body in errors if "(a code alone)" not in body}  # of the others a code alone is recorded
    bodies = {one.raw for one in RECORDINGS}

    assert len(RECORDINGS) == len(bodies)
    assert 200 <= len(bodies | {body.encode() for body in spoken})
    assert 20 <= len({one.provider.partition(",")[0] for one in RECORDINGS})


@replies("messages", "responses")
async def test_what_is_translated_is_of_openais_types_and_says_the_same(client: Client, recording: Recording) -> None:
    """T14c, T15: no error of the strict client, the calls of the source, one finish reason."""
    if recording.body is not None:
        (choice,) = (await client.chat.completions.create(**chat(recording))).choices
        ends, message = [choice.finish_reason], choice.message
    else:
        state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
        ends = []
        async for chunk in await client.chat.completions.create(**chat(recording)):
            ends += [one.finish_reason for one in chunk.choices if one.finish_reason is not None]
            state.handle_chunk(chunk)
        message = state.current_completion_snapshot.choices[0].message
    text, calls = meant(recording)

    assert (text, calls) == (message.content or "", calls_of(message))
    assert 1 == len(ends)
    assert ("tool_calls" == ends[0]) is bool(calls)


@pytest.mark.parametrize("recording", [one for one in recorded("messages", "responses") if one.events], ids=str)
async def test_wherever_a_stream_is_cut_nobody_is_told_that_it_ended(live: Pool, recording: Recording) -> None:
    """T15: no finish reason, so no client executes a call that may not be whole; one error instead."""
    whole = next(
        at
        for at, event in enumerate(recording.events)
        if event["type"] in ("message_delta", "response.completed", "response.incomplete")
    )
    for kept in range(1, whole + 1):
        cut = recording._replace(events=recording.events[:kept])
        live.script(**{recording.dialect: fake.event_stream(cut.raw, Cut.CLOSE)})
        async with wire(live.router.http_port) as connection:
            await connection.send(post(body=chat(recording)))
            answer = await connection.answer()

        assert b'"finish_reason":"' not in answer.body, kept
        assert 1 == answer.body.count(b'"error":{'), kept
        assert b"[DONE]" not in answer.body, kept


@replies("chat", "messages")
async def test_a_caller_of_responses_gets_what_another_provider_said(client: Client, recording: Recording) -> None:
    """T14c, T15: whatever it leaves out or writes otherwise, in one step or two."""
    asked = {"model": recording.dialect, "input": recording.prompt}
    if recording.body is not None:
        response = await client.responses.create(**asked)
    else:
        response = [event async for event in await client.responses.create(**asked, stream=True)][-1].response
    text, calls = meant(recording)
    made = [item for item in response.output if item.type == "function_call"]

    assert text == response.output_text
    assert calls == [(item.call_id, item.name, json.loads(item.arguments or "{}")) for item in made]
    assert response.status in ("completed", "incomplete")


@replies("chat", "responses")
async def test_a_caller_of_messages_gets_what_another_provider_said(live: Pool, recording: Recording) -> None:
    """T15: in blocks, one after the other, with one stop reason."""
    asked = {**chat(recording), "max_tokens": 9}
    async with wire(live.router.http_port) as connection:
        await connection.send(post(body=asked, target="/v1/messages"))
        answer = await connection.answer()
    assert 200 == answer.status, answer.body
    if recording.body is not None:
        message = json.loads(answer.body)
    else:
        blocks = [block + b"\n\n" for block in bytes(answer.body).split(b"\n\n") if b"\ndata: " in block]
        message = fold_messages([Event(EventKind.CHUNK, block) for block in blocks])
    text, calls = meant(recording)
    content = message["content"]

    assert text == "".join(block["text"] for block in content if block["type"] == "text")
    assert [call[1:] for call in calls] == [(one["name"], one["input"]) for one in content if one["type"] == "tool_use"]
    assert ("tool_use" == message["stop_reason"]) is bool(calls)


@replies("chat")
async def test_what_passes_is_the_providers_to_the_byte(live: Pool, recording: Recording) -> None:
    """T15: but for the usage that the caller of a stream did not ask for."""
    asked = {**chat(recording), "stream_options": {"include_usage": True}} if recording.events else chat(recording)
    async with wire(live.router.http_port) as connection:
        await connection.send(post(body=asked))
        answer = await connection.answer()

    assert recording.raw == answer.body


@replies("chat")
async def test_a_reply_with_our_name_of_the_model_is_the_same_otherwise(live: Pool, recording: Recording) -> None:
    """T15: with `reply_model: alias` one member is written anew in each event, and nothing else is touched."""
    asked = {**chat(recording), "model": "ours"}
    if recording.events:
        asked["stream_options"] = {"include_usage": True}
    async with wire(live.router.http_port) as connection:
        await connection.send(post(body=asked))
        answer = await connection.answer()
    body = bytes(answer.body)
    lines = body.splitlines() if recording.events else [b"data: " + body]
    found = [json.loads(line.removeprefix(b"data: ")) for line in lines if line.startswith(b"data: {")]
    came = recording.events if recording.body is None else (recording.body,)

    assert [{**one, "model": "ours"} if "model" in one else one for one in came] == found


async def test_openais_strict_client_finds_no_fault_that_the_provider_did_not_make(live: Pool) -> None:
    """T14c: of what passes as it came, the same replies are refused at the provider, and no others."""
    refused: dict[str, int] = {}
    async with strict(f"{live.router.url}/v1") as through, strict(live.upstreams["chat"].base_url) as direct:
        for recording in recorded("chat"):
            asked = chat(recording)
            if recording.events:
                asked["stream_options"] = {"include_usage": True}
            there, here = await outcome(direct, asked), await outcome(through, asked)
            assert there == here, str(recording)
            if isinstance(here, str):
                refused[recording.provider] = refused.get(recording.provider, 0) + 1

    assert NOT_AS_OPENAI == refused


async def outcome(client: Client, asked: dict[str, object]) -> object:
    """Return all that the client read, or what it complains of."""
    try:
        reply = await client.chat.completions.create(**asked)
        return [chunk.model_dump() async for chunk in reply] if "stream" in asked else reply.model_dump()
    except openai.APIResponseValidationError as exc:
        return str(exc)


@pytest.mark.parametrize(
    "recording", [one for one in recorded(*DIALECTS, failing=True) if one.provider != LATE], ids=str
)
async def test_an_error_is_raised_with_the_providers_words(client: Client, recording: Recording) -> None:
    """T14c: in the documented shape, whatever shape it came in; the operator's troubles in our words."""
    with pytest.raises(openai.APIError) as caught:
        await drained(client, recording)
    said = caught.value

    assert isinstance(said.body, dict)
    assert {"message", "type", "param", "code"} == said.body.keys()
    if isinstance(said, openai.APIStatusError) and said.status_code in (400, 404):
        assert recording.body is not None
        assert recording.body["error"]["message"] == said.body["message"]


async def drained(client: Client, recording: Recording) -> list[ChatCompletionChunk]:
    reply = await client.chat.completions.create(**chat(recording))
    return [chunk async for chunk in reply] if recording.events else []


async def test_an_error_after_the_end_of_a_reply_does_not_undo_it(client: Client) -> None:
    """T14c: the choice had its finish reason, twice even, before its provider complained of it."""
    (recording,) = [one for one in RECORDINGS if one.provider == LATE]
    chunks = await drained(client, recording)

    assert {"length"} == {one.finish_reason for chunk in chunks for one in chunk.choices} - {None}


ERRORS = [said for name in vars(phrasings) if name.isupper() for said in getattr(phrasings, name)]


@pytest.mark.parametrize("said", ERRORS, ids=lambda said: f"{said.who} {said.status}")
async def test_every_recorded_phrasing_is_raised_as_an_error_with_four_members(live: Pool, said: Said) -> None:
    """T14c: also those of which only the words matter elsewhere."""
    headers = tuple((name.decode(), value.decode()) for name, value in said.headers)
    json_type = ("content-type", "application/json")
    live.script(chat=Reply(status=said.status, headers=(json_type, *headers), steps=(said.body.encode(),)))
    async with strict(f"{live.router.url}/v1") as client:
        with pytest.raises(openai.APIStatusError) as caught:
            await client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "x"}])
    body = caught.value.body

    assert isinstance(body, dict)
    assert {"message", "type", "param", "code"} == body.keys()
    assert body["message"]
