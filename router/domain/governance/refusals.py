"""Say to a caller which limit it met, what of it is used, and when to come back. Pure."""

from typing import Final

from router.domain.faults import Fault, Refusal
from router.domain.governance.budget import Exhausted, Unit
from router.domain.governance.permits import Saturated
from router.domain.governance.rate import CostTooLarge, RateLimited
from router.domain.governance.rate import Unit as RateUnit
from router.domain.instants import NS_PER_MS, NS_PER_S
from router.domain.money import NanoUsd, format_usd

SATURATED_RETRY_MS: Final = 1_000
"""Nobody knows when a call of the caller's ends; this is how often it may look."""


def refuse_exhausted(by: Exhausted, wall_ns: int, status: int) -> Refusal:
    """`status`: the operator's choice for a used-up budget, 429 or 402."""
    details: dict[str, str | int] = {
        "limit": by.budget,
        "scope": by.scope.kind,
        "unit": by.unit,
        "limit_value": by.limit_value,
        "used": by.used,
        "reserved": by.reserved,
        "wanted": by.wanted,
    }
    retry_after_ms = None
    if by.resets_at_ns is not None:
        details["resets_at"] = by.resets_at_ns // NS_PER_S
        retry_after_ms = max(0, by.resets_at_ns - wall_ns) // NS_PER_MS
    left = max(0, by.limit_value - by.used - by.reserved)
    return Refusal(
        fault=Fault.BUDGET_EXHAUSTED,
        message=(
            f"The budget of this {by.scope.kind} has {_amount(left, by.unit)} left, and the call may need "
            f"{_amount(by.wanted, by.unit)}. Ask for less (max_tokens), wait for the budget's next window, or ask its "
            "owner for more."
        ),
        http=status,
        retry_after_ms=retry_after_ms,
        details=details,
    )


def refuse_limited(by: RateLimited, wall_ns: int) -> Refusal:
    return Refusal(
        fault=Fault.RATE_LIMITED,
        message=(
            f"The rate limit of this {by.scope_kind} is reached: of {by.limit_value} {_counted(by.unit)} it has "
            f"{by.remaining} left now. Try again when retry-after says."
        ),
        retry_after_ms=-(-by.retry_after_ns // NS_PER_MS),
        details={
            "limit": by.limit_id,
            "scope": by.scope_kind,
            "limit_value": by.limit_value,
            "remaining": by.remaining,
            # Rounded up: who comes back at this second is not refused again for what is left of it.
            "resets_at": -(-(wall_ns + by.retry_after_ns) // NS_PER_S),
        },
    )


def refuse_saturated(by: Saturated) -> Refusal:
    return Refusal(
        fault=Fault.RATE_LIMITED,
        message=(
            f"This {by.scope_kind} may have {by.limit_value} calls at once, and as many are under way. Wait until one "
            "of them has ended."
        ),
        retry_after_ms=SATURATED_RETRY_MS,
        details={
            "limit": by.limit_id,
            "scope": by.scope_kind,
            "limit_value": by.limit_value,
            "used": by.limit_value,
        },
    )


def refuse_too_large(by: CostTooLarge) -> Refusal:
    return Refusal(
        fault=Fault.INVALID_REQUEST,
        message=(
            f"This request counts {by.cost} {_counted(by.unit)}, and the rate limit of this {by.scope_kind} lets no "
            f"more than {by.cost_max} pass at once: it can never pass. Send a shorter one or lower max_tokens."
        ),
        details={
            "limit": by.limit_id,
            "scope": by.scope_kind,
            "limit_value": by.limit_value,
            "wanted": by.cost,
        },
    )


def _counted(unit: RateUnit) -> str:
    return unit.name.lower().replace("_", " ")


def _amount(amount: int, unit: Unit) -> str:
    return f"${format_usd(NanoUsd(amount))}" if unit is Unit.USD else f"{amount} {unit}"
