"""Every dialect at providers that speak only another: over sockets, streamed and whole, settled to the nano-USD."""

import json
from collections.abc import AsyncIterator, Mapping
from itertools import product

import pytest
import pytest_asyncio

from tests.support import fake_upstream as fake
from tests.support.dialects import event, message, message_events, response, response_events, streamed, whole
from tests.support.fake_upstream import Reply, Request
from tests.support.pool import Pool, at, pool, served_by
from tests.support.wire import Answer, post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

TEXT = "one two three"
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
TALK = [{"role": "user", "content": "Say hello."}]
ASKED: Mapping[str, Mapping[str, object]] = {
    "chat": {"messages": TALK, "max_completion_tokens": 100},
    "responses": {"input": "Say hello.", "max_output_tokens": 100},
    "messages": {"messages": TALK, "max_tokens": 100},
}
PAIRS = [(caller, speaks) for caller, speaks in product(PATHS, PATHS) if caller != speaks]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    """A model of each name, at a provider that speaks the dialect of that name."""
    models = [served_by(name, at(name, name=name)) for name in PATHS]
    models.append(served_by("unbounded", at("messages", name="unbounded", max_output_tokens=None)))
    members: dict[str, dict[str, object]] = {
        "chat": {"dialects": ["chat"]},
        "responses": {"dialects": ["responses"]},
        "messages": {"kind": "anthropic"},
    }
    async with pool(tmp_path_factory.mktemp("router"), *PATHS, models=models, members=members) as providers:
        yield providers


@pytest.fixture
def live(running: Pool) -> Pool:
    return running.start_over()


def answer_of(dialect: str, request: Request, *, text: str = TEXT) -> Reply:
    stream = bool(request.json.get("stream"))
    if dialect == "messages":
        return streamed(message_events(text)) if stream else whole(message(text))
    if dialect == "responses":
        return streamed(response_events(text)) if stream else whole(response(text))
    return fake.answer(request)


async def ask(live: Pool, caller: str, model: str, *lines: str, **members: object) -> Answer:
    live.script(**{name: lambda request, name=name: answer_of(name, request) for name in PATHS})  # type: ignore[misc]
    return await said(live, caller, {"model": model, **ASKED[caller], **members}, *lines)


async def said(live: Pool, caller: str, body: Mapping[str, object], *lines: str) -> Answer:
    async with wire(live.router.http_port) as connection:
        await connection.send(post(*lines, body=body, target=PATHS[caller]))
        return await connection.answer()


def text_of(caller: str, body: bytes) -> str:
    reply = json.loads(body)
    if caller == "chat":
        return str(reply["choices"][0]["message"]["content"])
    if caller == "messages":
        return "".join(block["text"] for block in reply["content"])
    return "".join(part["text"] for item in reply["output"] for part in item["content"])


def data_of(answer: Answer) -> list[dict[str, object]]:
    blocks = bytes(answer.body).split(b"\n\n")[:-1]
    datas = [block.partition(b"data: ")[2] for block in blocks if b"data: " in block]
    return [json.loads(data) for data in datas if data != b"[DONE]"]


def usage_in(caller: str, said_: Mapping[str, object]) -> tuple[int, int]:
    usage = said_["usage"]
    assert isinstance(usage, dict)
    names = ("prompt_tokens", "completion_tokens") if caller == "chat" else ("input_tokens", "output_tokens")
    return usage[names[0]], usage[names[1]]


@pytest.mark.parametrize(("caller", "speaks"), PAIRS)
async def test_a_whole_reply_is_translated_and_billed_as_its_provider_says(
    live: Pool, caller: str, speaks: str
) -> None:
    reply = await ask(live, caller, speaks)
    (asked,) = live.upstreams[speaks].requests
    await live.router.idle()
    row = live.router.rows()[-1]

    assert 200 == reply.status, bytes(reply.body)
    assert PATHS[speaks] == asked.target
    if speaks != "chat":
        assert TEXT == text_of(caller, bytes(reply.body))
        cached = 8 if speaks == "responses" else 0  # in the input everywhere but in Messages, where it stands beside
        assert (20 - cached * (caller == "messages"), 3) == usage_in(caller, json.loads(reply.body))
        assert (caller, 20, 3, "completed") == (
            row["route"],
            row["input_tokens"],
            row["output_tokens"],
            row["outcome"],
        )
    if speaks == "chat":
        await live.books()


