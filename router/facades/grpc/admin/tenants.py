"""Serve `TenantService`: decode, ask the control plane, encode."""

import asyncio
from collections.abc import Mapping
from typing import Final

import grpc
from checkrein.admin.v1.tenants_pb2 import (
    TENANT_KIND_BUDGET,
    TENANT_KIND_ORGANIZATION,
    TENANT_KIND_TEAM,
    TENANT_KIND_USER,
    CreateTenantRequest,
    CreateTenantResponse,
    DeleteTenantRequest,
    DeleteTenantResponse,
    GetTenantRequest,
    GetTenantResponse,
    ListTenantsRequest,
    ListTenantsResponse,
    Tenant,
    TenantKind,
    UpdateTenantRequest,
    UpdateTenantResponse,
)

from router.admin.budgets import BudgetAdmin
from router.admin.tenants import TenantAdmin, TenantFacts, TenantPage
from router.domain.faults import Fault, refuse
from router.facades.grpc.admin.budgets import account_of
from router.facades.grpc.admin.fields import fields, json_of, page_of, said
from router.facades.grpc.asking import Asking
from router.facades.grpc.border import Border, service
from router.facades.grpc.moments import timestamp_of
from router.ports.records import RecordKind

_KINDS: Final[Mapping[TenantKind, RecordKind]] = {
    TENANT_KIND_ORGANIZATION: RecordKind.ORGANIZATION,
    TENANT_KIND_TEAM: RecordKind.TEAM,
    TENANT_KIND_USER: RecordKind.USER,
    TENANT_KIND_BUDGET: RecordKind.BUDGET,
}
_NUMBERS: Final = {kind: number for number, kind in _KINDS.items()}
_NAME: Final = "name"


def tenant_service(border: Border, tenants: TenantAdmin, budgets: BudgetAdmin) -> grpc.ServiceRpcHandler:
    serving = _Tenants(tenants, budgets)
    return service(
        "checkrein.admin.v1.TenantService",
        {
            "CreateTenant": border.unary(CreateTenantRequest, serving.create),
            "GetTenant": border.unary(GetTenantRequest, serving.get),
            "ListTenants": border.unary(ListTenantsRequest, serving.list),
            "UpdateTenant": border.unary(UpdateTenantRequest, serving.update),
            "DeleteTenant": border.unary(DeleteTenantRequest, serving.delete),
        },
    )


class _Tenants:
    """Each method looks at who asks before it looks at what."""

    def __init__(self, tenants: TenantAdmin, budgets: BudgetAdmin) -> None:
        self._tenants = tenants
        self._budgets = budgets

    async def create(self, request: CreateTenantRequest, asking: Asking) -> CreateTenantResponse:
        self._tenants.require_admin(asking.principal)
        kind, settings = _kind(request.kind), json_of(request.settings_json, "settings_json")
        with fields({None: "settings_json"}):
            return CreateTenantResponse(tenant=_tenant(await self._tenants.create(asking.principal, kind, settings)))

    async def get(self, request: GetTenantRequest, asking: Asking) -> GetTenantResponse:
        if request.kind not in _KINDS or not request.name:
            self._tenants.require_admin(asking.principal)  # a team's administrator names its team, or sees nothing
        facts = await self._tenants.show(asking.principal, _kind(request.kind), said(request.name, _NAME))
        state = None if facts.budget is None else self._budgets.state_of(asking.principal, facts.budget)
        return GetTenantResponse(tenant=_tenant(facts), account=None if state is None else account_of(state))

    async def list(self, request: ListTenantsRequest, asking: Asking) -> ListTenantsResponse:
        self._tenants.require_admin(asking.principal)
        page = await self._tenants.list(asking.principal, _kind(request.kind), **page_of(request))
        return await asyncio.to_thread(_tenants, page)

    async def update(self, request: UpdateTenantRequest, asking: Asking) -> UpdateTenantResponse:
        self._tenants.require_admin(asking.principal)
        kind, name = _kind(request.kind), said(request.name, _NAME)
        patch = json_of(request.patch_json, "patch_json")
        with fields({None: "patch_json"}):
            return UpdateTenantResponse(tenant=_tenant(await self._tenants.update(asking.principal, kind, name, patch)))

    async def delete(self, request: DeleteTenantRequest, asking: Asking) -> DeleteTenantResponse:
        self._tenants.require_admin(asking.principal)
        await self._tenants.delete(asking.principal, _kind(request.kind), said(request.name, _NAME))
        return DeleteTenantResponse()


def _kind(kind: TenantKind) -> RecordKind:
    """Require a kind that is known; numbers of a later version are none. Raises `RouterError`."""
    found = _KINDS.get(kind)
    if found is None:
        message = f"`kind` says no kind of tenant. Use one of {', '.join(TenantKind.Name(one) for one in _KINDS)}."
        raise refuse(Fault.INVALID_REQUEST, message, param="kind")
    return found


def _tenants(page: TenantPage) -> ListTenantsResponse:
    return ListTenantsResponse(tenants=map(_tenant, page.tenants), next=page.after)


def _tenant(facts: TenantFacts) -> Tenant:
    return Tenant(
        kind=_NUMBERS[facts.kind],
        name=facts.name,
        source=facts.source.value,
        place=facts.place,
        state=facts.state.value,
        budget=facts.budget,
        create_time=timestamp_of(facts.created_ns),
        update_time=timestamp_of(facts.updated_ns),
        revision=facts.revision,
        settings_json=facts.settings_json,
    )
