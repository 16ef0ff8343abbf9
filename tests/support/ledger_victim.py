"""A process that writes to a ledger, says what it was promised, and waits to be killed."""

import asyncio
import sys

from router.adapters.ledger_sqlite import SqliteLedger
from router.domain.governance.budget import Amounts, ScopeKind, Unit
from router.domain.governance.windows import Lifetime
from router.domain.ids import CallId
from tests.support.ledger_facts import STARTED_NS, budget, reservation, settlement
from tests.support.sqlite_ledger import opened, sealed, writer_held

LAG = 3
"""A call is settled so many calls after its reservation, so that some are open when a group is sealed."""


BUDGETS = (
    budget("key", 10**15, window=Lifetime()),
    budget("team", 10**15, kind=ScopeKind.TEAM, value="acme"),
    budget("requests", 10**15, unit=Unit.REQUESTS),
)
PATH = (("key", "ci"), ("team", "acme"), ("requests", "ci"))


def hold_of(number: int) -> int:
    return number * 10 + extension_of(number)


def extension_of(number: int) -> int:
    return 5 if number % 4 == 0 else 0


def spent_of(number: int) -> int:
    return number * 7


async def live(path: str, *, calls: int, commits: bool) -> None:
    """Write the calls 1 to `calls` and wait for the end.

    Without `commits` the writer's thread is busy for ever: the first half of the calls is sealed and waits for its
    commit, the rest comes after it, and the journal alone has what was promised.
    """
    async with opened(path) as ledger:
        ledger.set_budgets(BUDGETS)
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
    """Reserve each call, extend some, settle the odd ones later; report `open N` and `settled N` when that returned."""
    for number in numbers:
        extension = extension_of(number)
        amounts = Amounts(usd=hold_of(number) - extension, requests=1)
        await ledger.reserve(reservation(number, path=PATH, amounts=amounts), STARTED_NS)
        if extension:
            ledger.extend(CallId(number), Amounts(usd=extension), STARTED_NS)
        print("open", number, flush=True)
        if number % 2 == 0 and number > LAG:
            spent = Amounts(usd=spent_of(number - LAG), requests=1)
            ledger.settle(settlement(number - LAG, spent=spent))
            print("settled", number - LAG, flush=True)


async def killed() -> None:
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(live(sys.argv[1], calls=int(sys.argv[2]), commits=sys.argv[3] == "commits"))
