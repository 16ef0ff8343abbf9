"""What the SQLite ledger survives: kill -9, a full disk, rows it cannot hold, a writer cancelled."""

import asyncio
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from router.adapters import ledger_sqlite
from router.adapters.ledger_sqlite import SqliteLedger, open_sqlite_ledger, open_sqlite_reader
from router.domain.faults import Fault
from router.domain.ids import CallId, Epoch
from router.domain.settlement import Outcome
from router.domain.usage import NO_USAGE, TokenUsage
from router.ports.ledger import CallRecord, LedgerUnavailable
from router.ports.telemetry import Anomaly
from tests.support.fakes import FakeClock, RecordingTelemetry
from tests.support.ledger_facts import attempt, open_record, reservation, settled_record, settlement
from tests.support.sqlite_ledger import opened

ROOT = Path(__file__).parents[3]
REFUSED = Outcome.REFUSED


def cancel_writer() -> None:
    """What its task group does when another of its tasks fails."""
    (writer,) = [task for task in asyncio.all_tasks() if task.get_name() == "ledger-writer"]
    writer.cancel()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.db"


# --- kill -9 -----------------------------------------------------------------------------------------------------


async def reported_before_kill(path: Path, *, calls: int, kill_after: int) -> list[tuple[str, int]]:
    """Run a victim, kill it after so many of its lines, return those lines and what it had said besides."""
    victim = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.ledger_victim",
        f"sqlite:///{path}",
        str(calls),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert victim.stdout is not None
    lines = [await victim.stdout.readline() for _ in range(kill_after)]
    victim.kill()
    lines += (await victim.stdout.read()).splitlines()
    await victim.wait()
    said = [line.decode().split() for line in lines]
    return [(line[0], int(line[1])) for line in said if len(line) == 2]


@pytest.mark.parametrize("kill_after", [61, 400])
async def test_after_kill_9_nothing_promised_is_lost_or_doubled(path: Path, kill_after: int) -> None:
    calls = 40 if kill_after == 61 else 5_000  # the victim waits after 61 lines, or is killed at work
    reports = await reported_before_kill(path, calls=calls, kill_after=kill_after)
    promised = {number for what, number in reports if what == "open"}
    settled = {number for what, number in reports if what == "settled"}

    async with opened(path) as ledger:
        records = {number: await ledger.read_call(CallId(number)) for number in promised}
        (totals,) = await ledger.usage("key", 0)

    assert Epoch(2) == ledger.epoch
    for number in settled:
        hold = number * 10 if number % 3 == 0 else 0
        assert settled_record(number, hold=hold, attempts=(attempt(1),)) == records[number]
    # The last call may have been committed, or settled, after its last report was read.
    assert totals.calls - len(promised) in (0, 1)
    recovered = [record for record in records.values() if record and record.outcome is Outcome.RECOVERED_HELD]
    assert len(promised - settled) - len(recovered) in (0, 1)
    for record in recovered:
        hold = record.id * 10 if record.id % 3 == 0 else 0
        assert recovered_record(record.id, hold=hold) == record
    assert kill_after == 400 or (40, 20, 20) == (totals.calls, len(settled), len(recovered))


def recovered_record(number: int, *, hold: int) -> CallRecord:
    opened = open_record(number, hold=hold)
    return CallRecord(
        **{
            **{name: getattr(opened, name) for name in CallRecord.__struct_fields__},
            "outcome": Outcome.RECOVERED_HELD,
            "cost_nano_usd": hold or None,
        }
    )


async def test_a_recovered_call_stays_recovered(path: Path) -> None:
    await reported_before_kill(path, calls=1, kill_after=2)

    async with opened(path) as ledger:
        ledger.settle(settlement(1))
        assert recovered_record(1, hold=0) == await ledger.read_call(CallId(1))
    async with opened(path) as ledger:
        assert recovered_record(1, hold=0) == await ledger.read_call(CallId(1))


async def test_an_open_call_of_a_closed_ledger_is_recovered_at_the_next_start(path: Path) -> None:
    async with opened(path) as ledger:
        await ledger.reserve(reservation(1, hold=70))

    async with opened(path) as ledger:
        assert recovered_record(1, hold=70) == await ledger.read_call(CallId(1))


# --- a store that cannot commit ----------------------------------------------------------------------------------


