"""What becomes of litellm's replies: their form, their end, and what litellm made up."""

import asyncio
import json

import pytest

from router.adapters.upstreams import litellm_reply
from router.domain.dialects.chat.meter import ChatMeter
from router.domain.dispatch.failure import FailureKind
from router.domain.stream import END_EVENT, Event, EventKind, ReplyMode
from router.ports.upstream import UpstreamFailed
from tests.support.litellm_calls import Chunks, Said, ScriptedLitellm, bridge
from tests.support.upstream_calls import ask, content, drain, failure_of, read_to_failure
from tests.support.waiting import turn


async def events_of(script: ScriptedLitellm, mode: ReplyMode = ReplyMode.STREAM) -> list[Event]:
    upstream = bridge("", library=script.library())
    return await drain(await upstream.open(ask(mode)))


class Answers(ScriptedLitellm):
    """Answers with one reply, or raises."""

    def __init__(self, answer: object) -> None:
        super().__init__()
        self.answer = answer

    async def __call__(self, **arguments: object) -> object:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def test_a_whole_reply_has_openais_form_and_none_of_litellms_remarks() -> None:
    message = {"role": "assistant", "tool_calls": [{"id": "t"}], "images": [], "thinking_blocks": [{"thinking": "hm"}]}
    answer = Said(
        id="a",
        choices=[{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        usage={"prompt_tokens": 1, "cost": 0.1},
        vertex_ai_safety_results=[],
        provider_specific_fields={"x": 1},
    )
    (event,) = await events_of(Answers(answer), ReplyMode.UNARY)

    assert {
        "id": "a",
        "choices": [
            {
                "index": 0,
                "message": {
                    "content": None,
                    "role": "assistant",
                    "tool_calls": [{"id": "t"}],
                    "thinking_blocks": [{"thinking": "hm"}],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 1},
        "provider_specific_fields": {"x": 1},
    } == json.loads(event.raw)


async def test_a_stream_that_the_provider_finished_ends() -> None:
    events = await events_of(ScriptedLitellm())
    meter = ChatMeter(wants_usage=True)
    meter.take(events)

    assert END_EVENT == events[-1]
    assert meter.finished
    assert meter.usage is not None
    assert 60 == meter.usage.output
    assert 60 == json.loads(events[-2].raw[6:])["usage"]["completion_tokens"]


async def test_a_finish_and_a_usage_that_litellm_made_up_do_not_pass() -> None:
    upstream = bridge("", library=ScriptedLitellm(cut=True).library())
    events, failure = await read_to_failure(await upstream.open(ask(ReplyMode.STREAM)))
    raw = b"".join(event.raw for event in events)

    assert FailureKind.CUT is failure.kind
    assert 60 == len(content(events).split())
    assert b'"finish_reason":"stop"' not in raw
    assert b"usage" not in raw


async def test_a_usage_that_the_provider_did_not_count_is_left_to_our_own_estimate() -> None:
    events = await events_of(ScriptedLitellm(counts=False))
    meter = ChatMeter(wants_usage=True)
    meter.take(events)

    assert meter.usage is None
    assert meter.finished


async def test_each_chunk_bears_the_id_of_the_first() -> None:
    class Renamed(Chunks):
        async def _say(self, script: ScriptedLitellm, tokens: int):  # type: ignore[no-untyped-def,override]
            self.received_finish_reason = "stop"
            for name in "ab":
                yield Said(id=name, choices=[{"index": 0, "delta": {"content": name}}])

    events = await events_of(Answers(Renamed(ScriptedLitellm(), tokens=0)))

    assert ["a", "a"] == [json.loads(event.raw[6:])["id"] for event in events[:-1]]


async def test_an_event_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm_reply, "EVENT_BYTES_MAX", 10)
    upstream = bridge("", library=ScriptedLitellm().library())

    assert FailureKind.MALFORMED is (await failure_of(upstream, ask(ReplyMode.STREAM))).kind


async def test_a_reader_that_is_behind_stops_the_stream_and_an_abort_frees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm_reply, "BUFFER_BYTES_MAX", 500)
    upstream = bridge("", library=ScriptedLitellm().library())
    live = await upstream.open(ask(ReplyMode.STREAM))
    first = await live.read()
    for _ in range(200):
        await turn()
    behind = await live.read()
    assert len(first + behind) < 30

    live.abort()
    await asyncio.wait([live.task], timeout=1)
    assert live.task.done()


async def test_what_litellm_raises_comes_after_what_it_said() -> None:
    class Broken(Chunks):
        async def _say(self, script: ScriptedLitellm, tokens: int):  # type: ignore[no-untyped-def,override]
            yield Said(id="a", choices=[{"index": 0, "delta": {"content": "a"}}])
            raise KeyError("canary")

    upstream = bridge("", library=Answers(Broken(ScriptedLitellm(), tokens=0)).library())
    live = await upstream.open(ask(ReplyMode.STREAM))
    for _ in range(10):
        await turn()

    assert "a" == content(await live.read())
    with pytest.raises(UpstreamFailed, match="KeyError") as caught:
        await live.read()
    assert "canary" not in caught.value.failure.message


async def test_a_call_that_litellm_cancels_itself_fails_at_once() -> None:
    class Cancels(ScriptedLitellm):
        async def __call__(self, **arguments: object) -> object:
            raise asyncio.CancelledError

    async with asyncio.timeout(1):
        found = await failure_of(bridge("", library=Cancels().library()), ask(ReplyMode.STREAM))
    assert (FailureKind.RESET, "fake was given up by litellm") == (found.kind, found.message)


async def test_an_abort_after_a_failure_changes_nothing() -> None:
    upstream = bridge("", library=Answers(KeyError("x")).library())
    live = await upstream.open(ask(ReplyMode.UNARY))
    with pytest.raises(UpstreamFailed) as first:
        await live.read()
    live.abort()
    with pytest.raises(UpstreamFailed) as second:
        await live.read()

    assert first.value.failure == second.value.failure
    assert EventKind.COMPLETE.value == 1
