"""Remember what providers say in their replies of our limits there, until the next reply says otherwise.

Every reply is heard once: as it becomes real, or, if it never does, as its call is settled. What was sent since then
counts as taken. Nothing is refused for what is known here; `wait_ns` says what a choice between deployments goes by.
"""

from operator import add
from typing import Final, NamedTuple

from router.domain.catalog import Deployment
from router.domain.governance.rate import NOTHING, Costs
from router.domain.governance.upstream_limits import (
    UNKNOWN,
    UpstreamState,
    merge,
    read_upstream_limits,
    tells_limits,
    wait_ns,
)
from router.domain.ids import DeploymentId
from router.domain.instants import NS_PER_S
from router.pipeline.attempt import Attempt
from router.ports.clock import Clock

STATES_MAX: Final = 4_096
"""Beyond as many, whoever said nothing for longest is forgotten."""
BELIEVED_NS: Final = 300 * NS_PER_S
"""A provider that says it is full is asked again after so long, also where it named a longer time: limits are raised,
and a word that nobody checks would hold for ever where another deployment has room."""


class Payer(NamedTuple):
    """On whose account a provider counts what we ask it for."""

    deployment: DeploymentId
    credential: str
    """Empty: its provider has only one."""


def payer_of(deployment: Deployment) -> Payer:
    return Payer(deployment.id, deployment.credential)


class UpstreamLimitBook:
    """The last word of each provider. Times are the clock's monotonic nanoseconds."""

    __slots__ = ("_clock", "_states", "_taken")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._states: dict[Payer, UpstreamState] = {}
        """Whoever spoke last is last."""
        self._taken: dict[Payer, Costs] = {}
        """By calls that were sent there since, of those that are known."""

    @property
    def is_empty(self) -> bool:
        """No provider has said anything."""
        return not self._states

    def learn(self, attempt: Attempt) -> None:
        """Take what the head of a reply says, if it says anything and has come."""
        flight = attempt.flight
        if flight is None or not tells_limits(headers := flight.headers):
            return
        said = read_upstream_limits(headers, self._clock.wall_ns())
        if said is None:
            return
        payer = payer_of(attempt.deployment)
        self._taken.pop(payer, None)
        self._states[payer] = merge(self._states.pop(payer, UNKNOWN), said, self._clock.monotonic_ns())
        if len(self._states) > STATES_MAX:
            silent = next(iter(self._states))
            del self._states[silent]
            self._taken.pop(silent, None)

    def knows(self, payer: Payer) -> bool:
        return payer in self._states

    def sent(self, payer: Payer, costs: Costs) -> None:
        """Count a call that is dispatched now, until the provider speaks again."""
        if payer in self._states:
            self._taken[payer] = _sum(self._taken.get(payer, NOTHING), costs)

    def wait_ns(self, payer: Payer, costs: Costs, now: int) -> int:
        """Return how long a call of these costs must wait for its provider; 0 also where nothing is known.

        What a `retry-after` asks for is the breakers' to keep: the refusal that brings it parks the deployment.
        """
        state = self._states.get(payer)
        if state is None:
            return 0
        taken = self._taken.get(payer)
        costs = costs if taken is None else _sum(taken, costs)
        return wait_ns(state._replace(blocked_until=None), costs, now, believed_ns=BELIEVED_NS)

    def states(self) -> list[tuple[Payer, UpstreamState]]:
        """Return all that is known. May be asked beside the loop: the copy is made in one step."""
        return list(self._states.items())


def _sum(one: Costs, other: Costs) -> Costs:
    return Costs(*map(add, one, other))
