"""Tell the world what happened: one sink a technology, none of which may block, fail or see content."""

from enum import StrEnum
from typing import Protocol

from router.domain.faults import Fault
from router.domain.settlement import Settlement


class Anomaly(StrEnum):
    """Things worth a counter that belong to no single call's outcome. A closed set: it labels a metric."""

    MALFORMED_EVENT = "malformed_event"
    UNPRICED_CALL = "unpriced_call"
    USAGE_CLAMPED = "usage_clamped"
    LOG_LINE_DROPPED = "log_line_dropped"
    LEDGER_RETRY = "ledger_retry"
    LEDGER_ROW_DROPPED = "ledger_row_dropped"


class Telemetry(Protocol):
    def call_settled(self, settlement: Settlement) -> None: ...

    def request_rejected(self, fault: Fault) -> None:
        """A request ended before it was a call: bad key, bad body, unknown route."""
        ...

    def noticed(self, anomaly: Anomaly, count: int = 1) -> None: ...
