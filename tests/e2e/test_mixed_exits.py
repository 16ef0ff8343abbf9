"""However calls end, nothing stays held: the accounts, the ledger and the provider's own invoice agree to the nano-USD.

Where the provider did not say what it billed, its invoice is replaced by the documented estimate: a token of input for
every four bytes of the body, and the tokens of output that came.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from tests.support.exits import EXITS, SECTIONS, Exit, Exits
from tests.support.fake_upstream import INPUT_NANO_USD, OUTPUT_NANO_USD, Request
from tests.support.money import KEYS, guessed_input
from tests.support.stage import Stage

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

CALLS = 10_000
CALLERS = 50
SEED = 20_261_121
KEY = "sk-test-mixed"
RICH = {"limit_usd": 1_000, "window": "lifetime"}
WORKFLOWS, AGENTS, TAGS = 7, 5, 3
"""Labels that take turns."""
COLUMNS = {
    "workflow": "workflow_id",
    "key": "key_id",
    "user": "user",
    "organization": "organization",
    "agent": "agent",
    "tag": "tags",
    "model": "asked_model",
}
"""Where a row says whose account it is in."""


@pytest.fixture(scope="module")
def sections() -> dict[str, object]:
    team = {"name": "research", "budget": RICH}
    each = [{"name": f"each-{kind}", "scope": {kind: "*"}, **RICH} for kind in ("agent", "tag", "model")]
    scoped = SECTIONS["budgets"]
    assert isinstance(scoped, list)
    return {
        **SECTIONS,
        "organizations": [{"name": "acme", "budget": RICH, "teams": [team]}],
        "users": [{"name": "ann", "budget": RICH}],
        "keys": [*KEYS, {"name": "mixed", "key": KEY, "team": "acme/research", "user": "ann", "budget": RICH}],
        "workflows": {"budget_usd": RICH["limit_usd"]},
        "budgets": [*scoped, *each],
    }


@pytest.mark.timeout(120)
async def test_after_10_000_calls_with_every_kind_of_end_all_books_agree(stage: Stage) -> None:
    """T1b: in an order that one seed draws, 50 at a time, in an account of every kind that there is."""
    exits = Exits(stage)
    await exits.fill()
    kinds = [EXITS[number % len(EXITS)] for number in range(CALLS)]
    Random(SEED).shuffle(kinds)
    await play(exits, iter(enumerate(kinds)))
    loop = asyncio.get_running_loop()
    ended = loop.time()
    await stage.router.idle()
    accounts = await stage.router.accounts()
    assert loop.time() - ended < 1

    rows = {str(row["request_id"]): row for row in stage.rows()}
    asked = {request.headers["x-request-id"]: request for request in stage.upstream.requests}
    calls = [f"{kind}-{number}" for number, kind in enumerate(kinds) if kind is not Exit.INVALID]
    assert rows.keys() == {*calls, "whole-first"}, "each call has its row, and what was none has none"
    assert asked.keys() == {name for name in rows if not kind_of(name).refused}
    assert {name: invoice(name, asked) for name in rows} == {name: row["cost_nano_usd"] for name, row in rows.items()}
    assert [] == [name for name, row in rows.items() if kind_of(name).estimated != bool(row["usage_estimated"])]
    assert {0} == {account["reserved"] for account in accounts.values()}
    wanted = {account: amount for account, amount in by_account(rows).items() if amount}
    assert wanted == {name: account["used"] for name, account in accounts.items() if account["used"]}
    assert {kind for kind, _ in wanted} == {*COLUMNS, "team"}


async def play(exits: Exits, todo: Iterator[tuple[int, Exit]]) -> None:
    async def caller() -> None:
        for number, kind in todo:
            labels = {
                "workflow": f"w{number % WORKFLOWS}",
                "agent": f"a{number % AGENTS}",
                "tags": f"t{number % TAGS}",
            }
            lines = [f"x-checkrein-{label}: {value}" for label, value in labels.items()]
            await exits.run(kind, number, *lines, key=KEY)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(CALLERS):
            tasks.create_task(caller())


def kind_of(name: str) -> Exit:
    return Exit(name.partition("-")[0])


def invoice(name: str, asked: dict[str, Request]) -> int:
    """What the provider bills for a call; where it did not say, what its reader has to assume."""
    request, kind = asked.get(name), kind_of(name)
    if request is None:
        return 0
    if not kind.estimated:
        return request.cost_nano_usd
    return guessed_input(request) * INPUT_NANO_USD + request.tokens * OUTPUT_NANO_USD


def by_account(rows: dict[str, dict[str, object]]) -> Counter[tuple[str, str]]:
    """Add up what the ledger has for each account."""
    sums: Counter[tuple[str, str]] = Counter()
    for row in rows.values():
        values = {kind: row[column] for kind, column in COLUMNS.items()}
        if row["team"] is not None:
            values["team"] = f"{row['organization']}/{row['team']}"
        for kind, value in values.items():
            if value is not None and not (kind == "key" and value != "mixed"):
                sums[kind, str(value)] += int(str(row["cost_nano_usd"]))
    return sums
