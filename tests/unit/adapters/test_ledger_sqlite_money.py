"""Money that the SQLite ledger holds survives refusals, failures, rows that no store can hold, and restarts."""

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from router.adapters import ledger_sqlite
from router.adapters.ledger_sqlite import OPENS_SHARE_MAX, SqliteLedger
from router.adapters.sql.sqlite_commit import Group
from router.domain.governance.accounts import OTHER
from router.domain.governance.budget import Amounts, Budget, BudgetId, Exhausted, Threshold, ThresholdAction
from router.domain.ids import CallId
from router.domain.settlement import Outcome
from router.ports.ledger import LedgerUnavailable
from router.ports.telemetry import Anomaly
from tests.support.fakes import RecordingTelemetry
from tests.support.ledger_facts import STARTED_NS, budget, lifelong, open_record, reservation, settlement
from tests.support.sqlite_ledger import down, opened, sealed, writer_held

KEY = ("key", "ci")
CHEAPER = Threshold(at_pct=80, action=ThresholdAction.SUBSTITUTE)
BUDGET = budget("key", 100, thresholds=(CHEAPER,))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.db"


async def hold(ledger: SqliteLedger, number: int, usd: int) -> object:
    return await ledger.reserve(reservation(number, hold=usd, path=[KEY]), STARTED_NS)


async def probe(ledger: SqliteLedger, number: int = 99) -> tuple[int, int]:
    """Return what is posted and what is held, as a refusal tells it."""
    refusal = await hold(ledger, number, 10_000_000)
    assert isinstance(refusal, Exhausted)
    return refusal.used, refusal.reserved


async def test_a_reservation_that_finds_no_room_in_the_journal_leaves_nothing_behind(path: Path) -> None:
    async with opened(path) as ledger:
        ledger.set_budgets([BUDGET])
        async with writer_held(ledger):
            await hold(ledger, 1, 10)
            while ledger._journal.used < OPENS_SHARE_MAX:
                ledger._journal.append(b"\xc0" * 100_000)
            with pytest.raises(LedgerUnavailable, match="fallen behind"):
                await hold(ledger, 2, 80)
            with pytest.raises(LedgerUnavailable, match="fallen behind"):
                ledger.extend(CallId(1), Amounts(usd=5), STARTED_NS)
            room = ledger.standing((BudgetId("key"), "ci"), STARTED_NS).room
        await ledger._catch_up()

        assert 90 == room
        assert () != await hold(ledger, 2, 80)  # and the threshold is told now
        ledger.settle(settlement(1, spent=Amounts(usd=4)))
        assert (4, 80) == await probe(ledger)


async def test_a_reservation_that_no_store_can_hold_leaves_nothing_behind(path: Path) -> None:
    async with opened(path) as ledger:
        ledger.set_budgets([budget("key", 2**70, thresholds=(Threshold(at_pct=1, action=ThresholdAction.SUBSTITUTE),))])
        for _ in range(2):
            with pytest.raises(LedgerUnavailable, match="cannot hold"):
                await hold(ledger, 1, 2**64)
        ledger.settle(settlement(1, outcome=Outcome.REFUSED, cost=0, attempts=0))
        record = await ledger.read_call(CallId(1))

        assert record is not None
        assert Outcome.REFUSED is record.outcome
        assert 2**70 == ledger.standing((BudgetId("key"), "ci"), STARTED_NS).room
        assert not ledger._accounts.of(BudgetId("key"), "ci").fired


async def test_a_record_too_long_for_the_journal_leaves_nothing_behind(path: Path) -> None:
    async with opened(path) as ledger:
        ledger.set_budgets([BUDGET, budget("agent", 100)])
        with pytest.raises(LedgerUnavailable, match="fallen behind"):
            await ledger.reserve(reservation(1, hold=1, path=[KEY, ("agent", "x" * 5_000_000)]), STARTED_NS)

        assert (0, 0) == await probe(ledger)


async def test_an_extension_that_no_store_can_hold_changes_nothing(path: Path) -> None:
    async with opened(path) as ledger:
        ledger.set_budgets([budget("key", 2**70)])
        await hold(ledger, 1, 5)
        with pytest.raises(LedgerUnavailable, match="cannot hold"):
            ledger.extend(CallId(1), Amounts(usd=2**63 - 5), STARTED_NS)

        assert () == ledger.extend(CallId(1), Amounts(usd=2**63 - 6), STARTED_NS)
        assert open_record(1, hold=2**63 - 1) == await ledger.read_call(CallId(1))


async def test_an_extension_is_committed_soon_though_nobody_asks(path: Path) -> None:
    async with opened(path) as ledger:
        await ledger.reserve(reservation(1, hold=5), STARTED_NS)
        await ledger.read_call(CallId(1))
        ledger.extend(CallId(1), Amounts(usd=2), STARTED_NS)
        async with asyncio.timeout(10):
            while open_record(1, hold=7) != await ledger._reader.read_call(CallId(1)):
                pass


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("named", ["request_id", "spent"])
async def test_the_hold_of_an_end_that_cannot_be_written_stays_and_is_posted_at_the_next_start(
    path: Path, committed: bool, named: str
) -> None:
    telemetry = RecordingTelemetry()
    bad = {
        "request_id": settlement(1, request_id="\ud800", spent=Amounts(usd=7)),
        "spent": settlement(1, spent=Amounts(usd=2**64)),
    }
    async with opened(path, telemetry) as ledger:
        ledger.set_budgets([BUDGET])
        await hold(ledger, 1, 20)
        if committed:
            await ledger.read_call(CallId(1))
        assert () == ledger.settle(bad[named])
        await hold(ledger, 2, 30)
        ledger.settle(settlement(2, spent=Amounts(usd=3)))

        assert (3, 20) == await probe(ledger)
    assert [(Anomaly.LEDGER_ROW_DROPPED, 1)] == telemetry.anomalies

    for number in range(2):
        async with opened(path) as ledger:
            ledger.set_budgets([BUDGET])
            assert (23, 0) == await probe(ledger, 90 + number)


