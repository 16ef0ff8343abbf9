"""Nothing that a caller says is lost on the way, in its own dialect or another: over sockets, as providers get it."""

import json
import random
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
from openai.types.chat import ChatCompletionChunk

from router.domain.stream import Event, EventKind
from tests.e2e.test_fidelity import Bodies, exactly
from tests.support import fake_upstream as fake
from tests.support.dialects import message, message_events, response, response_events, streamed, whole
from tests.support.fake_upstream import Reply, Request
from tests.support.messages_streams import fold_chat
from tests.support.pool import Pool, at, free, pool, served_by
from tests.support.running import KEY
from tests.support.wire import Answer, post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

BODIES = 500
DOWN = free(fake.error(500, "down"))
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
KEEPS = {"messages": "max_tokens", "responses": "max_output_tokens"}

Json = dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    """A model of each name at a provider of that dialect, and `mixed` at `messages`, then at `chat`."""
    models = [served_by(name, at(name, name=name)) for name in PATHS]
    models.append(served_by("mixed", at("messages", name="m-mixed"), at("chat", name="c-mixed", tier=2)))
    models.append(served_by("unknown", at("chat", name="unknown", model="brand-new")))
    members: dict[str, dict[str, object]] = {
        "chat": {"dialects": ["chat"]},
        "responses": {"dialects": ["responses"]},
        "messages": {"kind": "anthropic"},
    }
    retry = {"attempts_per_deployment": 1, "retry_ratio_pct": 100}
    folder = tmp_path_factory.mktemp("router")
    keys = [{"name": "test", "key": KEY}]  # a budget refuses what nobody can bound
    async with pool(folder, *PATHS, models=models, members=members, retry=retry, keys=keys) as providers:
        yield providers


@pytest.fixture
def live(running: Pool) -> Pool:
    live = running.start_over()
    live.script(messages=as_messages, responses=as_responses)
    return live


def as_messages(request: Request) -> Reply:
    return streamed(message_events()) if request.json.get("stream") else whole(message())


def as_responses(request: Request) -> Reply:
    return streamed(response_events()) if request.json.get("stream") else whole(response())


async def said(live: Pool, caller: str, body: Mapping[str, object], *lines: str) -> Answer:
    async with wire(live.router.http_port) as connection:
        await connection.send(post(*lines, body=body, target=PATHS[caller]))
        return await connection.answer()


# --- T14a: in the caller's own dialect --------------------------------------------------------------------------------


class Requests(Bodies):
    """Write requests of the dialects whose events have names, over what they know and beyond it."""

    def asked(self, dialect: str) -> bytes:
        members: Json = {"model": dialect, KEEPS[dialect]: self.chance.randint(1, 100)}
        members[{"messages": "messages", "responses": "input"}[dialect]] = [
            self.turn(dialect) for _ in range(self.chance.randint(0, 4))
        ]
        known = {
            "messages": ["system", "temperature", "top_k", "stop_sequences", "metadata", "thinking", "output_config"],
            "responses": ["instructions", "temperature", "include", "metadata", "reasoning", "text", "top_logprobs"],
        }[dialect]
        for name in self.chance.sample([*known, "tools", "tool_choice", "x_future"], self.chance.randint(0, 5)):
            members[name] = [self.tool()] if name == "tools" else self.anything()
        if self.chance.random() < 0.5:
            members["stream"] = self.chance.choice([True, False, None])
        names = list(members)
        self.chance.shuffle(names)
        return self.write({name: members[name] for name in names})

    def turn(self, dialect: str) -> Json:
        role = self.chance.choice(["user", "assistant"])
        text = {"messages": "text", "responses": "input_text"}[dialect]
        parts: list[Json] = [
            {"type": text, "text": self.text(), "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            {"type": "thinking", "thinking": self.text(), "signature": "c2ln"},
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": self.anything()},
            {"type": "x_future", "x_future": self.anything()},
        ]
        return {"role": role, "content": self.chance.choice([self.text(), [], self.chance.choices(parts, k=2)])}


@pytest.mark.parametrize("dialect", KEEPS)
async def test_500_requests_arrive_as_they_were_sent_in_other_dialects_too(live: Pool, dialect: str) -> None:
    """T14a: every member, its order, its numbers to the last digit, null and [] and absent apart; but `model`."""
    requests = Requests(14)
    async with wire(live.router.http_port) as connection:
        for number in range(BODIES):
            body = requests.asked(dialect)
            await connection.send(post(body=body, target=PATHS[dialect]))
            reply = await connection.answer()
            assert 200 == reply.status, (number, reply.body)
            arrived = live.upstreams[dialect].requests[-1].body

            there = [(name, "small" if name == "model" else value) for name, value in exactly(body)]
            assert there == exactly(arrived), number


async def test_what_nobody_knows_of_a_model_is_no_reason_to_take_anything_away(live: Pool) -> None:
    """T14b: an unknown capability is forwarded, never stripped."""
    asked = {
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}},
        "reasoning_effort": "high",
        "logprobs": True,
        "x_future": [None],
    }
    content = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    body = {"model": "unknown", "max_tokens": 9, "messages": [{"role": "user", "content": content}], **asked}
    reply = await said(live, "chat", body)
    (sent,) = live.upstreams["chat"].requests

    assert 200 == reply.status
    assert {**body, "model": "brand-new"} == sent.json


