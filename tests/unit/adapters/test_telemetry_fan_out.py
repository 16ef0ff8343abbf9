"""Everybody is told everything, in order."""

from router.adapters.telemetry_fan_out import FanOutTelemetry
from router.domain.dispatch.breaker import BreakerState
from router.domain.dispatch.breakers import Transition
from router.domain.faults import Fault
from router.domain.governance.budget import BudgetId, Crossed, ThresholdAction
from router.domain.webhook import DeliveryOutcome
from router.ports.telemetry import Anomaly
from tests.support.fakes import RecordingTelemetry, deployment
from tests.support.ledger_facts import settlement

CROSSED = Crossed(budget=BudgetId("b"), value="v", at_pct=80, action=ThresholdAction.NOTIFY)


def test_every_sink_hears_everything() -> None:
    sinks = RecordingTelemetry(), RecordingTelemetry()
    both = FanOutTelemetry(*sinks)
    both.call_settled(settlement(1))
    both.request_rejected(Fault.INVALID_KEY)
    opened = Transition(target=deployment().target, deployment=deployment().id, credential="", to=BreakerState.OPEN)
    both.breaker_changed(opened)
    both.budget_crossed(CROSSED)
    both.webhook_tried(DeliveryOutcome.GONE)
    both.noticed(Anomaly.LEDGER_RETRY)
    both.noticed(Anomaly.MALFORMED_EVENT, 3)

    for sink in sinks:
        assert [settlement(1)] == sink.settled
        assert [Fault.INVALID_KEY] == sink.rejected
        assert [opened] == sink.transitions
        assert [CROSSED] == sink.crossed
        assert [DeliveryOutcome.GONE] == sink.webhooks
        assert [(Anomaly.LEDGER_RETRY, 1), (Anomaly.MALFORMED_EVENT, 3)] == sink.anomalies
