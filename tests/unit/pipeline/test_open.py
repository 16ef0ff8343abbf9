"""A call from its opening to its settlement, whichever way it ends."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from router.domain.catalog import Model
from router.domain.dialects.dialect import RESPONSES, Dialect
from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.faults import Fault, Refusal, RouterError
from router.domain.governance.budget import Crossed, Exhausted
from router.domain.ids import Epoch, ModelName
from router.domain.metadata import Metadata
from router.domain.settlement import Labels, Outcome, Reservation, StoredRecord
from router.domain.stream import END_EVENT, ERROR_EVENT, Event, EventKind
from router.domain.usage import TokenUsage
from router.pipeline.admit import Gate
from tests.support.fakes import chunk, deployment, principal, snapshot, usage_chunk
from tests.support.pipeline import BreakableLedger, Rig
from tests.support.waiting import turns

UNARY = '{"model":"small","messages":[]}'
WHOLE = Event(
    EventKind.COMPLETE, b'{"model":"up-1","choices":[],"usage":{"prompt_tokens":2006,"completion_tokens":300}}'
)


async def read_all(rig: Rig, body: str = '{"model":"small","messages":[],"stream":true}') -> list[Event]:
    events: list[Event] = []
    with rig.pipeline.open(rig.call(body)) as reply:
        while not events or events[-1].kind not in (EventKind.COMPLETE, EventKind.END, EventKind.ERROR):
            events += await reply.read()
    return events


async def test_a_unary_call_is_recorded_served_priced_and_settled_once() -> None:
    rig = Rig()
    rig.upstream().feed(WHOLE)

    assert [WHOLE] == await read_all(rig, UNARY)
    (settled,) = rig.telemetry.settled
    assert (Outcome.COMPLETED, None, 7_012_000) == (settled.outcome, settled.fault, settled.cost_nano_usd)
    assert ("small", "up/model", "up-1") == (settled.asked_model, settled.served_deployment, settled.served_model)
    assert settled.outcome is (await rig.ledger.read_call(settled.id)).outcome  # type: ignore[union-attr] # it is there
    assert 0 == len(rig.pipeline.open_calls)


async def test_a_stream_ends_with_end_and_its_usage() -> None:
    rig = Rig()
    upstream = rig.upstream()
    upstream.feed(chunk("a"), chunk("b"))
    upstream.feed(chunk("", finish="stop"), usage_chunk(7, 2), END_EVENT)

    events = await read_all(rig)

    assert [chunk("a"), chunk("b"), chunk("", finish="stop"), END_EVENT] == events
    assert TokenUsage(input=7, output=2) == rig.telemetry.settled[0].usage


async def test_the_open_row_is_committed_before_anything_is_dispatched() -> None:
    rig = Rig()
    upstream = rig.upstream()
    call = rig.call()
    with rig.pipeline.open(call) as reply:
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(reply.read())
            await turns()
            record = await rig.ledger.read_call(call.id)
            assert record is not None
            assert (None, 1) == (record.outcome, len(rig.upstreams.requests))
            upstream.chunk("a")
            await reading


async def test_a_ledger_that_cannot_commit_refuses_and_dispatches_nothing() -> None:
    rig = Rig()
    rig.ledger.broken = True

    with pytest.raises(RouterError) as caught:
        await read_all(rig)

    assert (Fault.OVERLOADED, 1_000) == (caught.value.refusal.fault, caught.value.refusal.retry_after_ms)
    assert [] == rig.upstreams.requests
    assert [Outcome.REFUSED] == [settled.outcome for settled in rig.telemetry.settled]


async def test_a_model_that_is_not_granted_is_refused_with_a_row_and_no_dispatch() -> None:
    rig = Rig()
    call = rig.call(who=principal("other"))

    with pytest.raises(RouterError), rig.pipeline.open(call) as reply:
        await reply.read()

    assert [] == rig.upstreams.requests
    (settled,) = rig.telemetry.settled
    assert (Outcome.REFUSED, Fault.MODEL_NOT_ALLOWED, 0) == (settled.outcome, settled.fault, settled.cost_nano_usd)


@pytest.mark.parametrize("kind", [FailureKind.CONNECT, FailureKind.STATUS])
async def test_an_attempt_that_failed_for_free_costs_nothing(kind: FailureKind) -> None:
    rig = Rig()
    rig.upstreams.replies.append(Failure(kind=kind, message="no", status=500))

    with pytest.raises(RouterError) as caught:
        await read_all(rig)

    assert Fault.UPSTREAM_ERROR is caught.value.refusal.fault
    (settled,) = rig.telemetry.settled
    assert (Outcome.FAILED, 0, TokenUsage()) == (settled.outcome, settled.cost_nano_usd, settled.usage)
    assert Fault.UPSTREAM_ERROR is settled.attempts[0].fault


async def test_an_attempt_that_may_have_been_billed_is_estimated() -> None:
    rig = Rig()
    rig.upstream().fail(Failure(kind=FailureKind.RESET, message="gone"))

    with pytest.raises(RouterError):
        await read_all(rig)

    usage = rig.telemetry.settled[0].usage
    assert (True, 0) == (usage.estimated, usage.output)
    assert usage.input > 0


async def test_a_stream_that_breaks_after_its_start_ends_with_error_and_what_was_seen() -> None:
    rig = Rig()
    upstream = rig.upstream()
    for _ in range(40):
        upstream.chunk("w")
    upstream.fail(Failure(kind=FailureKind.CUT, message="cut"))

    events = await read_all(rig)

    assert 40 == sum(event.kind is EventKind.CHUNK for event in events)
    assert ERROR_EVENT == events[-1]
    (settled,) = rig.telemetry.settled
    assert (Outcome.INTERRUPTED, Fault.UPSTREAM_STREAM_INTERRUPTED) == (settled.outcome, settled.fault)
    assert (40, True) == (settled.usage.output, settled.usage.estimated)


@pytest.mark.parametrize("reads", range(4))
async def test_a_caller_who_leaves_at_any_await_is_settled_once_and_the_upstream_is_closed(reads: int) -> None:
    rig = Rig()
    upstream = rig.upstream()
    for _ in range(reads):
        upstream.chunk("w")

    async def serve() -> None:
        with rig.pipeline.open(rig.call()) as reply:
            while True:
                await reply.read()

    serving = asyncio.ensure_future(serve())  # noqa: TID251 - the task itself is what the test cancels
    await turns(reads + 3)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving

    assert upstream.aborted
    (settled,) = rig.telemetry.settled
    assert (Outcome.CLIENT_CANCELLED, Fault.CLIENT_CLOSED, reads) == (
        settled.outcome,
        settled.fault,
        settled.usage.output,
    )
    assert 0 == len(rig.pipeline.open_calls)


async def test_leaving_before_the_end_without_an_error_is_a_cancelled_call() -> None:
    rig = Rig()
    rig.upstream().chunk("w")
    with rig.pipeline.open(rig.call()) as reply:
        await reply.read()

    assert [Outcome.CLIENT_CANCELLED] == [settled.outcome for settled in rig.telemetry.settled]


async def test_a_bug_in_a_facade_still_settles() -> None:
    rig = Rig()
    rig.upstream().chunk("w")

    async def serve() -> None:
        with rig.pipeline.open(rig.call()) as reply:
            await reply.read()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await serve()

    assert [(Outcome.FAILED, Fault.INTERNAL)] == [(one.outcome, one.fault) for one in rig.telemetry.settled]


async def test_an_interrupted_stream_says_why_the_router_ended_it() -> None:
    rig = Rig()
    rig.upstream().chunk("w")
    why = Refusal(fault=Fault.OVERLOADED, message="stopping")
    call = rig.call()
    with rig.pipeline.open(call) as reply:
        await reply.read()
        rig.pipeline.interrupt_all(why)
        assert [ERROR_EVENT] == await reply.read()

    assert why == call.refusal
    assert [Outcome.INTERRUPTED] == [settled.outcome for settled in rig.telemetry.settled]


async def test_a_call_interrupted_before_its_reply_began_is_refused_with_that_reason() -> None:
    rig = Rig()
    rig.upstream()
    why = Refusal(fault=Fault.OVERLOADED, message="stopping")
    call = rig.call()
    with rig.pipeline.open(call) as reply:
        asyncio.get_running_loop().call_soon(rig.pipeline.interrupt_all, why)
        with pytest.raises(RouterError) as caught:
            await reply.read()

    assert why == caught.value.refusal


class SlowLedger(BreakableLedger):
    """Lets something happen while a reservation is being committed."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        super().__init__(epoch=Epoch(1))
        self._meanwhile = meanwhile

    async def reserve(self, reservation: Reservation, wall_ns: int) -> tuple[Crossed, ...] | Exhausted:
        self._meanwhile()
        return await super().reserve(reservation, wall_ns)


