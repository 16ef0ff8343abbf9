"""Remember what providers say in their replies of our limits there, until the next reply says otherwise.

Every reply is heard once: as it becomes real, or, if it never does, as its call is settled. Nothing is refused for what
is known here; `wait_ns` says what a choice between deployments may go by.
"""

from typing import Final, NamedTuple

from router.domain.catalog import Deployment
from router.domain.governance.rate import Costs
from router.domain.governance.upstream_limits import (
    UNKNOWN,
    UpstreamState,
    merge,
    read_upstream_limits,
    tells_limits,
    wait_ns,
)
from router.domain.ids import DeploymentId
from router.pipeline.attempt import Attempt
from router.ports.clock import Clock

STATES_MAX: Final = 4_096
"""Beyond as many, whoever said nothing for longest is forgotten."""
CREDENTIAL: Final = "default"
"""The name of a credential that has none, being its provider's only one."""


class Payer(NamedTuple):
    """On whose account a provider counts what we ask it for."""

    deployment: DeploymentId
    credential: str


def payer_of(deployment: Deployment) -> Payer:
    return Payer(deployment.id, deployment.credential or CREDENTIAL)


class UpstreamLimitBook:
    """The last word of each provider. Times are the clock's monotonic nanoseconds."""

    __slots__ = ("_clock", "_states")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._states: dict[Payer, UpstreamState] = {}
        """Whoever spoke last is last."""

    def learn(self, attempt: Attempt) -> None:
        """Take what the head of a reply says, if it says anything and has come."""
        flight = attempt.flight
        if flight is None or not tells_limits(headers := flight.headers):
            return
        said = read_upstream_limits(headers, self._clock.wall_ns())
        if said is None:
            return
        payer = payer_of(attempt.deployment)
        self._states[payer] = merge(self._states.pop(payer, UNKNOWN), said, self._clock.monotonic_ns())
        if len(self._states) > STATES_MAX:
            del self._states[next(iter(self._states))]

    def wait_ns(self, deployment: DeploymentId, credential: str, costs: Costs, now: int) -> int:
        """Return how long a call of these costs must wait for its provider; 0 also where nothing is known."""
        state = self._states.get(Payer(deployment, credential))
        return 0 if state is None else wait_ns(state, costs, now)

    def states(self) -> list[tuple[Payer, UpstreamState]]:
        """Return all that is known. May be asked beside the loop: the copy is made in one step."""
        return list(self._states.items())
