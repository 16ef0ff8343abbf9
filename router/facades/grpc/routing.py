"""Serve `RoutingService`: what would become of a chat, and how many tokens a request in Messages has."""

from typing import Final

import grpc
import msgspec
from checkrein.v1.routing_pb2 import (
    CountTokensRequest,
    CountTokensResponse,
    ExplainRouteRequest,
    ExplainRouteResponse,
    RouteCandidate,
    RouteDropped,
    RouteFallbacks,
    RoutePolicy,
    RouteRefusal,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from router.domain.faults import Fault, refuse
from router.facades.grpc.asking import Asking
from router.facades.grpc.border import Border, service
from router.facades.grpc.chat import read_chat
from router.facades.http.explain import CandidateView, DroppedView, PolicyView, RefusalView, RouteView, view_route
from router.facades.http.voice import VOICES
from router.pipeline.count import Counted, count_tokens, read_counted
from router.pipeline.open import Pipeline
from router.ports.aside import Asides

_EXPLAIN: Final = "explain"
_COUNT: Final = "count_tokens"
_PASSED: Final = VOICES["/messages"].passes or b"anthropic-"
"""How metadata begin that are part of a request in Messages, as headers of this name are over HTTP."""
_COUNT_MAX: Final = (1 << 63) - 1


class _Count(msgspec.Struct):
    """What is read of a provider's answer."""

    input_tokens: int


_count: Final = msgspec.json.Decoder(_Count)


def routing_service(border: Border, pipeline: Pipeline, asides: Asides) -> grpc.ServiceRpcHandler:
    """`asides`: whom to ask how many tokens there are."""

    async def explain_route(request: ExplainRouteRequest, asking: Asking) -> ExplainRouteResponse:
        call = asking.call_for(read_chat(request, None), _EXPLAIN)
        return _route(view_route(pipeline.explain(call)))

    async def count(request: CountTokensRequest, asking: Asking) -> CountTokensResponse:
        passed = tuple([pair for pair in asking.pairs if pair[0].startswith(_PASSED)])
        call = asking.call_for(read_counted(request.messages_json), _COUNT, passed)
        return _counted(await count_tokens(call, pipeline=pipeline, asides=asides))

    return service(
        "checkrein.v1.RoutingService",
        {
            "ExplainRoute": border.unary(ExplainRouteRequest, explain_route),
            "CountTokens": border.unary(CountTokensRequest, count),
        },
    )


def _counted(counted: Counted) -> CountTokensResponse:
    """Say what was counted. Raises `RouterError` where a provider's answer has no count."""
    try:
        tokens = _count.decode(counted.body).input_tokens
    except msgspec.DecodeError:
        tokens = -1
    if not 0 <= tokens <= _COUNT_MAX:
        raise refuse(Fault.UPSTREAM_ERROR, "The provider answered without `input_tokens`. Try again, or ask over HTTP.")
    by = counted.by
    return CountTokensResponse(input_tokens=tokens, estimated=by is None, deployment=None if by is None else by.id)


def _route(view: RouteView) -> ExplainRouteResponse:
    """Say what HTTP says, member by member."""
    return ExplainRouteResponse(
        asked_model=view.asked_model,
        model=view.model,
        strategy=view.strategy,
        substituted=view.substituted,
        priority=view.priority,
        priority_lowered=view.priority_lowered,
        target=view.target,
        admitted=view.admitted,
        observed=view.observed,
        home=view.home,
        candidates=[_candidate(one) for one in view.candidates],
        dropped=[_dropped(one) for one in view.dropped],
        fallbacks=[RouteFallbacks(after=kind, models=names) for kind, names in view.fallbacks.items() if names],
    )


def _candidate(view: CandidateView) -> RouteCandidate:
    return RouteCandidate(
        target=view.target,
        deployment=view.deployment,
        provider=view.provider,
        upstream_model=view.upstream_model,
        tier=view.tier,
        figure=view.figure,
        value=view.value,
        ceiling_nano_usd=view.ceiling_nano_usd,
        held_nano_usd=view.held_nano_usd,
        spared=view.spared,
        max_tokens=view.max_tokens,
        admitted=view.admitted,
        policies=[_policy(one) for one in view.policies],
    )


def _policy(view: PolicyView) -> RoutePolicy:
    refusal = None if view.refusal is None else _refusal(view.refusal)
    return RoutePolicy(policy=view.policy, id=view.id, refusal=refusal, observed=view.observed)


def _refusal(view: RefusalView) -> RouteRefusal:
    after = None
    if view.retry_after_ms is not None:
        after = Duration()
        after.FromMilliseconds(view.retry_after_ms)
    return RouteRefusal(reason=view.fault.upper(), message=view.message, retry_after=after)


def _dropped(view: DroppedView) -> RouteDropped:
    until = None
    if view.until_ms is not None:
        until = Timestamp()
        until.FromMilliseconds(view.until_ms)
    return RouteDropped(
        target=view.target,
        reason=view.reason,
        detail=view.detail if isinstance(view.detail, str) else None,
        context_window=view.detail if isinstance(view.detail, int) else None,
        until=until,
    )
