"""What every report of usage promises: exact sums of settled calls, by what was asked for."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from router.adapters.ledger_memory import MemoryLedger
from router.adapters.ledger_sqlite import SqliteLedger
from router.adapters.sql.sqlite_fold import fold
from router.adapters.sql.sqlite_reader import open_sqlite_reader
from router.domain.ids import CallId, Epoch
from router.domain.settlement import Labels, Outcome, Settlement
from router.domain.usage import NO_USAGE, TokenUsage
from router.ports.ledger import Ledger
from router.ports.usage import USAGE_GROUPS, Usage, UsageGroup, UsageQuery, UsageReport, UsageTotal
from tests.support.ledger_facts import STARTED_NS, reservation, settlement
from tests.support.sqlite_ledger import opened
from tests.support.usage import totals_by

DAY_NS = 86_400 * 10**9
MIDNIGHT_NS = STARTED_NS // DAY_NS * DAY_NS
BEHIND = CallId(2**63 - 1)

OpenUsage = Callable[[], AbstractAsyncContextManager["Opened"]]


class Opened:
    """A ledger, what adds it up, and how to have it summed by day."""

    def __init__(self, ledger: Ledger, usage: Usage, fold_all: Callable[[], Awaitable[object]]) -> None:
        self.ledger = ledger
        self.usage = usage
        self.fold_all = fold_all

    async def put(self, *settlements: Settlement) -> None:
        for one in settlements:
            self.ledger.settle(one)
        await self.ledger.read_call(CallId(0))  # what was settled is committed then


@asynccontextmanager
async def in_memory() -> AsyncIterator[Opened]:
    ledger = MemoryLedger(Epoch(1))
    yield Opened(ledger, ledger, lambda: ledger.read_call(CallId(0)))


@asynccontextmanager
async def in_sqlite(path: Path | str, *, folds: bool, beside: bool = False) -> AsyncIterator[Opened]:
    async with opened(path) as ledger:
        one = CallId(BEHIND if folds else 0)
        folding = lambda: fold_up_to(ledger, one)  # noqa: E731 - one line as the other
        if not beside:
            yield Opened(ledger, ledger.history, folding)
            return
        async with await open_sqlite_reader(f"sqlite:///{path}") as reader:
            yield Opened(ledger, reader, folding)


async def fold_up_to(ledger: SqliteLedger, before: CallId) -> None:
    await ledger.read_call(CallId(0))
    while await ledger._writer.run(fold, before, 3):
        pass


@pytest.fixture(params=["memory", "by row", "folded", "folded in memory", "reader"])
def open_usage(request: pytest.FixtureRequest, tmp_path: Path) -> OpenUsage:
    path = tmp_path / "calls.db"
    ways: dict[str, OpenUsage] = {
        "memory": in_memory,
        "by row": lambda: in_sqlite(path, folds=False),
        "folded": lambda: in_sqlite(path, folds=True),
        "folded in memory": lambda: in_sqlite(":memory:", folds=True),
        "reader": lambda: in_sqlite(path, folds=True, beside=True),
    }
    return ways[request.param]


def total(*group: str, calls: int = 1, failed: int = 0, cost: int = 0, unpriced: int = 0, used: int = 0) -> UsageTotal:
    """Totals of calls that used `used` times (100, 30, 7, 2) tokens."""
    return UsageTotal(
        group=group,
        calls=calls,
        failed_calls=failed,
        input_tokens=100 * used,
        cached_input_tokens=30 * used,
        output_tokens=7 * used,
        reasoning_tokens=2 * used,
        cost_nano_usd=cost,
        unpriced_calls=unpriced,
    )


async def test_sums_are_exact_and_dearest_first(open_usage: OpenUsage) -> None:
    used = TokenUsage(input=100, cached_input=30, output=7, reasoning=2)
    async with open_usage() as opened:
        await opened.ledger.reserve(reservation(6), STARTED_NS)  # open: not counted
        await opened.put(
            settlement(1, key="a", cost=9_007_199_254_740_993, usage=used),  # a float would lose the last digit
            settlement(2, key="a", cost=None, outcome=Outcome.INTERRUPTED, usage=used),
            settlement(3, key="b", cost=9_007_199_254_740_994, outcome=Outcome.CLIENT_CANCELLED, usage=used),
            settlement(4, key="c", cost=0, outcome=Outcome.REFUSED, usage=NO_USAGE),
            settlement(5, key="B", cost=0, outcome=Outcome.FAILED, usage=NO_USAGE),
        )
        await opened.fold_all()

        assert (
            total("b", cost=9_007_199_254_740_994, used=1),
            total("a", calls=2, failed=1, cost=9_007_199_254_740_993, unpriced=1, used=2),
            total("B", failed=1),
            total("c", failed=1),
        ) == await totals_by(opened.usage, "key")


GROUPED: dict[UsageGroup, str] = {
    "key": "ci",
    "team": "acme/platform",
    "organization": "acme",
    "user": "ada",
    "agent": "crawler",
    "workflow": "wf-7",
    "model": "small",
    "deployment": "local:mock",
    "day": "2027-01-15",
}


def test_every_grouping_is_tried() -> None:
    assert {*USAGE_GROUPS} == {*GROUPED, "tag"}


@pytest.mark.parametrize(("group", "value"), GROUPED.items())
async def test_calls_are_grouped_by_each_of_their_properties(
    open_usage: OpenUsage, group: UsageGroup, value: str
) -> None:
    bare = msgspec.structs.replace(
        settlement(2, cost=1, labels=Labels(), key="", model=""), organization=None, team=None, user=None
    )
    bare = msgspec.structs.replace(bare, served_deployment=None, started_ns=STARTED_NS - DAY_NS)
    async with open_usage() as opened:
        await opened.put(settlement(1, cost=5), bare)
        await opened.fold_all()
        totals = await totals_by(opened.usage, group)

    assert [((value,), 5), (("2027-01-14" if group == "day" else "",), 1)] == [
        (one.group, one.cost_nano_usd) for one in totals
    ]


async def test_a_team_is_told_with_its_organization_when_it_has_one(open_usage: OpenUsage) -> None:
    async with open_usage() as opened:
        await opened.put(
            settlement(1, cost=3),
            msgspec.structs.replace(settlement(2, cost=2), organization=None),
            msgspec.structs.replace(settlement(3, cost=1), team=None),
        )
        await opened.fold_all()

        assert [("acme/platform",), ("platform",), ("",)] == [
            one.group for one in await totals_by(opened.usage, "team")
        ]


async def test_a_call_counts_once_in_the_group_of_each_of_its_tags(open_usage: OpenUsage) -> None:
    async with open_usage() as opened:
        await opened.put(
            settlement(1, cost=4, labels=Labels(tags='eu, nightly,,eu,"q\\')),
            settlement(2, cost=2, labels=Labels(tags="eu")),
            settlement(3, cost=1, labels=Labels()),
        )
        await opened.fold_all()

        assert [(("eu",), 2, 6), (('"q\\',), 1, 4), (("nightly",), 1, 4), (("",), 1, 1)] == [
            (one.group, one.calls, one.cost_nano_usd) for one in await totals_by(opened.usage, "tag")
        ]
        assert [("ci", "eu"), ("ci", '"q\\'), ("ci", "nightly"), ("ci", "")] == [
            one.group for one in await totals_by(opened.usage, "key", "tag")
        ]


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        (UsageQuery(by=("key",)), [1, 2, 4, 8]),
        (UsageQuery(by=("key",), key="dev"), [2]),
        (UsageQuery(by=("key",), team="platform"), [1, 2, 4]),
        (UsageQuery(by=("key",), team="acme/platform"), [1, 2, 4]),
        (UsageQuery(by=("key",), team="acme"), []),
        (UsageQuery(by=("key",), agent="planner"), [2]),
        (UsageQuery(by=("key",), workflow="wf-8"), [4]),
        (UsageQuery(by=("key",), model="large"), [2, 8]),
        (UsageQuery(by=("key",), model="large", key="ci", since_ns=0), [8]),
        (UsageQuery(by=("key",), key="' OR 1=1 --"), []),
        (UsageQuery(by=("key",), since_ns=MIDNIGHT_NS), [2, 4, 8]),
        (UsageQuery(by=("key",), until_ns=MIDNIGHT_NS), [1]),
        (UsageQuery(by=("key",), since_ns=STARTED_NS + 2), [2, 4, 8]),
        (UsageQuery(by=("key",), since_ns=STARTED_NS + 3), [4, 8]),
        (UsageQuery(by=("key",), until_ns=STARTED_NS + 4), [1, 2]),
        (UsageQuery(by=("key",), since_ns=STARTED_NS + 2, until_ns=STARTED_NS + 4), [2]),
        (UsageQuery(by=("key",), since_ns=MIDNIGHT_NS - 5, until_ns=MIDNIGHT_NS + DAY_NS), [2, 4]),
        (UsageQuery(by=("key",), since_ns=MIDNIGHT_NS - DAY_NS, until_ns=STARTED_NS + 3, key="ci"), [1]),
        (UsageQuery(by=("key",), since_ns=STARTED_NS + 4, until_ns=STARTED_NS + 2), []),
        (UsageQuery(by=("workflow",), until_ns=STARTED_NS + 4), [1, 2]),
    ],
)
async def test_only_what_is_asked_for_is_added_up(open_usage: OpenUsage, asked: UsageQuery, numbers: list[int]) -> None:
    """Each call costs a power of two of its own, so that a sum says which calls are in it."""
    async with open_usage() as opened:
        await opened.put(
            msgspec.structs.replace(settlement(1, cost=1), started_ns=MIDNIGHT_NS - 6),
            settlement(2, cost=2, key="dev", model="large", labels=Labels(agent="planner")),
            settlement(4, cost=4, labels=Labels(workflow_id="wf-8")),
            msgspec.structs.replace(
                settlement(8, cost=8, model="large"), team="other", started_ns=MIDNIGHT_NS + DAY_NS
            ),
        )
        await opened.fold_all()
        report = await opened.usage.usage(asked)

    assert sum(numbers) == sum(one.cost_nano_usd for one in report.totals)
    assert (False, False) == (report.truncated, report.partial)


async def test_no_more_groups_are_told_than_asked_for_and_it_says_so(open_usage: OpenUsage) -> None:
    async with open_usage() as opened:
        await opened.put(*(settlement(number, key=f"k{number}", cost=number) for number in (1, 2, 3)))
        await opened.fold_all()
        two, three = [await opened.usage.usage(UsageQuery(by=("key",), limit=limit)) for limit in (2, 3)]

    assert ([("k3",), ("k2",)], True) == ([one.group for one in two.totals], two.truncated)
    assert (3, False) == (len(three.totals), three.truncated)


DAYS = (0, 1, 2, 30, 31, 60, 63, 100)
"""After the first: so far apart that blocks of 32 days are between them."""


def drawn(draw: random.Random, number: int) -> Settlement:
    made = settlement(
        number,
        key=draw.choice(["a", "b"]),
        model=draw.choice(["small", "large"]),
        cost=draw.choice([None, 0, number]),
        outcome=draw.choice([Outcome.COMPLETED, Outcome.FAILED]),
        usage=TokenUsage(input=number, output=number * 2),
        labels=Labels(
            agent=draw.choice([None, "x"]), tags=draw.choice([None, "t", "t,u"]), workflow_id=draw.choice([None, "w"])
        ),
    )
    return msgspec.structs.replace(
        made,
        started_ns=MIDNIGHT_NS + draw.choice(DAYS) * DAY_NS + draw.choice([0, 1, DAY_NS - 1]),
        team=draw.choice([None, "p"]),
        organization=draw.choice([None, "o"]),
    )


def asked_at_random(draw: random.Random) -> UsageQuery:
    def moment() -> int | None:
        midnight_ns = MIDNIGHT_NS + (draw.choice(DAYS) + draw.randrange(2)) * DAY_NS
        return draw.choice([None, midnight_ns + draw.choice([-1, 0, 1, 2])])

    return UsageQuery(
        by=tuple(draw.sample(USAGE_GROUPS, draw.randint(1, 3))),
        key=draw.choice([None, None, "a"]),
        team=draw.choice([None, None, "p", "o/p"]),
        agent=draw.choice([None, None, "x"]),
        workflow=draw.choice([None, None, None, None, "w"]),
        model=draw.choice([None, None, "small"]),
        since_ns=moment(),
        until_ns=moment(),
        limit=draw.choice([2, 10_000]),
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
async def test_what_was_folded_whenever_is_what_a_full_scan_says(tmp_path: Path, seed: int) -> None:
    """Calls end in any order, below the fold and above it, some twice, some only at the next start."""
    draw = random.Random(seed)
    path = tmp_path / "calls.db"
    plain = MemoryLedger(Epoch(1))
    numbers = draw.sample(range(1, 200), 120)
    for _ in range(3):
        async with opened(path) as ledger:
            for number in [numbers.pop() for _ in range(40)]:
                one = drawn(draw, number)
                for each in (plain, ledger):
                    if number % 3:
                        await each.reserve(reservation(number), STARTED_NS)
                    each.settle(one)
                if draw.random() < 0.3:
                    await ledger.read_call(CallId(0))
                if draw.random() < 0.3:
                    await ledger._writer.run(fold, CallId(draw.randrange(250)), draw.randint(1, 20))
            for _ in range(10):
                asked = asked_at_random(draw)
                found: UsageReport = await ledger.history.usage(asked)
                assert await plain.usage(asked) == found, asked


async def test_a_call_that_a_crash_left_open_below_the_fold_is_added_up(tmp_path: Path) -> None:
    path = tmp_path / "calls.db"
    async with asyncio.timeout(30), opened(path) as ledger:
        await ledger.reserve(reservation(1, hold=7), STARTED_NS)
        ledger.settle(settlement(2, cost=3))
        await fold_up_to(ledger, BEHIND)
    async with opened(path) as ledger:
        assert [2] == [one.calls for one in await totals_by(ledger.history, "key")]
        assert [2] == [one.calls for one in await totals_by(ledger.history, "key")]
        await fold_up_to(ledger, BEHIND)
        report = await ledger.history.usage(UsageQuery(by=("key",)))

    assert [(2, 10)] == [(one.calls, one.cost_nano_usd) for one in report.totals]
