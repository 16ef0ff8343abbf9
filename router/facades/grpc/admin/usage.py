"""Serve `UsageService`: decode, ask the control plane, encode. Reports are written beside the loop."""

import asyncio

import grpc
from checkrein.admin.v1.usage_pb2 import QueryUsageRequest, QueryUsageResponse, UsageGroup

from router.admin.usage import BY, GROUPS, AskedUsage, ToldUsage, UsageAdmin
from router.facades.grpc.admin.fields import span_of
from router.facades.grpc.asking import Asking
from router.facades.grpc.border import Border, service
from router.ports.usage import UsageTotal


def usage_service(border: Border, usage: UsageAdmin) -> grpc.ServiceRpcHandler:
    async def query(request: QueryUsageRequest, asking: Asking) -> QueryUsageResponse:
        asked = AskedUsage(
            by=request.group_by or [BY],
            key=request.key if request.HasField("key") else None,
            team=request.team if request.HasField("team") else None,
            agent=request.agent if request.HasField("agent") else None,
            workflow=request.workflow if request.HasField("workflow") else None,
            model=request.model if request.HasField("model") else None,
            limit=request.limit if request.HasField("limit") else GROUPS,
            **span_of(request),
        )
        return await asyncio.to_thread(_report, await usage.report(asking.principal, asked))

    return service("checkrein.admin.v1.UsageService", {"QueryUsage": border.unary(QueryUsageRequest, query)})


def _report(told: ToldUsage) -> QueryUsageResponse:
    report = told.report
    return QueryUsageResponse(
        groups=[_group(told.by, total) for total in report.totals], truncated=report.truncated, partial=report.partial
    )


def _group(by: tuple[str, ...], total: UsageTotal) -> UsageGroup:
    return UsageGroup(
        values={name: value for name, value in zip(by, total.group, strict=True) if value},
        calls=total.calls,
        failed_calls=total.failed_calls,
        input_tokens=total.input_tokens,
        cached_input_tokens=total.cached_input_tokens,
        output_tokens=total.output_tokens,
        reasoning_tokens=total.reasoning_tokens,
        cost_nano_usd=total.cost_nano_usd,
        unpriced_calls=total.unpriced_calls,
    )
