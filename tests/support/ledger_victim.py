"""A process that writes to a ledger, says what it was promised, and waits to be killed."""

import asyncio
import sys

from router.adapters.ledger_sqlite import open_sqlite_ledger
from router.domain.ids import CallId
from tests.support.fakes import FakeClock, RecordingTelemetry
from tests.support.ledger_facts import reservation, settlement


async def live(url: str, *, calls: int) -> None:
    """Reserve the calls 1 to `calls`, settle the even ones, and report `open N` and `settled N` once committed."""
    async with asyncio.TaskGroup() as tasks:
        ledger = await open_sqlite_ledger(
            url, durability="process", clock=FakeClock(), telemetry=RecordingTelemetry(), tasks=tasks
        )
        for number in range(1, calls + 1):
            await ledger.reserve(reservation(number, hold=number * 10 if number % 3 == 0 else 0))
            print("open", number, flush=True)
            if number % 2 == 0:
                ledger.settle(settlement(number))
                await ledger.read_call(CallId(number))
                print("settled", number, flush=True)
        print("done", 0, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(live(sys.argv[1], calls=int(sys.argv[2])))
