"""Serve `/admin/v1/usage`: decode, ask the control plane, encode. Reports are encoded beside the loop."""

from collections.abc import Callable
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from router.admin.usage import BY, GROUPS, AskedUsage, UsageAdmin
from router.admin.usage_text import usage_csv, usage_json
from router.domain.principal import Principal
from router.ports.usage import GROUPINGS_MAX, GROUPS_MAX, USAGE_GROUPS

_CSV: Final = "text/csv"
_ERRORS: Final[dict[int | str, dict[str, object]]] = {
    200: {"content": {_CSV: {"schema": {"type": "string"}}}},
    "default": {
        "description": "Any failure, in the one error shape.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    },
}
_MOMENT: Final = "RFC 3339 with an offset, or Unix seconds."


class UsageView(BaseModel):
    """Sums over the settled calls of one group. Money is nano-USD (1e-9)."""

    object: str = "usage"
    group: dict[str, str | None] = Field(description="A value for each grouping; null: its calls have none.")
    calls: int
    failed_calls: int = Field(description="Neither completed nor cancelled by their caller.")
    input_tokens: int = Field(description="Includes cached tokens.")
    cached_input_tokens: int
    output_tokens: int = Field(description="Includes reasoning tokens.")
    reasoning_tokens: int
    cost_nano_usd: int
    unpriced_calls: int = Field(description="No price was known: they add nothing to the cost.")


class UsageList(BaseModel):
    object: str = "list"
    data: list[UsageView] = Field(description="Dearest first.")
    truncated: bool = Field(description="There are more groups than `limit`.")
    partial: bool = Field(
        description="Rows that it needs were deleted (`retention.ledger`): it counts those that are left."
    )


def usage_routes(usage: UsageAdmin, principal: Callable[[Request], Principal]) -> APIRouter:
    """Build the route. `principal` recognises the caller, before its question is read."""
    routes = APIRouter(prefix="/admin/v1/usage", tags=["usage"], responses=_ERRORS)
    Caller = Annotated[Principal, Depends(principal)]  # noqa: N806 - a type
    What = Annotated[AskedUsage, Depends(_asked)]  # noqa: N806 - a type
    AsCsv = Annotated[bool, Depends(_as_csv)]  # noqa: N806 - a type

    @routes.get("", response_model=UsageList, summary="Add up what calls used and cost, dearest group first.")
    async def report_usage(caller: Caller, asked: What, as_csv: AsCsv) -> Response:
        told = await usage.report(caller, asked)
        if not as_csv:
            return Response(await run_in_threadpool(usage_json, told.by, told.report), media_type="application/json")
        headers = {
            "x-checkrein-truncated": str(told.report.truncated).lower(),
            "x-checkrein-partial": str(told.report.partial).lower(),
            "content-disposition": 'attachment; filename="usage.csv"',
        }
        return Response(await run_in_threadpool(usage_csv, told.by, told.report), media_type=_CSV, headers=headers)

    return routes


def _as_csv(
    wanted: Annotated[
        Literal["json", "csv"] | None, Query(alias="format", description="Wins over the header `accept`.")
    ] = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
) -> bool:
    return _CSV in accept.lower() if wanted is None else wanted == "csv"


def _asked(
    group_by: Annotated[
        list[str] | None,
        Query(description=f"1 to {GROUPINGS_MAX} of {', '.join(USAGE_GROUPS)}; repeated or separated by commas."),
    ] = None,
    key: Annotated[str | None, Query(description="Name of the key.")] = None,
    team: Annotated[str | None, Query(description="`team`, or `organization/team`.")] = None,
    agent: str | None = None,
    workflow: str | None = None,
    model: Annotated[str | None, Query(description="As it was asked for.")] = None,
    since: Annotated[str | None, Query(description=f"Calls started then or later. {_MOMENT}")] = None,
    until: Annotated[str | None, Query(description=f"Calls started before. {_MOMENT}")] = None,
    limit: Annotated[int, Query(description=f"Groups, 1 to {GROUPS_MAX}; beyond is brought within.")] = GROUPS,
) -> AskedUsage:
    return AskedUsage(
        by=group_by or [BY],
        key=key,
        team=team,
        agent=agent,
        workflow=workflow,
        model=model,
        since=since,
        until=until,
        limit=limit,
    )
