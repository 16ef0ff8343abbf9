"""Say who a caller is, what its key may do and what it must keep to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final, TypeVar

from router.domain.governance.account import AccountKey
from router.domain.governance.budget import Budget, BudgetId, BudgetMode, ScopeKind, Unit
from router.domain.governance.permits import ConcurrencyLimit
from router.domain.governance.priority import Grant
from router.domain.governance.rate import RateLimit
from router.domain.ids import KeyId, ModelName

_Limit = TypeVar("_Limit", RateLimit, ConcurrencyLimit)


_STANDARD: Final = Grant()
STORED_PREFIX: Final = "sk-"
"""What the secrets of stored keys begin with."""


class Permission(StrEnum):
    INFERENCE = "inference"
    ADMIN = "admin"
    TEAM_ADMIN = "team_admin"
    """Administers the keys of its own team."""


class Mode(StrEnum):
    """Whether what is decided is done, or only put on record."""

    ENFORCE = "enforce"
    OBSERVE = "observe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one key, user, team or organization must keep to."""

    budget: Budget | None = None
    rate_limits: tuple[RateLimit, ...] = ()
    concurrency_limits: tuple[ConcurrencyLimit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A key that was recognised: its grants and the tenants that it spends for."""

    key_id: KeyId
    organization: str | None = None
    team: str | None = None
    user: str | None = None
    models: tuple[str, ...] = ()
    """Shell patterns over model names; `*` grants all."""
    permissions: frozenset[Permission] = frozenset({Permission.INFERENCE})
    accounts: tuple[AccountKey, ...] = ()
    """Of every budget that the key decides on: its own, its user's, its team's, its organization's, narrowest first."""
    rate_limits: tuple[RateLimit, ...] = ()
    """Narrowest first, as `concurrency_limits`: of the key, its user, its team and its organization."""
    concurrency_limits: tuple[ConcurrencyLimit, ...] = ()
    mode: Mode = Mode.ENFORCE
    may_set_attribution: bool = True
    """Its callers may name agent, user and tags."""
    may_substitute: bool = True
    """Stand-in models may serve its calls."""
    priority: Grant = _STANDARD
    """Classes of its calls."""
    budget_mode: BudgetMode = BudgetMode.STRICT
    """Of the narrowest enforced budget in USD among `accounts`, as `clamp`."""
    clamp: bool = False

    def may_use(self, model: ModelName) -> bool:
        return "*" in self.models or model in self.models or any(fnmatchcase(model, one) for one in self.models)

    def for_user(self, user: str, bounds: Bounds, budgets: Mapping[BudgetId, Budget]) -> "Principal":
        """Return this key, which has no user of its own, as it calls for one: it keeps to that user's bounds as well.

        `budgets` are all that are in force.
        """
        accounts = self.accounts
        if bounds.budget is not None:
            accounts = _by_rank([*accounts, (bounds.budget.id, bounds.budget.scope.value)], budgets)
        known = (budgets[id_] for id_, _ in accounts if id_ in budgets)
        in_usd = next((one for one in known if one.unit is Unit.USD and not one.observe), None)
        return replace(
            self,
            user=user,
            accounts=accounts,
            rate_limits=_narrowest_first(self.rate_limits, bounds.rate_limits),
            concurrency_limits=_narrowest_first(self.concurrency_limits, bounds.concurrency_limits),
            budget_mode=in_usd.mode if in_usd else self.budget_mode,
            clamp=in_usd.clamp if in_usd else self.clamp,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEntry:
    """A key as it is stored: only the SHA-256 of its secret, never the secret."""

    sha256: bytes
    principal: Principal
    local_only: bool = False
    """The secret ends in `-local`: it works over loopback only."""
    expires_ns: int | None = None
    revoked: bool = False
    stored: bool = False
    """It was made while the router ran, and can be revoked so."""
    budget: Budget | None = None
    """The key's own, which no tenant that it belongs to knows of."""


def _by_rank(accounts: Iterable[AccountKey], budgets: Mapping[BudgetId, Budget]) -> tuple[AccountKey, ...]:
    """Order accounts narrowest first; one whose budget a reload has removed meanwhile goes before all."""

    def rank(account: AccountKey) -> int:
        budget = budgets.get(account[0])
        return -1 if budget is None else budget.scope.kind.rank

    return tuple(sorted(accounts, key=rank))


def _narrowest_first(mine: tuple[_Limit, ...], more: tuple[_Limit, ...]) -> tuple[_Limit, ...]:
    return tuple(sorted(mine + more, key=lambda limit: ScopeKind(limit.scope_kind).rank))
