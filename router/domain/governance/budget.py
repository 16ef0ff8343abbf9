"""Name what a budget is, and what an operation on its money answers. Values only; `accounts` holds the money."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, NewType

from router.domain.governance.windows import Window

BudgetId = NewType("BudgetId", str)

EACH: Final = "*"
"""The value of a scope that has one account for each value it meets, such as each agent."""


class Unit(StrEnum):
    """The names of the members of `Amounts`, in their order."""

    USD = "usd"
    TOKENS = "tokens"
    REQUESTS = "requests"
    SECONDS = "seconds"
    """Whole ones, rounded up."""


class Amounts(NamedTuple):
    """What one call wants or has used, whole and never negative. A tuple, so that an account can pick its column."""

    usd: int = 0
    """nano-USD"""
    tokens: int = 0
    requests: int = 0
    seconds: int = 0

    def plus(self, more: "Amounts") -> "Amounts":
        return Amounts(*map(int.__add__, self, more))

    def beyond(self, held: "Amounts") -> "Amounts":
        """Return by how much each member passes the other's; 0 where it does not."""
        return Amounts(*(max(0, mine - other) for mine, other in zip(self, held, strict=True)))


NOTHING: Final = Amounts()


class ScopeKind(StrEnum):
    """What a budget is for. The order matters: narrowest first, then those that lie across the tree."""

    WORKFLOW = "workflow"
    KEY = "key"
    USER = "user"
    TEAM = "team"
    ORGANIZATION = "organization"
    AGENT = "agent"
    TAG = "tag"
    MODEL = "model"

    @property
    def rank(self) -> int:
        return _RANK[self]


_RANK: Final = {kind: rank for rank, kind in enumerate(ScopeKind)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    kind: ScopeKind
    value: str = EACH


class BudgetMode(StrEnum):
    """How much a call reserves for its output: all that it may become, or its learned quantile with top-ups."""

    STRICT = "strict"
    QUANTILE = "quantile"


class ThresholdAction(StrEnum):
    NOTIFY = "notify"
    SUBSTITUTE = "substitute"
    LOWER_PRIORITY = "lower_priority"
    BLOCK = "block"


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    at_pct: int
    action: ThresholdAction

    @property
    def counts_pending(self) -> bool:
        """A notice counts what is spent, for a hold may come back; the rest count what is held too."""
        return self.action is not ThresholdAction.NOTIFY

    def level(self, limit: int) -> int:
        """Return the least amount that reaches this threshold."""
        return -(-limit * self.at_pct // 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUp:
    """More of a budget until a moment, for one value of its scope or for each."""

    amount: int
    until_ns: int
    value: str = EACH


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A limit on one unit within one window. Another unit, scope or window is another budget, with another id."""

    id: BudgetId
    scope: Scope
    unit: Unit
    limit: int
    window: Window
    thresholds: tuple[Threshold, ...] = ()
    mode: BudgetMode = BudgetMode.QUANTILE
    clamp: bool = False
    """An explicit `max_tokens` that does not fit is lowered instead of refused."""
    observe: bool = False
    """It counts, and tells what it would do; it does nothing to any call."""
    top_ups: tuple[TopUp, ...] = ()

    def __post_init__(self) -> None:
        assert self.limit >= 0, f"budget {self.id!r} has a limit below 0"

    def ceiling(self, limit: int) -> int:
        """Return what may be used of the limit that is in force: all of it, or up to where a threshold blocks."""
        blocks = [one.level(limit) for one in self.thresholds if one.action is ThresholdAction.BLOCK]
        return min([limit, *blocks])

    def reached(self, limit: int, posted: int, pending: int) -> list[Threshold]:
        """List the thresholds that sums reach, of the limit that is in force."""
        return [one for one in self.thresholds if one.level(limit) <= posted + (pending if one.counts_pending else 0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhausted:
    """Why a reservation was refused: the narrowest account that it does not fit in."""

    budget: BudgetId
    scope: Scope
    """With the value of the account."""
    unit: Unit
    limit_value: int
    """What may be used: the limit, or less where a threshold blocks before it."""
    used: int
    """Posted in this window."""
    reserved: int
    """Held by calls that are still open."""
    wanted: int
    resets_at_ns: int | None
    """When the window ends, or, if it rolls, enough of it will have left. None: waiting does not help."""
    held: bool = False
    """The reservation is held all the same: the account, or the call, is only observed."""
    crossed: "tuple[Crossed, ...]" = ()
    """By a reservation that is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossed:
    """An account reached a threshold from below."""

    budget: BudgetId
    value: str
    at_pct: int
    action: ThresholdAction


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How an account stands at a moment, posted and pending together."""

    actions: tuple[ThresholdAction, ...]
    """In force now. Never NOTIFY: a notice is an event, not a state."""
    limit: int
    """Top-ups included."""
    used: int
    """Posted in this window."""
    reserved: int
    """Held by calls that are still open."""
    used_pct: int
    """Of both together, rounded down; 100 of a limit of 0."""
    room: int
    """What a reservation can still get; below 0 after an overrun or a lowered limit."""
    resets_at_ns: int | None
    """When the oldest money leaves; None: never."""
    observed: bool = False
    """Nobody is refused, whatever its room."""


class State(StrEnum):
    """Where a reservation stands. All but the first two are ends."""

    UNKNOWN = "unknown"
    """Never reserved, or forgotten."""
    PENDING = "pending"
    REFUSED = "refused"
    POSTED = "posted"
    VOIDED = "voided"
    EXPIRED = "expired"


class Move(StrEnum):
    """What ends a reservation."""

    POST = "post"
    VOID = "void"
    EXPIRE = "expire"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A reservation ended just now."""

    state: State
    overrun: Amounts = NOTHING
    """By how much more was spent than held."""
    crossed: tuple[Crossed, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """The reservation is not pending; nothing changed."""

    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """No bucket in memory holds the money to correct; nothing changed.

    Drain `touched`, then correct the stored balance of this bucket.
    """

    start_ns: int
