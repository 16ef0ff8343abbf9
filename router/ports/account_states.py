"""Look through the accounts of budgets, page by page."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from router.domain.governance.account import AccountKey, AccountState
from router.domain.governance.budget import BudgetId


class AccountStates(Protocol):
    """How accounts stand now: in memory, so that nothing waits."""

    def account_states(
        self, of: Iterable[BudgetId], after: AccountKey, limit: int, wall_ns: int
    ) -> Sequence[AccountState]:
        """Return at most `limit` accounts of these budgets in the order of their keys, from `after` on."""
        ...
