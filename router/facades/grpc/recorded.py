"""Write what the ledger holds of calls in the messages of `calls.proto`."""

from checkrein.v1.calls_pb2 import Attempt, Call
from checkrein.v1.common_pb2 import Usage

from router.domain.ids import CallId, format_call_id
from router.domain.settlement import AttemptRow, tag_values
from router.facades.grpc.moments import duration_of, timestamp_of
from router.facades.grpc.served import cost_of, usage_of
from router.ports.ledger import CallRecord


def call_of(record: CallRecord) -> Call:
    return Call(
        id=format_call_id(CallId(record.id)),
        request_id=record.request_id,
        key_id=record.key_id,
        organization=record.organization,
        team=record.team,
        user=record.user,
        workflow_id=record.workflow_id,
        parent_call_id=record.parent_call_id,
        agent=record.agent,
        tags=tag_values(record.tags),
        route=record.route,
        stream=record.stream,  # type: ignore[arg-type]  # None leaves it out, which its stub does not know
        asked_model=record.asked_model,
        served_deployment=record.served_deployment,
        served_model=record.served_model,
        start_time=timestamp_of(record.started_ns),
        duration=duration_of(record.duration_ns),
        first_token=duration_of(record.first_token_ns),
        outcome=record.outcome or "open",
        reason=reason_of(record.fault),
        usage=Usage(
            input_tokens=record.input_tokens,
            cached_input_tokens=record.cached_input_tokens,
            cache_write_tokens=record.cache_write_tokens,
            output_tokens=record.output_tokens,
            reasoning_tokens=record.reasoning_tokens,
            estimated=record.usage_estimated,
            clamped=any(row.usage.clamped for row in record.attempts),
        ),
        cost=cost_of(record),
        priority=record.priority,
        substituted=record.substituted,
        decision_json=record.decision,
        attempts=[_attempt_of(row) for row in record.attempts],
    )


def _attempt_of(row: AttemptRow) -> Attempt:
    return Attempt(
        number=row.number,
        deployment=row.deployment,
        provider=row.provider,
        upstream_model=row.upstream_model,
        start_time=timestamp_of(row.started_ns),
        duration=duration_of(row.duration_ns),
        first_token=duration_of(row.first_token_ns),
        reason=reason_of(row.fault),
        upstream_status=row.upstream_status,
        usage=usage_of(row),
        cost=cost_of(row),
    )


def reason_of(fault: str | None) -> str | None:
    """Return a fault as ErrorInfo has it."""
    return None if fault is None else fault.upper()
