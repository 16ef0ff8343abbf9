"""Serve `LedgerService`: decode, ask the control plane, encode. Pages are written beside the loop."""

import asyncio
from collections.abc import Mapping
from typing import Final

import grpc
from checkrein.admin.v1.ledger_pb2 import (
    LedgerAttempt,
    LedgerCall,
    ListAttemptsRequest,
    ListAttemptsResponse,
    ListCallsRequest,
    ListCallsResponse,
)
from checkrein.v1.calls_pb2 import Attempt
from checkrein.v1.common_pb2 import Cost, Usage

from router.admin.ledger import Asked, LedgerAdmin, Page
from router.domain.ids import format_call_id
from router.facades.grpc.admin.fields import fields, page_of, span_of
from router.facades.grpc.asking import Asking
from router.facades.grpc.border import Border, service
from router.facades.grpc.moments import duration_of, timestamp_of
from router.facades.grpc.recorded import call_of, reason_of
from router.ports.ledger import CallRecord
from router.ports.ledger_pages import AttemptRecord

_NAMES: Final[Mapping[str | None, str]] = {"outcome": "filter.outcome"}


def ledger_service(border: Border, ledger: LedgerAdmin) -> grpc.ServiceRpcHandler:
    async def list_calls(request: ListCallsRequest, asking: Asking) -> ListCallsResponse:
        with fields(_NAMES):
            page = await ledger.calls(asking.principal, _asked(request))
        return await asyncio.to_thread(_calls, page)

    async def list_attempts(request: ListAttemptsRequest, asking: Asking) -> ListAttemptsResponse:
        with fields(_NAMES):
            page = await ledger.attempts(asking.principal, _asked(request))
        return await asyncio.to_thread(_attempts, page)

    return service(
        "checkrein.admin.v1.LedgerService",
        {
            "ListCalls": border.unary(ListCallsRequest, list_calls),
            "ListAttempts": border.unary(ListAttemptsRequest, list_attempts),
        },
    )


def _asked(request: ListCallsRequest | ListAttemptsRequest) -> Asked:
    sought = request.filter
    return Asked(
        key=sought.key if sought.HasField("key") else None,
        team=sought.team if sought.HasField("team") else None,
        agent=sought.agent if sought.HasField("agent") else None,
        workflow=sought.workflow if sought.HasField("workflow") else None,
        model=sought.model if sought.HasField("model") else None,
        outcome=sought.outcome if sought.HasField("outcome") else None,
        fault=sought.reason.lower() if sought.HasField("reason") else None,
        **span_of(sought),
        **page_of(request),
    )


def _calls(page: Page[CallRecord]) -> ListCallsResponse:
    return ListCallsResponse(calls=map(_call, page.rows), next=page.next)


def _call(record: CallRecord) -> LedgerCall:
    return LedgerCall(
        call=call_of(record), hold_nano_usd=record.hold_nano_usd, would_refuse=reason_of(record.would_refuse)
    )


def _attempts(page: Page[AttemptRecord]) -> ListAttemptsResponse:
    return ListAttemptsResponse(attempts=map(_attempt, page.rows), next=page.next)


def _attempt(record: AttemptRecord) -> LedgerAttempt:
    return LedgerAttempt(
        call_id=format_call_id(record.call_id),
        request_id=record.request_id,
        key_id=record.key_id,
        attempt=Attempt(
            number=record.number,
            deployment=record.deployment,
            provider=record.provider,
            upstream_model=record.upstream_model,
            start_time=timestamp_of(record.started_ns),
            duration=duration_of(record.duration_ns),
            first_token=duration_of(record.first_token_ns),
            reason=reason_of(record.fault),
            upstream_status=record.upstream_status,
            usage=Usage(
                input_tokens=record.input_tokens,
                cached_input_tokens=record.cached_input_tokens,
                cache_write_tokens=record.cache_write_tokens,
                output_tokens=record.output_tokens,
                reasoning_tokens=record.reasoning_tokens,
                estimated=record.usage_estimated,
                clamped=record.usage_clamped,
            ),
            cost=Cost(total_nano_usd=record.cost_nano_usd, price_version=record.price_version),
        ),
    )