async def fill(ledger: SqliteLedger, path: Path) -> None:
    """Let the file grow no further, and use up the pages it has: from here on commits fail as on a full disk."""

    def limit(connection: sqlite3.Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()

    await ledger._writer.run(limit)


async def free(ledger: SqliteLedger) -> None:
    def lift(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA max_page_count = 1000000").fetchone()

    await ledger._writer.run(lift)


async def recovered(ledger: SqliteLedger) -> None:
    """Return once the ledger has committed again; each round is a trip to the writer's thread."""
    async with asyncio.timeout(10):
        while ledger._down:
            await ledger._writer.run(lambda connection: connection.total_changes)


async def refused_reservations(ledger: SqliteLedger, numbers: range) -> list[int]:
    refused = []

    async def reserve(number: int) -> None:
        try:
            await ledger.reserve(reservation(number))
        except LedgerUnavailable:
            refused.append(number)

    async with asyncio.TaskGroup() as tasks:
        for number in numbers:
            tasks.create_task(reserve(number))
    return refused


async def test_on_a_full_disk_reservations_fail_and_settlements_arrive_once_it_is_free(path: Path) -> None:
    telemetry = RecordingTelemetry()
    numbers = range(1, 201)
    async with opened(path, telemetry) as ledger:
        assert [] == await refused_reservations(ledger, range(1, 101))
        await fill(ledger, path)

        assert list(range(101, 201)) == await refused_reservations(ledger, range(101, 201))
        for number in numbers:
            ledger.settle(settlement(number))
        with pytest.raises(LedgerUnavailable):
            await ledger.reserve(reservation(999))
        with pytest.raises(LedgerUnavailable):
            await ledger.read_call(CallId(1))
        async with await open_sqlite_reader(f"sqlite:///{path}") as reader:
            assert open_record(100) == await reader.read_call(CallId(100))
            assert await reader.read_call(CallId(101)) is None

        await free(ledger)
        await recovered(ledger)
        await ledger.reserve(reservation(1_000))

        (totals,) = await ledger.usage("key", 0)
        assert (200, 200 * 3_556_000) == (totals.calls, totals.cost_nano_usd)
        assert settled_record(150, attempts=(attempt(1),)) == await ledger.read_call(CallId(150))
        assert open_record(1_000) == await ledger.read_call(CallId(1_000))
    assert (Anomaly.LEDGER_RETRY, 1) in telemetry.anomalies


async def test_a_reservation_is_the_probe_when_no_settlement_waits(path: Path) -> None:
    async with opened(path) as ledger:
        assert [] == await refused_reservations(ledger, range(1, 101))
        await fill(ledger, path)
        assert 100 == len(await refused_reservations(ledger, range(101, 201)))

        await free(ledger)
        await recovered(ledger)

        assert [] == await refused_reservations(ledger, range(101, 201))


async def test_a_ledger_that_cannot_write_says_at_close_what_is_left_and_frees_the_store(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_sqlite, "BACKOFF_S_MIN", 0.001)
    async with asyncio.TaskGroup() as tasks:
        ledger = await open_sqlite_ledger(
            f"sqlite:///{path}",
            durability="power",
            clock=FakeClock(),
            telemetry=RecordingTelemetry(),
            tasks=tasks,
        )
        assert [] == await refused_reservations(ledger, range(1, 101))
        await fill(ledger, path)
        for number in range(1, 101):
            ledger.settle(settlement(number))

        with pytest.raises(LedgerUnavailable, match="100 settlements"):
            await ledger.close()

    async with opened(path) as ledger:
        assert [(100, 100)] == [(total.calls, total.failed_calls) for total in await ledger.usage("key", 0)]


async def test_refusals_beyond_the_bound_are_counted_and_money_is_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_sqlite, "REFUSALS_KEPT_MAX", 150)
    telemetry = RecordingTelemetry()
    async with opened(path, telemetry) as ledger:
        await fill(ledger, path)
        assert 200 == len(await refused_reservations(ledger, range(1, 201)))
        for number in range(1, 201):
            ledger.settle(
                settlement(number, outcome=REFUSED, fault=Fault.OVERLOADED, cost=0, attempts=0, usage=NO_USAGE)
            )
        ledger.settle(settlement(201))

        await free(ledger)
        await recovered(ledger)

        (totals,) = await ledger.usage("key", 0)
        assert (151, 3_556_000) == (totals.calls, totals.cost_nano_usd)
    assert 50 == sum(count for anomaly, count in telemetry.anomalies if anomaly is Anomaly.LEDGER_ROW_DROPPED)


@asynccontextmanager
async def commit_under_way(ledger: SqliteLedger, settlements: range) -> AsyncIterator[None]:
    """Settle, and run the body while the commit of that waits in the writer's thread."""
    held = threading.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ledger._writer.run(lambda _: held.wait()))
        for number in settlements:
            ledger.settle(settlement(number))
        while not ledger._committing:
            await ledger._reader.read_call(CallId(1))
        yield
        held.set()
    await ledger._writer.run(lambda _: None)


