"""Serve `POST /checkrein/v1/route/explain`: decode a chat request, ask the pipeline what would become of it, encode."""

from collections.abc import Callable
from math import isfinite
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from router.domain.dialects.dialect import CHAT
from router.domain.dialects.request import read_request
from router.domain.faults import Fault, Refusal, RouterError, refuse
from router.domain.instants import NS_PER_MS
from router.domain.metadata import read_metadata
from router.domain.planning.eligibility import Dropped
from router.domain.principal import Principal
from router.facades.http.body import CallerGone, check_body_headers, read_body
from router.facades.http.openapi import body_of
from router.pipeline.explain import Explanation, Said, Weighed
from router.pipeline.open import Pipeline

_ROUTE: Final = "explain"
_ERRORS: Final[dict[int | str, dict[str, object]]] = {
    "default": {
        "description": "Any failure, in the one error shape: also what a call would be refused with at any time.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
}


class RefusalView(BaseModel):
    fault: str
    message: str
    retry_after_ms: int | None


class PolicyView(BaseModel):
    """What one limit or budget says of the call."""

    policy: str = Field(description="`wording`, `sizing`, `concurrency`, `rate` or `budget`.")
    id: str = Field(description="Of the limit or the budget.")
    refusal: RefusalView | None = Field(description="Null: it lets the call pass.")
    observed: bool = Field(description="It is only observed: it lets the call pass whatever it says.")


class CandidateView(BaseModel):
    """A deployment that may be asked, with what it is chosen by."""

    model_config = ConfigDict(protected_namespaces=())

    target: str
    deployment: str
    provider: str
    upstream_model: str
    tier: int
    figure: str = Field(description="What the model's strategy goes by: less is better, but for `weight`.")
    value: float | None = Field(description="Null: it has no bound, such as the price of a model without one.")
    ceiling_nano_usd: int | None = Field(description="The most that the call may cost there; null: no price is known.")
    held_nano_usd: int | None = Field(description="What would be held at first, where a budget applies.")
    spared: bool = Field(description="Slow or failing at times, and kept because most others are out.")
    max_tokens: int | None = Field(description="The maximum that would be written into its request; null: none.")
    admitted: bool
    policies: list[PolicyView]


class DroppedView(BaseModel):
    target: str
    reason: str = Field(
        description="`capability`, `dialect`, `context_window`, `resting`, `ejected`, `full`, or `no_room`, which is "
        "set back."
    )
    detail: str | int | None = Field(description="The capabilities that it lacks, the dialect, or its window.")
    until_ms: int | None = Field(description="Until when it rests or has no room; Unix milliseconds.")


class RouteView(BaseModel):
    """What would become of a call if it came now. Money is nano-USD (1e-9)."""

    model_config = ConfigDict(protected_namespaces=())

    object: str = "route"
    asked_model: str
    model: str = Field(description="The model asked for, or its stand-in.")
    strategy: str
    substituted: str | None = Field(description="`asked->served;reason`, where another model stands in.")
    priority: str = Field(description="Its class.")
    priority_lowered: bool = Field(description="It is one lower than asked for: a budget is low (`lower_priority`).")
    target: str | None = Field(description="Whom it would be sent to; null: nobody can take it now.")
    admitted: bool = Field(description="Whether every limit and budget would let it pass, at one candidate at least.")
    observed: bool = Field(description="The key is only observed: what refuses it lets it pass.")
    home: str | None = Field(description="Where its conversation is.")
    candidates: list[CandidateView] = Field(description="Best first.")
    dropped: list[DroppedView]
    fallbacks: dict[str, list[str]] = Field(
        description="Models to try after these: after `any` failure, a prompt too long (`context`), refused content "
        "(`policy`)."
    )


def explain_routes(pipeline: Pipeline, principal: Callable[[Request], Principal], *, max_body: int) -> APIRouter:
    """Build the route. `principal` recognises the caller, before its request is read. `max_body`: bytes."""
    routes = APIRouter(prefix="/checkrein/v1/route", tags=["calls"], responses=_ERRORS)
    Caller = Annotated[Principal, Depends(principal)]  # noqa: N806 - a type

    @routes.post(
        "/explain",
        summary="Say what would become of a chat request: nothing is sent, charged or remembered.",
        openapi_extra={"requestBody": body_of(CHAT)},
    )
    async def explain_route(request: Request, caller: Caller) -> RouteView:
        arrived = pipeline.clock.monotonic_ns()
        metadata = read_metadata(request.scope["headers"])
        if isinstance(metadata, Refusal):
            raise RouterError(metadata)
        check_body_headers(request.scope["headers"], max_bytes=max_body)
        try:
            body = await read_body(request.receive, max_bytes=max_body)
        except CallerGone:
            raise refuse(Fault.CLIENT_CLOSED, "The request was not sent whole.") from None
        asked = read_request(CHAT, body)
        if isinstance(asked, Refusal):
            raise RouterError(asked)
        request_id = pipeline.request_id(metadata)
        call = pipeline.call(
            asked, principal=caller, metadata=metadata, request_id=request_id, route=_ROUTE, arrived=arrived
        )
        return view_route(pipeline.explain(call))

    return routes


def view_route(found: Explanation) -> RouteView:
    plan, priority = found.plan, found.priority
    assert priority is not None, "it was prepared before it was planned"
    return RouteView(
        asked_model=plan.asked.name,
        model=plan.model.name,
        strategy=plan.model.strategy,
        substituted=None if found.substituted is None else found.substituted.text,
        priority=priority.name,
        priority_lowered=priority.lowered,
        target=plan.candidates[0].target if plan.candidates else None,
        admitted=found.admitted,
        observed=found.observed,
        home=plan.pinned,
        candidates=[_candidate(one, found) for one in found.candidates],
        dropped=[_dropped(one, found.wall_offset_ns) for one in plan.dropped],
        fallbacks={kind.value: list(names) for kind, names in found.fallbacks.items()},
    )


def _candidate(one: Weighed, found: Explanation) -> CandidateView:
    deployment, sized = one.deployment, one.sized
    name, value = one.figure
    written = None if sized is None else sized.write_max_tokens
    return CandidateView(
        target=deployment.target,
        deployment=deployment.id,
        provider=deployment.provider,
        upstream_model=deployment.upstream_model,
        tier=deployment.tier,
        figure=name,
        value=value if isfinite(value) else None,
        ceiling_nano_usd=one.ceiling_nano_usd,
        held_nano_usd=None if one.ceiling_nano_usd is None or sized is None else sized.amounts.usd,
        spared=deployment.target in found.plan.spared,
        max_tokens=None if written is None else written[1],
        admitted=found.observed or one.refusal is None,
        policies=[_policy(said) for said in one.said],
    )


def _policy(said: Said) -> PolicyView:
    by = said.refusal
    refusal = None
    if by is not None:
        refusal = RefusalView(fault=by.fault, message=by.message, retry_after_ms=by.retry_after_ms)
    return PolicyView(policy=said.policy, id=said.id, refusal=refusal, observed=said.observed)


def _dropped(one: Dropped, wall_offset_ns: int) -> DroppedView:
    target, until_ns = one.deployment.target, one.until_ns
    if until_ns is not None:
        until_ms = (until_ns + wall_offset_ns) // NS_PER_MS
        return DroppedView(target=target, reason=one.reason, detail=None, until_ms=until_ms)
    return DroppedView(target=target, reason=one.reason, detail=one.detail, until_ms=None)
