"""Serve `/admin/v1/breakers`: decode, ask the control plane, encode."""

from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from router.admin.breakers import BreakerAdmin, TargetView
from router.domain.dispatch.breaker import BreakerState, OpenedBy
from router.domain.dispatch.failure import Park
from router.domain.faults import Fault, refuse
from router.domain.instants import NS_PER_MS
from router.domain.principal import Principal
from router.facades.http.body import check_body_headers, read_body

_ERRORS: Final[dict[int | str, dict[str, object]]] = {
    "default": {
        "description": "Any failure, in the one error shape.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
}
BODY_BYTES_MAX: Final = 16_384


class BreakerView(BaseModel):
    """How one target stands in this process. Times are Unix milliseconds; null: not, or not by time."""

    object: str = "breaker"
    target: str = Field(description="The deployment, and `#` and its credential where that has a name.")
    deployment: str
    provider: str
    credential: str = Field(description="Empty for a provider that has only one.")
    state: BreakerState
    opened_by: OpenedBy | None = Field(
        description="Null: it is closed. Opened by `hand`, it stays open until it is closed by hand."
    )
    calls: int = Field(description="In the window.")
    failures: int = Field(description="Of them.")
    slow: int = Field(description="Of them, those that waited for a first token for longer than `breaker.slow_call`.")
    failures_in_a_row: int
    opens_until_ms: int | None = Field(description="Nobody is let through before.")
    not_before_ms: int | None = Field(description="The provider limits our rate, or does not have the model.")
    not_before_why: str | None = Field(description="`rate`, `model`; null: nothing.")
    credential_parked_until_ms: int | None = Field(description="The credential was refused, or its quota is used up.")
    credential_parked_why: str | None = Field(description="`upstream_credentials`, `upstream_quota`; null: it is good.")


class BreakerList(BaseModel):
    object: str = "list"
    data: list[BreakerView]


class BreakerTarget(BaseModel):
    target: str = Field(description="As `GET /admin/v1/breakers` writes it.")


_TAKES_TARGET: Final[dict[str, object]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": BreakerTarget.model_json_schema()}},
    }
}


def breaker_routes(breakers: BreakerAdmin, principal: Callable[[Request], Principal]) -> APIRouter:
    """Build the routes. `principal` recognises the caller, before any of its body is read."""
    routes = APIRouter(prefix="/admin/v1/breakers", tags=["breakers"], responses=_ERRORS)
    Caller = Annotated[Principal, Depends(principal)]  # noqa: N806 - a type

    @routes.get("", summary="List how every deployment stands, with each of its credentials.")
    async def list_breakers(caller: Caller) -> BreakerList:
        return BreakerList(data=[_view(one) for one in breakers.list(caller)])

    @routes.post(
        "/open", summary="Let nobody through until the breaker is closed by hand.", openapi_extra=_TAKES_TARGET
    )
    async def open_breaker(caller: Caller, request: Request) -> BreakerView:
        breakers.require_admin(caller)
        return _view(breakers.open(caller, await _target(request)))

    @routes.post("/close", summary="Let everybody through again.", openapi_extra=_TAKES_TARGET)
    async def close_breaker(caller: Caller, request: Request) -> BreakerView:
        breakers.require_admin(caller)
        return _view(breakers.close(caller, await _target(request)))

    @routes.post(
        "/reset", summary="Forget all that is held against a target and its credential.", openapi_extra=_TAKES_TARGET
    )
    async def reset_breaker(caller: Caller, request: Request) -> BreakerView:
        breakers.require_admin(caller)
        return _view(breakers.reset(caller, await _target(request)))

    return routes


async def _target(request: Request) -> str:
    check_body_headers(request.scope["headers"], max_bytes=BODY_BYTES_MAX)
    body = await read_body(request.receive, max_bytes=BODY_BYTES_MAX)
    try:
        members = msgspec.json.decode(body, type=dict[str, str])
    except (msgspec.DecodeError, RecursionError):
        members = {}
    if members.keys() != {"target"}:
        message = 'Send {"target": "…"}, as GET /admin/v1/breakers writes it.'
        raise refuse(Fault.INVALID_REQUEST, message, param="target")
    return members["target"]


def _view(view: TargetView) -> BreakerView:
    state = view.state
    return BreakerView(
        target=state.target,
        deployment=state.deployment,
        provider=state.provider,
        credential=state.credential,
        state=state.state,
        opened_by=state.opened_by,
        calls=state.calls,
        failures=state.failures,
        slow=state.slow,
        failures_in_a_row=state.failures_in_a_row,
        opens_until_ms=_ms(view.opens_until_ns),
        not_before_ms=_ms(view.not_before_ns),
        not_before_why=None if state.not_before_why is Park.NOTHING else state.not_before_why,
        credential_parked_until_ms=_ms(view.credential_parked_until_ns),
        credential_parked_why=state.credential_parked_why,
    )


def _ms(moment_ns: int | None) -> int | None:
    return None if moment_ns is None else moment_ns // NS_PER_MS
