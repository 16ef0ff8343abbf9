"""Show administrators what is left alone and why, and let them open, close and reset breakers by hand."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from router.domain.dispatch.breakers import Breakers, TargetState
from router.domain.faults import Fault, refuse
from router.domain.ids import TargetId
from router.domain.principal import Permission, Principal
from router.ports.clock import Clock

_NO_TARGET: Final = "No configured deployment has this target. See GET /admin/v1/breakers for those there are."


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetView:
    """How a target stands, and the wall-clock times (ns) of its monotonic ones. None: not, or not by time."""

    state: TargetState
    opens_until_ns: int | None
    not_before_ns: int | None
    credential_parked_until_ns: int | None


class BreakerAdmin:
    """What every façade offers of breakers. Every method raises `RouterError`."""

    def __init__(self, *, breakers: Breakers, clock: Clock) -> None:
        self._breakers = breakers
        self._clock = clock

    def require_admin(self, caller: Principal) -> None:
        """Refuse whoever may not look at breakers, before anything of a body is read."""
        if Permission.ADMIN not in caller.permissions:
            message = "This key may not look at breakers. Use one with the permission `admin`."
            raise refuse(Fault.PERMISSION_DENIED, message)

    def list(self, caller: Principal) -> tuple[TargetView, ...]:
        """Return how every target stands, by target. Bounded by the configuration."""
        self.require_admin(caller)
        now = self._clock.monotonic_ns()
        ahead_ns = self._clock.wall_ns() - now
        return tuple(_view(state, ahead_ns) for state in self._breakers.states(now))

    def open(self, caller: Principal, target: str) -> TargetView:
        """Let nobody through until it is closed by hand."""
        return self._by_hand(caller, target, self._breakers.open)

    def close(self, caller: Principal, target: str) -> TargetView:
        """Let everybody through again; what its provider asked for, and a parked credential, stay."""
        return self._by_hand(caller, target, self._breakers.close)

    def reset(self, caller: Principal, target: str) -> TargetView:
        """Forget all that is held against a target and its credential."""
        return self._by_hand(caller, target, self._breakers.reset)

    def _by_hand(self, caller: Principal, target: str, change: Callable[[TargetId], bool]) -> TargetView:
        self.require_admin(caller)
        if not change(TargetId(target)):
            raise refuse(Fault.NOT_FOUND, _NO_TARGET, param="target")
        return next(view for view in self.list(caller) if view.state.target == target)


def _view(state: TargetState, ahead_ns: int) -> TargetView:
    def wall(moment_ns: int | None) -> int | None:
        return None if moment_ns is None else moment_ns + ahead_ns

    return TargetView(
        state=state,
        opens_until_ns=wall(state.opens_until_ns),
        not_before_ns=wall(state.not_before_ns),
        credential_parked_until_ns=wall(state.credential_parked_until_ns),
    )
