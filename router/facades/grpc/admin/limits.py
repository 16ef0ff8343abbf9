"""Serve `LimitService`: decode, ask the control plane, encode."""

import asyncio

import grpc
from checkrein.admin.v1.limits_pb2 import (
    Limit,
    ListLimitsRequest,
    ListLimitsResponse,
    ListUpstreamLimitsRequest,
    ListUpstreamLimitsResponse,
    UpstreamLimit,
    UpstreamUnit,
)

from router.admin.limits import LimitAdmin, LimitState, UpstreamPage
from router.domain.governance.upstream_limits import Left
from router.domain.principal import Principal
from router.facades.grpc.admin.fields import fields, page_of
from router.facades.grpc.asking import Asking
from router.facades.grpc.border import Border, service
from router.facades.grpc.moments import duration_of
from router.ports.limit_states import UpstreamStanding


def limit_service(border: Border, limits: LimitAdmin) -> grpc.ServiceRpcHandler:
    async def list_limits(request: ListLimitsRequest, asking: Asking) -> ListLimitsResponse:
        # All of it off the loop: the limits of 10,000 keys take a tenth of a second to collect.
        with fields({"kind": "scope_kind"}):
            return await asyncio.to_thread(_limits, limits, asking.principal, request)

    async def list_upstream(request: ListUpstreamLimitsRequest, asking: Asking) -> ListUpstreamLimitsResponse:
        page = limits.upstreams(asking.principal, **page_of(request))
        return await asyncio.to_thread(_upstreams, page)

    return service(
        "checkrein.admin.v1.LimitService",
        {
            "ListLimits": border.unary(ListLimitsRequest, list_limits),
            "ListUpstreamLimits": border.unary(ListUpstreamLimitsRequest, list_upstream),
        },
    )


def _limits(limits: LimitAdmin, caller: Principal, request: ListLimitsRequest) -> ListLimitsResponse:
    page = limits.list(
        caller,
        kind=request.scope_kind if request.HasField("scope_kind") else None,
        value=request.scope_value if request.HasField("scope_value") else None,
        **page_of(request),
    )
    return ListLimitsResponse(limits=map(_limit, page.limits), next=page.next)


def _limit(state: LimitState) -> Limit:
    return Limit(
        scope_kind=state.scope_kind,
        scope_value=state.scope_value,
        limit=state.limit,
        limit_value=state.limit_value,
        remaining=state.remaining,
        in_use=state.in_use,
        resets_in=duration_of(state.reset_ns),
        smoothing=None if state.smoothing is None else state.smoothing.name.lower(),
        observed=state.observed,
    )


def _upstreams(page: UpstreamPage) -> ListUpstreamLimitsResponse:
    return ListUpstreamLimitsResponse(limits=map(_upstream, page.upstreams), next=page.next)


def _upstream(upstream: UpstreamStanding) -> UpstreamLimit:
    return UpstreamLimit(
        deployment=upstream.deployment,
        credential=upstream.credential,
        provider=upstream.provider,
        blocked=duration_of(upstream.blocked_ns or None),
        units=map(_unit, upstream.left),
    )


def _unit(left: Left) -> UpstreamUnit:
    return UpstreamUnit(
        unit=left.unit.name.lower(),
        limit_value=left.limit_value,
        remaining=left.remaining,
        resets_in=duration_of(left.reset_ns),
        age=duration_of(left.said_ns_ago),
    )
