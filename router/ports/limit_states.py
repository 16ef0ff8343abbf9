"""Look at what limits have taken, ours and those that providers told us of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from router.domain.governance.permits import ConcurrencyLimit
from router.domain.governance.rate import RateLimit, Standing
from router.domain.governance.upstream_limits import Left
from router.domain.ids import DeploymentId, ProviderId


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamStanding:
    """What a provider said last of our limits there, carried on to now."""

    deployment: DeploymentId
    credential: str
    """Empty: its provider has only one."""
    provider: ProviderId
    blocked_ns: int
    """For so long its `retry-after` asks to be left alone."""
    left: tuple[Left, ...]


class LimitStates(Protocol):
    """How limits stand now: in memory, so that nothing waits. Looking takes nothing and may be done off the loop."""

    def standing(self, limit: RateLimit) -> Standing: ...

    def in_use(self, limit: ConcurrencyLimit) -> int:
        """Return how many calls are under way under it."""
        ...

    def upstreams(self) -> Sequence[UpstreamStanding]:
        """Return those of the configuration in force of which anything is known, by deployment and credential."""
        ...
