"""Know how busy each target is and how soon it answers, from nothing but the calls that went through here.

All of it is one process's own view: calls that others send to the same target show only in how late it answers. Times
are monotonic nanoseconds. What is here forgets by itself, so nothing has to be reset once a target has recovered.
"""

from collections.abc import Collection, Iterable
from math import exp
from typing import Final

from router.domain.catalog import Model, Strategy
from router.domain.ids import TargetId
from router.domain.instants import NS_PER_S

PEAK_DECAY_NS: Final = 10 * NS_PER_S
"""After so long without a slower answer, 1/e of a peak is left."""
FAILURE_NS: Final = 5 * NS_PER_S
"""A failure counts as a first token that took so long: failing at once must not look like being quick."""
DRAIN_NS_MAX: Final = 300 * NS_PER_S
"""How far ahead the queue of a target is believed to reach at most."""

TOKENS_PER_S: Final = 8_000.0
"""Prefill speed that a target is believed to have before it has shown any."""
TOKENS_PER_S_MIN: Final = 50.0
TOKENS_PER_S_MAX: Final = 1_000_000.0
_SPEED_KEPT: Final = 0.95
"""Share of what is known of the speed that outlives the next answer."""
_SPEED_PRIOR_S: Final = 10.0
"""Seconds of prefill that the first belief weighs."""

P95_SAMPLES_MIN: Final = 20
_P95_STEP: Final = 0.1


class TargetLoad:
    """One target. Read by rankings; changed only by the calls it started."""

    __slots__ = (
        "_busy_s",
        "_first_at",
        "_p95_ns",
        "_peak_at",
        "_peak_ns",
        "_queued_tokens",
        "_samples",
        "_tokens",
        "drain_at",
        "outstanding",
        "rate",
        "waiting",
    )

    def __init__(self) -> None:
        self.outstanding = 0
        """Calls that have started and not ended."""
        self.waiting = 0
        """Of them, those without a first token."""
        self.drain_at = 0
        """When the target will have read all prompts it was sent, by our own reckoning."""
        self.rate = TOKENS_PER_S
        """Uncached tokens of prompts that it reads in a second, all calls together."""
        self._queued_tokens = 0
        self._first_at = 0
        self._tokens, self._busy_s = TOKENS_PER_S * _SPEED_PRIOR_S, _SPEED_PRIOR_S
        self._peak_ns, self._peak_at = 0.0, 0
        self._p95_ns, self._samples = 0.0, 0

    def peak_ns(self, now: int) -> float:
        """Return the time to a first token: at once that of a slower answer, 10 s later mostly that of quicker ones.

        It fades while nothing is sent, so that a target which was slow is tried again. 0: nothing is known.
        """
        return self._peak_ns * exp((self._peak_at - now) / PEAK_DECAY_NS) if self._peak_ns else 0.0

    def wait_ns(self, now: int) -> int:
        """Return how long a prompt sent now waits for those before it.

        When the next first token is overdue, it is taken to be as late again: a target that hangs gets no more calls.
        """
        ahead = self.drain_at - now
        if ahead >= 0:
            return ahead
        return min(-ahead, DRAIN_NS_MAX) if self.waiting else 0

    def p95_ns(self) -> int | None:
        """Return what about 95 of 100 first tokens are quicker than; None while too few are known."""
        return int(self._p95_ns) if self._samples >= P95_SAMPLES_MIN else None

    def _started(self, tokens: int, now: int) -> None:
        self.outstanding += 1
        self._asked(tokens, now)

    def _asked(self, tokens: int, now: int) -> None:
        self.waiting += 1
        self._queued_tokens += tokens
        drain_at = self.drain_at
        if now > drain_at:
            drain_at = now
        self.drain_at = drain_at + int(tokens * NS_PER_S / self.rate)
        if self.drain_at > now + DRAIN_NS_MAX:
            self.drain_at = now + DRAIN_NS_MAX

    def _began(self, tokens: int, started: int, now: int) -> None:
        self.waiting -= 1
        self._queued_tokens -= tokens
        # Until the first token before this one, the target was at work on that one.
        busy_ns = now - (started if started > self._first_at else self._first_at)
        self._first_at = now
        if tokens and busy_ns > 0:
            self._tokens = self._tokens * _SPEED_KEPT + tokens
            self._busy_s = self._busy_s * _SPEED_KEPT + busy_ns / NS_PER_S
            self.rate = min(max(self._tokens / self._busy_s, TOKENS_PER_S_MIN), TOKENS_PER_S_MAX)
        self.drain_at = now + int(self._queued_tokens * NS_PER_S / self.rate)
        self._learn(now - started, now)

    def _left(self, tokens: int, now: int) -> None:
        """Forget a prompt that got no answer: what is left to read is at most what the others bring."""
        self.waiting -= 1
        self._queued_tokens -= tokens
        self.drain_at = min(self.drain_at, now + int(self._queued_tokens * NS_PER_S / self.rate))

    def _failed(self, now: int) -> None:
        peak = self.peak_ns(now)
        self._peak_ns, self._peak_at = (peak if peak > FAILURE_NS else FAILURE_NS), now
        self.drain_at = min(max(self.drain_at, now) + FAILURE_NS, now + DRAIN_NS_MAX)

    def _learn(self, took_ns: int, now: int) -> None:
        peak = self._peak_ns
        if took_ns >= peak:
            self._peak_ns = float(took_ns)
        else:
            kept = exp((self._peak_at - now) / PEAK_DECAY_NS)
            self._peak_ns = peak * kept + took_ns * (1.0 - kept)
        self._peak_at = now
        # A step up for each answer above, a nineteenth of it down for each below: at rest where 1 of 20 is above.
        p95 = self._p95_ns
        if took_ns > p95:
            self._p95_ns = p95 * (1.0 + 0.95 * _P95_STEP) if self._samples else float(took_ns)
        else:
            self._p95_ns = p95 * (1.0 - 0.05 * _P95_STEP)
        self._samples += 1


