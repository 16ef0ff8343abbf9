"""One line a call: complete, in order, and never in the way of a call."""

import io
import json
import threading

import msgspec

from router.adapters import telemetry_log
from router.adapters.telemetry_log import LogTelemetry
from router.domain.dispatch.breaker import BreakerState
from router.domain.dispatch.breakers import Transition
from router.domain.faults import Fault
from router.domain.governance.budget import BudgetId, Crossed, ThresholdAction
from router.domain.ids import DeploymentId, target_of
from router.domain.settlement import Outcome, Substituted
from router.ports.telemetry import Anomaly
from tests.support.fakes import RecordingTelemetry
from tests.support.ledger_facts import settlement


class Stuck(io.BytesIO):
    """A stream whose reader does not read until the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def write(self, data: object) -> int:
        self.reached.set()
        assert self.go_on.wait(10)
        return super().write(data)  # type: ignore[arg-type]  # whatever BytesIO takes


class Gone(io.BytesIO):
    def write(self, _data: object) -> int:
        raise BrokenPipeError


def test_a_settled_call_is_one_line() -> None:
    stream = io.BytesIO()
    log = LogTelemetry(stream, beside=RecordingTelemetry())
    log.call_settled(settlement(7, outcome=Outcome.FAILED, fault=Fault.UPSTREAM_ERROR, cost=12))
    log.call_settled(settlement(8, cost=None))
    log.request_rejected(Fault.INVALID_KEY)
    log.noticed(Anomaly.LEDGER_RETRY)
    log.close()

    first, second = map(json.loads, stream.getvalue().splitlines())
    assert {
        "event": "call_settled",
        "request_id": "req-7",
        "key": "ci",
        "organization": "acme",
        "team": "platform",
        "workflow": "wf-7",
        "agent": "crawler",
        "asked": "small",
        "served": "local:mock",
        "served_model": "mock-2",
        "stream": True,
        "outcome": "failed",
        "fault": "upstream_error",
        "attempts": 1,
        "input_tokens": 2_006,
        "cached_input_tokens": 1_920,
        "output_tokens": 300,
        "usage_estimated": True,
        "cost_nano_usd": 12,
        "first_token_ms": 210,
        "duration_ms": 900,
        "would_refuse": None,
        "priority": None,
        "substituted": None,
        "decision": None,
    } == {name: value for name, value in first.items() if name not in ("ts_ms", "call")}
    assert 1_800_000_000_900 == first["ts_ms"]
    assert first["call"].startswith("call_")
    assert (None, "req-8") == (second["cost_nano_usd"], second["request_id"])


def test_lines_keep_their_order() -> None:
    stream = io.BytesIO()
    log = LogTelemetry(stream, beside=RecordingTelemetry())
    for number in range(500):
        log.call_settled(settlement(number))
    log.close()

    assert [f"req-{number}" for number in range(500)] == [
        json.loads(line)["request_id"] for line in stream.getvalue().splitlines()
    ]


def test_lines_beyond_the_bound_are_dropped_and_counted() -> None:
    stream, beside = Stuck(), RecordingTelemetry()
    log = LogTelemetry(stream, beside=beside)
    log.call_settled(settlement(0))
    assert stream.reached.wait(10)
    for number in range(telemetry_log._LINES_MAX + 5):
        log.call_settled(settlement(number))
    stream.go_on.set()
    log.close()

    assert [(Anomaly.LOG_LINE_DROPPED, 1)] * 5 == beside.anomalies
    assert telemetry_log._LINES_MAX + 1 == stream.getvalue().count(b"\n")


def test_a_reader_that_went_away_costs_lines_and_nothing_else() -> None:
    beside = RecordingTelemetry()
    log = LogTelemetry(Gone(), beside=beside)
    log.call_settled(settlement(1))
    log.close()

    assert [(Anomaly.LOG_LINE_DROPPED, 1)] == beside.anomalies


def test_a_budget_that_reaches_a_threshold_is_one_line() -> None:
    stream = io.BytesIO()
    log = LogTelemetry(stream, beside=RecordingTelemetry())
    log.budget_crossed(
        Crossed(budget=BudgetId("key/ci/usd/day@UTC"), value="ci", at_pct=80, action=ThresholdAction.NOTIFY)
    )
    log.close()

    assert {
        "event": "budget_threshold",
        "budget": "key/ci/usd/day@UTC",
        "value": "ci",
        "at_pct": 80,
        "action": "notify",
    } == json.loads(stream.getvalue())


def test_a_breaker_that_changes_is_one_line() -> None:
    stream = io.BytesIO()
    log = LogTelemetry(stream, beside=RecordingTelemetry())
    up = DeploymentId("up/model")
    log.breaker_changed(
        Transition(target=target_of(up, "second"), deployment=up, credential="second", to=BreakerState.HALF_OPEN)
    )
    log.close()

    assert {
        "event": "breaker_changed",
        "deployment": "up/model",
        "credential": "second",
        "state": "half_open",
    } == json.loads(stream.getvalue())


def test_a_line_says_what_served_instead_and_why_as_json() -> None:
    stream = io.BytesIO()
    log = LogTelemetry(stream, beside=RecordingTelemetry())
    other = Substituted("small", "large", "down")
    log.call_settled(msgspec.structs.replace(settlement(7), decision='{"a":"small"}', substituted=other))
    log.close()
    line = json.loads(stream.getvalue())

    assert ("small->large;down", {"a": "small"}) == (line["substituted"], line["decision"])
