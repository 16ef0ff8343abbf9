"""Write one canonical JSON line a call to a stream, from a thread, so that a slow reader of logs never slows a call.

No line holds a prompt, an answer, a key or a header; there is no member that could.
"""

import threading
from collections import deque
from typing import BinaryIO, Final

import msgspec

from router.domain.dispatch.breakers import Transition
from router.domain.faults import Fault
from router.domain.governance.budget import Crossed
from router.domain.ids import format_call_id
from router.domain.instants import NS_PER_MS
from router.domain.settlement import Settlement
from router.domain.stream import ReplyMode
from router.domain.webhook import DeliveryOutcome
from router.ports.telemetry import Anomaly, Telemetry

_LINES_MAX: Final = 10_000
"""Lines that wait for the thread. Beyond it they are dropped and counted: the ledger, not the log, is the record."""

_GATHER_S: Final = 0.1
"""How long the thread lets lines gather once one is there: a wake-up a line would cost more than the line."""

_encoder: Final = msgspec.json.Encoder()


class CallLine(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The line of a settled call. Spans are whole milliseconds, money is nano-USD."""

    ts_ms: int
    event: str = "call_settled"
    call: str
    request_id: str
    key: str
    organization: str | None
    team: str | None
    workflow: str | None
    agent: str | None
    asked: str
    served: str | None
    served_model: str | None
    stream: bool
    outcome: str
    fault: str | None
    attempts: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    usage_estimated: bool
    cost_nano_usd: int | None
    first_token_ms: int | None
    duration_ms: int
    would_refuse: str | None
    """What would have refused the call, had its key, or what refuses, not only been observed."""
    priority: str | None
    """Its class; null: it was refused before it had one."""
    substituted: str | None
    decision: msgspec.Raw | None
    """JSON within JSON, not text."""


class BudgetLine(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The line of a budget that reached a threshold."""

    event: str = "budget_threshold"
    budget: str
    value: str
    at_pct: int
    action: str


class BreakerLine(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The line of a breaker that opened, half opened or closed."""

    event: str = "breaker_changed"
    deployment: str
    credential: str
    state: str


class LogTelemetry:
    """A `Telemetry` that writes lines to `stream`. `beside` counts the lines that had to be dropped."""

    def __init__(self, stream: BinaryIO, *, beside: Telemetry) -> None:
        self._stream = stream
        self._beside = beside
        self._lines: deque[bytes] = deque()
        self._filled = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._write_lines, name="log", daemon=True)
        self._thread.start()

    def call_settled(self, settlement: Settlement) -> None:
        self._write(_line(settlement))

    def request_rejected(self, fault: Fault) -> None:
        pass

    def budget_crossed(self, crossed: Crossed) -> None:
        self._write(
            BudgetLine(budget=crossed.budget, value=crossed.value, at_pct=crossed.at_pct, action=crossed.action.value)
        )

    def breaker_changed(self, transition: Transition) -> None:
        self._write(
            BreakerLine(deployment=transition.deployment, credential=transition.credential, state=transition.to.value)
        )

    def webhook_tried(self, outcome: DeliveryOutcome) -> None:
        pass

    def noticed(self, anomaly: Anomaly, count: int = 1) -> None:
        pass

    def _write(self, line: CallLine | BudgetLine | BreakerLine) -> None:
        if len(self._lines) >= _LINES_MAX:
            self._beside.noticed(Anomaly.LOG_LINE_DROPPED)
            return
        self._lines.append(_encoder.encode(line))
        if not self._filled.is_set():
            self._filled.set()

    def close(self) -> None:
        """Write what waits, for at most a second: a log that nobody reads must not hold up a stop."""
        self._stopping.set()
        self._filled.set()
        self._thread.join(timeout=1.0)

    def _write_lines(self) -> None:
        while not self._stopping.is_set() or self._lines:
            self._filled.wait()
            self._stopping.wait(_GATHER_S)
            self._filled.clear()
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            if not lines:
                continue
            try:
                self._stream.write(b"\n".join(lines) + b"\n")
                self._stream.flush()
            except (OSError, ValueError):  # the reader went away, or the stream was closed at exit
                self._beside.noticed(Anomaly.LOG_LINE_DROPPED, len(lines))


def _line(settlement: Settlement) -> CallLine:
    usage = settlement.usage
    first_token_ns = settlement.first_token_ns
    return CallLine(
        ts_ms=(settlement.started_ns + settlement.duration_ns) // NS_PER_MS,
        call=format_call_id(settlement.id),
        request_id=settlement.request_id,
        key=settlement.key_id,
        organization=settlement.organization,
        team=settlement.team,
        workflow=settlement.labels.workflow_id,
        agent=settlement.labels.agent,
        asked=settlement.asked_model,
        served=settlement.served_deployment,
        served_model=settlement.served_model,
        stream=settlement.mode is ReplyMode.STREAM,
        outcome=settlement.outcome,
        fault=settlement.fault,
        attempts=len(settlement.attempts),
        input_tokens=usage.input,
        cached_input_tokens=usage.cached_input,
        output_tokens=usage.output,
        usage_estimated=usage.estimated,
        cost_nano_usd=settlement.cost_nano_usd,
        first_token_ms=None if first_token_ns is None else first_token_ns // NS_PER_MS,
        duration_ms=settlement.duration_ns // NS_PER_MS,
        would_refuse=settlement.would_refuse,
        priority=settlement.priority,
        substituted=None if settlement.substituted is None else settlement.substituted.text,
        decision=None if settlement.decision is None else msgspec.Raw(settlement.decision.encode()),
    )