class Started:
    """One call at one target, from its dispatch to its end. Whatever happens, `ended` is called; only once counts."""

    __slots__ = ("_at", "_load", "_tokens", "_waits")

    def __init__(self, load: TargetLoad, tokens: int, now: int) -> None:
        self._load: TargetLoad | None = load
        self._tokens, self._at = tokens, now
        self._waits = True
        load._started(tokens, now)  # noqa: SLF001 - a call is the only one who may change its target's load

    def arriving(self, now: int) -> None:
        """The request is still coming: there is nothing yet that the target could be late with."""
        if self._waits and self._load is not None:
            self._waits = False
            self._load._left(self._tokens, now)  # noqa: SLF001

    def asked(self, now: int) -> None:
        """Now the target has all of a request that was arriving."""
        if not self._waits and self._load is not None:
            self._waits = True
            self._at = now
            self._load._asked(self._tokens, now)  # noqa: SLF001

    def began(self, now: int) -> None:
        """The first token came. Later ones, and those after the end, say nothing."""
        if self._waits and self._load is not None:
            self._waits = False
            self._load._began(self._tokens, self._at, now)  # noqa: SLF001

    def ended(self, now: int, *, failed: bool = False) -> None:
        """The call is over; `failed` if the target is to blame, not when its caller left."""
        load = self._load
        if load is None:
            return
        self._load = None
        load.outstanding -= 1
        if self._waits:
            load._left(self._tokens, now)  # noqa: SLF001
        if failed:
            load._failed(now)  # noqa: SLF001


def watched(models: Iterable[Model]) -> frozenset[TargetId]:
    """Return the targets of which the load decides something: whom to choose, how many at once, whether it is late."""
    return frozenset(
        one.target
        for model in models
        for one in model.deployments
        if one.adaptive or len(model.deployments) > 1 or model.substitutes or model.strategy is not Strategy.WEIGHTED
    )


class Loads(dict[TargetId, TargetLoad]):
    """The load of every target that was asked for: asking makes it known."""

    __slots__ = ()

    def __missing__(self, target: TargetId) -> TargetLoad:
        load = self[target] = TargetLoad()
        return load

    def started(self, target: TargetId, uncached_tokens: int, now: int) -> Started:
        """Count a call that is dispatched now. `uncached_tokens`: what of its prompt the target has yet to read."""
        return Started(self[target], uncached_tokens, now)

    def keep(self, targets: Collection[TargetId]) -> None:
        """Forget all other targets, at a reload: no more are known than are configured or have calls."""
        for target in [each for each, load in self.items() if not load.outstanding and each not in targets]:
            del self[target]
