"""What a caller gets to see of a reply, and when."""

import asyncio

import pytest

from router.domain.catalog import ReplyModel
from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.faults import Fault, RouterError
from router.domain.settlement import Outcome
from router.domain.stream import END_EVENT, ERROR_EVENT, KEEP_ALIVE, Event, EventKind
from tests.support.fakes import chunk, snapshot
from tests.support.pipeline import Rig
from tests.support.waiting import pause

ROLE = Event(EventKind.CHUNK, b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n')
PING_NS = 1_000_000


async def test_start_up_events_are_held_until_the_reply_is_real() -> None:
    rig = Rig()
    upstream = rig.upstream()
    upstream.feed(ROLE)
    upstream.chunk("a")
    with rig.pipeline.open(rig.call()) as reply:
        assert [ROLE, chunk("a")] == await reply.read()


@pytest.mark.parametrize(
    ("events", "fault"),
    [
        ((ROLE, END_EVENT), Fault.UPSTREAM_ERROR),
        ((END_EVENT,), Fault.UPSTREAM_ERROR),
        (
            (ROLE, Event(EventKind.CHUNK, b'data: {"error":{"message":"no","code":"rate_limit_exceeded"}}\n\n')),
            Fault.UPSTREAM_RATE_LIMITED,
        ),
    ],
)
async def test_a_reply_that_never_became_real_is_a_status_not_a_stream(events: tuple[Event, ...], fault: Fault) -> None:
    rig = Rig()
    rig.upstream().feed(*events)

    with pytest.raises(RouterError) as caught, rig.pipeline.open(rig.call()) as reply:
        await reply.read()

    assert fault is caught.value.refusal.fault
    assert [Outcome.FAILED] == [settled.outcome for settled in rig.telemetry.settled]


async def test_the_end_without_a_finish_is_an_error() -> None:
    rig = Rig()
    rig.upstream().feed(chunk("a"), END_EVENT)
    with rig.pipeline.open(rig.call()) as reply:
        assert [chunk("a"), ERROR_EVENT] == await reply.read()


async def test_a_break_after_every_choice_is_finished_is_a_good_end() -> None:
    rig = Rig()
    upstream = rig.upstream()
    upstream.feed(chunk("a"), chunk("", finish="stop"))
    upstream.fail(Failure(kind=FailureKind.CUT, message="cut"))
    with rig.pipeline.open(rig.call()) as reply:
        await reply.read()
        assert [END_EVENT] == await reply.read()

    assert [Outcome.COMPLETED] == [settled.outcome for settled in rig.telemetry.settled]


async def test_silence_after_the_start_is_filled_with_comments() -> None:
    rig = Rig()
    upstream = rig.upstream()
    upstream.chunk("a")
    with rig.pipeline.open(rig.call(), ping_ns=PING_NS) as reply:
        await reply.read()
        rig.clock.pass_ns(PING_NS)
        assert [KEEP_ALIVE] == await reply.read()
        rig.clock.pass_ns(PING_NS)
        assert [KEEP_ALIVE] == await reply.read()


async def test_a_caller_who_waited_long_for_the_first_event_gets_a_sign_of_life() -> None:
    rig = Rig()
    upstream = rig.upstream()
    with rig.pipeline.open(rig.call(), ping_ns=PING_NS) as reply:
        asyncio.get_running_loop().call_soon(rig.clock.pass_ns, PING_NS)
        assert [KEEP_ALIVE] == await reply.read()
        upstream.chunk("a")
        assert [chunk("a")] == await reply.read()


async def test_a_failure_after_a_sign_of_life_is_told_as_one_before_the_reply() -> None:
    rig = Rig()
    upstream = rig.upstream()

    async def serve() -> None:
        with rig.pipeline.open(rig.call(), ping_ns=PING_NS) as reply:
            asyncio.get_running_loop().call_soon(rig.clock.pass_ns, PING_NS)
            await reply.read()
            upstream.fail(Failure(kind=FailureKind.FIRST_EVENT_TIMEOUT, message="slow"))
            await reply.read()

    with pytest.raises(RouterError):
        await serve()
    assert [(Outcome.FAILED, Fault.TIMEOUT)] == [(one.outcome, one.fault) for one in rig.telemetry.settled]


async def test_behind_a_sign_of_life_another_attempt_may_serve() -> None:
    rig = Rig(snapshot(attempts=2))
    first, second = rig.upstream(), rig.upstream()
    with rig.pipeline.open(rig.call(), ping_ns=PING_NS) as reply:
        asyncio.get_running_loop().call_soon(rig.clock.pass_ns, PING_NS)
        assert [KEEP_ALIVE] == await reply.read()
        first.feed(ROLE)
        first.fail(Failure(kind=FailureKind.STATUS, status=500, message="down"))
        second.chunk("a")
        seen: list[Event] = []
        await reply.each(lambda batch: seen.extend(batch) or len(seen) < 1)

    assert [chunk("a")] == seen
    assert [500, None] == [row.upstream_status for row in rig.telemetry.settled[0].attempts]


async def test_no_comment_is_sent_while_events_come() -> None:
    rig = Rig()
    upstream = rig.upstream()
    upstream.chunk("a")
    with rig.pipeline.open(rig.call(), ping_ns=PING_NS) as reply:
        await reply.read()
        # The timer fires meanwhile, and finds that no time has passed.
        asyncio.get_running_loop().call_later(3 * PING_NS / 1e9, upstream.chunk, "b")
        assert [chunk("b")] == await reply.read()


async def test_a_unary_reply_is_never_pinged() -> None:
    rig = Rig()
    upstream = rig.upstream()
    with rig.pipeline.open(rig.call('{"model":"small","messages":[]}'), ping_ns=PING_NS) as reply:
        rig.clock.pass_ns(10 * PING_NS)
        whole = Event(EventKind.COMPLETE, b'{"choices":[]}')
        asyncio.get_running_loop().call_later(3 * PING_NS / 1e9, upstream.feed, whole)
        assert [whole] == await reply.read()


async def test_the_callers_own_model_name_is_stamped_where_the_operator_wants_it() -> None:
    rig = Rig(snapshot(reply_model=ReplyModel.ALIAS))
    rig.upstream().feed(chunk("a"), chunk("", finish="stop"), END_EVENT)
    with rig.pipeline.open(rig.call()) as reply:
        batch = await reply.read()

    assert b'"model":"small"' in batch[0].raw
    assert END_EVENT == batch[-1]
    assert "up" == rig.telemetry.settled[0].served_model


async def test_a_start_that_never_comes_to_the_point_is_passed_on_when_it_grows_too_large() -> None:
    rig = Rig()
    padding = Event(EventKind.CHUNK, b'data: {"choices":[],"x":"' + b"p" * 70_000 + b'"}\n\n')
    rig.upstream().feed(padding)
    with rig.pipeline.open(rig.call()) as reply:
        assert [padding] == await reply.read()


async def test_the_time_to_the_first_token_is_measured_from_arrival_and_from_dispatch() -> None:
    rig = Rig()
    upstream = rig.upstream()
    call = rig.call()
    rig.clock.pass_ns(5)
    with rig.pipeline.open(call) as reply:
        asyncio.get_running_loop().call_soon(rig.clock.pass_ns, 7)
        asyncio.get_running_loop().call_soon(upstream.feed, chunk("a"), chunk("", finish="stop"), END_EVENT)
        await reply.read()

    (settled,) = rig.telemetry.settled
    assert (12, 7) == (settled.first_token_ns, settled.attempts[0].first_token_ns)


async def test_a_stream_that_failed_before_its_start_leaves_no_timer_behind() -> None:
    rig = Rig()
    upstream = rig.upstream()
    upstream.feed(END_EVENT)
    with pytest.raises(RouterError), rig.pipeline.open(rig.call(), ping_ns=PING_NS) as reply:
        await reply.read()

    rig.clock.pass_ns(10 * PING_NS)
    await pause(5 * PING_NS / 1e9)  # time in which a timer would fire

    assert 0 == upstream.nudges


class Taker:
    """Takes batches until it has had `wanted`, or the last one."""

    def __init__(self, wanted: int = 100) -> None:
        self.batches: list[list[Event]] = []
        self._wanted = wanted

    def __call__(self, batch: list[Event]) -> bool:
        self.batches.append(batch)
        over = batch[-1].kind in (EventKind.END, EventKind.ERROR)
        return not over and len(self.batches) < self._wanted


async def test_each_passes_on_what_read_would_and_ends_the_call() -> None:
    rig = Rig()
    upstream = rig.upstream()
    for text in ("a", "b", "c"):
        upstream.chunk(text)
    upstream.feed(chunk("", finish="stop"), END_EVENT)
    taker = Taker()
    with rig.pipeline.open(rig.call()) as reply:
        assert [chunk("a")] == await reply.read()
        await reply.each(taker)

    assert [[chunk("b")], [chunk("c")], [chunk("", finish="stop"), END_EVENT]] == taker.batches
    assert [Outcome.COMPLETED] == [settled.outcome for settled in rig.telemetry.settled]


async def test_a_taker_that_wants_no_more_loses_nothing() -> None:
    rig = Rig()
    upstream = rig.upstream()
    for text in ("a", "b", "c"):
        upstream.chunk(text)
    taker = Taker(wanted=1)
    with rig.pipeline.open(rig.call()) as reply:
        await reply.read()
        await reply.each(taker)
        assert [chunk("c")] == await reply.read()

    assert [[chunk("b")]] == taker.batches


@pytest.mark.parametrize(
    ("last", "failure"),
    [
        (END_EVENT, None),
        (Event(EventKind.CHUNK, b'data: {"error":{"message":"no"}}\n\n'), None),
        (None, Failure(kind=FailureKind.CUT, message="cut")),
    ],
    ids=["no-finish", "error-event", "cut"],
)
async def test_each_ends_a_broken_reply_with_one_error(last: Event | None, failure: Failure | None) -> None:
    rig = Rig()
    upstream = rig.upstream()
    upstream.chunk("a")
    if last is not None:
        upstream.feed(last)
    if failure is not None:
        upstream.fail(failure)
    taker = Taker()
    with rig.pipeline.open(rig.call()) as reply:
        await reply.read()
        await reply.each(taker)

    assert [[ERROR_EVENT]] == taker.batches
    assert [Outcome.INTERRUPTED] == [settled.outcome for settled in rig.telemetry.settled]


async def test_silence_within_each_is_filled_with_comments() -> None:
    rig = Rig()
    upstream = rig.upstream()
    upstream.chunk("a")
    taker = Taker(wanted=2)

    def take(batch: list[Event]) -> bool:
        rig.clock.pass_ns(PING_NS)  # for the next tick, however late this one came
        return taker(batch)

    with rig.pipeline.open(rig.call(), ping_ns=PING_NS) as reply:
        await reply.read()
        rig.clock.pass_ns(PING_NS)
        await reply.each(take)

    assert [[KEEP_ALIVE], [KEEP_ALIVE]] == taker.batches
