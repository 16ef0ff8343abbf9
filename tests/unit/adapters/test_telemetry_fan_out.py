"""Everybody is told everything, in order."""

from router.adapters.telemetry_fan_out import FanOutTelemetry
from router.domain.dispatch.breaker import BreakerState
from router.domain.dispatch.breakers import Transition
from router.domain.faults import Fault
from router.ports.telemetry import Anomaly
from tests.support.fakes import RecordingTelemetry, deployment
from tests.support.ledger_facts import settlement


def test_every_sink_hears_everything() -> None:
    sinks = RecordingTelemetry(), RecordingTelemetry()
    both = FanOutTelemetry(*sinks)
    both.call_settled(settlement(1))
    both.request_rejected(Fault.INVALID_KEY)
    opened = Transition(target=deployment().target, deployment=deployment().id, credential="", to=BreakerState.OPEN)
    both.breaker_changed(opened)
    both.noticed(Anomaly.LEDGER_RETRY)
    both.noticed(Anomaly.MALFORMED_EVENT, 3)

    for sink in sinks:
        assert [settlement(1)] == sink.settled
        assert [Fault.INVALID_KEY] == sink.rejected
        assert [opened] == sink.transitions
        assert [(Anomaly.LEDGER_RETRY, 1), (Anomaly.MALFORMED_EVENT, 3)] == sink.anomalies