@pytest.mark.parametrize(("caller", "speaks"), PAIRS)
async def test_a_stream_is_translated_and_ends_as_the_caller_expects(live: Pool, caller: str, speaks: str) -> None:
    options = {"stream_options": {"include_usage": True}} if caller == "chat" else {}
    reply = await ask(live, caller, speaks, stream=True, **options)
    events = data_of(reply)
    await live.router.idle()

    assert 200 == reply.status
    assert "completed" == live.router.rows()[-1]["outcome"]
    last = {
        "chat": lambda: usage_in("chat", events[-1])[1] > 0 and bytes(reply.body).endswith(b"data: [DONE]\n\n"),
        "messages": lambda: events[-1]["type"] == "message_stop",
        "responses": lambda: events[-1]["type"] == "response.completed",
    }
    assert last[caller]()
    blocks = [block for block in bytes(reply.body).split(b"\n\n")[:-1] if not block.startswith(b":")]
    assert {caller != "chat"} == {block.startswith(b"event: ") for block in blocks}


@pytest.mark.parametrize(("caller", "speaks"), PAIRS)
async def test_a_cut_stream_never_looks_like_success(live: Pool, caller: str, speaks: str) -> None:
    cut = {
        "messages": streamed(message_events(TEXT)[:-2]),
        "responses": streamed(response_events(TEXT)[:-1]),
        "chat": lambda request: fake.stream(request, tokens=3, last=()),
    }
    live.script(**{speaks: cut[speaks]})  # type: ignore[arg-type]
    reply = await said(live, caller, {"model": speaks, **ASKED[caller], "stream": True})
    events = data_of(reply)

    assert "error" in events[-1]
    assert not {"message_stop", "response.completed"} & {str(one.get("type")) for one in events}
    assert b"[DONE]" not in reply.body


@pytest.mark.parametrize(("caller", "speaks"), PAIRS)
async def test_an_error_before_the_first_token_is_a_status_in_the_callers_shape(
    live: Pool, caller: str, speaks: str
) -> None:
    busy = Reply(status=529, steps=(b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}',))
    live.script(**{speaks: busy})
    reply = await said(live, caller, {"model": speaks, **ASKED[caller], "stream": True})

    assert 502 == reply.status
    assert ("error" == json.loads(reply.body).get("type")) == (caller == "messages")


async def test_an_error_event_before_the_first_token_is_no_success(live: Pool) -> None:
    live.script(messages=streamed([*message_events()[:1], event("error", error={"type": "api_error", "message": "m"})]))
    reply = await said(live, "chat", {"model": "messages", **ASKED["chat"], "stream": True})

    assert 502 == reply.status


async def test_what_a_dialect_cannot_say_is_refused_by_name(live: Pool) -> None:
    """T14b."""
    reply = await ask(live, "chat", "messages", logit_bias={"1": 1})

    assert (400, "unsupported_parameter", "logit_bias") == (reply.status, reply.error["code"], reply.error["param"])
    assert {} == live.asked


async def test_or_dropped_and_told_of_where_that_is_asked(live: Pool) -> None:
    """T14b."""
    reply = await ask(live, "chat", "messages", logit_bias={"1": 1}, drop_params=True)
    (asked,) = live.upstreams["messages"].requests

    assert (200, "logit_bias") == (reply.status, reply.headers["x-checkrein-dropped-params"])
    assert not {"logit_bias", "drop_params"} & asked.json.keys()


async def test_a_caller_that_names_no_maximum_is_given_one_where_the_dialect_wants_it(live: Pool) -> None:
    """And it is no maximum of the caller's: it is lowered where the money does not reach, not refused."""
    reply = await ask(live, "chat", "unbounded", max_completion_tokens=None)
    (asked,) = live.upstreams["messages"].requests

    assert (200, 4_096) == (reply.status, asked.json["max_tokens"])


async def test_the_call_of_a_tool_goes_there_and_back(live: Pool) -> None:
    """T15: its arguments byte for byte."""
    arguments = '{"city": "K\\u00f6ln", "n": 12345678901234567890}'
    begun = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}
    pieces = [
        {"type": "input_json_delta", "partial_json": arguments[at : at + 5]} for at in range(0, len(arguments), 5)
    ]
    events = [
        message_events()[0],
        event("content_block_start", index=0, content_block=begun),
        *[event("content_block_delta", index=0, delta=piece) for piece in pieces],
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 9}),
        event("message_stop"),
    ]
    live.script(messages=streamed(events))
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    reply = await said(live, "chat", {"model": "messages", **ASKED["chat"], "stream": True, "tools": [tool]})
    deltas = [choice["delta"] for one in data_of(reply) for choice in one.get("choices", ())]  # type: ignore[attr-defined]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]

    assert ("toolu_1", "weather") == (calls[0]["id"], calls[0]["function"]["name"])
    assert arguments == "".join(call["function"].get("arguments", "") for call in calls)
