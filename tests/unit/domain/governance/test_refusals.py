"""A refusal names its limit, what of it is used, and when to come back."""

from router.domain.faults import Fault
from router.domain.governance.budget import BudgetId, Exhausted, Scope, ScopeKind
from router.domain.governance.budget import Unit as BudgetUnit
from router.domain.governance.permits import Saturated
from router.domain.governance.rate import CostTooLarge, RateLimited, Unit
from router.domain.governance.refusals import refuse_exhausted, refuse_limited, refuse_saturated, refuse_too_large

NOW = 1_800_000_000_000_000_000


def exhausted(*, unit: BudgetUnit = BudgetUnit.USD, resets_at_ns: int | None = NOW + 90_500_000_000) -> Exhausted:
    return Exhausted(
        budget=BudgetId("team/acme/platform/usd/day@UTC"),
        scope=Scope(kind=ScopeKind.TEAM, value="acme/platform"),
        unit=unit,
        limit_value=1_000_000_000,
        used=700_000_000,
        reserved=250_000_000,
        wanted=100_000_000,
        resets_at_ns=resets_at_ns,
    )


def test_a_used_up_budget_says_what_is_left_and_when_more_comes() -> None:
    refusal = refuse_exhausted(exhausted(), NOW, 402)

    assert (Fault.BUDGET_EXHAUSTED, 402, 90_500) == (refusal.fault, refusal.status, refusal.retry_after_ms)
    assert {
        "limit": "team/acme/platform/usd/day@UTC",
        "scope": "team",
        "unit": "usd",
        "limit_value": 1_000_000_000,
        "used": 700_000_000,
        "reserved": 250_000_000,
        "wanted": 100_000_000,
        "resets_at": 1_800_000_090,
    } == refusal.details
    assert "has $0.05 left, and the call may need $0.10" in refusal.message


def test_a_budget_that_never_resets_names_no_moment() -> None:
    refusal = refuse_exhausted(exhausted(unit=BudgetUnit.TOKENS, resets_at_ns=None), NOW, 429)

    assert refusal.retry_after_ms is None
    assert "resets_at" not in (refusal.details or {})
    assert "50000000 tokens left" in refusal.message


def test_a_rate_says_when_to_come_back_rounded_up() -> None:
    limited = RateLimited(
        limit_id="team/acme/ml/input_tpm",
        scope_kind="team",
        unit=Unit.INPUT_TOKENS,
        limit_value=2,
        remaining=0,
        retry_after_ns=1_000_001,
    )
    refusal = refuse_limited(limited, NOW)

    assert (Fault.RATE_LIMITED, 2) == (refusal.fault, refusal.retry_after_ms)
    assert {
        "limit": "team/acme/ml/input_tpm",
        "scope": "team",
        "limit_value": 2,
        "remaining": 0,
        "resets_at": 1_800_000_001,
    } == refusal.details
    assert "The rate limit of this team is reached: of 2 input tokens it has 0 left" in refusal.message
    assert 1_800_000_000 == (refuse_limited(limited, NOW - 1_000_001).details or {})["resets_at"]


def test_too_many_at_once_is_a_rate_limit_too() -> None:
    refusal = refuse_saturated(Saturated(limit_id="user/ann/concurrency", scope_kind="user", limit_value=3))

    assert (Fault.RATE_LIMITED, 1_000) == (refusal.fault, refusal.retry_after_ms)
    assert {"limit": "user/ann/concurrency", "scope": "user", "limit_value": 3, "used": 3} == refusal.details
    assert "This user may have 3 calls at once" in refusal.message


def test_what_can_never_pass_is_the_callers_mistake() -> None:
    refusal = refuse_too_large(
        CostTooLarge(limit_id="key/ci/tpm", scope_kind="key", unit=Unit.TOKENS, limit_value=100, cost=250, cost_max=100)
    )

    assert (Fault.INVALID_REQUEST, None) == (refusal.fault, refusal.retry_after_ms)
    assert {"limit": "key/ci/tpm", "scope": "key", "limit_value": 100, "wanted": 250} == refusal.details
    assert "250 tokens, and the rate limit of this key lets no more than 100" in refusal.message
