"""Say what happened that an operator may want to be told: a closed set of types, each with its data."""

from enum import StrEnum
from typing import Final, Literal

import msgspec

from router.domain.governance.budget import Budget, Crossed, ScopeKind, Standing, ThresholdAction, Unit
from router.domain.instants import NS_PER_S


class EventType(StrEnum):
    """What can be subscribed to. The names are on the wire."""

    BUDGET_THRESHOLD = "budget.threshold"
    LOOP_BLOCKED = "loop.blocked"
    """Nothing sends it yet: loops have no rule."""


TEST: Final = "webhook.test"
"""The type of an event that somebody asked for to see whether it arrives. Nobody subscribes to it."""


class AccountScope(msgspec.Struct, frozen=True, kw_only=True):
    kind: ScopeKind
    value: str


class BudgetThreshold(msgspec.Struct, frozen=True, kw_only=True):
    """An account reached a threshold. Amounts are in its unit, and nano-USD where that is `usd`."""

    budget: str
    scope: AccountScope
    at_pct: int
    action: ThresholdAction
    unit: Unit
    window: str
    limit: int
    used: int
    """Spent in this window."""
    reserved: int
    """Held by calls that are still open."""
    resets_at: int | None
    """Unix seconds, rounded up; None: never."""


class Tested(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing happened."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    """`evt_` and 32 hexadecimal digits: the same at every try, so that a receiver can tell a repetition."""
    type: EventType | Literal["webhook.test"]
    created: int
    """Unix seconds."""
    data: BudgetThreshold | Tested


def budget_threshold(
    crossed: Crossed, *, token: str, wall_ns: int, budget: Budget, standing: Standing, window: str
) -> Event:
    """Tell of one crossing. `standing` is that of its account just after, `window` the name of the budget's window."""
    resets_at_ns = standing.resets_at_ns
    return Event(
        id=f"evt_{token}",
        type=EventType.BUDGET_THRESHOLD,
        created=wall_ns // NS_PER_S,
        data=BudgetThreshold(
            budget=budget.id,
            scope=AccountScope(kind=budget.scope.kind, value=crossed.value),
            at_pct=crossed.at_pct,
            action=crossed.action,
            unit=budget.unit,
            window=window,
            limit=standing.limit,
            used=standing.used,
            reserved=standing.reserved,
            resets_at=None if resets_at_ns is None else -(-resets_at_ns // NS_PER_S),
        ),
    )


def webhook_test(*, token: str, wall_ns: int) -> Event:
    return Event(id=f"evt_{token}", type=TEST, created=wall_ns // NS_PER_S, data=Tested())
