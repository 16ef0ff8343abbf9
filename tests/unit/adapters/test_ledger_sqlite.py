"""What the SQLite ledger survives: a full disk, a full journal, rows it cannot hold, a writer cancelled."""

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from router.adapters import ledger_sqlite
from router.adapters.ledger_sqlite import OPENS_SHARE_MAX, SqliteLedger
from router.adapters.sql.sqlite_commit import Group, commit_group
from router.adapters.sql.sqlite_reader import open_sqlite_reader
from router.adapters.sql.sqlite_store import Durability
from router.domain.faults import Fault
from router.domain.ids import CallId
from router.domain.settlement import Outcome, Settlement
from router.domain.usage import NO_USAGE, TokenUsage
from router.ports.ledger import LedgerUnavailable
from router.ports.telemetry import Anomaly
from tests.support.fakes import RecordingTelemetry
from tests.support.ledger_facts import STARTED_NS, attempt, open_record, reservation, settled_record, settlement
from tests.support.sqlite_ledger import down, fill, free, opened, refused_reservations, sealed, writer_held
from tests.support.usage import totals_by

DROPPED = Anomaly.LEDGER_ROW_DROPPED


def cancel_writer() -> None:
    """What its task group does when another of its tasks fails."""
    (writer,) = [task for task in asyncio.all_tasks() if task.get_name() == "ledger-writer"]
    writer.cancel()


def refusal(number: int) -> Settlement:
    return settlement(number, outcome=Outcome.REFUSED, fault=Fault.OVERLOADED, cost=0, attempts=0, usage=NO_USAGE)


async def totals(ledger: SqliteLedger) -> list[tuple[int, int, int]]:
    return [(total.calls, total.failed_calls, total.cost_nano_usd) for total in await totals_by(ledger.history, "key")]


async def in_file(path: Path, number: int) -> bool:
    async with await open_sqlite_reader(f"sqlite:///{path}") as reader:
        return await reader.read_call(CallId(number)) is not None


def dropped(telemetry: RecordingTelemetry) -> int:
    return sum(count for anomaly, count in telemetry.anomalies if anomaly is DROPPED)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.db"


@pytest.fixture
def telemetry() -> RecordingTelemetry:
    return RecordingTelemetry()


# --- when a reservation returns ----------------------------------------------------------------------------------


async def test_with_durability_process_a_reservation_waits_for_no_commit(path: Path) -> None:
    async with opened(path) as ledger, writer_held(ledger):
        assert [] == await refused_reservations(ledger, range(1, 101))
        assert not await in_file(path, 1)


async def test_with_durability_power_a_reservation_returns_when_it_is_in_the_file(path: Path) -> None:
    async with opened(path, durability="power") as ledger, asyncio.TaskGroup() as tasks:
        async with writer_held(ledger):
            reserve = tasks.create_task(ledger.reserve(reservation(1), STARTED_NS))
            await sealed(ledger)
            late = tasks.create_task(ledger.reserve(reservation(2), STARTED_NS))
            assert not await in_file(path, 1)
            assert (False, False) == (reserve.done(), late.done())
        await reserve
        assert await in_file(path, 1)
        await late
        assert await in_file(path, 2)


async def test_rows_are_committed_soon_though_nobody_asks(path: Path) -> None:
    async with opened(path) as ledger:
        await ledger.reserve(reservation(1), STARTED_NS)
        async with asyncio.timeout(10):
            while not await in_file(path, 1):
                pass
        ledger.settle(settlement(1))
        async with asyncio.timeout(10):
            while not await totals_by(ledger._reader, "key"):
                pass


# --- a store that cannot commit ----------------------------------------------------------------------------------


