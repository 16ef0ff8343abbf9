"""An event says what was crossed, and how the account stood then."""

import msgspec
import pytest

from router.domain.events import EventType, budget_threshold, webhook_test
from router.domain.governance.budget import (
    Budget,
    BudgetId,
    Crossed,
    Scope,
    ScopeKind,
    Standing,
    Threshold,
    ThresholdAction,
    Unit,
)
from router.domain.governance.windows import Lifetime
from tests.support.fakes import SECOND

BUDGET = Budget(
    id=BudgetId("each-agent"),
    scope=Scope(kind=ScopeKind.AGENT),
    unit=Unit.TOKENS,
    limit=1_000,
    window=Lifetime(),
    thresholds=(Threshold(at_pct=80, action=ThresholdAction.BLOCK),),
)
CROSSED = Crossed(budget=BUDGET.id, value="planner", at_pct=80, action=ThresholdAction.BLOCK)


@pytest.mark.parametrize(("resets_at_ns", "resets_at"), [(None, None), (5 * SECOND, 5), (5 * SECOND + 1, 6)])
def test_a_crossing_is_told_with_the_facts_of_its_account(resets_at_ns: int | None, resets_at: int | None) -> None:
    event = budget_threshold(
        CROSSED,
        token="ab12",
        wall_ns=1_800_000_000 * SECOND + 999,
        budget=BUDGET,
        standing=Standing(
            actions=(), limit=2_000, used=800, reserved=50, used_pct=42, room=150, resets_at_ns=resets_at_ns
        ),
        window="lifetime",
    )

    assert {
        "id": "evt_ab12",
        "type": "budget.threshold",
        "created": 1_800_000_000,
        "data": {
            "budget": "each-agent",
            "scope": {"kind": "agent", "value": "planner"},
            "at_pct": 80,
            "action": "block",
            "unit": "tokens",
            "window": "lifetime",
            "limit": 2_000,
            "used": 800,
            "reserved": 50,
            "resets_at": resets_at,
        },
    } == msgspec.json.decode(msgspec.json.encode(event))


def test_the_types_are_a_closed_set() -> None:
    assert ["budget.threshold", "loop.blocked"] == list(EventType)


def test_a_test_says_nothing_and_cannot_be_subscribed_to() -> None:
    event = webhook_test(token="ab12", wall_ns=7 * SECOND)
    told = {"id": "evt_ab12", "type": "webhook.test", "created": 7, "data": {}}

    assert told == msgspec.json.decode(msgspec.json.encode(event))
    assert event.type not in set(EventType)
