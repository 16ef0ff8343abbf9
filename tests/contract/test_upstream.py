"""The contract of the `Upstream` and `LiveStream` ports, for every kind."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Protocol

import pytest

from router.adapters.upstreams.litellm_library import LitellmLibrary
from router.adapters.upstreams.scripted import ScriptedUpstream
from router.domain.catalog import Provider, ProviderKind, Script, Timeouts
from router.domain.dispatch.failure import FailureKind
from router.domain.ids import ProviderId
from router.domain.stream import END_EVENT, Event, EventKind, ReplyMode
from router.ports.upstream import Upstream, UpstreamFailed
from tests.support import fake_upstream, provider_wires
from tests.support.fake_upstream import FakeUpstream, Gap, Reply, Request
from tests.support.litellm_calls import ScriptedLitellm, bridge, real, roundabout, to_gemini
from tests.support.upstream_calls import (
    MS,
    SECOND,
    TIMEOUTS,
    ask,
    content,
    drain,
    failure_of,
    is_over,
    over,
    reads_failure,
    said,
)
from tests.support.waiting import pause, turn


class MakeUpstream(Protocol):
    """Make an upstream whose first token comes after `delay_s`, and one more every `gap_s`."""

    def __call__(
        self, *, delay_s: float = 0.0, gap_s: float = 0.0, timeouts: Timeouts = TIMEOUTS
    ) -> AbstractAsyncContextManager[Upstream]: ...


@asynccontextmanager
async def openai_compatible(
    *, delay_s: float = 0.0, gap_s: float = 0.0, timeouts: Timeouts = TIMEOUTS
) -> AsyncIterator[Upstream]:
    def handler(request: Request) -> Reply:
        reply = fake_upstream.answer(request)
        if gap_s and request.json.get("stream"):
            reply = fake_upstream.stream(request, gap_s=gap_s)
        return replace(reply, before_head=(Gap(delay_s),))

    async with FakeUpstream(handler=handler) as fake:
        upstream = over(fake, timeouts=timeouts)
        yield upstream
        await upstream.close()


@asynccontextmanager
async def scripted(
    *, delay_s: float = 0.0, gap_s: float = 0.0, timeouts: Timeouts = TIMEOUTS
) -> AsyncIterator[Upstream]:
    script = Script(first_token_ns=round(delay_s * SECOND), tokens_per_s=1 / gap_s if gap_s else 0.0, reply_tokens=60)
    yield ScriptedUpstream(
        Provider(id=ProviderId("fake"), kind=ProviderKind.SCRIPTED, timeouts=timeouts, script=script)
    )


@asynccontextmanager
async def litellm_scripted(
    *, delay_s: float = 0.0, gap_s: float = 0.0, timeouts: Timeouts = TIMEOUTS
) -> AsyncIterator[Upstream]:
    upstream = bridge("", library=ScriptedLitellm(delay_s=delay_s, gap_s=gap_s).library(), timeouts=timeouts)
    yield upstream
    await upstream.close()


@asynccontextmanager
async def litellm_gemini(
    *,
    delay_s: float = 0.0,
    gap_s: float = 0.0,
    timeouts: Timeouts = TIMEOUTS,
    library: Callable[[], LitellmLibrary] = real,
) -> AsyncIterator[Upstream]:
    async with FakeUpstream(handler=partial(provider_wires.gemini, delay_s=delay_s, gap_s=gap_s)) as fake:
        upstream = to_gemini(fake, timeouts=timeouts, library=library)
        yield upstream
        await upstream.close()


gemini_by_acompletion = partial(litellm_gemini, library=roundabout)
every_kind = pytest.mark.parametrize(
    "make",
    [
        openai_compatible,
        scripted,
        litellm_scripted,
        litellm_gemini,
        pytest.param(gemini_by_acompletion, id="gemini_by_acompletion"),
    ],
)


@every_kind
async def test_a_unary_reply_is_one_complete_event(make: MakeUpstream) -> None:
    async with make() as upstream:
        events = await drain(await upstream.open(ask(ReplyMode.UNARY)))

    assert [EventKind.COMPLETE] == [event.kind for event in events]
    reply = json.loads(events[0].raw)
    assert "chat.completion" == reply["object"]
    assert 60 == reply["usage"]["completion_tokens"]
    assert 60 == len(reply["choices"][0]["message"]["content"].split())
    assert "stop" == reply["choices"][0]["finish_reason"]


@every_kind
async def test_a_stream_is_chunks_and_one_end(make: MakeUpstream) -> None:
    async with make() as upstream:
        options = {"include_usage": True}
        events = await drain(await upstream.open(ask(ReplyMode.STREAM, stream_options=options)))

    assert END_EVENT == events[-1]
    assert {EventKind.CHUNK} == {event.kind for event in events[:-1]}
    assert all(event.raw.startswith(b"data: {") and event.raw.endswith(b"}\n\n") for event in events[:-1])
    assert 60 == len(content(events).split())
    last = json.loads(events[-2].raw[6:])
    assert [] == last["choices"]
    assert 60 == last["usage"]["completion_tokens"]
    assert "stop" == json.loads(events[-3].raw[6:])["choices"][0]["finish_reason"]


@every_kind
async def test_open_does_not_wait_for_an_answer(make: MakeUpstream) -> None:
    async with make(delay_s=5.0) as upstream, asyncio.timeout(1):
        live = await upstream.open(ask(ReplyMode.STREAM))
        live.abort()


@every_kind
@pytest.mark.parametrize("mode", list(ReplyMode))
async def test_a_cancelled_read_loses_nothing(make: MakeUpstream, mode: ReplyMode) -> None:
    async with make(delay_s=0.01, gap_s=0.0005) as upstream:
        undisturbed = await drain(await upstream.open(ask(mode)))
        live = await upstream.open(ask(mode))
        events: list[Event] = []
        while not events or events[-1].kind not in (EventKind.END, EventKind.COMPLETE):
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(live.read())
                await turn()
                reading.cancel()
            if not reading.cancelled():
                events += reading.result()

    assert said(undisturbed) == said(events)


@every_kind
@pytest.mark.parametrize("mode", list(ReplyMode))
async def test_abort_wakes_the_reader_and_may_be_repeated(make: MakeUpstream, mode: ReplyMode) -> None:
    async with make(delay_s=5.0) as upstream:
        live = await upstream.open(ask(mode))
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(reads_failure(live))
            await turn()
            live.abort()
            live.abort()

        assert FailureKind.ABORTED is reading.result().kind
        assert FailureKind.ABORTED is (await reads_failure(live)).kind


@every_kind
async def test_abort_before_the_first_read_is_found_by_it(make: MakeUpstream) -> None:
    async with make() as upstream:
        live = await upstream.open(ask(ReplyMode.STREAM))
        live.abort()

        assert FailureKind.ABORTED is (await reads_failure(live)).kind


@every_kind
async def test_abort_after_the_end_is_harmless(make: MakeUpstream) -> None:
    async with make() as upstream:
        live = await upstream.open(ask(ReplyMode.STREAM))
        await drain(live)
        live.abort()

        assert END_EVENT == (await drain(await upstream.open(ask(ReplyMode.STREAM))))[-1]


@every_kind
@pytest.mark.parametrize("mode", list(ReplyMode))
async def test_a_nudge_wakes_the_reader_with_nothing(make: MakeUpstream, mode: ReplyMode) -> None:
    async with make(delay_s=0.05) as upstream:
        live = await upstream.open(ask(mode))
        live.nudge()  # nobody waits: nothing happens
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(live.read())
            await turn()
            live.nudge()

        assert [] == reading.result()
        assert (await drain(live))[-1].kind in (EventKind.END, EventKind.COMPLETE)


@every_kind
@pytest.mark.parametrize(
    ("mode", "delay_s", "gap_s", "limits", "kind", "words"),
    [
        (ReplyMode.STREAM, 5.0, 0.0, {"stream_first_event_ns": 30 * MS}, FailureKind.FIRST_EVENT_TIMEOUT,
         "fake did not begin its answer within 30ms"),
        (ReplyMode.STREAM, 0.0, 5.0, {"stream_idle_ns": 30 * MS}, FailureKind.IDLE_TIMEOUT,
         "fake sent nothing more for 30ms"),
        (ReplyMode.STREAM, 0.0, 0.01, {"total_ns": 250 * MS}, FailureKind.TOTAL_TIMEOUT,
         "fake did not finish its answer within 250ms"),
        (ReplyMode.UNARY, 5.0, 0.0, {"total_ns": 250 * MS}, FailureKind.TOTAL_TIMEOUT,
         "fake did not finish its answer within 250ms"),
    ],
)  # fmt: skip
async def test_each_timeout_has_its_own_limit(
    make: MakeUpstream, mode: ReplyMode, delay_s: float, gap_s: float, limits: dict[str, int], kind: FailureKind,
    words: str,
) -> None:  # fmt: skip
    async with make(delay_s=delay_s, gap_s=gap_s, timeouts=replace(TIMEOUTS, **limits)) as upstream:
        started = asyncio.get_running_loop().time()
        failure = await failure_of(upstream, ask(mode))

    assert kind is failure.kind
    assert words == failure.message
    assert asyncio.get_running_loop().time() - started < 4.0


@every_kind
async def test_the_callers_own_limit_counts_when_it_is_tighter(make: MakeUpstream) -> None:
    async with make(delay_s=5.0) as upstream:
        failure = await failure_of(upstream, ask(ReplyMode.UNARY, total_ns=250 * MS))

    assert FailureKind.TOTAL_TIMEOUT is failure.kind
    assert "fake did not finish its answer within 250ms" == failure.message


@every_kind
async def test_a_unary_reply_may_be_slower_than_both_stream_limits(make: MakeUpstream) -> None:
    limits = replace(TIMEOUTS, stream_first_event_ns=10 * MS, stream_idle_ns=10 * MS)
    async with make(delay_s=0.06, timeouts=limits) as upstream:
        events = await drain(await upstream.open(ask(ReplyMode.UNARY)))

    assert EventKind.COMPLETE is events[-1].kind


@every_kind
async def test_a_steady_stream_may_be_longer_than_both_stream_limits(make: MakeUpstream) -> None:
    limits = replace(TIMEOUTS, stream_first_event_ns=150 * MS, stream_idle_ns=150 * MS)
    async with make(gap_s=0.005, timeouts=limits) as upstream:
        events = await drain(await upstream.open(ask(ReplyMode.STREAM)))

    assert END_EVENT == events[-1]


@every_kind
async def test_a_slow_reader_is_not_mistaken_for_a_silent_provider(make: MakeUpstream) -> None:
    limits = replace(TIMEOUTS, stream_first_event_ns=20 * MS, stream_idle_ns=20 * MS)
    async with make(timeouts=limits) as upstream:
        live = await upstream.open(ask(ReplyMode.STREAM))
        await pause(0.06)
        first = await live.read()
        await pause(0.06)

        assert END_EVENT == (first if first[-1] == END_EVENT else await drain(live))[-1]


@every_kind
async def test_each_hands_over_what_read_would_and_stops_when_told(make: MakeUpstream) -> None:
    async with make(gap_s=0.0005) as upstream:
        undisturbed = await drain(await upstream.open(ask(ReplyMode.STREAM)))
        live = await upstream.open(ask(ReplyMode.STREAM))
        events: list[Event] = []
        batches = 0

        def take(batch: list[Event]) -> bool:
            nonlocal batches
            events.extend(batch)
            batches += 1
            return batches % 3 != 0 and not is_over(events)

        while not is_over(events):
            await live.each(take)
            events += [] if is_over(events) else await live.read()

    assert said(undisturbed) == said(events)


@every_kind
async def test_a_cancelled_each_loses_nothing(make: MakeUpstream) -> None:
    async with make(gap_s=0.0005) as upstream:
        undisturbed = await drain(await upstream.open(ask(ReplyMode.STREAM)))
        live = await upstream.open(ask(ReplyMode.STREAM))
        events: list[Event] = []

        def take(batch: list[Event]) -> bool:
            events.extend(batch)
            return not is_over(events)

        while not is_over(events):
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(live.each(take))
                await turn()
                reading.cancel()

    assert said(undisturbed) == said(events)


@every_kind
async def test_what_a_taker_raises_reaches_the_reader(make: MakeUpstream) -> None:
    def take(_batch: list[Event]) -> bool:
        raise ZeroDivisionError

    async with make(delay_s=0.01) as upstream:
        live = await upstream.open(ask(ReplyMode.STREAM))
        with pytest.raises(ZeroDivisionError):
            await live.each(take)
        live.abort()


@every_kind
async def test_a_taker_may_abort(make: MakeUpstream) -> None:
    async with make(delay_s=0.01, gap_s=0.005) as upstream:
        live = await upstream.open(ask(ReplyMode.STREAM))
        taken = 0

        def take(_batch: list[Event]) -> bool:
            nonlocal taken
            taken += 1
            live.abort()
            return True

        with pytest.raises(UpstreamFailed) as caught:
            await live.each(take)

    assert (1, FailureKind.ABORTED) == (taken, caught.value.failure.kind)


@every_kind
async def test_abort_and_silence_end_each(make: MakeUpstream) -> None:
    limits = replace(TIMEOUTS, stream_idle_ns=30 * MS)
    async with make(gap_s=5.0, timeouts=limits) as upstream:
        silent = await upstream.open(ask(ReplyMode.STREAM))
        with pytest.raises(UpstreamFailed) as caught:
            await silent.each(lambda _batch: True)
        assert FailureKind.IDLE_TIMEOUT is caught.value.failure.kind

    async with make(delay_s=5.0) as upstream:
        live = await upstream.open(ask(ReplyMode.STREAM))
        asyncio.get_running_loop().call_later(0.01, live.abort)
        with pytest.raises(UpstreamFailed) as caught:
            await live.each(lambda _batch: True)
        assert FailureKind.ABORTED is caught.value.failure.kind


@every_kind
async def test_a_nudge_hands_over_an_empty_batch(make: MakeUpstream) -> None:
    async with make(delay_s=5.0) as upstream:
        live = await upstream.open(ask(ReplyMode.STREAM))
        batches: list[list[Event]] = []

        def take(batch: list[Event]) -> bool:
            batches.append(batch)
            return len(batches) < 2

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(live.each(take))
            for _ in range(2):
                await turn()
                live.nudge()
        live.abort()

    assert [[], []] == batches
