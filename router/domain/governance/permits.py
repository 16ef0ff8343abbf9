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
    observe: bool = False
    """It counts and tells, and refuses nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saturated:
    """As many calls as may be are under way. The first limit, in the order given, that is full."""

    limit_id: str
    scope_kind: str
    limit_value: int
    observed: bool = False
    """The limit is only observed: the call has a place under all that are enforced."""


class Permits:
    """How many calls are under way under each concurrency limit; a limit that holds none is forgotten."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[str, int] = {}

    def acquire(self, limits: Sequence[ConcurrencyLimit]) -> "Permit | Saturated":
        """Take one of every limit, or of none and say why.

        Where an observed limit is full, no place of an observed one is taken, as none would be by a call that is
        refused: the permit is of those that are enforced, and says so.
        """
        held = self._held
        for taken, limit in enumerate(limits):
            count = held.get(limit.id, 0)
            if count >= limit.limit:
                Permit(held, limits[:taken]).release()
                full = Saturated(
                    limit_id=limit.id, scope_kind=limit.scope_kind, limit_value=limit.limit, observed=limit.observe
                )
                if not limit.observe:
                    return full
                permit = self.acquire([one for one in limits if not one.observe])
                if isinstance(permit, Permit):
                    permit.passed = full
                return permit
            held[limit.id] = count + 1
        return Permit(held, limits)

    def in_use(self, limit_id: str) -> int:
        return self._held.get(limit_id, 0)

    def gauges(self) -> dict[str, int]:
        return dict(self._held)


class Permit:
    """One call's place under its limits; a second release does nothing."""

    __slots__ = ("_held", "_limits", "passed")

    def __init__(self, held: dict[str, int], limits: Sequence[ConcurrencyLimit]) -> None:
        self._held = held
        self._limits = limits
        self.passed: Saturated | None = None
        """The limit that would have refused it, had it not only been observed."""

    def release(self) -> None:
        limits, self._limits = self._limits, ()
        held = self._held
        for limit in limits:
            left = held[limit.id] - 1
            if left:
                held[limit.id] = left
            else:
                del held[limit.id]