async def test_on_a_full_disk_calls_go_on_and_all_arrive_once_it_is_free(
    path: Path, telemetry: RecordingTelemetry
) -> None:
    async with opened(path, telemetry) as ledger:
        assert [] == await refused_reservations(ledger, range(1, 101))
        assert open_record(100) == await ledger.read_call(CallId(100))
        await fill(ledger)
        assert [] == await refused_reservations(ledger, range(101, 201))
        for number in range(1, 201):
            ledger.settle(settlement(number))
        with pytest.raises(LedgerUnavailable):
            await ledger.read_call(CallId(1))
        with pytest.raises(LedgerUnavailable, match="cannot say"):
            await totals_by(ledger.history, "key")
        assert [] == await refused_reservations(ledger, [201])
        assert await in_file(path, 100)
        assert not await in_file(path, 101)

        await free(ledger)
        await down(ledger, is_down=False)

        assert [(200, 0, 200 * 3_556_000)] == await totals(ledger)
        assert settled_record(150, attempts=(attempt(1),)) == await ledger.read_call(CallId(150))
        assert open_record(201) == await ledger.read_call(CallId(201))
    assert (Anomaly.LEDGER_RETRY, 1) in telemetry.anomalies


async def test_with_durability_power_a_full_disk_refuses_calls_until_it_is_free(path: Path) -> None:
    async with opened(path, durability="power") as ledger:
        assert [] == await refused_reservations(ledger, range(1, 101))
        await fill(ledger)
        assert list(range(101, 201)) == await refused_reservations(ledger, range(101, 201), hold=70)
        with pytest.raises(LedgerUnavailable, match="cannot commit now"):
            await ledger.reserve(reservation(201), STARTED_NS)
        for number in range(101, 201):
            ledger.settle(refusal(number))

        await free(ledger)
        await down(ledger, is_down=False)

        assert [] == await refused_reservations(ledger, [202])
        assert [(100, 100, 0)] == await totals(ledger)
    async with opened(path) as ledger:
        assert [(201, 201, 0)] == await totals(ledger)


async def test_a_call_that_came_while_a_commit_failed_is_refused_too(path: Path) -> None:
    async with opened(path, durability="power") as ledger:
        await fill(ledger)
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks, writer_held(ledger):
            first = tasks.create_task(refused_reservations(ledger, range(1, 101)))
            await sealed(ledger)
            late = tasks.create_task(refused_reservations(ledger, [101]))
            await ledger._reader.read_call(CallId(0))
        assert (list(range(1, 101)), [101]) == (first.result(), late.result())
        await free(ledger)


async def test_what_came_while_the_store_was_down_is_committed_though_nobody_asks(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_sqlite, "COMMIT_EVERY_S", 3_600)
    async with opened(path) as ledger:
        await fill(ledger)
        for number in range(1, 101):
            ledger.settle(settlement(number))
        await sealed(ledger)
        await down(ledger)
        ledger.settle(settlement(101))
        await free(ledger)
        async with asyncio.timeout(10):
            while not await in_file(path, 101):
                pass


