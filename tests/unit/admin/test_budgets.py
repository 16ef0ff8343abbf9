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
from router.domain.governance.budget import Budget, BudgetId
from router.domain.governance.windows import Calendar, CalendarUnit, Lifetime, Rolling, Window
from router.domain.ids import Epoch, KeyId
from router.domain.principal import Permission, Principal
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
