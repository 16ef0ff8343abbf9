"""What every ledger promises: nothing reserved is lost, nothing settled changes, totals are exact."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol, cast

import msgspec
import pytest

from router.adapters.ledger_memory import MemoryLedger
from router.adapters.ledger_sqlite import open_sqlite_ledger
from router.domain.faults import Fault
from router.domain.governance.budget import (
    Amounts,
    BudgetId,
    Crossed,
    Exhausted,
    Scope,
    ScopeKind,
    Stale,
    State,
    Threshold,
    ThresholdAction,
    Unit,
)
from router.domain.governance.sizing import Room
from router.domain.ids import CallId, DeploymentId, Epoch, ProviderId
from router.domain.settlement import Outcome, StoredRecord, StoredReply, Substituted
from router.ports.account_states import AccountStates
from router.ports.ledger import Ledger, LedgerUnavailable
from tests.support.fakes import FakeClock, RecordingTelemetry
from tests.support.ledger_facts import (
    STARTED_NS,
    attempt,
    budget,
    open_record,
    reservation,
    settled_record,
    settlement,
)
from tests.support.usage import calls_on_record

DAY_NS = 86_400 * 10**9
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
        await ledger.reserve(reservation(7, hold=1_250), STARTED_NS)

        assert open_record(7, hold=1_250) == await ledger.read_call(CallId(7))


async def test_a_call_that_nobody_made_is_not_found(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        await ledger.reserve(reservation(7), STARTED_NS)

        assert await ledger.read_call(CallId(8)) is None


async def test_a_settled_call_says_everything_and_keeps_its_hold(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        await ledger.reserve(reservation(7, hold=1_250), STARTED_NS)
        ledger.settle(settlement(7))

        assert settled_record(7, hold=1_250, attempts=(attempt(1),)) == await ledger.read_call(CallId(7))


async def test_attempts_come_back_in_order_and_whole(open_ledger: OpenLedger) -> None:
    expected = tuple(attempt(number, fault=Fault.UPSTREAM_ERROR) for number in (1, 2, 3))
    async with open_ledger() as ledger:
        await ledger.reserve(reservation(7), STARTED_NS)
        ledger.settle(settlement(7, fault=Fault.UPSTREAM_ERROR, attempts=3))

        assert settled_record(7, fault="upstream_error", attempts=expected) == await ledger.read_call(CallId(7))


@pytest.mark.parametrize("committed_between", [True, False])
async def test_the_first_settlement_wins(open_ledger: OpenLedger, committed_between: bool) -> None:
    async with open_ledger() as ledger:
        await ledger.reserve(reservation(7), STARTED_NS)
        ledger.settle(settlement(7))
        if committed_between:
            await ledger.read_call(CallId(7))
        ledger.settle(settlement(7, outcome=Outcome.FAILED, fault=Fault.TIMEOUT, cost=1, attempts=2))

        assert settled_record(7, attempts=(attempt(1),)) == await ledger.read_call(CallId(7))
        assert 1 == await calls_on_record(ledger)


@pytest.mark.parametrize("fault", [None, Fault.BUDGET_EXHAUSTED])
async def test_what_observing_let_pass_is_on_record(open_ledger: OpenLedger, fault: Fault | None) -> None:
    async with open_ledger() as ledger:
        await ledger.reserve(reservation(7, observed=True), STARTED_NS)
        ledger.settle(msgspec.structs.replace(settlement(7), would_refuse=fault))
        record = await ledger.read_call(CallId(7))

        assert record is not None
        assert (fault and "budget_exhausted") == record.would_refuse


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
        await ledger.reserve(reservation(7), STARTED_NS)
        refused = []

        async def reserve(number: int) -> None:
            try:
                await ledger.reserve(reservation(number), STARTED_NS)
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
                tasks.create_task(ledger.reserve(reservation(number), STARTED_NS))

        assert [open_record(number) for number in numbers] == [
            await ledger.read_call(CallId(number)) for number in numbers
        ]


async def test_a_cancelled_reservation_can_still_be_settled(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        async with asyncio.TaskGroup() as tasks:
            doomed = tasks.create_task(ledger.reserve(reservation(7), STARTED_NS))
            others = [tasks.create_task(ledger.reserve(reservation(number), STARTED_NS)) for number in (8, 9)]
            tasks.create_task(cancel(doomed))
        ledger.settle(settlement(7))

        assert settled_record(7, attempts=(attempt(1),)) == await ledger.read_call(CallId(7))
        assert [None, None] == [other.exception() for other in others]
        assert [open_record(8), open_record(9)] == [await ledger.read_call(CallId(number)) for number in (8, 9)]


async def test_a_second_settlement_after_the_commit_changes_nothing_of_the_first(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        await ledger.reserve(reservation(7, hold=5), STARTED_NS)
        ledger.settle(settlement(7))
        await ledger.read_call(CallId(7))
        ledger.settle(settlement(7, outcome=Outcome.FAILED, cost=1, attempts=2))

        assert settled_record(7, hold=5, attempts=(attempt(1),)) == await ledger.read_call(CallId(7))


async def test_a_closed_ledger_takes_no_reservation_and_may_be_closed_again(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        await ledger.close()
        await ledger.close()

        with pytest.raises(LedgerUnavailable):
            await ledger.reserve(reservation(7), STARTED_NS)


async def test_closing_keeps_what_was_settled_just_before(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'calls.db'}"
    async with sqlite_ledger(url) as ledger:
        await ledger.reserve(reservation(1), STARTED_NS)
        for number in range(1, 501):
            ledger.settle(settlement(number))

    async with sqlite_ledger(url) as ledger:
        assert 500 == await calls_on_record(ledger)


# --- money over accounts ---

KEY, TEAM = ("key", "ci"), ("team", "acme")
PATH = (KEY, TEAM)
NOTICE = Threshold(at_pct=50, action=ThresholdAction.NOTIFY)
CHEAPER = Threshold(at_pct=80, action=ThresholdAction.SUBSTITUTE)


def room(ledger: Ledger, account: tuple[str, str]) -> int:
    return ledger.standing((BudgetId(account[0]), account[1]), STARTED_NS).room


def rooms(ledger: Ledger) -> list[int]:
    return [room(ledger, account) for account in PATH]


def crossed(one: Threshold) -> Crossed:
    return Crossed(budget=BudgetId("key"), value="ci", at_pct=one.at_pct, action=one.action)


async def test_money_is_held_in_every_account_and_what_was_not_spent_comes_back(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        ledger.set_budgets([budget("key", 100), budget("team", 90, kind=ScopeKind.TEAM)])

        assert () == await ledger.reserve(reservation(1, hold=60, path=PATH), STARTED_NS)
        assert [40, 30] == rooms(ledger)
        assert () == ledger.settle(settlement(1, spent=Amounts(usd=25)))
        assert [75, 65] == rooms(ledger)


async def test_a_refusal_names_the_narrowest_account_and_holds_nothing_anywhere(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        ledger.set_budgets([budget("key", 100), budget("team", 90, kind=ScopeKind.TEAM)])
        await ledger.reserve(reservation(1, hold=20, path=PATH), STARTED_NS)
        ledger.settle(settlement(1, spent=Amounts(usd=15)))
        await ledger.reserve(reservation(2, hold=30, path=PATH), STARTED_NS)

        assert Exhausted(
            budget=BudgetId("team"),
            scope=Scope(kind=ScopeKind.TEAM, value="acme"),
            unit=Unit.USD,
            limit_value=90,
            used=15,
            reserved=30,
            wanted=46,
            resets_at_ns=STARTED_NS - STARTED_NS % DAY_NS + DAY_NS,
        ) == await ledger.reserve(reservation(3, hold=46, path=PATH), STARTED_NS)
        assert [55, 45] == rooms(ledger)
        assert await ledger.read_call(CallId(3)) is None
        narrow = await ledger.reserve(reservation(4, hold=56, path=PATH), STARTED_NS)
        assert isinstance(narrow, Exhausted)
        assert "key" == narrow.budget


async def test_a_refused_call_is_told_the_same_again_and_may_be_settled_as_refused(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        ledger.set_budgets([budget("key", 10)])
        refusal = await ledger.reserve(reservation(1, hold=11, path=[KEY]), STARTED_NS)

        assert isinstance(refusal, Exhausted)
        assert refusal == await ledger.reserve(reservation(1, hold=11, path=[KEY]), STARTED_NS)
        assert () == ledger.settle(settlement(1, outcome=Outcome.REFUSED, cost=0, attempts=0))
        record = await ledger.read_call(CallId(1))
        assert record is not None
        assert (Outcome.REFUSED, 0) == (record.outcome, record.hold_nano_usd)
        assert 10 == room(ledger, KEY)


async def test_a_hold_grows_in_the_accounts_that_have_it_or_stays(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        ledger.set_budgets([budget("key", 100), budget("team", 90, kind=ScopeKind.TEAM)])
        await ledger.reserve(reservation(1, hold=60, path=PATH), STARTED_NS)

        assert () == ledger.extend(CallId(1), Amounts(usd=30), STARTED_NS)
        refusal = ledger.extend(CallId(1), Amounts(usd=1), STARTED_NS)
        assert isinstance(refusal, Exhausted)
        assert ("team", 90, 1) == (refusal.budget, refusal.reserved, refusal.wanted)
        assert [10, 0] == rooms(ledger)
        assert open_record(1, hold=90) == await ledger.read_call(CallId(1))
        ledger.settle(settlement(1, spent=Amounts(usd=70)))
        assert settled_record(1, hold=90, attempts=(attempt(1),)) == await ledger.read_call(CallId(1))
        assert [30, 20] == rooms(ledger)


async def test_a_hold_grows_after_its_row_was_read_too(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        await ledger.reserve(reservation(1, hold=60), STARTED_NS)
        await ledger.read_call(CallId(1))
        ledger.extend(CallId(1), Amounts(usd=30), STARTED_NS)

        assert open_record(1, hold=90) == await ledger.read_call(CallId(1))


async def test_a_call_that_is_not_open_cannot_hold_more(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        ledger.set_budgets([budget("key", 100)])
        await ledger.reserve(reservation(1, hold=60, path=[KEY]), STARTED_NS)
        ledger.settle(settlement(1, spent=Amounts(usd=1)))

        assert Stale(state=State.POSTED) == ledger.extend(CallId(1), Amounts(usd=1), STARTED_NS)
        assert Stale(state=State.UNKNOWN) == ledger.extend(CallId(2), Amounts(usd=1), STARTED_NS)
        assert 99 == room(ledger, KEY)


async def test_more_spent_than_held_is_posted_whole(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        ledger.set_budgets([budget("key", 100)])
        await ledger.reserve(reservation(1, hold=60, path=[KEY]), STARTED_NS)
        ledger.settle(settlement(1, spent=Amounts(usd=130)))

        assert -30 == room(ledger, KEY)
        assert isinstance(await ledger.reserve(reservation(2, path=[KEY]), STARTED_NS), Exhausted)


async def test_a_call_that_spent_nothing_gives_all_back(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        ledger.set_budgets([budget("key", 100)])
        await ledger.reserve(reservation(1, hold=60, path=[KEY]), STARTED_NS)
        ledger.settle(settlement(1, outcome=Outcome.REFUSED, fault=Fault.OVERLOADED, cost=0, attempts=0))

        assert 100 == room(ledger, KEY)


async def test_a_second_settlement_posts_nothing(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        ledger.set_budgets([budget("key", 100)])
        await ledger.reserve(reservation(1, hold=60, path=[KEY]), STARTED_NS)
        ledger.settle(settlement(1, spent=Amounts(usd=10)))

        assert () == ledger.settle(settlement(1, spent=Amounts(usd=20)))
        assert 90 == room(ledger, KEY)


async def test_an_observed_call_is_told_what_would_refuse_it_and_holds_all_the_same(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        ledger.set_budgets([budget("key", 100), budget("team", 90, kind=ScopeKind.TEAM)])
        answer = await ledger.reserve(reservation(1, hold=95, path=PATH, observed=True), STARTED_NS)

        assert isinstance(answer, Exhausted)
        assert ("team", 0, 95) == (answer.budget, answer.reserved, answer.wanted)
        assert [5, -5] == rooms(ledger)
        assert open_record(1, hold=95) == await ledger.read_call(CallId(1))
        ledger.settle(settlement(1, spent=Amounts(usd=91)))
        assert [9, -1] == rooms(ledger)


@pytest.mark.parametrize("watched", ["key", "team"])
async def test_an_observed_account_is_told_of_and_refuses_nobody(open_ledger: OpenLedger, watched: str) -> None:
    budgets = [budget("key", 100), budget("team", 100, kind=ScopeKind.TEAM)]
    async with open_ledger() as ledger:
        ledger.set_budgets(
            [replace(one, limit=10, observe=True) if one.scope.kind == watched else one for one in budgets]
        )
        answer = await ledger.reserve(reservation(1, hold=60, path=PATH), STARTED_NS)
        refused = await ledger.reserve(reservation(2, hold=41, path=PATH), STARTED_NS)
        more = ledger.extend(CallId(1), Amounts(usd=40), STARTED_NS)

        assert isinstance(answer, Exhausted)
        assert (watched, True, 0, 60) == (answer.budget, answer.held, answer.reserved, answer.wanted)
        assert isinstance(refused, Exhausted)
        assert (False, 60) == (refused.held, refused.reserved)
        assert refused.budget != watched
        assert isinstance(more, Exhausted)
        assert more.held
        assert {0, -90} == set(rooms(ledger))
        assert open_record(1, hold=100) == await ledger.read_call(CallId(1))
        assert await ledger.read_call(CallId(2)) is None
        ledger.settle(settlement(1, spent=Amounts(usd=91)))
        assert {9, -81} == set(rooms(ledger))


async def test_what_a_reservation_crosses_in_an_observed_account_is_told(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        ledger.set_budgets([replace(budget("key", 100, thresholds=(CHEAPER,)), observe=True)])
        answer = await ledger.reserve(reservation(1, hold=101, path=[KEY]), STARTED_NS)
        standing = ledger.standing((BudgetId("key"), "ci"), STARTED_NS)

        assert isinstance(answer, Exhausted)
        assert (crossed(CHEAPER),) == answer.crossed
        assert ((), True) == (standing.actions, standing.observed)


async def test_an_observed_account_bounds_no_reply_unless_that_is_asked_for(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        ledger.set_budgets(
            [replace(budget("key", 10), observe=True), budget("team", 90, kind=ScopeKind.TEAM)],
        )
        keys = [(BudgetId(name), value) for name, value in PATH]

        assert Room(90, None, passed_over=True) == ledger.room(keys, STARTED_NS)
        assert Room(10) == ledger.room(keys, STARTED_NS, observed=True)
        assert Room(None, None, passed_over=True) == ledger.room(keys[:1], STARTED_NS)


async def test_what_an_observed_call_crosses_is_told_with_what_would_have_refused_it(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        ledger.set_budgets([budget("key", 100, thresholds=(CHEAPER,))])
        refused = await ledger.reserve(reservation(1, hold=150, path=[KEY], observed=True), STARTED_NS)

        assert isinstance(refused, Exhausted)
        assert [(80, ThresholdAction.SUBSTITUTE)] == [(one.at_pct, one.action) for one in refused.crossed]


async def test_thresholds_are_told_once_by_the_operation_that_reaches_them(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        ledger.set_budgets([budget("key", 100, thresholds=(NOTICE, CHEAPER))])

        assert () == await ledger.reserve(reservation(1, hold=70, path=[KEY]), STARTED_NS)
        assert (crossed(CHEAPER),) == ledger.extend(CallId(1), Amounts(usd=10), STARTED_NS)
        assert () == await ledger.reserve(reservation(2, hold=1, path=[KEY]), STARTED_NS)
        assert (crossed(NOTICE),) == ledger.settle(settlement(1, spent=Amounts(usd=50)))
        assert () == ledger.settle(settlement(2, spent=Amounts(usd=1)))


async def test_a_race_for_ten_admits_exactly_ten(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        ledger.set_budgets([budget("key", 100)])
        async with asyncio.TaskGroup() as tasks:
            racers = [
                tasks.create_task(ledger.reserve(reservation(number, hold=10, path=[KEY]), STARTED_NS))
                for number in range(1, 201)
            ]
        admitted = [number for number, racer in enumerate(racers, start=1) if () == racer.result()]
        for number in admitted:
            ledger.settle(settlement(number, spent=Amounts(usd=10)))

        assert [*range(1, 11)] == admitted
        assert 0 == room(ledger, KEY)
        assert 10 == await calls_on_record(ledger)


async def test_each_value_has_an_account_and_a_changed_limit_counts_at_once(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        ledger.set_budgets([budget("key", 100)])
        await ledger.reserve(reservation(1, hold=60, path=[KEY]), STARTED_NS)
        ledger.set_budgets([budget("key", 50), budget("team", 10, kind=ScopeKind.TEAM)])

        assert [-10, 50, 10] == [room(ledger, account) for account in (KEY, ("key", "other one"), TEAM)]
        ledger.set_budgets([])  # what is in force for a call stays so to its end
        ledger.settle(settlement(1, spent=Amounts(usd=20)))
        assert 30 == room(ledger, KEY)


async def test_the_room_of_a_path_is_that_of_its_fullest_account(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        ledger.set_budgets(
            [budget("key", 100), budget("team", 90, kind=ScopeKind.TEAM), budget("tokens", 7, unit=Unit.TOKENS)]
        )
        path = tuple((BudgetId(name), value) for name, value in (*PATH, ("tokens", "ci")))

        assert Room(90, 7) == ledger.room(path, STARTED_NS)


async def test_a_closed_ledger_holds_no_more(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        await ledger.reserve(reservation(1, hold=60), STARTED_NS)
        await ledger.close()

        with pytest.raises(LedgerUnavailable):
            ledger.extend(CallId(1), Amounts(usd=1), STARTED_NS)


async def cancel(task: asyncio.Task[object]) -> None:
    task.cancel()


class BudgetedLedger(Ledger, AccountStates, Protocol):
    """A ledger that shows its accounts, as every one of ours does."""


async def test_accounts_of_budgets_in_force_are_shown_in_order(open_ledger: OpenLedger) -> None:
    async with open_ledger() as opened:
        ledger = cast(BudgetedLedger, opened)
        ledger.set_budgets([budget("each", 100), budget("one", 70, value="k9"), budget("gone", 500)])
        for number, key in ((1, "k1"), (2, "k2"), (3, "k3")):
            await ledger.reserve(reservation(number, hold=10, path=[("each", key), ("gone", key)]), STARTED_NS)
        ledger.settle(msgspec.structs.replace(settlement(1), spent=Amounts(usd=4)))
        in_force = [BudgetId("one"), BudgetId("each")]
        states = ledger.account_states(in_force, (BudgetId(""), ""), 10, STARTED_NS)
        onward = ledger.account_states(in_force, (BudgetId("each"), "k1"), 2, STARTED_NS)

        assert [("each", "k1", 100, 4, 0), ("each", "k2", 100, 0, 10), ("each", "k3", 100, 0, 10)] == [
            (one.budget.id, one.value, one.limit, one.used, one.reserved) for one in states[:3]
        ]
        assert [("one", "k9", 70, 0, 0)] == [
            (one.budget.id, one.value, one.limit, one.used, one.reserved) for one in states[3:]
        ]
        assert {STARTED_NS // DAY_NS * DAY_NS + DAY_NS} == {one.resets_at_ns for one in states}
        assert ["k2", "k3"] == [one.value for one in onward]
        assert [] == list(ledger.account_states(in_force, (BudgetId("one"), "k9"), 2, STARTED_NS))


async def test_why_a_call_went_where_it_went_is_on_record(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        await ledger.reserve(reservation(7), STARTED_NS)
        other = Substituted("small", "large", "down")
        ledger.settle(
            msgspec.structs.replace(settlement(7), priority="batch", decision='{"a":"small"}', substituted=other)
        )
        ledger.settle(settlement(8))
        chosen, usual = await ledger.read_call(CallId(7)), await ledger.read_call(CallId(8))

        assert chosen is not None
        assert usual is not None
        assert ("batch", '{"a":"small"}', "small->large;down") == (chosen.priority, chosen.decision, chosen.substituted)
        assert (None, None, None) == (usual.priority, usual.decision, usual.substituted)


async def test_a_reply_that_its_provider_keeps_is_found_by_its_id(open_ledger: OpenLedger) -> None:
    kept = StoredReply("resp_\u00e9", DeploymentId("o/gpt"), ProviderId("o"), "second")
    async with open_ledger() as ledger:
        for number, stored in ((7, kept), (8, None), (9, kept._replace(id="resp_9"))):
            await ledger.reserve(reservation(number), STARTED_NS)
            ledger.settle(msgspec.structs.replace(settlement(number, key="k7"), stored=stored))
        await ledger.read_call(CallId(7))  # what was settled is committed then

        found = await ledger.read_stored("resp_\u00e9")
        assert StoredRecord(key_id="k7", started_ns=STARTED_NS + 7, reply=kept) == found
        assert await ledger.read_stored("resp_8") is None


async def test_of_two_replies_of_one_id_the_later_is_found(open_ledger: OpenLedger) -> None:
    kept = StoredReply("resp_1", DeploymentId("o/gpt"), ProviderId("o"), "")
    async with open_ledger() as ledger:
        for number, key in ((7, "k7"), (8, "k8")):
            await ledger.reserve(reservation(number), STARTED_NS)
            ledger.settle(msgspec.structs.replace(settlement(number, key=key), stored=kept))
        await ledger.read_call(CallId(7))
        found = await ledger.read_stored("resp_1")

        assert found is not None
        assert "k8" == found.key_id