# --- T14c: choices and probabilities of a stream ----------------------------------------------------------------------


async def test_two_choices_of_a_stream_are_two_and_each_ends_once(live: Pool) -> None:
    """T14c: and probabilities do not cost a choice its end, nor are none of them null."""
    likely = {"token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": []}

    def piece(index: int, delta: Json, finish: str | None = None) -> bytes:
        logprobs = {"content": [likely], "refusal": None} if delta else None
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        frame = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        return fake.sse(frame)

    events = [piece(index, {"content": word}) for word in ("a", "b", "c") for index in (0, 1)]
    events += [piece(1, {"content": "d"}, "length"), piece(0, {}, "stop")]
    usage = {"prompt_tokens": 3, "completion_tokens": 7, "total_tokens": 10}
    frame = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage}
    live.script(chat=fake.event_stream(*events, fake.sse(frame), b"data: [DONE]\n\n"))
    body = {"model": "chat", "n": 2, "logprobs": True, "stream": True, "messages": [{"role": "user", "content": "x"}]}
    reply = await said(live, "chat", body)

    assert b"".join([*events, b"data: [DONE]\n\n"]) == reply.body
    datas = [line.removeprefix(b"data: ") for line in bytes(reply.body).split(b"\n\n") if b"data: {" in line]
    chunks = [ChatCompletionChunk.model_validate_json(data, strict=True) for data in datas]
    ends = [(one.index, one.finish_reason) for chunk in chunks for one in chunk.choices if one.finish_reason]
    assert [(1, "length"), (0, "stop")] == ends
    probable = [one.logprobs.content for chunk in chunks for one in chunk.choices if one.logprobs is not None]
    assert [[]] * 7 == [each and each[0].top_logprobs for each in probable]


# --- T15: whom it comes from makes no difference ----------------------------------------------------------------------


@pytest.mark.parametrize("speaks", ["messages", "responses"])
async def test_an_end_with_tool_calls_says_so_whatever_the_provider_claims(live: Pool, speaks: str) -> None:
    """T15: agents go by the finish reason."""
    use = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}
    call = {"id": "fc_1", "type": "function_call", "call_id": "toolu_1", "name": "f", "arguments": '{"a":1}'}
    live.script(
        messages=whole({**message(), "content": [use], "stop_reason": "end_turn"}),
        responses=whole({**response(), "output": [call]}),
    )
    reply = await said(live, "chat", {"model": speaks, "messages": [{"role": "user", "content": "x"}]})
    (choice,) = json.loads(reply.body)["choices"]

    assert ("tool_calls", "toolu_1") == (choice["finish_reason"], choice["message"]["tool_calls"][0]["id"])


async def test_a_stream_cut_into_any_pieces_by_the_network_is_the_same(live: Pool) -> None:
    """T15: translated as it comes, byte by byte if need be."""
    stream = b"".join(message_events("one two three"))
    chance = random.Random(15)
    found = set()
    for _ in range(20):
        cuts = sorted(chance.sample(range(1, len(stream)), chance.choice([1, 5, 200])))
        parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        live.script(messages=fake.event_stream(*parts))
        reply = await said(
            live, "chat", {"model": "messages", "stream": True, "messages": [{"role": "user", "content": "x"}]}
        )
        blocks = [block for block in bytes(reply.body).split(b"\n\n") if block.startswith(b"data: {")]
        folded = fold_chat([Event(EventKind.CHUNK, block + b"\n\n") for block in blocks])
        found.add((folded["choices"][0]["message"]["content"], tuple(folded["finishes"])))

    assert {("one two three", ("stop",))} == found


# --- T18: a conversation goes on elsewhere ----------------------------------------------------------------------------

