"""Keep the state of every breaker where operators and others can see it, and tell them of each change."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from router.domain.catalog import Deployment
from router.domain.dispatch.breaker import BreakerState
from router.domain.dispatch.breakers import Transition
from router.domain.ids import DeploymentId


class BreakerStates(Protocol):
    """The rules are `Breakers`'; this holds what they decided, and is touched only when it changes."""

    def keep(self, deployments: Iterable[Deployment]) -> None:
        """Hold a state for each of these targets, closed unless it was known; forget all others."""
        ...

    def changed(self, transition: Transition) -> None:
        """Take a new state, and tell who listens. Never raises, never waits."""
        ...

    def states(self) -> Sequence[tuple[DeploymentId, str, BreakerState]]:
        """Return deployment, credential and state of every target. May be called from another thread."""
        ...
