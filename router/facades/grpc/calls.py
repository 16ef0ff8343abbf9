"""Serve `CallsService`: what the ledger holds of a call."""

import grpc
from checkrein.v1.calls_pb2 import Attempt, Call, GetCallRequest, GetCallResponse
from checkrein.v1.common_pb2 import Usage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from router.domain.faults import Fault, refuse
from router.domain.ids import CallId, format_call_id
from router.domain.settlement import AttemptRow, tag_values
from router.facades.grpc.asking import Asking
from router.facades.grpc.border import Border, service
from router.facades.grpc.served import cost_of, usage_of
from router.pipeline.open import Pipeline
from router.pipeline.shown import call_for
from router.ports.ledger import CallRecord


def calls_service(border: Border, pipeline: Pipeline) -> grpc.GenericRpcHandler:
    async def get_call(request: GetCallRequest, asking: Asking) -> GetCallResponse:
        if not request.id:
            raise refuse(Fault.INVALID_REQUEST, "Name a call in `id`, as `Served.call_id` does.", param="id")
        return GetCallResponse(call=_call(await call_for(asking.principal, pipeline.ledger, request.id)))

    return service("checkrein.v1.CallsService", {"GetCall": border.unary(GetCallRequest, get_call)})


def _call(record: CallRecord) -> Call:
    said = Call(
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
        asked_model=record.asked_model,
        served_deployment=record.served_deployment,
        served_model=record.served_model,
        start_time=_moment(record.started_ns),
        duration=_span(record.duration_ns),
        first_token=_span(record.first_token_ns),
        outcome=record.outcome or "open",
        reason=_reason(record.fault),
        usage=Usage(
            input_tokens=record.input_tokens,
            cached_input_tokens=record.cached_input_tokens,
            cache_write_tokens=record.cache_write_tokens,
            output_tokens=record.output_tokens,
            reasoning_tokens=record.reasoning_tokens,
            estimated=record.usage_estimated,
        ),
        cost=cost_of(record),
        priority=record.priority,
        substituted=record.substituted,
        decision_json=record.decision,
        attempts=[_attempt(row) for row in record.attempts],
    )
    if record.stream is not None:
        said.stream = record.stream
    return said


def _attempt(row: AttemptRow) -> Attempt:
    return Attempt(
        number=row.number,
        deployment=row.deployment,
        provider=row.provider,
        upstream_model=row.upstream_model,
        start_time=_moment(row.started_ns),
        duration=_span(row.duration_ns),
        first_token=_span(row.first_token_ns),
        reason=_reason(row.fault),
        upstream_status=row.upstream_status,
        usage=usage_of(row),
        cost=cost_of(row),
    )


def _reason(fault: str | None) -> str | None:
    """Return a fault as ErrorInfo has it."""
    return None if fault is None else fault.upper()


def _moment(unix_ns: int) -> Timestamp:
    moment = Timestamp()
    moment.FromNanoseconds(unix_ns)
    return moment


def _span(span_ns: int | None) -> Duration | None:
    if span_ns is None:
        return None
    span = Duration()
    span.FromNanoseconds(span_ns)
    return span