async def test_a_settlement_whose_commit_failed_is_still_the_first(path: Path) -> None:
    async with opened(path) as ledger:
        assert [] == await refused_reservations(ledger, range(1, 101))
        await fill(ledger, path)
        async with commit_under_way(ledger, range(1, 101)):
            ledger.settle(settlement(100, outcome=Outcome.FAILED, cost=1, attempts=2))
        await free(ledger)
        await recovered(ledger)

        assert settled_record(100, attempts=(attempt(1),)) == await ledger.read_call(CallId(100))


async def test_a_read_waits_for_a_commit_that_is_under_way(path: Path) -> None:
    async with opened(path) as ledger, asyncio.TaskGroup() as tasks:
        async with commit_under_way(ledger, range(1, 2)):
            read = tasks.create_task(ledger.read_call(CallId(1)))
            for _ in range(3):  # time enough for a read that does not wait
                await ledger._reader.usage("key", 0)
            assert not read.done()

        assert settled_record(1, attempts=(attempt(1),)) == await read


async def test_a_writer_cancelled_at_work_loses_nothing_that_close_can_write(path: Path) -> None:
    async with asyncio.TaskGroup() as tasks:
        ledger = await open_sqlite_ledger(
            f"sqlite:///{path}",
            durability="process",
            clock=FakeClock(),
            telemetry=RecordingTelemetry(),
            tasks=tasks,
        )
        assert [] == await refused_reservations(ledger, range(1, 101))
        await fill(ledger, path)
        async with commit_under_way(ledger, range(1, 101)):
            cancel_writer()
    await free(ledger)
    await ledger.close()

    async with opened(path) as ledger:
        assert [(100, 0)] == [(total.calls, total.failed_calls) for total in await ledger.usage("key", 0)]


async def test_a_reservation_cancelled_before_its_commit_failed_harms_nobody(path: Path) -> None:
    async with opened(path) as ledger:
        assert [] == await refused_reservations(ledger, range(1, 101))
        await fill(ledger, path)
        async with asyncio.TaskGroup() as tasks, commit_under_way(ledger, range(1, 2)):
            doomed = tasks.create_task(ledger.reserve(reservation(101)))
            others = tasks.create_task(refused_reservations(ledger, range(102, 202)))
            await ledger._reader.read_call(CallId(1))
            doomed.cancel()
        await free(ledger)
        await recovered(ledger)

        assert list(range(102, 202)) == others.result()
        assert [] == await refused_reservations(ledger, range(202, 203))


async def test_a_statement_that_fails_leaves_no_transaction_behind(path: Path) -> None:
    async with opened(path) as ledger:
        await ledger._writer.run(lambda connection: connection.execute("ALTER TABLE open_calls RENAME TO away").close())
        assert [1] == await refused_reservations(ledger, range(1, 2))
        await ledger._writer.run(lambda connection: connection.execute("ALTER TABLE away RENAME TO open_calls").close())
        await recovered(ledger)

        assert [] == await refused_reservations(ledger, range(2, 3))


async def test_a_row_that_cannot_be_held_harms_no_other_row(path: Path) -> None:
    telemetry = RecordingTelemetry()
    async with opened(path, telemetry) as ledger:
        await ledger.reserve(reservation(2))
        ledger.settle(settlement(1))
        ledger.settle(settlement(2, usage=TokenUsage(input=2**63)))
        ledger.settle(settlement(3, request_id="\ud800"))
        ledger.settle(settlement(4))

        assert settled_record(1, attempts=(attempt(1),)) == await ledger.read_call(CallId(1))
        assert open_record(2) == await ledger.read_call(CallId(2))
        assert await ledger.read_call(CallId(3)) is None
        assert settled_record(4, attempts=(attempt(1),)) == await ledger.read_call(CallId(4))
    assert [(Anomaly.LEDGER_ROW_DROPPED, 2)] == telemetry.anomalies


@pytest.mark.parametrize("begun", [False, True])
async def test_a_cancelled_writer_loses_nothing_that_close_can_write(path: Path, begun: bool) -> None:
    async with asyncio.TaskGroup() as tasks:
        ledger = await open_sqlite_ledger(
            f"sqlite:///{path}",
            durability="process",
            clock=FakeClock(),
            telemetry=RecordingTelemetry(),
            tasks=tasks,
        )
        for number in range(1, 101):
            ledger.settle(settlement(number))
        if begun:
            await ledger.read_call(CallId(1))
            ledger.settle(settlement(101))
        cancel_writer()
    with pytest.raises(LedgerUnavailable):
        await ledger.reserve(reservation(102))
    await ledger.close()

    async with opened(path) as ledger:
        assert [101 if begun else 100] == [total.calls for total in await ledger.usage("key", 0)]
