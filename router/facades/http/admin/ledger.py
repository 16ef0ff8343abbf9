"""Serve `/admin/v1/ledger`: decode, ask the control plane, encode. Pages are encoded beside the loop."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from router.admin.ledger import PAGE_ROWS, PAGE_ROWS_MAX, Asked, LedgerAdmin, Page
from router.domain.ids import format_call_id
from router.domain.instants import NS_PER_MS
from router.domain.principal import Principal
from router.facades.http.schema import CallView, view_call
from router.ports.ledger import CallRecord
from router.ports.ledger_pages import AttemptRecord

_ERRORS: Final[dict[int | str, dict[str, object]]] = {
    "default": {
        "description": "Any failure, in the one error shape.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
}
_NEXT: Final = "Send it as `after` for the next page; null: this is the last."
_MOMENT: Final = "RFC 3339 with an offset, or Unix seconds."


class LedgerCallView(CallView):
    """A call with all its columns. Times are Unix milliseconds, spans milliseconds, money nano-USD (1e-9)."""

    hold_nano_usd: int = Field(description="The most that was held for it.")
    would_refuse: str | None = Field(
        description="The fault that would have refused it, had its key or a limit not been observed."
    )


class LedgerCallList(BaseModel):
    object: str = "list"
    data: list[LedgerCallView]
    next: str | None = Field(description=_NEXT)


class LedgerAttemptView(BaseModel):
    """One dispatch to one deployment. Times are Unix milliseconds, spans milliseconds, money nano-USD (1e-9)."""

    model_config = ConfigDict(protected_namespaces=())

    object: str = "attempt"
    call_id: str
    request_id: str
    key_id: str
    number: int = Field(description="Counts from 1.")
    deployment: str
    provider: str
    upstream_model: str
    started_at_ms: int
    duration_ms: float
    first_token_ms: float | None
    fault: str | None
    upstream_status: int | None
    input_tokens: int = Field(description="Includes cached tokens.")
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int = Field(description="Includes reasoning tokens.")
    reasoning_tokens: int
    usage_estimated: bool
    usage_clamped: bool
    cost_nano_usd: int | None = Field(description="Null: no price is known.")
    price_version: str | None


class LedgerAttemptList(BaseModel):
    object: str = "list"
    data: list[LedgerAttemptView]
    next: str | None = Field(description=_NEXT)


def ledger_routes(ledger: LedgerAdmin, principal: Callable[[Request], Principal]) -> APIRouter:
    """Build the routes. `principal` recognises the caller, before its question is read."""
    routes = APIRouter(prefix="/admin/v1/ledger", tags=["ledger"], responses=_ERRORS)
    Caller = Annotated[Principal, Depends(principal)]  # noqa: N806 - a type
    What = Annotated[Asked, Depends(_asked)]  # noqa: N806 - a type

    @routes.get("/calls", response_model=LedgerCallList, summary="List calls, open and settled, newest first.")
    async def list_calls(caller: Caller, asked: What) -> Response:
        page = await ledger.calls(caller, asked)
        return await _encoded(partial(_call_list, page))

    @routes.get(
        "/attempts", response_model=LedgerAttemptList, summary="List attempts of settled calls, newest call first."
    )
    async def list_attempts(caller: Caller, asked: What) -> Response:
        page = await ledger.attempts(caller, asked)
        return await _encoded(partial(_attempt_list, page))

    return routes


def _asked(
    key: Annotated[str | None, Query(description="Name of the key.")] = None,
    team: Annotated[str | None, Query(description="`team`, or `organization/team`.")] = None,
    agent: str | None = None,
    workflow: str | None = None,
    model: Annotated[str | None, Query(description="As it was asked for.")] = None,
    outcome: Annotated[str | None, Query(description="`open`, or how the call ended.")] = None,
    fault: Annotated[str | None, Query(description="Of the call; of the attempt where attempts are listed.")] = None,
    since: Annotated[str | None, Query(description=f"Calls started then or later. {_MOMENT}")] = None,
    until: Annotated[str | None, Query(description=f"Calls started before. {_MOMENT}")] = None,
    after: Annotated[str | None, Query(description="The `next` of the page before.")] = None,
    limit: Annotated[int, Query(description=f"1 to {PAGE_ROWS_MAX}; beyond is brought within.")] = PAGE_ROWS,
) -> Asked:
    return Asked(
        key=key,
        team=team,
        agent=agent,
        workflow=workflow,
        model=model,
        outcome=outcome,
        fault=fault,
        since=since,
        until=until,
        after=after,
        limit=limit,
    )


async def _encoded(make: Callable[[], BaseModel]) -> Response:
    """Encode in another thread: a thousand rows take longer than a caller's stream may be kept waiting."""
    text = await run_in_threadpool(lambda: make().model_dump_json())
    return Response(text, media_type="application/json")


def _call_list(page: Page[CallRecord]) -> LedgerCallList:
    return LedgerCallList(data=[_call(record) for record in page.rows], next=page.next)


def _call(record: CallRecord) -> LedgerCallView:
    seen = dict(view_call(record))
    return LedgerCallView(**seen, hold_nano_usd=record.hold_nano_usd, would_refuse=record.would_refuse)


def _attempt_list(page: Page[AttemptRecord]) -> LedgerAttemptList:
    return LedgerAttemptList(data=[_attempt(record) for record in page.rows], next=page.next)


def _attempt(record: AttemptRecord) -> LedgerAttemptView:
    columns = msgspec.structs.asdict(record)
    started_ns, duration_ns, first_ns = (columns.pop(f"{name}_ns") for name in ("started", "duration", "first_token"))
    return LedgerAttemptView(
        **columns | {"call_id": format_call_id(record.call_id)},
        started_at_ms=started_ns // NS_PER_MS,
        duration_ms=duration_ns / NS_PER_MS,
        first_token_ms=None if first_ns is None else first_ns / NS_PER_MS,
    )
