"""A process that writes to a ledger, says what it was promised, and waits to be killed."""

import asyncio
import sys

from router.adapters.ledger_sqlite import SqliteLedger
from tests.support.ledger_facts import reservation, settlement
from tests.support.sqlite_ledger import opened, sealed, writer_held

LAG = 3
"""A call is settled so many calls after its reservation, so that some are open when a group is sealed."""


def hold_of(number: int) -> int:
    return number * 10 if number % 3 == 0 else 0


async def live(path: str, *, calls: int, commits: bool) -> None:
    """Write the calls 1 to `calls` and wait for the end.

    Without `commits` the writer's thread is busy for ever: the first half of the calls is sealed and waits for its
    commit, the rest comes after it, and the journal alone has what was promised.
    """
    async with opened(path) as ledger:
        if commits:
            await write(ledger, range(1, calls + 1))
        else:
            async with writer_held(ledger):
                await write(ledger, range(1, calls // 2 + 1))
                await sealed(ledger)
                await write(ledger, range(calls // 2 + 1, calls + 1))
                await killed()
        await killed()


async def write(ledger: SqliteLedger, numbers: range) -> None:
    """Reserve each call, settle the odd ones later, and report `open N` and `settled N` as soon as that returned."""
    for number in numbers:
        await ledger.reserve(reservation(number, hold=hold_of(number)))
        print("open", number, flush=True)
        if number % 2 == 0 and number > LAG:
            ledger.settle(settlement(number - LAG))
            print("settled", number - LAG, flush=True)


async def killed() -> None:
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(live(sys.argv[1], calls=int(sys.argv[2]), commits=sys.argv[3] == "commits"))
