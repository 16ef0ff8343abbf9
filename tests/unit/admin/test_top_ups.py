"""A top-up says how much, for whom and until when; it is listed, taken back, bounded, and purged after its end."""

import asyncio
import json
from dataclasses import replace

import msgspec
import pytest

from router.admin.top_ups import AMOUNT_MAX, KEPT_NS, ROUTER, SPAN_NS_MAX, USD_MAX, TopUpAdmin, TopUpAsked, TopUpFacts
from router.domain.faults import Fault, RouterError
from router.domain.governance.budget import Budget, BudgetId, Scope, ScopeKind, Unit
from router.domain.governance.windows import Lifetime
from router.domain.ids import KeyId
from router.domain.principal import Permission, Principal
from router.ports.records import AuditFilter, RecordKind
from tests.support.fakes import SECOND, FakeClock, FixedSnapshots, snapshot
from tests.support.keys import change
from tests.support.records import MemoryRecords, PlainRecordRules, record

BOSS = Principal(key_id=KeyId("boss"), permissions=frozenset({Permission.ADMIN}))
USD, CALLS = BudgetId("key/ci/usd/month@UTC"), BudgetId("budget/all/agent=*/requests/1d")
BUDGETS = {
    USD: Budget(id=USD, scope=Scope(kind=ScopeKind.KEY, value="ci"), unit=Unit.USD, limit=1, window=Lifetime()),
    CALLS: Budget(id=CALLS, scope=Scope(kind=ScopeKind.AGENT), unit=Unit.REQUESTS, limit=1, window=Lifetime()),
}


class Desk:
    """The service over fakes."""

    def __init__(self) -> None:
        self.store = MemoryRecords()
        self.clock = FakeClock()
        self.in_force = 0
        self.turn = asyncio.Lock()
        self._drawn = 0
        self.admin = TopUpAdmin(
            store=self.store,
            rules=PlainRecordRules(all=json.dumps({"name": "all", "budget": CALLS})),
            snapshots=FixedSnapshots(replace(snapshot(), budgets=BUDGETS)),
            refresh=self._refresh,
            clock=self.clock,
            draw_bytes=self._draw,
            turn=self.turn,
        )

    async def _refresh(self) -> None:
        assert self.turn.locked()
        self.in_force = self.store._revision

    def _draw(self, count: int) -> bytes:
        self._drawn += 1
        return self._drawn.to_bytes(count, "big")

    async def create(self, handle: str = CALLS, **members: object) -> TopUpFacts:
        return await self.admin.create(BOSS, handle, json.dumps(members).encode())


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def refusal(asked: object) -> tuple[Fault, str | None]:
    with pytest.raises(RouterError) as refused:
        await asked  # type: ignore[misc]  # any of the service's answers
    return refused.value.refusal.fault, refused.value.refusal.param


async def test_a_top_up_is_in_force_and_on_record_before_the_answer(desk: Desk) -> None:
    now_ns = desk.clock.wall_ns()
    made = await desk.create(amount=5, reason="launch", value="ann", **{"for": "2h"})

    assert (CALLS, 5, now_ns + 7_200 * SECOND, "ann", "launch") == msgspec.structs.astuple(made.terms)
    assert (1, False) == (desk.in_force, made.ended)
    (row,) = await desk.store.audit(AuditFilter(), 10)
    assert ("boss", "create", "top_up", made.id) == (row.change.actor, row.change.action, row.kind, row.subject)
    assert 5 == json.loads(row.change.after or "")["amount"]
    assert (made,) == await desk.admin.list(BOSS, CALLS)


@pytest.mark.parametrize(
    ("usd", "amount"), [("0.1", 10**8), (0.1, 10**8), (3, 3 * 10**9), ("0.0000000001", 1), (10**9, 10**18)]
)
async def test_usd_are_kept_exactly_and_a_budget_for_one_is_topped_up_for_it(
    usd: object, amount: int, desk: Desk
) -> None:
    made = await desk.create(USD, amount_usd=usd, until="2027-01-15T09:00:00Z")

    assert (amount, "ci", 1_800_003_600 * SECOND) == (made.terms.amount, made.terms.value, made.terms.until_ns)


