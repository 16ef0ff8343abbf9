"""Decide whether a call may start beside those under way, and keep what place each of them takes."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyLimit:
    """So many calls at once. Counted under `id`."""

    id: str
    scope_kind: str
    scope_value: str
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Saturated:
    """As many calls as may be are under way. The first limit, in the order given, that is full."""

    limit_id: str
    scope_kind: str
    limit_value: int


class Permits:
    """How many calls are under way under each concurrency limit; a limit that holds none is forgotten."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[str, int] = {}

    def acquire(self, limits: Sequence[ConcurrencyLimit]) -> "Permit | Saturated":
        """Take one of every limit, or of none and say why."""
        held = self._held
        for taken, limit in enumerate(limits):
            count = held.get(limit.id, 0)
            if count >= limit.limit:
                Permit(held, limits[:taken]).release()
                return Saturated(limit_id=limit.id, scope_kind=limit.scope_kind, limit_value=limit.limit)
            held[limit.id] = count + 1
        return Permit(held, limits)

    def in_use(self, limit_id: str) -> int:
        return self._held.get(limit_id, 0)

    def gauges(self) -> dict[str, int]:
        return dict(self._held)


class Permit:
    """One call's place under its limits; a second release does nothing."""

    __slots__ = ("_held", "_limits")

    def __init__(self, held: dict[str, int], limits: Sequence[ConcurrencyLimit]) -> None:
        self._held = held
        self._limits = limits

    def release(self) -> None:
        limits, self._limits = self._limits, ()
        held = self._held
        for limit in limits:
            left = held[limit.id] - 1
            if left:
                held[limit.id] = left
            else:
                del held[limit.id]
