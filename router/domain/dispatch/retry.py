"""Decide how often and how soon a failed call is tried again, so that trying never makes an outage worse."""

from dataclasses import dataclass
from typing import Final

from router.domain.instants import NS_PER_MS, NS_PER_S

RESERVE_MAX: Final = 10
"""Further attempts that a model may make at once after a time without any."""
FLOOR_NS: Final = NS_PER_S
"""However few calls a model has, one further attempt is free in each such span."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryTerms:
    """Durations are nanoseconds."""

    attempts_per_deployment: int = 2
    attempts_total: int = 4
    """Of one call, over all deployments and models, those that its caller's SDK made before included."""
    ratio_pct: int = 20
    """Further attempts in percent of calls, over all calls of a model."""
    backoff_base_ns: int = 500 * NS_PER_MS
    backoff_cap_ns: int = 8 * NS_PER_S
    """The longest pause. A provider that asks for a longer one is left alone, and somebody else is asked."""


def backoff_ns(terms: RetryTerms, failures: int, draw: float) -> int:
    """Return the pause after so many failures: anything up to a bound that doubles, so that callers spread.

    "Full jitter" of AWS's Architecture Blog, "Exponential Backoff And Jitter" (2015). `draw` is from [0, 1).
    """
    most = min(terms.backoff_cap_ns, terms.backoff_base_ns << min(failures - 1, 32))
    return int(most * draw)


class RetryBudget:
    """What the calls of one model have saved up for further attempts.

    As Finagle's: each call brings a share of an attempt, a further attempt takes a whole one. So a deployment that
    fails for everybody is asked `ratio_pct` percent more often, and no more.
    """

    __slots__ = ("_floor_at", "_saved_pct")

    def __init__(self) -> None:
        self._saved_pct = RESERVE_MAX * 100
        self._floor_at = 0

    def called(self, ratio_pct: int) -> None:
        """Count a call."""
        saved = self._saved_pct + ratio_pct
        self._saved_pct = saved if saved < RESERVE_MAX * 100 else RESERVE_MAX * 100

    def take(self, now: int) -> bool:
        """Take one further attempt, if there is one. `now`: monotonic."""
        if self._saved_pct >= 100:
            self._saved_pct -= 100
            return True
        if now >= self._floor_at:
            self._floor_at = now + FLOOR_NS
            return True
        return False
