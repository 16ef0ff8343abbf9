"""Only administrators look at budgets; pages go through every account once; windows have the configuration's names."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from router.adapters.ledger_memory import MemoryLedger
from router.admin.budgets import PAGE_ACCOUNTS_MAX, BudgetAdmin, window_name
from router.domain.faults import Fault, RouterError
from router.domain.governance.account import AccountKey, AccountState
from router.domain.governance.budget import Budget, BudgetId, Scope, ScopeKind, Unit
from router.domain.governance.windows import Calendar, CalendarUnit, Lifetime, Rolling, Window
from router.domain.ids import Epoch, KeyId
from router.domain.principal import KeyEntry, Permission, Principal
from tests.support.fakes import FakeClock, FixedSnapshots, principal, snapshot
from tests.support.ledger_facts import STARTED_NS, budget

BOSS = Principal(key_id=KeyId("boss"), permissions=frozenset({Permission.ADMIN}))


class Asked:
    """Accounts that are not there; it remembers how many were wanted."""

    def __init__(self) -> None:
        self.limits: list[int] = []

    def account_states(self, of: Iterable[BudgetId], after: AccountKey, limit: int, wall_ns: int) -> list[AccountState]:
        self.limits.append(limit)
        return []


def admin_of(*budgets: Budget, values: Iterable[str] = ()) -> BudgetAdmin:
    ledger = MemoryLedger(Epoch(1))
    ledger.set_budgets(budgets)
    for value in values:
        ledger.standing((budgets[0].id, value), STARTED_NS)
    in_force = replace(snapshot(), budgets={one.id: one for one in budgets})
    return BudgetAdmin(accounts=ledger, snapshots=FixedSnapshots(in_force), clock=FakeClock())


def test_pages_go_through_all_accounts_once() -> None:
    admin = admin_of(budget("agent", 9), budget("key", 9, value="ci"), values=('a"b', "z", "\u00e9/x"))
    seen, after = [], None
    while True:
        page = admin.list(BOSS, after=after, limit=2)
        seen.append([(one.budget.id, one.value) for one in page.accounts])
        if page.next is None:
            break
        after = page.next

    assert [
        [("agent", 'a"b'), ("agent", "z")],
        [("agent", "\u00e9/x"), ("key", "ci")],
    ] == seen


@pytest.mark.parametrize(("limit", "wanted"), [(10**30, PAGE_ACCOUNTS_MAX), (0, 1), (-1, 1), (7, 7)])
def test_a_limit_is_brought_into_its_bounds(limit: int, wanted: int) -> None:
    asked = Asked()
    BudgetAdmin(accounts=asked, snapshots=FixedSnapshots(snapshot()), clock=FakeClock()).list(BOSS, limit=limit)

    assert [wanted + 1] == asked.limits  # one more says whether there is a next page


@pytest.mark.parametrize("after", ["7", "!", "bnVsbA", "WyJhIl0", "é", "_w"])
def test_a_place_that_no_page_named_is_refused(after: str) -> None:
    with pytest.raises(RouterError) as refused:
        admin_of().list(BOSS, after=after)

    assert (Fault.INVALID_REQUEST, "after") == (refused.value.refusal.fault, refused.value.refusal.param)


def test_only_administrators_look() -> None:
    with pytest.raises(RouterError) as refused:
        admin_of().list(principal())

    assert Fault.PERMISSION_DENIED == refused.value.refusal.fault


@pytest.mark.parametrize(
    ("window", "name"),
    [
        (Calendar(unit=CalendarUnit.MONTH, zone=UTC), "month@UTC"),
        (Calendar(unit=CalendarUnit.DAY, zone=ZoneInfo("Europe/Berlin")), "day@Europe/Berlin"),
        (Rolling(span_ns=86_400 * 10**9), "1d"),
        (Lifetime(), "lifetime"),
    ],
)
def test_a_window_has_the_name_that_the_configuration_gives_it(window: Window, name: str) -> None:
    assert name == window_name(window)


def test_a_teams_administrator_sees_the_accounts_of_its_team_and_its_keys() -> None:
    lead = Principal(
        key_id=KeyId("lead"), organization="acme", team="lab", permissions=frozenset({Permission.TEAM_ADMIN})
    )
    ours, theirs = replace(lead, key_id=KeyId("ours")), replace(lead, key_id=KeyId("theirs"), team="other")
    budgets = [
        Budget(id=BudgetId(name), scope=Scope(kind=kind), unit=Unit.USD, limit=9, window=Lifetime())
        for name, kind in (("a", ScopeKind.TEAM), ("b", ScopeKind.KEY), ("c", ScopeKind.ORGANIZATION))
    ]
    ledger = MemoryLedger(Epoch(1))
    ledger.set_budgets(budgets)
    values = {"a": ("acme/lab", "acme/other"), "b": ("ours", "theirs", "lead"), "c": ("acme",)}
    for name, found in values.items():
        for value in found:
            ledger.standing((BudgetId(name), value), STARTED_NS)
    entries = {str(one.key_id).encode(): KeyEntry(sha256=b"", principal=one) for one in (lead, ours, theirs)}
    in_force = replace(snapshot(), budgets={one.id: one for one in budgets}, keys=entries)
    admin = BudgetAdmin(accounts=ledger, snapshots=FixedSnapshots(in_force), clock=FakeClock())
    first = admin.list(lead, limit=2)
    second = admin.list(lead, limit=2, after=first.next)

    assert ["acme/lab", "lead", "ours"] == [one.value for one in (*first.accounts, *second.accounts)]
    assert second.next is None
    assert 6 == len(admin.list(BOSS).accounts)
    with pytest.raises(RouterError):
        admin.list(ours.__class__(key_id=KeyId("x"), permissions=frozenset({Permission.TEAM_ADMIN})))


def test_a_budget_with_one_account_has_a_state_and_others_have_none() -> None:
    admin = admin_of(budget("agent", 9), budget("key", 7, value="ci"), values=("a",))
    state = admin.state_of(BOSS, "key")

    assert (7, "ci") == (state and state.limit, state and state.value)
    assert admin.state_of(BOSS, "agent") is None
    assert admin.state_of(BOSS, "never") is None
    with pytest.raises(RouterError):
        admin.state_of(principal(), "key")
