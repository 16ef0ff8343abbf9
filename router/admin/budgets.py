"""Show administrators every budget in force and how each of its accounts stands, and a team's its own."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

import msgspec

from router.admin.authority import team_of
from router.admin.storing import require_admin
from router.domain.faults import Fault, refuse
from router.domain.governance.account import AccountKey, AccountState
from router.domain.governance.budget import EACH, BudgetId, ScopeKind
from router.domain.governance.windows import Calendar, Lifetime, Rolling, Window
from router.domain.instants import format_duration
from router.domain.principal import Principal
from router.ports.account_states import AccountStates
from router.ports.clock import Clock
from router.ports.snapshots import Snapshots

PAGE_ACCOUNTS: Final = 100
PAGE_ACCOUNTS_MAX: Final = 1_000
_FIRST: Final[AccountKey] = (BudgetId(""), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPage:
    accounts: tuple[AccountState, ...]
    next: str | None
    """Where the next page goes on; None: this is the last."""


class BudgetAdmin:
    """What every façade offers of budgets. Every method raises `RouterError`."""

    def __init__(self, *, accounts: AccountStates, snapshots: Snapshots, clock: Clock) -> None:
        self._accounts = accounts
        self._snapshots = snapshots
        self._clock = clock

    def list(self, caller: Principal, *, after: str | None = None, limit: int = PAGE_ACCOUNTS) -> AccountPage:
        """Return accounts by budget and value. A limit out of bounds is brought into them.

        A team's administrator is shown those of the team and of its keys.
        """
        sees = self._sight_of(caller)
        limit = min(max(limit, 1), PAGE_ACCOUNTS_MAX)
        place = _FIRST if after is None else _place(after)
        budgets, wall_ns = self._snapshots.current.budgets, self._clock.wall_ns()
        rows: Sequence[AccountState] = ()
        while len(rows) <= limit:
            wanted = limit + 1 if sees is None else PAGE_ACCOUNTS_MAX
            found = self._accounts.account_states(budgets, place, wanted, wall_ns)
            rows = (*rows, *(state for state in found if sees is None or sees(state)))
            if len(found) < wanted:
                break
            place = found[-1].budget.id, found[-1].value
        more = len(rows) > limit
        return AccountPage(accounts=tuple(rows[:limit]), next=_cursor(rows[limit - 1]) if more else None)

    def state_of(self, caller: Principal, budget: str) -> AccountState | None:
        """Return how a budget with one account stands; None where it has one for each value, or is not in force."""
        sees = self._sight_of(caller)
        found = self._snapshots.current.budgets.get(BudgetId(budget))
        if found is None or found.scope.value == EACH:
            return None
        rows = self._accounts.account_states((found.id,), _FIRST, 1, self._clock.wall_ns())
        return next((state for state in rows if sees is None or sees(state)), None)

    def _sight_of(self, caller: Principal) -> Callable[[AccountState], bool] | None:
        """Say which accounts a caller may look at; None: all of them."""
        team = team_of(caller)
        if team is None:
            require_admin(caller, "budgets")
            return None
        people = (entry.principal for entry in self._snapshots.current.keys.values())
        keys = {one.key_id for one in people if f"{one.organization}/{one.team}" == team}

        def sees(state: AccountState) -> bool:
            kind = state.budget.scope.kind
            return (kind is ScopeKind.TEAM and state.value == team) or (kind is ScopeKind.KEY and state.value in keys)

        return sees


def window_name(window: Window) -> str:
    """Write a window as the configuration does: a word with its time zone, or a span."""
    match window:
        case Calendar(unit=unit, zone=zone):
            return f"{unit}@{zone}"
        case Rolling(span_ns=span_ns):
            return format_duration(span_ns)
        case Lifetime():
            return "lifetime"
        case never:
            assert_never(never)


def _cursor(state: AccountState) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode((state.budget.id, state.value))).decode().rstrip("=")


def _place(after: str) -> AccountKey:
    try:
        text = base64.b64decode(after + "=" * (-len(after) % 4), altchars=b"-_", validate=True)
        budget, value = msgspec.json.decode(text, type=tuple[str, str])
    except (binascii.Error, ValueError, RecursionError):
        message = "No page ends there. Send the `next` of the page before."
        raise refuse(Fault.INVALID_REQUEST, message, param="after") from None
    return BudgetId(budget), value