async def test_a_call_that_was_ended_while_it_was_recorded_is_not_dispatched() -> None:
    rig = Rig()
    why = Refusal(fault=Fault.OVERLOADED, message="stopping")
    rig.pipeline.means.gate = Gate(
        clock=rig.clock, ledger=SlowLedger(lambda: rig.pipeline.interrupt_all(why)), telemetry=rig.telemetry
    )
    with rig.pipeline.open(rig.call()) as reply, pytest.raises(RouterError) as caught:
        await reply.read()

    assert why == caught.value.refusal
    assert [] == rig.upstreams.requests


async def test_a_call_that_was_ended_while_its_upstream_connected_leaves_no_upstream_behind() -> None:
    rig = Rig()
    stream = rig.upstream()
    why = Refusal(fault=Fault.OVERLOADED, message="stopping")
    rig.upstreams.while_opening = lambda: rig.pipeline.interrupt_all(why)
    with rig.pipeline.open(rig.call()) as reply, pytest.raises(RouterError) as caught:
        await reply.read()

    assert why == caught.value.refusal
    assert stream.aborted


def test_a_request_id_is_the_callers_own_or_a_new_one() -> None:
    rig = Rig()

    assert "mine" == rig.pipeline.request_id(Metadata(request_id="mine", labels=Labels()))
    assert rig.pipeline.request_id(Metadata(labels=Labels())) != rig.pipeline.request_id(Metadata(labels=Labels()))


