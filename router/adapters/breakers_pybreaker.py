"""Hold each breaker's state in a pybreaker, whose listener tells of every change.

pybreaker's own rule is a count of failures in a row on the wall clock; none of its rules is used. Our rules open, half
open and close it, so it is touched on transitions alone: a call costs it nothing.
"""

from collections.abc import Iterable
from typing import Final

from pybreaker import (
    STATE_CLOSED,
    STATE_HALF_OPEN,
    STATE_OPEN,
    CircuitBreaker,
    CircuitBreakerListener,
    CircuitBreakerState,
)

from router.domain.catalog import Deployment
from router.domain.dispatch.breaker import BreakerState
from router.domain.dispatch.breakers import Transition
from router.domain.ids import DeploymentId, TargetId
from router.ports.telemetry import Telemetry

_STATES: Final = {
    STATE_CLOSED: BreakerState.CLOSED,
    STATE_OPEN: BreakerState.OPEN,
    STATE_HALF_OPEN: BreakerState.HALF_OPEN,
}


class _Listener(CircuitBreakerListener):
    """Tell telemetry what became of one target's breaker."""

    def __init__(self, telemetry: Telemetry, target: TargetId, deployment: DeploymentId, credential: str) -> None:
        self._telemetry = telemetry
        self.target = target
        self.deployment = deployment
        self.credential = credential

    def state_change(
        self, _breaker: CircuitBreaker, _old: CircuitBreakerState | None, new: CircuitBreakerState
    ) -> None:
        # The breaker itself still says the old state here: pybreaker stores the new one after it has told.
        self._telemetry.breaker_changed(
            Transition(target=self.target, deployment=self.deployment, credential=self.credential, to=_STATES[new.name])
        )


class PybreakerStates:
    """A `BreakerStates`, bounded by the targets that it was told to keep and those that changed since."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._held: dict[TargetId, tuple[CircuitBreaker, _Listener]] = {}

    def keep(self, deployments: Iterable[Deployment]) -> None:
        held = self._held
        self._held = {
            one.target: held.get(one.target) or self._new(one.target, one.id, one.credential) for one in deployments
        }

    def changed(self, transition: Transition) -> None:
        target = transition.target
        if target not in self._held:
            self._held[target] = self._new(target, transition.deployment, transition.credential)
        breaker, _ = self._held[target]
        match transition.to:
            case BreakerState.OPEN:
                breaker.open()
            case BreakerState.HALF_OPEN:
                breaker.half_open()
            case BreakerState.CLOSED:
                breaker.close()

    def states(self) -> list[tuple[DeploymentId, str, BreakerState]]:
        return [
            (listener.deployment, listener.credential, _STATES[breaker.current_state])
            for breaker, listener in list(self._held.values())
        ]

    def _new(self, target: TargetId, deployment: DeploymentId, credential: str) -> tuple[CircuitBreaker, _Listener]:
        listener = _Listener(self._telemetry, target, deployment, credential)
        return CircuitBreaker(name=target, listeners=[listener]), listener
