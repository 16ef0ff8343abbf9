"""Tell the world what happened: one sink a technology, none of which may block, fail or see content."""

from enum import StrEnum
from typing import Protocol

from router.domain.dispatch.breakers import Transition
from router.domain.faults import Fault
from router.domain.governance.budget import Crossed
from router.domain.settlement import Settlement
from router.domain.webhook import DeliveryOutcome


class Anomaly(StrEnum):
    """Things worth a counter that belong to no single call's outcome. A closed set: it labels a metric."""

    MALFORMED_EVENT = "malformed_event"
    UNPRICED_CALL = "unpriced_call"
    USAGE_CLAMPED = "usage_clamped"
    LOG_LINE_DROPPED = "log_line_dropped"
    LEDGER_RETRY = "ledger_retry"
    LEDGER_ROW_DROPPED = "ledger_row_dropped"
    WEBHOOK_DROPPED = "webhook_dropped"
    BUDGET_OVERSHOOT_NANO_USD = "budget_overshoot_nano_usd"
    """Counts what was spent beyond what was held for it, in nano-USD."""


class Telemetry(Protocol):
    def call_settled(self, settlement: Settlement) -> None: ...

    def request_rejected(self, fault: Fault) -> None:
        """A request ended before it was a call: bad key, bad body, unknown route."""
        ...

    def budget_crossed(self, crossed: Crossed) -> None:
        """A budget reached one of its thresholds: told once a window."""
        ...

    def breaker_changed(self, transition: Transition) -> None:
        """A target is left alone, tried again, or good again."""

    def webhook_tried(self, outcome: DeliveryOutcome) -> None:
        """An event was posted to a receiver, or will not be any more."""
        ...

    def noticed(self, anomaly: Anomaly, count: int = 1) -> None: ...
