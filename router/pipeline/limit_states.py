"""Say how the limits of this process stand, and what is left of those at its providers, without taking anything."""

from collections import Counter
from collections.abc import Iterator

from router.domain.governance.permits import ConcurrencyLimit
from router.domain.governance.rate import RateLimit, Standing
from router.domain.governance.upstream_limits import blocked_ns, left
from router.pipeline.admit import Gate
from router.pipeline.upstream_limit_book import UpstreamLimitBook
from router.ports.clock import Clock
from router.ports.limit_states import UpstreamStanding
from router.ports.snapshots import Snapshots


class LiveLimits:
    """The `LimitStates` port over the gate that charges and the book that listens."""

    def __init__(self, *, gate: Gate, book: UpstreamLimitBook, snapshots: Snapshots, clock: Clock) -> None:
        self._gate = gate
        self._book = book
        self._snapshots = snapshots
        self._clock = clock

    def standing(self, limit: RateLimit) -> Standing:
        (standing,) = self._gate.standings((limit,))
        return standing

    def in_use(self, limit: ConcurrencyLimit) -> int:
        return self._gate.permits.in_use(limit.id)

    def upstreams(self) -> list[UpstreamStanding]:
        now = self._clock.monotonic_ns()
        models = self._snapshots.current.models.values()
        providers = {deployment.id: deployment.provider for model in models for deployment in model.deployments}
        return [
            UpstreamStanding(
                deployment=deployment,
                credential=credential,
                provider=providers[deployment],
                blocked_ns=blocked_ns(state, now),
                left=tuple(left(state, now)),
            )
            for (deployment, credential), state in sorted(self._book.states())
            if deployment in providers
        ]

    def remaining(self) -> Iterator[tuple[tuple[str, str], int]]:
        """Yield what is left at each deployment, by unit, of all credentials together. May be asked beside the loop."""
        total: Counter[tuple[str, str]] = Counter()
        for upstream in self.upstreams():
            for one in upstream.left:
                if one.remaining is not None:
                    total[upstream.deployment, one.unit.name.lower()] += one.remaining
        yield from total.items()
