"""Decide how often and how soon a failed call is tried again, so that trying never makes an outage worse."""

from dataclasses import dataclass

from router.domain.instants import NS_PER_MS, NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryTerms:
    """Durations are nanoseconds."""

    attempts_per_deployment: int = 2
    attempts_total: int = 4
    """Of one call, over all deployments and models."""
    ratio_pct: int = 20
    """Further attempts in percent of calls, over all calls of a model."""
    backoff_base_ns: int = 500 * NS_PER_MS
    backoff_cap_ns: int = 8 * NS_PER_S
