"""Decide when a deployment is left alone, for how long, and what brings it back."""

from dataclasses import dataclass

from router.domain.instants import NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerTerms:
    """When a breaker opens and closes. Durations are nanoseconds, shares from 0 to 1."""

    window_ns: int = 30 * NS_PER_S
    min_calls: int = 10
    """With fewer calls in the window, shares say nothing."""
    failure_rate: float = 0.5
    consecutive_failures: int = 5
    open_ns: int = 15 * NS_PER_S
    """How long it stays open at first; doubled each time it opens again before it has closed."""
    open_max_ns: int = 300 * NS_PER_S
    probes: int = 1
    """Calls that may try it at the same time while it is half open."""
