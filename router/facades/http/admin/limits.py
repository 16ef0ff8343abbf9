"""Serve `/admin/v1/limits`: decode, ask the control plane, encode."""

from collections.abc import Callable
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from router.admin.limits import (
    KINDS,
    PAGE_LIMITS,
    PAGE_LIMITS_MAX,
    LimitAdmin,
    LimitPage,
    LimitState,
    UpstreamPage,
)
from router.domain.governance.upstream_limits import Left
from router.domain.instants import NS_PER_MS
from router.domain.principal import Principal
from router.ports.limit_states import UpstreamStanding

_ERRORS: Final[dict[int | str, dict[str, object]]] = {
    "default": {
        "description": "Any failure, in the one error shape.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
}
_CREDENTIAL: Final = "default"
"""What one that has no name, being its provider's only one, is called here."""
_NEXT: Final = "Send it as `after` for the next page; null: this is the last."


class LimitScopeView(BaseModel):
    kind: str = Field(description=f"{', '.join(f'`{kind}`' for kind in KINDS)}.")
    value: str = Field(description="Whose limit it is.")


class LimitView(BaseModel):
    """How one limit on speed stands."""

    object: str = "limit"
    scope: LimitScopeView
    limit: str = Field(description="`rpm`, `tpm`, `input_tpm`, `output_tpm`, `concurrency`.")
    limit_value: int = Field(description="So much a minute, or so many calls at once.")
    remaining: int | None = Field(description="What passes now; null for `concurrency`.")
    in_use: int | None = Field(description="Calls under way; null for rates.")
    resets_in_ms: int | None = Field(description="Until nothing that was taken counts any more; null: `concurrency`.")
    smoothing: str | None = Field(description="`burst` or `leaky` (one call at a time); null for `concurrency`.")
    observed: bool = Field(description="It counts and tells, and refuses nothing.")


class LimitList(BaseModel):
    object: str = "list"
    data: list[LimitView]
    next: str | None = Field(description=_NEXT)


class UpstreamUnitView(BaseModel):
    """What a provider said last of one unit; null where it did not say."""

    unit: str = Field(description="`requests`, `tokens`, `input_tokens`, `output_tokens`.")
    limit_value: int | None
    remaining: int | None = Field(description="With what has been refilled since.")
    resets_in_ms: int | None = Field(description="Until it is full again.")
    said_ms_ago: int


class UpstreamLimitView(BaseModel):
    """What is known of our limits at one deployment's provider."""

    object: str = "upstream_limit"
    deployment: str
    credential: str
    provider: str
    blocked_ms: int = Field(description="For so long its `retry-after` asks to be left alone; 0: it does not.")
    units: list[UpstreamUnitView]


class UpstreamLimitList(BaseModel):
    object: str = "list"
    data: list[UpstreamLimitView]
    next: str | None = Field(description=_NEXT)


def limit_routes(limits: LimitAdmin, principal: Callable[[Request], Principal]) -> APIRouter:
    """Build the routes. `principal` recognises the caller, before its question is read."""
    routes = APIRouter(prefix="/admin/v1/limits", tags=["limits"], responses=_ERRORS)
    Caller = Annotated[Principal, Depends(principal)]  # noqa: N806 - a type
    After = Annotated[str | None, Query(description="The `next` of the page before.")]  # noqa: N806 - a type
    Limit = Annotated[int, Query(description=f"1 to {PAGE_LIMITS_MAX}; beyond is brought within.")]  # noqa: N806 - a type

    @routes.get("", response_model=LimitList, summary="List the limits on speed in force, and how they stand.")
    async def list_limits(
        caller: Caller,
        kind: Annotated[str | None, Query(description="Only of this kind of scope.")] = None,
        value: Annotated[str | None, Query(description="Only of the scope with this value.")] = None,
        after: After = None,
        limit: Limit = PAGE_LIMITS,
    ) -> Response:
        # All of it off the loop: the limits of 10,000 keys take a tenth of a second to collect.
        page = await run_in_threadpool(limits.list, caller, kind=kind, value=value, after=after, limit=limit)
        return Response(await run_in_threadpool(_encoded, page), media_type="application/json")

    @routes.get("/upstream", response_model=UpstreamLimitList, summary="List what providers say of our limits there.")
    async def list_upstream_limits(caller: Caller, after: After = None, limit: Limit = PAGE_LIMITS) -> Response:
        page = limits.upstreams(caller, after=after, limit=limit)
        return Response(await run_in_threadpool(_encoded_upstreams, page), media_type="application/json")

    return routes


def _encoded(page: LimitPage) -> str:
    return LimitList(data=[_view(state) for state in page.limits], next=page.next).model_dump_json()


def _view(state: LimitState) -> LimitView:
    return LimitView(
        scope=LimitScopeView(kind=state.scope_kind, value=state.scope_value),
        limit=state.limit,
        limit_value=state.limit_value,
        remaining=state.remaining,
        in_use=state.in_use,
        resets_in_ms=_ms(state.reset_ns),
        smoothing=None if state.smoothing is None else state.smoothing.name.lower(),
        observed=state.observed,
    )


def _encoded_upstreams(page: UpstreamPage) -> str:
    data = [_view_upstream(upstream) for upstream in page.upstreams]
    return UpstreamLimitList(data=data, next=page.next).model_dump_json()


def _view_upstream(upstream: UpstreamStanding) -> UpstreamLimitView:
    return UpstreamLimitView(
        deployment=upstream.deployment,
        credential=upstream.credential or _CREDENTIAL,
        provider=upstream.provider,
        blocked_ms=-(-upstream.blocked_ns // NS_PER_MS),
        units=[_view_unit(left) for left in upstream.left],
    )


def _view_unit(left: Left) -> UpstreamUnitView:
    return UpstreamUnitView(
        unit=left.unit.name.lower(),
        limit_value=left.limit_value,
        remaining=left.remaining,
        resets_in_ms=_ms(left.reset_ns),
        said_ms_ago=left.said_ns_ago // NS_PER_MS,
    )


def _ms(span_ns: int | None) -> int | None:
    """Round up: who waits so long finds it so."""
    return None if span_ns is None else -(-span_ns // NS_PER_MS)