async def test_money_of_an_end_that_the_store_cannot_hold_is_posted_once(path: Path) -> None:
    async with opened(path) as ledger:
        ledger.set_budgets([BUDGET])
        await hold(ledger, 1, 20)
        ledger.settle(settlement(1, cost=2**63, spent=Amounts(usd=7)))

        assert open_record(1, hold=20) == await ledger.read_call(CallId(1))
        assert (7, 0) == await probe(ledger)
    async with opened(path) as ledger:
        ledger.set_budgets([BUDGET])
        assert (7, 0) == await probe(ledger)


async def test_balances_are_loaded_once_for_each_budget_whenever_it_comes(path: Path) -> None:
    wide = budget("wide", 1_000)
    async with opened(path) as ledger:
        ledger.set_budgets([BUDGET, wide])
        for number, value in enumerate(["ci", "cd", OTHER]):
            pair = [("key", value), ("wide", value)]
            await ledger.reserve(reservation(number, hold=9, path=pair), STARTED_NS)
            ledger.settle(settlement(number, spent=Amounts(usd=9)))

    async with opened(path) as ledger:
        ledger.set_budgets([BUDGET])
        assert [91, 91, 91, 100] == rooms(ledger, BUDGET, "ci", "cd", OTHER, "new")
        await hold(ledger, 5, 11)
        ledger.settle(settlement(5, spent=Amounts(usd=11)))
        ledger.set_budgets([budget("key", 200), wide])
        assert [180, 191, 191, 200] == rooms(ledger, BUDGET, "ci", "cd", OTHER, "new")
        assert [991, 991, 991, 1_000] == rooms(ledger, wide, "ci", "cd", OTHER, "new")
        ledger.set_budgets([wide])
        ledger.set_budgets([BUDGET, wide])
        assert [80, 991] == [*rooms(ledger, BUDGET, "ci"), *rooms(ledger, wide, "ci")]


def rooms(ledger: SqliteLedger, of: Budget, *values: str) -> list[int]:
    return [ledger.standing((of.id, value), STARTED_NS).room for value in values]


async def test_a_threshold_that_was_told_is_not_told_again_after_a_restart(path: Path) -> None:
    async with opened(path) as ledger:
        ledger.set_budgets([BUDGET])
        assert () != await hold(ledger, 1, 80)
        ledger.settle(settlement(1, spent=Amounts(usd=80)))

    async with opened(path) as ledger:
        ledger.set_budgets([BUDGET])
        assert () == await hold(ledger, 2, 1)
    async with opened(path) as ledger:
        ledger.set_budgets([budget("key", 200, thresholds=(CHEAPER,))])
        assert () != await hold(ledger, 3, 80)


async def test_a_balance_stays_at_the_most_that_the_store_can_hold(path: Path) -> None:
    most = 2**63 - 1
    async with opened(path) as ledger:
        ledger.set_budgets([lifelong("key", "ci")])
        for number in (1, 2):
            await ledger.reserve(reservation(number, path=[KEY], observed=True), STARTED_NS)
        for number in (1, 2):
            ledger.settle(settlement(number, spent=Amounts(usd=most)))
        await ledger.read_call(CallId(1))
    async with opened(path) as ledger:
        ledger.set_budgets([lifelong("key", "ci")])
        assert (most, 0) == await probe(ledger)


async def test_with_durability_power_a_call_whose_commit_failed_holds_until_it_is_settled(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(connection: sqlite3.Connection, group: Group) -> Sequence[CallId]:
        raise sqlite3.OperationalError("disk I/O error")

    async with opened(path, durability="power") as ledger:
        ledger.set_budgets([BUDGET])
        with monkeypatch.context() as failing:
            failing.setattr(ledger_sqlite, "commit_group", fail)
            with pytest.raises(LedgerUnavailable):
                await hold(ledger, 1, 60)
            assert [40] == rooms(ledger, BUDGET, "ci")
            ledger.settle(settlement(1, outcome=Outcome.REFUSED, cost=0, attempts=0))
            assert [100] == rooms(ledger, BUDGET, "ci")
        await down(ledger, is_down=False)
    async with opened(path) as ledger:
        ledger.set_budgets([BUDGET])
        assert (0, 0) == await probe(ledger)


async def test_a_settlement_after_the_first_reaches_neither_journal_nor_group(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_sqlite, "COMMIT_EVERY_S", 3_600)
    async with opened(path) as ledger:
        ledger.set_budgets([BUDGET])
        async with writer_held(ledger):
            await hold(ledger, 1, 20)
            ledger.settle(settlement(1, spent=Amounts(usd=7)))
            await sealed(ledger)
            used = ledger._journal.used
            ledger.settle(settlement(1, spent=Amounts(usd=9)))

            assert used == ledger._journal.used
            assert not ledger._batch
