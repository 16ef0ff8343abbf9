"""Balances are the sums of what is on record, bit for bit, whatever failed, was killed or was closed on the way."""

import asyncio
import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from router.adapters import ledger_sqlite
from router.adapters.ledger_sqlite import SqliteLedger
from router.adapters.sql.sqlite_commit import Group, commit_group
from router.domain.governance.budget import NOTHING, Amounts, Exhausted, ScopeKind, Unit
from router.domain.governance.windows import Lifetime
from router.domain.ids import CallId
from router.ports.ledger import LedgerUnavailable
from tests.support.ledger_facts import STARTED_NS, budget, reservation, settlement
from tests.support.sqlite_ledger import opened, writer_held

DAY_NS: Final = 86_400 * 10**9
BUDGETS: Final = (
    budget("key", 300),
    budget("team", 400, kind=ScopeKind.TEAM, value="acme", window=Lifetime()),
    budget("agent", 2_000, kind=ScopeKind.AGENT, unit=Unit.TOKENS),
)
PATHS: Final[tuple[tuple[tuple[str, str], ...], ...]] = (
    (),
    (("key", "a"), ("team", "acme")),
    (("key", "Zoë"), ("team", "acme"), ("agent", "x")),
    (("key", "a"), ("key", "a"), ("agent", "y")),  # as two values that share `other`
)

Place = tuple[str, str, int]
"""Budget, value, start of the bucket."""


@dataclass(frozen=True, slots=True)
class Reserve:
    path: int
    usd: int
    tokens: int
    observed: bool
    days: int


@dataclass(frozen=True, slots=True)
class Extend:
    pick: int
    usd: int


@dataclass(frozen=True, slots=True)
class Settle:
    pick: int
    spent: Amounts
    writable: bool


@dataclass(frozen=True, slots=True)
class Fail:
    """The next commits fail, before they did anything or after they did everything."""

    times: int
    late: bool


@dataclass(frozen=True, slots=True)
class Commit:
    pass


@dataclass(frozen=True, slots=True)
class Restart:
    killed: bool


Step = Reserve | Extend | Settle | Fail | Commit | Restart

PICKS: Final = st.integers(0, 5)
AMOUNTS: Final = st.builds(Amounts, st.integers(0, 90), st.integers(0, 500), st.just(1), st.just(0))
RESERVE: Final = st.builds(
    Reserve, st.integers(0, 3), st.integers(0, 90), st.integers(0, 500), st.booleans(), st.sampled_from([0, 0, 0, 1])
)
SETTLE: Final = st.builds(Settle, PICKS, AMOUNTS | st.just(NOTHING), st.sampled_from([True, True, True, False]))
STEPS: Final = st.lists(
    st.one_of(
        RESERVE,
        RESERVE,
        st.builds(Extend, PICKS, st.integers(0, 40)),
        SETTLE,
        SETTLE,
        st.builds(Fail, st.integers(1, 3), st.booleans()),
        st.just(Commit()),
        st.builds(Restart, st.booleans()),
    ),
    min_size=5,
    max_size=40,
)


@dataclass(slots=True)
class Entry:
    places: list[Place]
    held: Amounts
    spent: Amounts | None = None


@dataclass(slots=True)
class History:
    """What was promised, and the failures that are still to come."""

    entries: dict[int, Entry] = field(default_factory=dict)
    last: int = 0
    wall_ns: int = STARTED_NS
    failures: list[bool] = field(default_factory=list)

    def open_at(self, pick: int) -> int | None:
        pending = [number for number, entry in self.entries.items() if entry.spent is None]
        return pending[pick % len(pending)] if pending else None

    def sums(self, *, pending: bool) -> Counter[Place]:
        found: Counter[Place] = Counter()
        for entry in self.entries.values():
            if (entry.spent is None) is pending:
                add(found, entry.places, entry.held if entry.spent is None else entry.spent)
        return +found

    def commit(self, connection: sqlite3.Connection, group: Group) -> Sequence[CallId]:
        late = self.failures.pop() if self.failures else None
        if late is False:
            raise sqlite3.OperationalError("disk I/O error")
        rejected = commit_group(connection, group)
        if late:
            raise sqlite3.OperationalError("disk I/O error")
        return rejected


UNITS: Final = {one.id: list(Unit).index(one.unit) for one in BUDGETS}


def add(sums: Counter[Place], places: Sequence[Place], amounts: Amounts) -> None:
    for place in places:
        sums[place] += amounts[UNITS[place[0]]]  # type: ignore[index]  # an id is a text


def place(account: tuple[str, str], wall_ns: int) -> Place:
    return (*account, 0 if account[0] == "team" else wall_ns - wall_ns % DAY_NS)