async def test_a_budget_is_found_by_its_id_or_its_name(desk: Desk) -> None:
    by_name = await desk.create("all", amount=1, **{"for": "1h"})
    settings = {"name": "mine", "budget": USD}
    mine = msgspec.structs.replace(record("mine", RecordKind.BUDGET), settings_json=json.dumps(settings))
    await desk.store.insert(mine, change())

    assert (CALLS, USD) == (
        by_name.terms.budget,
        (await desk.create("mine", amount_usd=1, **{"for": "1h"})).terms.budget,
    )
    assert 1 == len(await desk.admin.list(BOSS, "all")) == len(await desk.admin.list(BOSS, "mine"))
    for asked in (desk.create("never", amount=1), desk.admin.list(BOSS, "never")):
        assert (Fault.NOT_FOUND, None) == await refusal(asked)


@pytest.mark.parametrize(
    ("handle", "members", "param"),
    [
        (CALLS, {"amount": 0}, "amount"),
        (CALLS, {"amount": -1}, "amount"),
        (CALLS, {"amount": True}, "amount"),
        (CALLS, {"amount": "1"}, "amount"),
        (CALLS, {"amount": 10**16}, "amount"),
        (CALLS, {}, "amount"),
        (CALLS, {"amount_usd": 1}, "amount_usd"),
        (USD, {"amount": 1}, "amount"),
        (USD, {"amount_usd": 0}, "amount_usd"),
        (USD, {"amount_usd": "nan"}, "amount_usd"),
        (USD, {"amount_usd": "Infinity"}, "amount_usd"),
        (USD, {"amount_usd": "lots"}, "amount_usd"),
        (USD, {"amount_usd": 10**10}, "amount_usd"),
        (USD, {"amount_usd": None}, "amount_usd"),
        (USD, {"amount_usd": 1, "value": "other"}, "value"),
        (CALLS, {"amount": 1, "value": ""}, "value"),
        (CALLS, {"amount": 1, "value": 7}, "value"),
        (CALLS, {"amount": 1, "reason": "x" * 501}, "reason"),
        (CALLS, {"amount": 1, "wrong": 1}, "wrong"),
        (CALLS, {"amount": 1, "for": "soon"}, "for"),
        (CALLS, {"amount": 1, "for": "0s"}, "for"),
        (CALLS, {"amount": 1, "for": "367d"}, "for"),
        (CALLS, {"amount": 1, "for": None}, "until"),
        (CALLS, {"amount": 1, "for": None, "until": "2020-01-01T00:00:00Z"}, "until"),
        (CALLS, {"amount": 1, "for": None, "until": "2027-01-31"}, "until"),
        (CALLS, {"amount": 1, "until": "2027-01-31T00:00:00Z"}, "until"),
    ],
)
async def test_what_is_no_top_up_is_refused_with_the_member_that_is_wrong(
    handle: str, members: dict[str, object], param: str, desk: Desk
) -> None:
    said = {"for": "1h", **members}
    asked = desk.create(handle, **{name: value for name, value in said.items() if name != "for" or value is not None})

    assert (Fault.INVALID_REQUEST, param) == await refusal(asked)
    assert {} == desk.store.rows


NOW_NS = FakeClock().wall_ns()


@pytest.mark.parametrize(
    ("handle", "asked", "terms"),
    [
        (CALLS, TopUpAsked(amount=5, span_ns=SECOND), (5, NOW_NS + SECOND, "*", "")),
        (CALLS, TopUpAsked(amount=AMOUNT_MAX, span_ns=SPAN_NS_MAX), (AMOUNT_MAX, NOW_NS + SPAN_NS_MAX, "*", "")),
        (USD, TopUpAsked(amount=1, span_ns=SECOND, value="*"), (1, NOW_NS + SECOND, "ci", "")),
        (USD, TopUpAsked(amount=USD_MAX * 10**9, until_ns=NOW_NS + 1), (10**18, NOW_NS + 1, "ci", "")),
        (
            USD,
            TopUpAsked(amount=1, until_ns=NOW_NS + 1, value="ci", reason="r" * 500),
            (1, NOW_NS + 1, "ci", "r" * 500),
        ),
    ],
)
async def test_a_top_up_that_was_counted_already_is_taken_as_it_is(
    handle: str, asked: TopUpAsked, terms: tuple[object, ...], desk: Desk
) -> None:
    made = (await desk.admin.create(BOSS, handle, asked)).terms

    assert terms == (made.amount, made.until_ns, made.value, made.reason)


