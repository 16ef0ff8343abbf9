"""The upkeep adds up and deletes beside the commits, outlives a store that fails, and ends when the ledger closes."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from router.adapters.sql import sqlite_upkeep as module
from router.adapters.sql.sqlite_changes import read_audit, write_audit
from router.adapters.sql.sqlite_rows import settled_row
from router.adapters.sql.sqlite_statements import DAY_NS, SETTLE_CALLS
from router.adapters.sql.sqlite_store import SqliteThread, configure, migrate, open_writer
from router.adapters.sql.sqlite_upkeep import LAG_NS, SqliteUpkeep
from router.domain.ids import Epoch, first_call_id
from router.ports.keys import Change
from router.ports.records import AuditFilter
from tests.support.fakes import FakeClock
from tests.support.ledger_facts import settlement
from tests.support.sqlite_ledger import opened
from tests.support.usage import totals_by


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[SqliteThread]:
    async with open_writer(tmp_path / "calls.db") as thread:
        await thread.run(configure, "process")
        await thread.run(migrate)
        yield thread


async def put(writer: SqliteThread, *started_ns: int) -> None:
    def insert(connection: sqlite3.Connection) -> None:
        for number, moment_ns in enumerate(started_ns):
            one = msgspec.structs.replace(settlement(first_call_id(moment_ns) + number), started_ns=moment_ns)
            connection.execute(SETTLE_CALLS[1], settled_row(one, Epoch(1), 0, None))

    await writer.run(insert)


async def counts(writer: SqliteThread) -> tuple[int, int]:
    """Count the calls that are added up, and the rows."""

    def count(connection: sqlite3.Connection) -> tuple[int, int]:
        (summed,) = connection.execute("SELECT COALESCE(SUM(calls), 0) FROM usage_days").fetchone()
        (rows,) = connection.execute("SELECT COUNT(*) FROM calls").fetchone()
        return summed, rows

    return await writer.run(count)


async def until_counts(writer: SqliteThread, expected: tuple[int, int]) -> None:
    async with asyncio.timeout(10):
        while await counts(writer) != expected:  # each look is a trip to the writer's thread
            pass


async def test_calls_are_added_up_once_most_of_their_time_have_ended(writer: SqliteThread) -> None:
    clock = FakeClock()
    await put(writer, clock.wall - LAG_NS - 10**6, clock.wall - LAG_NS, clock.wall)
    upkeep = SqliteUpkeep(writer=writer, clock=clock, keep_ns=None)

    assert not await upkeep._step()
    assert (1, 3) == await counts(writer)
    clock.pass_ns(LAG_NS + 10**6)
    await upkeep._step()
    assert (3, 3) == await counts(writer)


async def test_rows_are_deleted_when_they_are_older_than_they_may_grow(writer: SqliteThread) -> None:
    clock = FakeClock()
    await put(writer, clock.wall - 3 * DAY_NS, clock.wall - 2 * DAY_NS, clock.wall - DAY_NS)
    await SqliteUpkeep(writer=writer, clock=clock, keep_ns=None)._step()
    kept = await counts(writer)
    await SqliteUpkeep(writer=writer, clock=clock, keep_ns=2 * DAY_NS)._step()

    assert [(3, 3), (3, 2)] == [kept, await counts(writer)]


async def test_changes_are_deleted_when_they_are_older_than_they_may_grow(
    writer: SqliteThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.forget_changes, "__defaults__", (2,))
    clock = FakeClock()

    def change(connection: sqlite3.Connection) -> None:
        for days in (1, 3, 2, 4, 5):
            made = Change(actor="boss", action="create", at_ns=clock.wall - days * DAY_NS)
            write_audit(connection, "key", f"{days} days old", days, made)

    def left(connection: sqlite3.Connection) -> list[str]:
        return [row.subject for row in read_audit(connection, AuditFilter(), 9)]

    await writer.run(change)
    for_ever = SqliteUpkeep(writer=writer, clock=clock, keep_ns=DAY_NS)
    bounded = SqliteUpkeep(writer=writer, clock=clock, keep_ns=None, keep_audit_ns=2 * DAY_NS)
    found = [(await upkeep._step(), await writer.run(left)) for upkeep in (for_ever, bounded, bounded)]
    names = [f"{days} days old" for days in (5, 4, 2, 3, 1)]

    assert [(False, names), (True, names[2:]), (False, [names[2], names[4]])] == found


async def test_there_is_more_to_do_while_any_step_was_a_full_one(
    writer: SqliteThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.fold, "__defaults__", (2,))
    clock = FakeClock()
    await put(writer, *(clock.wall - DAY_NS + number * 10**9 for number in range(3)))
    upkeep = SqliteUpkeep(writer=writer, clock=clock, keep_ns=9 * DAY_NS)

    assert [True, False] == [await upkeep._step(), await upkeep._step()]


async def test_a_long_way_is_gone_in_steps_until_it_closes(
    writer: SqliteThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    monkeypatch.setattr(module.fold, "__defaults__", (2,))
    monkeypatch.setattr(module.delete_older, "__defaults__", (2,))
    clock = FakeClock()
    await put(writer, *(clock.wall - 9 * DAY_NS + number * 10**9 for number in range(7)))
    closing = asyncio.Event()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(SqliteUpkeep(writer=writer, clock=clock, keep_ns=DAY_NS).run(closing))
        await until_counts(writer, (7, 0))
        closing.set()


async def test_a_store_that_fails_is_said_once_and_tried_again(
    writer: SqliteThread, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    await put(writer, clock.wall - DAY_NS)
    upkeep = SqliteUpkeep(writer=writer, clock=clock, keep_ns=None)
    await writer.run(lambda connection: connection.execute("PRAGMA query_only = 1"))
    with caplog.at_level(logging.WARNING):
        assert [False, False] == [await upkeep._step(), await upkeep._step()]
    said = [record.getMessage() for record in caplog.records]
    await writer.run(lambda connection: connection.execute("PRAGMA query_only = 0"))
    await upkeep._step()

    assert 1 == len(said)
    assert said[0].startswith("the ledger's upkeep waits")
    assert (1, 1) == await counts(writer)


async def test_a_ledger_has_its_calls_added_up_without_being_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EVERY_S", 0.001)
    async with opened(tmp_path / "calls.db") as ledger:
        ledger.settle(settlement(1))
        await until_counts(ledger._writer, (1, 1))

        assert [1] == [one.calls for one in await totals_by(ledger.history, "key")]
