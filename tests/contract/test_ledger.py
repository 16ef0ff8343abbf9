"""What every ledger promises: nothing reserved is lost, nothing settled changes, totals are exact."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from router.adapters.ledger_memory import MemoryLedger
from router.adapters.ledger_sqlite import open_sqlite_ledger
from router.domain.faults import Fault
from router.domain.ids import CallId, Epoch
from router.domain.settlement import Labels, Outcome
from router.domain.usage import NO_USAGE, TokenUsage
from router.ports.ledger import Ledger, LedgerUnavailable, UsageTotal
from tests.support.fakes import FakeClock, RecordingTelemetry
from tests.support.ledger_facts import (
    STARTED_NS,
    attempt,
    open_record,
    reservation,
    settled_record,
    settlement,
)

OpenLedger = Callable[[], AbstractAsyncContextManager[Ledger]]


@asynccontextmanager
async def memory_ledger() -> AsyncIterator[Ledger]:
    ledger = MemoryLedger(Epoch(1))
    yield ledger
    await ledger.close()


@asynccontextmanager
async def sqlite_ledger(url: str) -> AsyncIterator[Ledger]:
    async with asyncio.TaskGroup() as tasks:
        ledger = await open_sqlite_ledger(
            url, durability="process", clock=FakeClock(), telemetry=RecordingTelemetry(), tasks=tasks
        )
        try:
            yield ledger
        finally:
            await ledger.close()


@pytest.fixture(params=["memory", "sqlite", "sqlite in memory"])
def open_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> OpenLedger:
    url = "sqlite:///:memory:" if request.param == "sqlite in memory" else f"sqlite:///{tmp_path / 'calls.db'}"
    return memory_ledger if request.param == "memory" else lambda: sqlite_ledger(url)


async def test_a_reserved_call_is_open(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        await ledger.reserve(reservation(7, hold=1_250))

        assert open_record(7, hold=1_250) == await ledger.read_call(CallId(7))


async def test_a_call_that_nobody_made_is_not_found(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        await ledger.reserve(reservation(7))

        assert await ledger.read_call(CallId(8)) is None


async def test_a_settled_call_says_everything_and_keeps_its_hold(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        await ledger.reserve(reservation(7, hold=1_250))
        ledger.settle(settlement(7))

        assert settled_record(7, hold=1_250, attempts=(attempt(1),)) == await ledger.read_call(CallId(7))


async def test_attempts_come_back_in_order_and_whole(open_ledger: OpenLedger) -> None:
    expected = tuple(attempt(number, fault=Fault.UPSTREAM_ERROR) for number in (1, 2, 3))
    async with open_ledger() as ledger:
        await ledger.reserve(reservation(7))
        ledger.settle(settlement(7, fault=Fault.UPSTREAM_ERROR, attempts=3))

        assert settled_record(7, fault="upstream_error", attempts=expected) == await ledger.read_call(CallId(7))


@pytest.mark.parametrize("committed_between", [True, False])
async def test_the_first_settlement_wins(open_ledger: OpenLedger, committed_between: bool) -> None:
    async with open_ledger() as ledger:
        await ledger.reserve(reservation(7))
        ledger.settle(settlement(7))
        if committed_between:
            await ledger.read_call(CallId(7))
        ledger.settle(settlement(7, outcome=Outcome.FAILED, fault=Fault.TIMEOUT, cost=1, attempts=2))

        assert settled_record(7, attempts=(attempt(1),)) == await ledger.read_call(CallId(7))
        assert [1] == [total.calls for total in await ledger.usage("key", 0)]


async def test_a_call_refused_before_its_reservation_has_a_row(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        ledger.settle(settlement(7, outcome=Outcome.REFUSED, fault=Fault.MODEL_NOT_FOUND, cost=0, attempts=0))
        record = await ledger.read_call(CallId(7))

        assert record is not None
        assert (Outcome.REFUSED, "model_not_found", 0, ()) == (
            record.outcome,
            record.fault,
            record.hold_nano_usd,
            record.attempts,
        )


async def test_an_id_is_reserved_once_and_the_others_of_its_group_are_not_harmed(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        await ledger.reserve(reservation(7))
        refused = []

        async def reserve(number: int) -> None:
            try:
                await ledger.reserve(reservation(number))
            except LedgerUnavailable:
                refused.append(number)

        async with asyncio.TaskGroup() as tasks:
            for number in (8, 7, 9):
                tasks.create_task(reserve(number))

        assert [7] == refused
        assert [open_record(number) for number in (7, 8, 9)] == [
            await ledger.read_call(CallId(number)) for number in (7, 8, 9)
        ]


async def test_a_thousand_concurrent_reservations_are_all_kept(open_ledger: OpenLedger) -> None:
    numbers = range(1, 1_001)
    async with open_ledger() as ledger:
        async with asyncio.TaskGroup() as tasks:
            for number in numbers:
                tasks.create_task(ledger.reserve(reservation(number)))

        assert [open_record(number) for number in numbers] == [
            await ledger.read_call(CallId(number)) for number in numbers
        ]


async def test_a_cancelled_reservation_can_still_be_settled(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        async with asyncio.TaskGroup() as tasks:
            doomed = tasks.create_task(ledger.reserve(reservation(7)))
            others = [tasks.create_task(ledger.reserve(reservation(number))) for number in (8, 9)]
            tasks.create_task(cancel(doomed))
        ledger.settle(settlement(7))

        assert settled_record(7, attempts=(attempt(1),)) == await ledger.read_call(CallId(7))
        assert [None, None] == [other.exception() for other in others]
        assert [open_record(8), open_record(9)] == [await ledger.read_call(CallId(number)) for number in (8, 9)]


async def test_a_second_settlement_after_the_commit_changes_nothing_of_the_first(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        await ledger.reserve(reservation(7, hold=5))
        ledger.settle(settlement(7))
        await ledger.read_call(CallId(7))
        ledger.settle(settlement(7, outcome=Outcome.FAILED, cost=1, attempts=2))

        assert settled_record(7, hold=5, attempts=(attempt(1),)) == await ledger.read_call(CallId(7))


async def test_usage_is_exact_and_dearest_first(open_ledger: OpenLedger) -> None:
    used = TokenUsage(input=100, cached_input=30, output=7)
    async with open_ledger() as ledger:
        await ledger.reserve(reservation(1))
        ledger.settle(
            settlement(1, key="a", cost=9_007_199_254_740_993, usage=used)
        )  # a float would lose the last digit
        ledger.settle(settlement(2, key="a", cost=None, outcome=Outcome.INTERRUPTED, usage=used))
        ledger.settle(settlement(3, key="b", cost=9_007_199_254_740_994, outcome=Outcome.CLIENT_CANCELLED, usage=used))
        ledger.settle(settlement(4, key="c", cost=0, outcome=Outcome.REFUSED, usage=NO_USAGE))
        ledger.settle(settlement(5, key="B", cost=0, outcome=Outcome.FAILED, usage=NO_USAGE))
        await ledger.reserve(reservation(6))  # open: not counted

        assert [
            total("b", calls=1, input_tokens=100, cached=30, output_tokens=7, cost=9_007_199_254_740_994),
            total(
                "a",
                calls=2,
                failed=1,
                input_tokens=200,
                cached=60,
                output_tokens=14,
                cost=9_007_199_254_740_993,
                unpriced=1,
            ),
            total("B", calls=1, failed=1),
            total("c", calls=1, failed=1),
        ] == list(await ledger.usage("key", 0))


async def test_usage_starts_at_the_given_moment(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        for number in (1, 2, 3):
            ledger.settle(settlement(number, cost=number))

        assert [(2, 5)] == [(total.calls, total.cost_nano_usd) for total in await ledger.usage("key", STARTED_NS + 2)]
        assert [] == list(await ledger.usage("key", STARTED_NS + 4))


async def test_usage_is_grouped_by_what_was_asked_and_by_agent(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        ledger.settle(settlement(1, model="small", cost=1))
        ledger.settle(settlement(2, model="large", cost=5, labels=Labels()))

        assert ["large", "small"] == [total.group for total in await ledger.usage("model", 0)]
        assert ["", "crawler"] == [total.group for total in await ledger.usage("agent", 0)]


async def test_a_closed_ledger_takes_no_reservation_and_may_be_closed_again(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        await ledger.close()
        await ledger.close()

        with pytest.raises(LedgerUnavailable):
            await ledger.reserve(reservation(7))


async def test_closing_keeps_what_was_settled_just_before(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'calls.db'}"
    async with sqlite_ledger(url) as ledger:
        await ledger.reserve(reservation(1))
        for number in range(1, 501):
            ledger.settle(settlement(number))

    async with sqlite_ledger(url) as ledger:
        assert [(500, 0)] == [(total.calls, total.failed_calls) for total in await ledger.usage("key", 0)]


async def cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


def total(
    group: str,
    *,
    calls: int,
    failed: int = 0,
    input_tokens: int = 0,
    cached: int = 0,
    output_tokens: int = 0,
    cost: int = 0,
    unpriced: int = 0,
) -> UsageTotal:
    return UsageTotal(
        group=group,
        calls=calls,
        failed_calls=failed,
        input_tokens=input_tokens,
        cached_input_tokens=cached,
        output_tokens=output_tokens,
        cost_nano_usd=cost,
        unpriced_calls=unpriced,
    )