SIGNED = "c2lnbmVk"
CACHED = {"cache_control": {"type": "ephemeral"}}
USES: list[Json] = [{"type": "tool_use", "id": f"toolu_{n}", "name": "look", "input": {"at": "x"}} for n in (1, 2)]
HISTORY: list[Json] = [
    {"role": "user", "content": [{"type": "text", "text": "look twice", **CACHED}]},
    {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "hm", "signature": SIGNED}, {"type": "text", "text": "ok"}, *USES],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "one", "is_error": True, **CACHED},
            {"type": "tool_result", "tool_use_id": "toolu_2", "content": [{"type": "text", "text": "two"}]},
        ],
    },
]
TOOL = {"name": "look", "input_schema": {"type": "object"}, **CACHED}
THERE = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "look twice"},
    {
        "role": "assistant",
        "content": "ok",
        "tool_calls": [
            {"id": one["id"], "type": "function", "function": {"name": "look", "arguments": '{"at": "x"}'}}
            for one in USES
        ],
    },
    {"role": "tool", "tool_call_id": "toolu_1", "content": "one"},
    {"role": "tool", "tool_call_id": "toolu_2", "content": "two"},
]
AGENT: Json = {
    "model": "mixed",
    "max_tokens": 90,
    "tools": [TOOL],
    "system": [{"type": "text", "text": "be brief", **CACHED}],
}


async def test_an_agents_conversation_moves_to_a_provider_of_another_dialect_and_back(live: Pool) -> None:
    """T18: no foreign signature, calls and answers in pairs, 200. The first is asked with all that it wrote."""
    session = "x-session-id: agent"
    first = await said(live, "messages", {**AGENT, "messages": HISTORY[:1]}, session)
    live.script(messages=DOWN)
    second = await said(live, "messages", {**AGENT, "messages": HISTORY}, session)
    live.script(messages=as_messages, chat=DOWN)
    third = await said(live, "messages", {**AGENT, "messages": HISTORY}, session)

    assert [200] * 3 == [reply.status for reply in (first, second, third)]
    served = [reply.headers["x-checkrein-deployment"] for reply in (first, second, third)]
    assert ["m-mixed", "c-mixed", "m-mixed"] == served
    moved = live.upstreams["chat"].requests[0]
    assert THERE == moved.json["messages"], "and nothing that OpenAI does not know"
    assert [] == [mark for mark in ("cache_control", "thinking", SIGNED) if mark in moved.body.decode()]
    tried, back = live.upstreams["messages"].requests[1:]
    assert HISTORY == tried.json["messages"], "it wrote them: as they came"
    # Its home is the other one by now, and no reply has held this signature: nobody knows whose it is.
    assert ["text", *["tool_use"] * 2] == [block["type"] for block in back.json["messages"][1]["content"]]


async def test_the_thoughts_of_a_provider_of_messages_come_back_through_chat(live: Pool) -> None:
    """T18: a caller of Chat Completions sends back what it was given, and the provider gets its own block again."""
    use = {**message(), "stop_reason": "tool_use", "content": HISTORY[1]["content"]}
    live.script(messages=whole(use))
    turns: list[Json] = [{"role": "user", "content": "look twice"}]
    session = "x-session-id: chat agent"
    reply = await said(live, "chat", {"model": "mixed", "max_tokens": 90, "messages": turns}, session)
    turns.append(json.loads(reply.body)["choices"][0]["message"])
    turns += [{"role": "tool", "tool_call_id": one["id"], "content": "seen"} for one in USES]
    live.script(messages=as_messages)
    at_home = await said(live, "chat", {"model": "mixed", "max_tokens": 90, "messages": turns}, session)
    live.script(messages=DOWN)
    moved = await said(live, "chat", {"model": "mixed", "max_tokens": 90, "messages": turns}, session)

    assert [200, 200] == [at_home.status, moved.status]
    assert HISTORY[1]["content"] == live.upstreams["messages"].requests[1].json["messages"][1]["content"]
    elsewhere = live.upstreams["chat"].requests[0]
    assert SIGNED not in elsewhere.body.decode()
    said_calls = elsewhere.json["messages"][1]["tool_calls"]
    assert [one["id"] for one in said_calls] == [turn["tool_call_id"] for turn in elsewhere.json["messages"][2:]]


async def test_who_wants_its_thoughts_with_its_calls_gets_them_back(live: Pool) -> None:
    """T18: some providers refuse calls that come back without the `reasoning_content` of which they came."""
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    thought = {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [call]}
    choice = {"index": 0, "message": thought, "finish_reason": "tool_calls"}
    usage = {"prompt_tokens": 3, "completion_tokens": 7, "total_tokens": 10}
    live.script(chat=whole({"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}))
    asked: Json = {"model": "chat", "max_tokens": 90, "messages": [{"role": "user", "content": "look"}]}
    reply = await said(live, "messages", asked)
    answer = {"type": "tool_result", "tool_use_id": "call_1", "content": "seen"}
    turns = [
        *asked["messages"],
        {"role": "assistant", "content": json.loads(reply.body)["content"]},
        {"role": "user", "content": [answer]},
    ]
    live.script(chat=fake.answer)
    again = await said(live, "messages", {**asked, "messages": turns})

    assert 200 == again.status
    assert thought == live.upstreams["chat"].requests[1].json["messages"][1]