def stored(path: Path) -> tuple[Counter[Place], Counter[Place], Counter[Place]]:
    """Return the balances, what all settled calls spent, and what open ones hold, as anybody reads them in SQL."""
    posted: Counter[Place] = Counter()
    held: Counter[Place] = Counter()
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT budget, value, start_ns, posted FROM balances").fetchall()
        balances = Counter({(name, value, start_ns): amount for name, value, start_ns, amount in rows})
        for sums, statement in (
            (posted, "SELECT booked, spent FROM calls WHERE booked IS NOT NULL"),
            (held, "SELECT booked, held FROM open_calls WHERE booked IS NOT NULL"),
        ):
            for booked, amounts in connection.execute(statement):
                for name, value, start_ns, member in json.loads(booked):
                    sums[name, value, start_ns] += json.loads(amounts)[member]
    return +balances, +posted, +held


def in_memory(ledger: SqliteLedger) -> tuple[Counter[Place], Counter[Place]]:
    posted: Counter[Place] = Counter()
    held: Counter[Place] = Counter()
    for terms in ledger._accounts._terms.values():
        for account in terms.accounts.values():
            for start_ns, bucket in account.buckets.items():
                posted[(*account.key, start_ns)] = bucket.posted
                held[(*account.key, start_ns)] = bucket.pending
    return +posted, +held


async def take(ledger: SqliteLedger, step: Step, history: History, path: Path) -> None:
    match step:
        case Reserve():
            history.last += 1
            history.wall_ns += step.days * DAY_NS
            accounts, amounts = PATHS[step.path], Amounts(usd=step.usd, tokens=step.tokens)
            wanted = reservation(history.last, path=accounts, amounts=amounts, observed=step.observed)
            answer = await ledger.reserve(wanted, history.wall_ns)
            if step.observed or not isinstance(answer, Exhausted):
                places = [place(account, history.wall_ns) for account in accounts]
                history.entries[history.last] = Entry(places, amounts)
        case Extend():
            number = history.open_at(step.pick)
            if number is not None:
                more = Amounts(usd=step.usd)
                if isinstance(ledger.extend(CallId(number), more, history.wall_ns), tuple):
                    history.entries[number].held = history.entries[number].held.plus(more)
        case Settle():
            number = history.open_at(step.pick)
            if number is not None:
                named = f"req-{number}" if step.writable else "\ud800"
                ledger.settle(settlement(number, spent=step.spent, request_id=named))
                if step.writable:
                    history.entries[number].spent = step.spent
        case Fail():
            history.failures += [step.late] * step.times
        case Commit():
            with suppress(LedgerUnavailable):
                await ledger._catch_up()
                balances, posted, held = stored(path)
                assert history.sums(pending=False) == balances == posted
                assert history.sums(pending=True) == held
        case Restart():
            raise AssertionError("is for others")
    known, pending = in_memory(ledger)
    assert history.sums(pending=True) == pending
    assert known == Counter({one: history.sums(pending=False)[one] for one in known})


async def copied(ledger: SqliteLedger, path: Path, target: Path) -> Path:
    """Take the files as `kill -9` would leave them now: no commit is under way, and none comes to an end."""
    target.mkdir()  # noqa: ASYNC240 - nothing else runs here
    async with writer_held(ledger):
        for name in (path.name, path.name + "-wal", path.name + ".journal"):
            shutil.copy(path.with_name(name), target / name)
    return target / path.name


async def live(folder: Path, steps: Sequence[Step], history: History) -> None:
    path = folder / "calls.db"
    left = [*steps, Restart(killed=True), Restart(killed=False), Restart(killed=False)]
    while left:
        next_path = path
        async with opened(path) as ledger:
            ledger.set_budgets(BUDGETS)
            while not isinstance(step := left.pop(0), Restart):
                await take(ledger, step, history, path)
            if step.killed:
                next_path = await copied(ledger, path, folder / str(len(left)))
            history.failures.clear()
        path = next_path
        async with opened(path):
            pass
        for entry in history.entries.values():
            entry.spent = entry.held if entry.spent is None else entry.spent
        balances, posted, held = stored(path)
        assert history.sums(pending=False) == balances == posted
        assert not held


@given(steps=STEPS)
@settings(
    derandomize=True,
    max_examples=60,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@pytest.mark.slow
def test_balances_are_the_sums_of_the_calls_whatever_happens(steps: list[Step]) -> None:
    history = History()
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_sqlite, "commit_group", history.commit)
        patch.setattr(ledger_sqlite, "BACKOFF_S_MIN", 0.0001)
        asyncio.run(live(Path(folder), steps, history))
