"""Tell several sinks the same."""

from router.domain.dispatch.breakers import Transition
from router.domain.faults import Fault
from router.domain.governance.budget import Crossed
from router.domain.settlement import Settlement
from router.domain.webhook import DeliveryOutcome
from router.ports.telemetry import Anomaly, Telemetry


class FanOutTelemetry:
    __slots__ = ("_sinks",)

    def __init__(self, *sinks: Telemetry) -> None:
        self._sinks = sinks

    def call_settled(self, settlement: Settlement) -> None:
        for sink in self._sinks:
            sink.call_settled(settlement)

    def request_rejected(self, fault: Fault) -> None:
        for sink in self._sinks:
            sink.request_rejected(fault)

    def budget_crossed(self, crossed: Crossed) -> None:
        for sink in self._sinks:
            sink.budget_crossed(crossed)

    def breaker_changed(self, transition: Transition) -> None:
        for sink in self._sinks:
            sink.breaker_changed(transition)

    def webhook_tried(self, outcome: DeliveryOutcome) -> None:
        for sink in self._sinks:
            sink.webhook_tried(outcome)

    def noticed(self, anomaly: Anomaly, count: int = 1) -> None:
        for sink in self._sinks:
            sink.noticed(anomaly, count)