async def test_after_five_commits_that_failed_every_row_is_there_once(
    path: Path, telemetry: RecordingTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [5]

    def flaky(connection: sqlite3.Connection, group: Group) -> Sequence[CallId]:
        rejected = commit_group(connection, group)  # the worst failure: it was committed, and nobody knows
        if left[0]:
            left[0] -= 1
            raise sqlite3.OperationalError("disk I/O error")
        return rejected

    monkeypatch.setattr(ledger_sqlite, "BACKOFF_S_MIN", 0.001)
    async with opened(path, telemetry) as ledger:
        monkeypatch.setattr(ledger_sqlite, "commit_group", flaky)
        for number in range(1, 7):
            await ledger.reserve(reservation(number, hold=number), STARTED_NS)
        ledger.settle(settlement(1))
        await sealed(ledger)
        await down(ledger)
        for number in (1, 2, 3, 7):
            ledger.settle(settlement(number, cost=1))
        await down(ledger, is_down=False)

        assert [(4, 0, 3_556_003)] == await totals(ledger)
        assert settled_record(1, hold=1, attempts=(attempt(1),)) == await ledger.read_call(CallId(1))
        assert [open_record(number, hold=number) for number in (4, 5, 6)] == [
            await ledger.read_call(CallId(number)) for number in (4, 5, 6)
        ]
    assert [(Anomaly.LEDGER_RETRY, 1)] * 5 == telemetry.anomalies


@pytest.mark.slow
async def test_a_full_half_refuses_calls_keeps_settlements_and_recovers(
    path: Path, telemetry: RecordingTelemetry
) -> None:
    async with opened(path, telemetry) as ledger:
        async with writer_held(ledger):
            await ledger.reserve(reservation(1), STARTED_NS)
            await sealed(ledger)
            opens = 1
            while [] == await refused_reservations(ledger, [opens + 1], hold=70):
                opens += 1
            assert OPENS_SHARE_MAX <= ledger._journal.used < OPENS_SHARE_MAX + 0.01
            with pytest.raises(LedgerUnavailable, match="has fallen behind"):
                await ledger.reserve(reservation(opens + 1), STARTED_NS)
            ledger.settle(refusal(opens + 1))  # no money and no room
            assert 1 == dropped(telemetry)
            for number in range(1, opens):
                ledger.settle(settlement(number, cost=1))
            ledger.settle(refusal(opens))  # no room, but a hold that would be recovered as spent
            assert 0 < ledger._batch.unkept < opens
            assert not ledger._journal.append(b"x" * 1_000)
        await down(ledger, is_down=False)

        assert [(opens, 1, opens - 1)] == await totals(ledger)
        assert 0.01 > ledger._journal.used
        assert [] == await refused_reservations(ledger, [opens + 2])
    assert 1 == dropped(telemetry)


async def test_a_journal_that_fills_up_is_committed_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_sqlite, "COMMIT_EVERY_S", 3_600)
    async with opened(path) as ledger:
        number = 0
        while ledger._journal.used <= ledger_sqlite.HURRY_SHARE:
            number += 1
            await ledger.reserve(reservation(number), STARTED_NS)
        assert not ledger._wake.is_set()
        await ledger.reserve(reservation(number + 1), STARTED_NS)
        async with asyncio.timeout(10):
            while not await in_file(path, number + 1):
                pass


async def test_a_ledger_that_cannot_write_says_so_at_close_and_the_next_start_writes_it(
    path: Path, telemetry: RecordingTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_sqlite, "BACKOFF_S_MIN", 0.001)

    journals = []

    async def live() -> None:
        async with opened(path, telemetry) as ledger:
            journals.append(ledger._journal)
            await fill(ledger)
            assert [] == await refused_reservations(ledger, range(1, 101))
            await sealed(ledger)
            await down(ledger)
            for number in range(1, 101):
                ledger.settle(settlement(number))
            ledger.settle(settlement(101, request_id="x" * 5_000_000))  # more than there is room for

    with pytest.raises(ExceptionGroup) as group:
        await live()
    assert group.group_contains(LedgerUnavailable, match="the next start writes them from the journal")
    assert 1 == dropped(telemetry)
    assert journals[0].closed

    async with opened(path) as ledger:
        assert [(100, 0, 100 * 3_556_000)] == await totals(ledger)


# --- the first settlement, and rows that cannot be held ----------------------------------------------------------


async def test_a_settlement_whose_commit_failed_is_still_the_first(path: Path) -> None:
    async with opened(path) as ledger:
        await fill(ledger)
        async with writer_held(ledger):
            for number in range(1, 101):
                ledger.settle(settlement(number))
            await sealed(ledger)
            ledger.settle(settlement(100, outcome=Outcome.FAILED, cost=1, attempts=2))
        await down(ledger)
        await free(ledger)
        await down(ledger, is_down=False)

        assert settled_record(100, attempts=(attempt(1),)) == await ledger.read_call(CallId(100))


async def test_a_read_waits_for_a_commit_that_is_under_way(path: Path) -> None:
    async with opened(path) as ledger, asyncio.TaskGroup() as tasks:
        async with writer_held(ledger):
            ledger.settle(settlement(1))
            await sealed(ledger)
            read = tasks.create_task(ledger.read_call(CallId(1)))
            for _ in range(3):  # time enough for a read that does not wait
                await ledger._reader.read_call(CallId(0))
            assert not read.done()

        assert settled_record(1, attempts=(attempt(1),)) == await read