@pytest.mark.parametrize(
    ("handle", "asked", "param"),
    [
        (CALLS, TopUpAsked(amount=0, span_ns=SECOND), "amount"),
        (CALLS, TopUpAsked(amount=AMOUNT_MAX + 1, span_ns=SECOND), "amount"),
        (USD, TopUpAsked(amount=-1, span_ns=SECOND), "amount"),
        (USD, TopUpAsked(amount=USD_MAX * 10**9 + 1, span_ns=SECOND), "amount"),
        (CALLS, TopUpAsked(amount=1), "until"),
        (CALLS, TopUpAsked(amount=1, span_ns=SECOND, until_ns=NOW_NS + 1), "until"),
        (CALLS, TopUpAsked(amount=1, until_ns=NOW_NS), "until"),
        (CALLS, TopUpAsked(amount=1, span_ns=0), "lasting"),
        (CALLS, TopUpAsked(amount=1, span_ns=SPAN_NS_MAX + 1), "lasting"),
        (CALLS, TopUpAsked(amount=1, span_ns=SECOND, value=""), "value"),
        (USD, TopUpAsked(amount=1, span_ns=SECOND, value="other"), "value"),
        (USD, TopUpAsked(amount=1, span_ns=SECOND, reason="r" * 501), "reason"),
    ],
)
async def test_a_top_up_that_was_counted_already_keeps_to_the_same_bounds(
    handle: str, asked: TopUpAsked, param: str, desk: Desk
) -> None:
    assert (Fault.INVALID_REQUEST, param) == await refusal(desk.admin.create(BOSS, handle, asked))
    assert {} == desk.store.rows


async def test_a_top_up_is_taken_back_by_its_budget_and_id(desk: Desk) -> None:
    made = await desk.create(amount=5, **{"for": "2h"})
    assert (Fault.NOT_FOUND, None) == await refusal(desk.admin.delete(BOSS, USD, made.id))
    await desk.admin.delete(BOSS, CALLS, made.id)

    assert () == await desk.admin.list(BOSS, CALLS)
    assert 2 == desk.in_force
    assert (Fault.NOT_FOUND, None) == await refusal(desk.admin.delete(BOSS, CALLS, made.id))
    assert ["delete", "create"] == [row.change.action for row in await desk.store.audit(AuditFilter(), 10)]


async def test_what_ended_is_shown_as_such_for_a_while_and_then_purged(desk: Desk) -> None:
    first = await desk.create(amount=5, **{"for": "1h"})
    desk.clock.pass_ns(3_600 * SECOND)
    assert [True] == [one.ended for one in await desk.admin.list(BOSS, CALLS)]
    desk.clock.pass_ns(KEPT_NS - 1)
    await desk.admin.purge()
    assert 1 == len(desk.store.rows)

    desk.clock.pass_ns(1)
    second = await desk.create(amount=5, **{"for": "1h"})
    assert [second.id] == [name for _, name in desk.store.rows]
    rows = await desk.store.audit(AuditFilter(subject=first.id), 10)
    assert [(ROUTER, "purge"), ("boss", "create")] == [(row.change.actor, row.change.action) for row in rows]
    desk.clock.pass_ns(3_600 * SECOND + KEPT_NS)
    await desk.admin.purge()
    assert {} == desk.store.rows


async def test_top_ups_of_one_budget_are_bounded_and_ended_ones_make_room(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.admin.top_ups.TOP_UPS_MAX", 1)
    await desk.create(amount=5, **{"for": "1h"})
    await desk.create(USD, amount_usd=5, **{"for": "1h"})
    assert Fault.CONFLICT is (await refusal(desk.create(amount=5, **{"for": "1h"})))[0]
    desk.clock.pass_ns(3_600 * SECOND)

    await desk.create(amount=5, **{"for": "1h"})


async def test_only_administrators_get_anything(desk: Desk) -> None:
    for permissions in (frozenset({Permission.INFERENCE}), frozenset({Permission.TEAM_ADMIN})):
        caller = Principal(key_id=KeyId("user"), permissions=permissions)
        for asked in (
            desk.admin.list(caller, CALLS),
            desk.admin.create(caller, CALLS, b"{"),
            desk.admin.delete(caller, CALLS, "x"),
        ):
            assert Fault.PERMISSION_DENIED is (await refusal(asked))[0]


async def test_a_store_out_of_reach_refuses_changes_and_stops_no_start(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.store.broken = True
    assert Fault.OVERLOADED is (await refusal(desk.create(amount=5, **{"for": "1h"})))[0]
    await desk.admin.purge()

    assert "stay in the store" in caplog.text
    assert not desk.turn.locked()


async def test_a_top_up_that_somebody_broke_is_passed_over(desk: Desk) -> None:
    broken = msgspec.structs.replace(record("x", RecordKind.TOP_UP), settings_json="nonsense")
    desk.store.rows[RecordKind.TOP_UP, "x"] = broken

    assert () == await desk.admin.list(BOSS, CALLS)
