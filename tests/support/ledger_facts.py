"""Reservations and settlements for tests of ledgers, and the record that must come of them."""

from collections.abc import Sequence
from datetime import UTC
from typing import Final

from router.domain.faults import Fault
from router.domain.governance.budget import (
    EACH,
    NOTHING,
    Amounts,
    Budget,
    BudgetId,
    Scope,
    ScopeKind,
    Threshold,
    Unit,
)
from router.domain.governance.windows import Calendar, CalendarUnit, Lifetime, Window
from router.domain.ids import CallId, DeploymentId, KeyId, ProviderId
from router.domain.money import NanoUsd
from router.domain.settlement import AttemptRow, Labels, Outcome, Reservation, Settlement
from router.domain.stream import ReplyMode
from router.domain.usage import TokenUsage
from router.ports.ledger import CallRecord

STARTED_NS = 1_800_000_000_000_000_000
DAY: Final = Calendar(unit=CalendarUnit.DAY, zone=UTC)
LABELS = Labels(workflow_id="wf-7", parent_call_id="call_00ff", agent="crawler", tags="nightly,eu")
USAGE = TokenUsage(
    input=2_006, cached_input=1_920, cache_write=16, output=300, reasoning=40, estimated=True, clamped=True
)


def budget(
    name: str,
    limit: int,
    *,
    kind: ScopeKind = ScopeKind.KEY,
    value: str = EACH,
    window: Window = DAY,
    unit: Unit = Unit.USD,
    thresholds: tuple[Threshold, ...] = (),
) -> Budget:
    return Budget(
        id=BudgetId(name),
        scope=Scope(kind=kind, value=value),
        unit=unit,
        limit=limit,
        window=window,
        thresholds=thresholds,
    )


def lifelong(name: str, value: str) -> Budget:
    return budget(name, 1_000_000, value=value, window=Lifetime())


def reservation(
    number: int,
    *,
    hold: int = 0,
    labels: Labels = LABELS,
    path: Sequence[tuple[str, str]] = (),
    amounts: Amounts | None = None,
    observed: bool = False,
) -> Reservation:
    return Reservation(
        id=CallId(number),
        request_id=f"req-{number}",
        key_id=KeyId("ci"),
        asked_model="small",
        started_ns=STARTED_NS + number,
        labels=labels,
        path=tuple((BudgetId(name), value) for name, value in path),
        amounts=Amounts(usd=hold) if amounts is None else amounts,
        observed=observed,
    )


def attempt(number: int, *, cost: int | None = 3_556_000, fault: Fault | None = None) -> AttemptRow:
    return AttemptRow(
        number=number,
        deployment=DeploymentId("local:mock"),
        provider=ProviderId("local"),
        upstream_model="mock",
        started_ns=STARTED_NS + number,
        duration_ns=800_000_000 + number,
        first_token_ns=200_000_000,
        fault=fault,
        upstream_status=200 if fault is None else 529,
        usage=USAGE,
        cost_nano_usd=None if cost is None else NanoUsd(cost),
        price_version="config-1",
    )


def settlement(
    number: int,
    *,
    outcome: Outcome = Outcome.COMPLETED,
    fault: Fault | None = None,
    cost: int | None = 3_556_000,
    attempts: int = 1,
    key: str = "ci",
    model: str = "small",
    labels: Labels = LABELS,
    usage: TokenUsage = USAGE,
    request_id: str | None = None,
    spent: Amounts = NOTHING,
) -> Settlement:
    return Settlement(
        id=CallId(number),
        request_id=f"req-{number}" if request_id is None else request_id,
        key_id=KeyId(key),
        organization="acme",
        team="platform",
        user="ada",
        labels=labels,
        route="chat",
        mode=ReplyMode.STREAM,
        asked_model=model,
        served_deployment=DeploymentId("local:mock"),
        served_model="mock-2",
        started_ns=STARTED_NS + number,
        duration_ns=900_000_000,
        first_token_ns=210_000_000,
        outcome=outcome,
        fault=fault,
        usage=usage,
        cost_nano_usd=None if cost is None else NanoUsd(cost),
        price_version="config-1",
        attempts=tuple(attempt(position + 1, cost=cost, fault=fault) for position in range(attempts)),
        spent=spent,
    )


def open_record(number: int, *, hold: int = 0) -> CallRecord:
    return CallRecord(
        id=CallId(number),
        request_id=f"req-{number}",
        key_id="ci",
        workflow_id="wf-7",
        parent_call_id="call_00ff",
        agent="crawler",
        tags="nightly,eu",
        asked_model="small",
        started_ns=STARTED_NS + number,
        hold_nano_usd=hold,
    )


def settled_record(
    number: int, *, hold: int = 0, fault: str | None = None, attempts: tuple[AttemptRow, ...]
) -> CallRecord:
    return CallRecord(
        id=CallId(number),
        request_id=f"req-{number}",
        key_id="ci",
        organization="acme",
        team="platform",
        user="ada",
        workflow_id="wf-7",
        parent_call_id="call_00ff",
        agent="crawler",
        tags="nightly,eu",
        route="chat",
        stream=True,
        asked_model="small",
        served_deployment="local:mock",
        served_model="mock-2",
        started_ns=STARTED_NS + number,
        duration_ns=900_000_000,
        first_token_ns=210_000_000,
        outcome=Outcome.COMPLETED,
        fault=fault,
        input_tokens=2_006,
        cached_input_tokens=1_920,
        cache_write_tokens=16,
        output_tokens=300,
        reasoning_tokens=40,
        usage_estimated=True,
        hold_nano_usd=hold,
        cost_nano_usd=3_556_000,
        price_version="config-1",
        attempts=attempts,
    )
