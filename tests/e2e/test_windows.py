"""Money stays in the window that admitted it, and a new window begins at 0, once, for every kind of account.

The wall clock is the test's. Of each case the moments are written down, and not worked out by the router's own rules:
one call costs half of what it holds, and a window pays for exactly 100 calls at once.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from router.domain.governance.budget import ScopeKind
from tests.support import fake_upstream as fake
from tests.support.fake_upstream import FakeUpstream, Reply, Request
from tests.support.money import USD, callers, model, request_of, worst_case
from tests.support.running import ADMIN, MovableClock, RunningRouter, config_for, running_router
from tests.support.wire import Answer, post, wire

pytestmark = pytest.mark.slow

CROWD = 100
KEY = "sk-test-windows"
INPUT, OUTPUT = 200, 40
HELD = worst_case(INPUT, OUTPUT)
COST = HELD // 2
LIMIT_USD = CROWD * HELD / USD
VALUES = {
    "organization": "acme",
    "team": "acme/research",
    "user": "ann",
    "key": "spender",
    "agent": "crawler",
    "tag": "night",
    "model": "small",
    "workflow": "w1",
}
"""The account of each kind that all calls are booked on."""
LINES = ("x-checkrein-agent: crawler", "x-checkrein-tags: night", "x-checkrein-workflow: w1")
SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A window from `since` to `first`, the one after it to `end`; `admitted` is within the former."""

    window: str
    since: datetime
    admitted: datetime
    first: datetime
    end: datetime
    zone: str = "UTC"


def calendar(window: str, since: str, first: str, end: str, zone: str = "UTC") -> Case:
    moments = [datetime.fromisoformat(moment).replace(tzinfo=UTC) for moment in (since, first, end)]
    return Case(
        window=window, since=moments[0], admitted=moments[1] - SECOND, first=moments[1], end=moments[2], zone=zone
    )


def rolling(days: int, since: str) -> Case:
    """`since` begins one of the 60 parts of the span: what comes in it leaves all at once, a span later."""
    start, span = datetime.fromisoformat(since).replace(tzinfo=UTC), timedelta(days=days)
    return Case(window=f"{days}d", since=start, admitted=start + 10 * SECOND, first=start + span, end=start + 2 * span)


BERLIN = "Europe/Berlin"
CASES = {
    "hour": calendar("hour", "2026-06-15T12:00", "2026-06-15T13:00", "2026-06-15T14:00"),
    "day": calendar("day", "2026-06-15", "2026-06-16", "2026-06-17"),
    "rolling day": rolling(1, "2026-06-15T12:00"),
    "rolling week": rolling(7, "2026-06-18T00:00"),
    "month": calendar("month", "2026-06-01", "2026-07-01", "2026-08-01"),
    "january to february": calendar("month", "2027-01-01", "2027-02-01", "2027-03-01"),
    "leap february": calendar("month", "2028-01-01", "2028-02-01", "2028-03-01"),
    "before the day of 23 hours": calendar("day", "2026-03-27T23:00", "2026-03-28T23:00", "2026-03-29T22:00", BERLIN),
    "after the day of 23 hours": calendar("day", "2026-03-28T23:00", "2026-03-29T22:00", "2026-03-30T22:00", BERLIN),
    "before the day of 25 hours": calendar("day", "2026-10-23T22:00", "2026-10-24T22:00", "2026-10-25T23:00", BERLIN),
    "after the day of 25 hours": calendar("day", "2026-10-24T22:00", "2026-10-25T23:00", "2026-10-26T23:00", BERLIN),
}


def config(upstream: FakeUpstream, case: Case) -> dict[str, object]:
    budget = {"limit_usd": LIMIT_USD, "window": case.window, "timezone": case.zone}
    team = {"name": "research", "budget": budget}
    key = {"name": "spender", "key": KEY, "team": VALUES["team"], "user": VALUES["user"], "budget": budget}
    return config_for(
        upstream,
        models=[model()],
        organizations=[{"name": "acme", "budget": budget, "teams": [team]}],
        users=[{"name": "ann", "budget": budget}],
        keys=[key, {"name": "admin", "key": ADMIN, "permissions": ["admin"]}],
        budgets=[
            {"name": f"each-{kind}", "scope": {kind: "*"}, **budget} for kind in ("workflow", "agent", "tag", "model")
        ],
    )


