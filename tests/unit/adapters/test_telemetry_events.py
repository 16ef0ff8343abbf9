"""A crossing becomes an event with the facts of its budget; nothing else becomes one."""

from dataclasses import replace

from router.adapters.ledger_memory import MemoryLedger
from router.adapters.telemetry_events import EventTelemetry
from router.admin.budgets import window_name
from router.domain.events import BudgetThreshold
from router.domain.faults import Fault
from router.domain.governance.budget import Budget, BudgetId, Crossed, Scope, ScopeKind, ThresholdAction, Unit
from router.domain.governance.windows import Rolling
from router.domain.ids import Epoch
from router.domain.webhook import DeliveryOutcome
from router.ports.telemetry import Anomaly
from tests.support.fakes import SECOND, FakeClock, FakeDraw, FixedSnapshots, snapshot
from tests.support.ledger_facts import settlement
from tests.support.receivers import RecordingEvents

BUDGET = Budget(
    id=BudgetId("key/ci/usd/1d"),
    scope=Scope(kind=ScopeKind.KEY, value="ci"),
    unit=Unit.USD,
    limit=100,
    window=Rolling(span_ns=86_400 * SECOND),
)
CROSSED = Crossed(budget=BUDGET.id, value="ci", at_pct=80, action=ThresholdAction.NOTIFY)


def telemetry(heard: RecordingEvents, *budgets: Budget) -> EventTelemetry:
    ledger = MemoryLedger(Epoch(1))
    ledger.set_budgets([BUDGET])
    return EventTelemetry(
        events=heard,
        ledger=ledger,
        snapshots=FixedSnapshots(replace(snapshot(), budgets={one.id: one for one in budgets})),
        clock=FakeClock(),
        draw=FakeDraw(),
        window_name=window_name,
    )


def test_a_crossing_is_told_with_its_budget() -> None:
    heard = RecordingEvents()
    sink = telemetry(heard, BUDGET)
    sink.budget_crossed(CROSSED)
    sink.budget_crossed(CROSSED)

    first, second = heard.events
    assert first.id != second.id
    assert 1_800_000_000 == first.created
    assert isinstance(first.data, BudgetThreshold)
    assert ("key/ci/usd/1d", "ci", 80, "notify") == (
        first.data.budget,
        first.data.scope.value,
        first.data.at_pct,
        first.data.action,
    )
    assert ("1d", 100, 0) == (first.data.window, first.data.limit, first.data.used)


def test_a_budget_that_a_reload_took_away_tells_nothing() -> None:
    heard = RecordingEvents()
    telemetry(heard).budget_crossed(CROSSED)

    assert [] == heard.events


def test_nothing_else_becomes_an_event() -> None:
    heard = RecordingEvents()
    sink = telemetry(heard, BUDGET)
    sink.call_settled(settlement(1))
    sink.request_rejected(Fault.INVALID_KEY)
    sink.noticed(Anomaly.LEDGER_RETRY)
    sink.webhook_tried(DeliveryOutcome.DELIVERED)

    assert [] == heard.events
