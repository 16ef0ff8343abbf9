"""Serve `/admin/v1/organizations`, `teams`, `users`, `budgets` and `audit`: decode, ask the control plane, encode."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field, JsonValue

from router.admin.audit import PAGE_ROWS, PAGE_ROWS_MAX, AuditAdmin, AuditAsked
from router.admin.budgets import BudgetAdmin
from router.admin.tenants import PAGE_TENANTS, PAGE_TENANTS_MAX, TenantAdmin, TenantFacts
from router.admin.top_ups import TopUpAdmin, TopUpFacts
from router.domain.instants import NS_PER_MS
from router.domain.principal import Principal
from router.facades.http.admin.accounts import AccountView, view_account
from router.facades.http.admin.resource import (
    ERRORS,
    NEXT,
    ChangeView,
    components_of,
    described_body,
    ms,
    read_change,
    view_change,
)
from router.ports.records import RecordKind

_SCHEMAS: Final[Mapping[RecordKind, str]] = {
    RecordKind.ORGANIZATION: "OrganizationSettings",
    RecordKind.TEAM: "TeamSettings",
    RecordKind.USER: "UserSettings",
    RecordKind.BUDGET: "ScopedBudgetSettings",
}
_APART: Final = ("teams",)
"""Members of the file's sections that are resources of their own here."""
_TOP_UP: Final = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "amount_usd": {"type": ["string", "number"], "description": "For a budget in USD."},
        "amount": {"type": "integer", "description": "For others: whole ones of their unit."},
        "until": {"type": "string", "description": "RFC 3339 with an offset, or Unix seconds."},
        "for": {"type": "string", "description": "Instead of `until`, such as `2h`."},
        "value": {"type": "string", "description": "Whose account; without it, or `*`: each that the budget has."},
        "reason": {"type": "string"},
    },
}
_MOMENT: Final = "RFC 3339 with an offset, or Unix seconds."


class TenantView(BaseModel):
    """A tenant, or a budget across tenants. Times are Unix milliseconds."""

    object: str = Field(description="`organization`, `team`, `user`, `budget`.")
    name: str = Field(description="Of a team: `organization/team`.")
    source: str = Field(description="`store`, or `file`: read-only here.")
    place: str | None = Field(description="File and line; null for what is stored.")
    state: str = Field(
        description="`active`; `shadowed`: the file has one of this name, which holds; `broken`: it is left out."
    )
    budget: str | None = Field(description="The id of its budget, by which it is topped up; null: it has none.")
    created_at_ms: int | None
    updated_at_ms: int | None
    revision: int | None = Field(description="The store's revision that changed it last.")
    settings: dict[str, JsonValue] = Field(description="What was said; what was not is at its default.")


class TenantDetailView(TenantView):
    account: AccountView | None = Field(
        description="How its budget stands; null without one, or where it has an account for each value."
    )


class TenantList(BaseModel):
    object: str = "list"
    data: list[TenantView]
    next: str | None = Field(description=NEXT)


class DeletedView(BaseModel):
    object: str
    name: str
    deleted: bool = True


class TopUpView(BaseModel):
    """More of a budget for a while. Times are Unix milliseconds."""

    object: str = "top_up"
    id: str
    budget: str
    value: str = Field(description="Whose account; `*`: each that the budget has.")
    amount: int = Field(description="In the budget's unit, and nano-USD (1e-9) where that is `usd`.")
    until_ms: int
    ended: bool
    reason: str
    created_at_ms: int


class TopUpList(BaseModel):
    object: str = "list"
    data: list[TopUpView]


class AuditView(ChangeView):
    id: int = Field(description="Counts up with every change.")
    kind: str = Field(description="`key`, `organization`, `team`, `user`, `budget`, `top_up`.")
    subject: str = Field(description="Its name, or the id of a top-up.")


class AuditList(BaseModel):
    object: str = "list"
    data: list[AuditView]
    next: str | None = Field(description=NEXT)


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantDesk:
    """What the routes stand on, and the JSON Schema of each kind's settings for the documentation."""

    tenants: TenantAdmin
    top_ups: TopUpAdmin
    audit: AuditAdmin
    budgets: BudgetAdmin
    settings: Mapping[RecordKind, Mapping[str, object]] = field(default_factory=dict)

    def schemas(self) -> dict[str, object]:
        """Return the components of the OpenAPI document that the settings need."""
        found: dict[str, object] = {}
        for kind, schema in self.settings.items():
            found |= components_of(_SCHEMAS[kind], schema, _APART)
        return found


def tenant_routes(desk: TenantDesk, principal: Callable[[Request], Principal]) -> APIRouter:
    """Build the routes. `principal` recognises the caller, before any of its body is read."""
    routes = APIRouter(prefix="/admin/v1", responses=ERRORS)
    _add_top_ups(routes, desk.top_ups, principal)  # before `/budgets/{name}`, whose names would swallow theirs
    for kind in _SCHEMAS:
        _add_kind(routes, desk, kind, principal)
    _add_audit(routes, desk.audit, principal)
    return routes


