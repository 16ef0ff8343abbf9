"""A SQLite ledger with its writer, open for as long as a block, and ways to keep it from committing."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from router.adapters.ledger_sqlite import SqliteLedger, open_sqlite_ledger
from router.adapters.sql.sqlite_store import Durability
from router.domain.ids import CallId
from router.ports.ledger import LedgerUnavailable
from tests.support.fakes import FakeClock, RecordingTelemetry
from tests.support.ledger_facts import STARTED_NS, reservation


@asynccontextmanager
async def opened(
    path: Path | str, telemetry: RecordingTelemetry | None = None, *, durability: Durability = "process"
) -> AsyncIterator[SqliteLedger]:
    async with asyncio.TaskGroup() as tasks:
        ledger = await open_sqlite_ledger(
            f"sqlite:///{path}",
            durability=durability,
            clock=FakeClock(),
            telemetry=telemetry or RecordingTelemetry(),
            tasks=tasks,
        )
        try:
            yield ledger
        finally:
            await ledger.close()


async def fill(ledger: SqliteLedger) -> None:
    """Let the file grow no further, and use up the pages it has: from here on commits fail as on a full disk."""

    def limit(connection: sqlite3.Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()

    await ledger._writer.run(limit)


async def free(ledger: SqliteLedger) -> None:
    def lift(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA max_page_count = 1000000").fetchone()

    await ledger._writer.run(lift)


async def down(ledger: SqliteLedger, *, is_down: bool = True) -> None:
    """Return once a commit has failed, or one has succeeded; each round is a trip to the reader's thread."""
    async with asyncio.timeout(10):
        while ledger._down is not is_down:
            await ledger._reader.read_call(CallId(0))


async def sealed(ledger: SqliteLedger) -> None:
    """Have what came in sealed at once, and return when it is."""
    ledger._wake.set()
    async with asyncio.timeout(10):
        while ledger._sealed is None:
            await ledger._reader.read_call(CallId(0))


@asynccontextmanager
async def writer_held(ledger: SqliteLedger) -> AsyncIterator[None]:
    """Run the body while the writer's thread is busy, so that no commit gets anywhere."""
    loop = asyncio.get_running_loop()
    begun, held = asyncio.Event(), threading.Event()

    def hold(_: sqlite3.Connection) -> None:
        loop.call_soon_threadsafe(begun.set)
        held.wait()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ledger._writer.run(hold))
        await begun.wait()
        try:
            yield
        finally:
            held.set()
    await ledger._writer.run(lambda _: None)


async def refused_reservations(ledger: SqliteLedger, numbers: Iterable[int], *, hold: int = 0) -> list[int]:
    """Reserve all at once and return the numbers of those that were refused."""
    refused = []

    async def reserve(number: int) -> None:
        try:
            await ledger.reserve(reservation(number, hold=hold), STARTED_NS)
        except LedgerUnavailable:
            refused.append(number)

    async with asyncio.TaskGroup() as tasks:
        for number in numbers:
            tasks.create_task(reserve(number))
    return refused
