"""A SQLite ledger with its writer, open for as long as a block."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from router.adapters.ledger_sqlite import SqliteLedger, open_sqlite_ledger
from tests.support.fakes import FakeClock, RecordingTelemetry


@asynccontextmanager
async def opened(path: Path, telemetry: RecordingTelemetry | None = None) -> AsyncIterator[SqliteLedger]:
    async with asyncio.TaskGroup() as tasks:
        ledger = await open_sqlite_ledger(
            f"sqlite:///{path}",
            durability="process",
            clock=FakeClock(),
            telemetry=telemetry or RecordingTelemetry(),
            tasks=tasks,
        )
        try:
            yield ledger
        finally:
            await ledger.close()
