"""Find how many calls a target takes at once from its refusals and its slow first tokens: `concurrency.limit: auto`.

The limit starts high, so that it costs nothing until a target objects. A refusal (429, 529) cuts it by a fifth, once
for all calls that were on their way together (AIMD). A first token that grows slow cuts it by how much slower it is
than it used to be (Netflix's Gradient2): of what it should have taken for its prompt, as a long prompt is no sign of
load, and never of the whole reply, whose length says even less. Good answers raise it by one for each limit's worth.
"""

from typing import Final

from router.domain.catalog import Deployment
from router.domain.instants import NS_PER_S
from router.domain.planning.load import TargetLoad

LIMIT_START: Final = 1_000.0
LIMIT_MIN: Final = 1.0
LIMIT_MAX: Final = 1_000.0
SLOW_MIN: Final = 20.0
"""Slowness never cuts below this: so few calls are not what makes a target slow."""
REFUSAL_CUT: Final = 0.8

BASE_NS: Final = NS_PER_S // 5
"""What any first token may take."""
TOKEN_NS: Final = NS_PER_S // 8_000
"""What each uncached token of its prompt may take."""

TOLERANCE: Final = 1.5
"""How many times slower than it used to be is still as it used to be."""
CUT_MAX: Final = 0.5
SMOOTHING: Final = 0.2
"""Share of a slow answer's cut that is made at once."""
_SHORT: Final = 0.1
_LONG: Final = 1 / 600
_LONG_TOO_HIGH: Final = 2.0
_LONG_DECAY: Final = 0.95


def own_limit_of(deployment: Deployment) -> int | None:
    """Return how many calls at once its operator lets a deployment have; None: it was not said."""
    return min([one.limit for one in deployment.concurrency_limits if not one.observe], default=None)


class AdaptiveLimit:
    """One target's limit. Times are monotonic nanoseconds."""

    __slots__ = ("_cut_at", "_limit", "_long", "_max", "_samples", "_short")

    def __init__(self, limit_max: int | None = None) -> None:
        """`limit_max`: the operator's own limit, which always wins."""
        self._limit = LIMIT_START
        self.keep_to(limit_max)
        self._short = self._long = 0.0
        self._samples = 0
        self._cut_at: int | None = None

    @property
    def limit(self) -> int:
        """Calls at once, from 1."""
        return int(self._limit)

    def keep_to(self, limit_max: int | None) -> None:
        """Take over the operator's limit; what is learned stays, as far as it is within."""
        self._max = LIMIT_MAX if limit_max is None else max(min(float(limit_max), LIMIT_MAX), LIMIT_MIN)
        self._limit = min(self._limit, self._max)

    def refused(self, started: int, now: int) -> None:
        """The target had too many calls. Those sent before the last cut say nothing about the limit since."""
        if self._cut_at is None or started >= self._cut_at:
            self._cut(self._limit * REFUSAL_CUT, LIMIT_MIN, now)

    def answered(self, started: int, uncached_tokens: int, in_flight: int, now: int) -> None:
        """A first token came, while so many calls were under way with it."""
        slowness = (now - started) / (BASE_NS + TOKEN_NS * uncached_tokens)
        self._samples += 1
        self._short += (slowness - self._short) * max(_SHORT, 1 / self._samples)
        self._long += (slowness - self._long) * max(_LONG, 1 / self._samples)
        if self._long > _LONG_TOO_HIGH * self._short:
            self._long *= _LONG_DECAY  # an old crowd must not excuse a new one
        gradient = TOLERANCE * self._long / self._short if self._short > 0 else 1.0
        if gradient < 1.0:
            if self._cut_at is None or started >= self._cut_at:
                # From what is felt: a limit far above the calls under way would need many cuts to count.
                felt = min(self._limit, max(2.0 * in_flight, SLOW_MIN))
                self._cut(felt * (1.0 - SMOOTHING * (1.0 - max(gradient, CUT_MAX))), min(SLOW_MIN, self._limit), now)
        elif in_flight * 2 >= self._limit:  # a limit that is not felt has proven nothing
            self._limit = min(self._limit + 1.0 / self._limit, self._max)

    def _cut(self, to: float, lowest: float, now: int) -> None:
        self._limit = max(to, lowest)
        self._cut_at = now


class Felt:
    """One call at a target, from which the target's limit learns."""

    __slots__ = ("_limit", "_load", "_started", "_tokens")

    def __init__(self, limit: AdaptiveLimit, load: TargetLoad, uncached_tokens: int, started: int) -> None:
        self._limit = limit
        self._load = load
        self._tokens = uncached_tokens
        self._started = started

    def asked(self, now: int) -> None:
        """Only now the target has all of the request."""
        self._started = now

    def began(self, now: int) -> None:
        self._limit.answered(self._started, self._tokens, self._load.outstanding, now)

    def refused(self, now: int) -> None:
        self._limit.refused(self._started, now)