class Stand:
    """One store, the lives of its router, and the clock that all of them go by."""

    def __init__(self, case: Case, upstream: FakeUpstream, folder: Path) -> None:
        self._config = config(upstream, case)
        self._folder = folder
        self.clock = MovableClock(case.admitted)
        self.go_on = asyncio.Event()
        upstream.handler = self._answer

    def _answer(self, request: Request) -> Reply:
        request.input_billed = INPUT // 2
        return replace(fake.completion(request, OUTPUT // 2), before_head=(self.go_on,))

    @contextlib.asynccontextmanager
    async def router(self) -> AsyncIterator[RunningRouter]:
        async with running_router(self._config, self._folder, clock=self.clock) as router:
            yield router

    def posted(self) -> dict[str, dict[datetime, int]]:
        """What the store has for each kind of account, by the moment at which its window, or part of one, began."""
        found: dict[str, dict[datetime, int]] = {}
        with contextlib.closing(sqlite3.connect(self._folder / "ledger.db")) as store:
            for value, start_ns, amount in store.execute("SELECT value, start_ns, posted FROM balances"):
                kind = next(kind for kind, own in VALUES.items() if own == value)
                found.setdefault(kind, {})[datetime.fromtimestamp(start_ns // 10**9, UTC)] = amount
        return found


CALL = post(*LINES, body=request_of(INPUT, max_completion_tokens=OUTPUT), key=KEY)


async def ask(router: RunningRouter) -> Answer:
    async with wire(router.http_port) as caller:
        await caller.send(CALL)
        return await caller.answer()


async def standings(router: RunningRouter) -> dict[str, tuple[int, int]]:
    """What each kind of account has used and what it holds; an account that nobody has asked for yet is not there."""
    found = await router.accounts()
    accounts = {kind: found[kind, value] for kind, value in VALUES.items() if (kind, value) in found}
    return {kind: (account["used"], account["reserved"]) for kind, account in accounts.items()}


async def ends(router: RunningRouter) -> set[datetime]:
    """When the accounts say that their money is gone."""
    return {datetime.fromtimestamp(one["resets_at_ms"] / 1_000, UTC) for one in (await router.accounts()).values()}


def every(used: int, reserved: int) -> dict[str, tuple[int, int]]:
    return dict.fromkeys(VALUES, (used, reserved))


def test_there_is_an_account_of_every_kind() -> None:
    assert {kind.value for kind in ScopeKind} == VALUES.keys()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_what_a_window_admitted_is_its_own_and_the_next_begins_at_0(case: Case, tmp_path: Path) -> None:
    """T25: 100 calls are under way at the end of a window; later the router is down at the end of another."""
    async with FakeUpstream() as upstream:
        stand = Stand(case, upstream, tmp_path)
        async with stand.router() as router, callers(router.http_port, CROWD) as crowd:
            for caller in crowd:
                await caller.send(CALL)
            await upstream.received(CROWD)
            assert 429 == (await ask(router)).status, "the window is full"
            stand.clock.move_to(case.first - SECOND)
            assert (every(0, CROWD * HELD), {case.first}) == (await standings(router), await ends(router))

            stand.clock.move_to(case.first)
            assert every(0, 0) == await standings(router), "nothing of the old window counts"
            stand.go_on.set()
            assert {200} == {(await caller.answer()).status for caller in crowd}
            assert every(0, 0) == await standings(router), "nor when it is spent"
            assert 200 == (await ask(router)).status
            await router.idle()
            assert every(COST, 0) == await standings(router)
            stand.clock.move_to(case.end - SECOND)
            assert every(COST, 0) == await standings(router), "it is reset once"
        both = {case.since: CROWD * COST, case.first: COST}
        assert dict.fromkeys(VALUES, both) == stand.posted()

        async with stand.router() as router:
            assert (every(COST, 0), {case.end}) == (await standings(router), await ends(router)), (
                "a start resets nothing"
            )
        stand.clock.move_to(case.end)
        async with stand.router() as router:
            assert set((await standings(router)).values()) <= {(0, 0)}, "its end came while nobody was there"
            assert 200 == (await ask(router)).status
            await router.idle()
            assert every(COST, 0) == await standings(router)
        assert {COST} == {found[case.end] for found in stand.posted().values()}
        async with stand.router() as router:
            assert every(COST, 0) == await standings(router), "nor does the next start reset it again"
