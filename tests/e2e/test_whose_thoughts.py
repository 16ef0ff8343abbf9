"""A conversation that was at several providers: each gets the thoughts that it signed, and never another's."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support import fake_upstream as fake
from tests.support.dialects import event, message, streamed, whole
from tests.support.fake_upstream import Handler, Reply, Request
from tests.support.pool import Pool, at, free, pool, served_by
from tests.support.running import KEY
from tests.support.wire import Answer, post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

Json = dict[str, Any]

DOWN = free(fake.error(500, "down"))
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages"}
SIGNED_BY = "signed at "


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    """`mixed` is at a, then at b; `small` at a falls back to the model `other` at b. `claude` is at m, then at a."""
    models = [
        served_by("mixed", at("a", name="a-mixed"), at("b", name="b-mixed", tier=2)),
        served_by("small", at("a", name="a-small"), fallbacks=["other"]),
        served_by("other", at("b", name="b-other")),
        served_by("claude", at("m", name="m-claude"), at("a", name="a-claude", tier=2)),
    ]
    members: dict[str, dict[str, object]] = {"m": {"kind": "anthropic"}}
    retry = {"attempts_per_deployment": 1, "retry_ratio_pct": 100}
    folder = tmp_path_factory.mktemp("router")
    keys = [{"name": "test", "key": KEY}]
    async with pool(folder, "a", "b", "m", models=models, members=members, retry=retry, keys=keys) as providers:
        yield providers


@pytest.fixture
def live(running: Pool) -> Pool:
    live = running.start_over()
    well(live)
    return live


def well(live: Pool) -> None:
    live.script(a=chatting("a"), b=chatting("b"), m=messaging)


def signature(who: str, request: Request) -> str:
    return f"{SIGNED_BY}{who}, turn {len(json.loads(request.body)['messages'])}"


def chatting(who: str) -> Handler:
    """Answer in Chat Completions with a signed thought and a call of a tool."""

    def handler(request: Request) -> Reply:
        thought = {"type": "thinking", "thinking": "hm", "signature": signature(who, request)}
        call = {"id": f"call_{who}", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        said = {"role": "assistant", "content": "looking", "thinking_blocks": [thought]}
        if not request.json.get("stream"):
            choice = {"index": 0, "message": {**said, "tool_calls": [call]}, "finish_reason": "tool_calls"}
            return whole({"object": "chat.completion", "choices": [choice]})
        deltas: list[tuple[Json, str | None]] = [(said, None), ({"tool_calls": [{"index": 0, **call}]}, "tool_calls")]
        chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in deltas]
        return fake.event_stream(*[fake.sse(one) for one in chunks], b"data: [DONE]\n\n")

    return handler


def messaging(request: Request) -> Reply:
    """Answer in Messages with a signed thought, one that is hidden, and a call of a tool."""
    signed = signature("m", request)
    use = {"type": "tool_use", "id": "toolu_m", "name": "look", "input": {}}
    hidden = {"type": "redacted_thinking", "data": f"hidden, {signed}"}
    if not request.json.get("stream"):
        thought = {"type": "thinking", "thinking": "hm", "signature": signed}
        return whole({**message(), "content": [thought, hidden, use], "stop_reason": "tool_use"})
    begun = {**message(""), "content": [], "stop_reason": None}
    blocks = [
        event("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}),
        event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"}),
        event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": signed}),
        event("content_block_stop", index=0),
        event("content_block_start", index=1, content_block=hidden),
        event("content_block_stop", index=1),
        event("content_block_start", index=2, content_block=use),
        event("content_block_stop", index=2),
    ]
    ends = event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 3})
    return streamed([event("message_start", message=begun), *blocks, ends, event("message_stop")])


async def said(live: Pool, dialect: str, body: Json, *lines: str) -> Answer:
    async with wire(live.router.http_port) as connection:
        await connection.send(post(*lines, body={"max_tokens": 90, **body}, target=PATHS[dialect]))
        reply = await connection.answer()
    assert 200 == reply.status, reply.body
    return reply


def turn_of(dialect: str, who: str, number: int) -> list[Json]:
    """What an agent keeps of a turn: the reply as it came, and what its tool said."""
    signed = f"{SIGNED_BY}{who}, turn {number}"
    thought = {"type": "thinking", "thinking": "hm", "signature": signed}
    if dialect == "messages":
        hidden = {"type": "redacted_thinking", "data": f"hidden, {signed}"}
        use = {"type": "tool_use", "id": f"toolu_{who}", "name": "look", "input": {}}
        result = {"type": "tool_result", "tool_use_id": use["id"], "content": "seen"}
        return [{"role": "assistant", "content": [thought, hidden, use]}, {"role": "user", "content": [result]}]
    call = {"id": f"call_{who}", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    reply = {"role": "assistant", "content": "looking", "thinking_blocks": [thought], "tool_calls": [call]}
    return [reply, {"role": "tool", "tool_call_id": call["id"], "content": "seen"}]


def latest(live: Pool, who: str) -> str:
    return live.upstreams[who].requests[-1].body.decode()


def signatures(live: Pool, who: str) -> list[str]:
    """Whose signatures the provider was sent last, in their order."""
    return [piece.split(",")[0] for piece in latest(live, who).split(SIGNED_BY)[1:]]


ASK: list[Json] = [{"role": "user", "content": "look"}]


@pytest.mark.parametrize("stream", [False, True])
async def test_back_at_a_provider_it_has_its_own_thoughts_again(live: Pool, stream: bool) -> None:
    """T18: signed at a, then at b while a is down, then back at a, and at b once more."""
    session, asks = f"x-session-id: to and fro {stream}", {"model": "mixed", "stream": stream}
    turns = list(ASK)
    await said(live, "chat", {**asks, "messages": turns}, session)
    turns += turn_of("chat", "a", len(turns))
    live.script(a=DOWN)
    await said(live, "chat", {**asks, "messages": turns}, session)
    assert [] == signatures(live, "b"), "none of a's"
    turns += turn_of("chat", "b", len(turns))
    well(live)
    live.script(b=DOWN)
    await said(live, "chat", {**asks, "messages": turns}, session)
    back = json.loads(latest(live, "a"))["messages"]
    assert ["a"] == signatures(live, "a")
    assert turns[:3] == back[:3], "its own turn as it came"
    assert {name: value for name, value in turns[3].items() if name != "thinking_blocks"} == back[3]
    turns += turn_of("chat", "a", len(turns))
    well(live)
    live.script(a=DOWN)
    await said(live, "chat", {**asks, "messages": turns}, session)
    assert ["b"] == signatures(live, "b")
    well(live)
    await said(live, "chat", {**asks, "messages": turns}, session)
    assert ["b"] == signatures(live, "b"), "at home, too"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_gets_nothing_that_its_fallback_signed(live: Pool, stream: bool) -> None:
    """T18: another model took its turn, of which the plan of the next one knows nothing."""
    asks = {"model": "small", "stream": stream}
    turns = list(ASK)
    await said(live, "chat", {**asks, "messages": turns})
    turns += turn_of("chat", "a", len(turns))
    live.script(a=DOWN)
    await said(live, "chat", {**asks, "messages": turns})
    assert [] == signatures(live, "b")
    turns += turn_of("chat", "b", len(turns))
    well(live)
    await said(live, "chat", {**asks, "messages": turns})

    assert ["a"] == signatures(live, "a")


@pytest.mark.parametrize("dialect", PATHS)
@pytest.mark.parametrize("stream", [False, True])
async def test_thoughts_of_messages_come_back_in_either_dialect(live: Pool, dialect: str, stream: bool) -> None:
    """T18: hidden ones with the others. What passes through a translation is known by the same signature."""
    session, asks = f"x-session-id: {dialect} {stream}", {"model": "claude", "stream": stream}
    turns = list(ASK)
    await said(live, dialect, {**asks, "messages": turns}, session)
    thoughts = turn_of("messages", "m", 1)[0]["content"][:2]
    if dialect == "messages":
        turns += turn_of("messages", "m", 1)
    else:
        turns += turn_of("chat", "m", 1)
        turns[1]["thinking_blocks"] = thoughts
    live.script(m=DOWN)
    await said(live, dialect, {**asks, "messages": turns}, session)
    assert [] == signatures(live, "a")
    turns += turn_of("chat", "a", len(turns)) if dialect == "chat" else [{"role": "assistant", "content": "so"}, *ASK]
    well(live)
    live.script(a=DOWN)
    await said(live, dialect, {**asks, "messages": turns}, session)

    assert ["m", "m"] == signatures(live, "m")
    assert thoughts == json.loads(latest(live, "m"))["messages"][1]["content"][:2]