def _add_kind(routes: APIRouter, desk: TenantDesk, kind: RecordKind, principal: Callable[[Request], Principal]) -> None:
    tenants, many = desk.tenants, f"{kind}s"
    article = "an" if kind is RecordKind.ORGANIZATION else "a"
    Caller = Annotated[Principal, Depends(principal)]  # noqa: N806 - a type

    @routes.get(f"/{many}", tags=[many], summary=f"List {many}, of the store and of the file.")
    async def list_tenants(
        caller: Caller,
        after: str | None = None,
        limit: Annotated[int, Query(description=f"1 to {PAGE_TENANTS_MAX}; beyond is brought within.")] = PAGE_TENANTS,
    ) -> TenantList:
        page = await tenants.list(caller, kind, after=after, limit=limit)
        return TenantList(data=[TenantView(**_view(one)) for one in page.tenants], next=page.after)

    @routes.post(
        f"/{many}",
        tags=[many],
        status_code=201,
        summary=f"Make {article} {kind}.",
        openapi_extra=described_body({"$ref": f"#/components/schemas/{_SCHEMAS[kind]}"}),
    )
    async def create_tenant(caller: Caller, request: Request) -> TenantView:
        tenants.require_admin(caller)
        return TenantView(**_view(await tenants.create(caller, kind, await read_change(request))))

    @routes.get(f"/{many}/{{name:path}}", tags=[many], summary=f"Show {article} {kind}, and how its budget stands.")
    async def show_tenant(name: str, caller: Caller) -> TenantDetailView:
        facts = await tenants.show(caller, kind, name)
        state = None if facts.budget is None else desk.budgets.state_of(caller, facts.budget)
        return TenantDetailView(**_view(facts), account=None if state is None else view_account(state))

    @routes.patch(
        f"/{many}/{{name:path}}",
        tags=[many],
        summary="Change settings by a JSON merge patch; null sets a member back to its default.",
        openapi_extra=described_body({"type": "object", "description": f"Members of {_SCHEMAS[kind]}."}),
    )
    async def update_tenant(name: str, caller: Caller, request: Request) -> TenantView:
        tenants.require_admin(caller)
        return TenantView(**_view(await tenants.update(caller, kind, name, await read_change(request))))

    @routes.delete(f"/{many}/{{name:path}}", tags=[many], summary=f"Delete {article} {kind} that nothing names.")
    async def delete_tenant(name: str, caller: Caller) -> DeletedView:
        await tenants.delete(caller, kind, name)
        return DeletedView(object=kind, name=name)


def _add_top_ups(routes: APIRouter, top_ups: TopUpAdmin, principal: Callable[[Request], Principal]) -> None:
    path, tags = "/budgets/{budget:path}/top_ups", ["budgets"]
    Caller = Annotated[Principal, Depends(principal)]  # noqa: N806 - a type

    @routes.get(path, tags=list(tags), summary="List what tops a budget up, by the budget's id or name.")
    async def list_top_ups(budget: str, caller: Caller) -> TopUpList:
        return TopUpList(data=[_view_top_up(one) for one in await top_ups.list(caller, budget)])

    @routes.post(
        path,
        tags=list(tags),
        status_code=201,
        summary="Give a budget more until a moment.",
        openapi_extra=described_body(_TOP_UP),
    )
    async def create_top_up(budget: str, caller: Caller, request: Request) -> TopUpView:
        top_ups.require_admin(caller)
        return _view_top_up(await top_ups.create(caller, budget, await read_change(request)))

    @routes.delete(f"{path}/{{top_up}}", tags=list(tags), summary="Take a top-up back.")
    async def delete_top_up(budget: str, top_up: str, caller: Caller) -> DeletedView:
        await top_ups.delete(caller, budget, top_up)
        return DeletedView(object="top_up", name=top_up)


def _add_audit(routes: APIRouter, audit: AuditAdmin, principal: Callable[[Request], Principal]) -> None:
    Caller = Annotated[Principal, Depends(principal)]  # noqa: N806 - a type
    What = Annotated[AuditAsked, Depends(_asked)]  # noqa: N806 - a type

    @routes.get("/audit", tags=["audit"], summary="List who changed what, newest first.")
    async def list_audit(caller: Caller, asked: What) -> AuditList:
        page = await audit.list(caller, asked)
        rows = [AuditView(**view_change(row), id=row.id, kind=row.kind, subject=row.subject) for row in page.rows]
        return AuditList(data=rows, next=page.next)


def _asked(
    kind: Annotated[str | None, Query(description="`key`, `team`, `top_up` and so on.")] = None,
    subject: Annotated[str | None, Query(description="Name of what was changed.")] = None,
    actor: Annotated[str | None, Query(description="Name of the key that changed it.")] = None,
    action: Annotated[str | None, Query(description="`create`, `update`, `rotate`, `revoke`, `delete`.")] = None,
    since: Annotated[str | None, Query(description=f"Changes then or later. {_MOMENT}")] = None,
    until: Annotated[str | None, Query(description=f"Changes before. {_MOMENT}")] = None,
    after: Annotated[str | None, Query(description="The `next` of the page before.")] = None,
    limit: Annotated[int, Query(description=f"1 to {PAGE_ROWS_MAX}; beyond is brought within.")] = PAGE_ROWS,
) -> AuditAsked:
    return AuditAsked(
        kind=kind,
        subject=subject,
        actor=actor,
        action=action,
        since=since,
        until=until,
        after=after,
        limit=limit,
    )


def _view(facts: TenantFacts) -> dict[str, object]:
    return {
        "object": facts.kind.value,
        "name": facts.name,
        "source": facts.source.value,
        "place": facts.place,
        "state": facts.state.value,
        "budget": facts.budget,
        "created_at_ms": ms(facts.created_ns),
        "updated_at_ms": ms(facts.updated_ns),
        "revision": facts.revision,
        "settings": msgspec.json.decode(facts.settings_json),
    }


def _view_top_up(facts: TopUpFacts) -> TopUpView:
    terms = facts.terms
    return TopUpView(
        id=facts.id,
        budget=terms.budget,
        value=terms.value,
        amount=terms.amount,
        until_ms=terms.until_ns // NS_PER_MS,
        ended=facts.ended,
        reason=terms.reason,
        created_at_ms=facts.created_ns // NS_PER_MS,
    )