async def test_a_reservation_cancelled_before_its_commit_failed_harms_nobody(path: Path) -> None:
    async with opened(path, durability="power") as ledger:
        await fill(ledger)
        async with asyncio.TaskGroup() as tasks, writer_held(ledger):
            doomed = tasks.create_task(ledger.reserve(reservation(101), STARTED_NS))
            others = tasks.create_task(refused_reservations(ledger, range(102, 202)))
            await sealed(ledger)
            doomed.cancel()
        assert list(range(102, 202)) == others.result()
        await free(ledger)
        await down(ledger, is_down=False)

        assert [] == await refused_reservations(ledger, [202])
        assert open_record(101) == await ledger.read_call(CallId(101))


async def test_a_statement_that_fails_leaves_no_transaction_behind(path: Path) -> None:
    async with opened(path, durability="power") as ledger:
        await ledger._writer.run(lambda connection: connection.execute("ALTER TABLE open_calls RENAME TO away").close())
        assert [1] == await refused_reservations(ledger, [1])
        await ledger._writer.run(lambda connection: connection.execute("ALTER TABLE away RENAME TO open_calls").close())
        await down(ledger, is_down=False)

        assert [] == await refused_reservations(ledger, [2])


@pytest.mark.parametrize("durability", ["process", "power"])  # with power, a call and its end are never in one group
async def test_a_row_that_cannot_be_held_harms_no_other_row(
    path: Path, telemetry: RecordingTelemetry, durability: Durability
) -> None:
    async with opened(path, telemetry, durability=durability) as ledger:
        await ledger.reserve(reservation(2), STARTED_NS)
        ledger.settle(settlement(1))
        ledger.settle(settlement(2, usage=TokenUsage(input=2**63)))
        ledger.settle(settlement(3, request_id="\ud800"))
        ledger.settle(settlement(4))
        with pytest.raises(LedgerUnavailable, match="cannot hold"):
            await ledger.reserve(reservation(5, hold=2**63), STARTED_NS)

        assert settled_record(1, attempts=(attempt(1),)) == await ledger.read_call(CallId(1))
        assert open_record(2) == await ledger.read_call(CallId(2))
        assert await ledger.read_call(CallId(3)) is None
        assert settled_record(4, attempts=(attempt(1),)) == await ledger.read_call(CallId(4))
        assert await ledger.read_call(CallId(5)) is None
    assert 2 == dropped(telemetry)


# --- the end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begun", [False, True])
async def test_a_cancelled_writer_loses_nothing_that_close_can_write(path: Path, begun: bool) -> None:
    async with opened(path) as ledger:
        for number in range(1, 101):
            ledger.settle(settlement(number))
        if begun:
            await ledger.read_call(CallId(1))
            ledger.settle(settlement(101))
        cancel_writer()
        await ledger._stopped.wait()
        with pytest.raises(LedgerUnavailable):
            await ledger.reserve(reservation(102), STARTED_NS)
        ledger.settle(settlement(103))
        with pytest.raises(LedgerUnavailable):
            await ledger.read_call(CallId(103))

    async with opened(path) as ledger:
        assert [102 if begun else 101] == [calls for calls, *_ in await totals(ledger)]


async def test_a_writer_cancelled_at_rest_leaves_nobody_waiting(path: Path) -> None:
    async with opened(path, durability="power") as ledger, asyncio.timeout(10):
        await ledger._reader.read_call(CallId(0))  # the writer has come to its rest
        asyncio.get_running_loop().call_soon(cancel_writer)
        with pytest.raises(LedgerUnavailable):
            await ledger.reserve(reservation(1), STARTED_NS)


async def test_a_writer_cancelled_at_work_loses_nothing_and_leaves_nobody_waiting(path: Path) -> None:
    async with opened(path, durability="power") as ledger:
        async with asyncio.TaskGroup() as tasks, writer_held(ledger):
            reserves = [tasks.create_task(refused_reservations(ledger, [1]))]
            await sealed(ledger)
            reserves.append(tasks.create_task(refused_reservations(ledger, [2])))
            await ledger._reader.read_call(CallId(0))
            cancel_writer()
        assert [[1], [2]] == [reserve.result() for reserve in reserves]
        ledger.settle(settlement(1))

    async with opened(path) as ledger:
        assert [(2, 1, 3_556_000)] == await totals(ledger)