class SlowHistory(BreakableLedger):
    """Says what is stored when a test allows it."""

    def __init__(self) -> None:
        super().__init__(epoch=Epoch(1))
        self.asked, self.told = asyncio.Event(), asyncio.Event()

    async def read_stored(self, reply_id: str) -> StoredRecord | None:
        self.asked.set()
        await self.told.wait()
        return await super().read_stored(reply_id)


@pytest.mark.parametrize("how", ["drain", "caller"])
async def test_a_call_that_ends_while_it_looks_for_what_it_builds_on_is_sent_nowhere(how: str) -> None:
    ledger = SlowHistory()
    speaks = replace(deployment(), dialects=frozenset({Dialect.RESPONSES}))
    small = Model(name=ModelName("small"), deployments=(speaks,))
    rig = Rig(replace(snapshot(), models={small.name: small}), ledger=ledger)
    rig.upstream()
    call = rig.call('{"model":"small","input":"hi","previous_response_id":"resp_1"}', grammar=RESPONSES)
    said: list[str] = []

    async def serve() -> None:
        try:
            with rig.pipeline.open(call) as reply:
                await reply.read()
        except RouterError as exc:
            said.append(exc.refusal.message)

    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve())
        await ledger.asked.wait()
        if how == "drain":
            rig.pipeline.interrupt_all(Refusal(fault=Fault.OVERLOADED, message="It stops."))
            ledger.told.set()
        else:
            serving.cancel()

    assert (["It stops."] if how == "drain" else []) == said
    record = await ledger.read_call(call.id)
    assert record is not None
    assert ("interrupted" if how == "drain" else "client_cancelled") == record.outcome
    assert [] == rig.upstreams.requests
