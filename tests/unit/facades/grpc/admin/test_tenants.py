"""The service of tenants decodes and encodes: four kinds, of the file and of the store, with their accounts."""

import asyncio
import json
from dataclasses import replace

import pytest
from checkrein.admin.v1.budgets_pb2 import Account
from checkrein.admin.v1.tenants_pb2 import (
    TENANT_KIND_BUDGET,
    TENANT_KIND_ORGANIZATION,
    TENANT_KIND_TEAM,
    TENANT_KIND_USER,
    CreateTenantRequest,
    DeleteTenantRequest,
    GetTenantRequest,
    ListTenantsRequest,
    Tenant,
    TenantKind,
    UpdateTenantRequest,
)
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from router.admin.budgets import BudgetAdmin
from router.admin.storing import BODY_BYTES_MAX
from router.admin.tenants import TenantAdmin
from router.domain.faults import Fault
from router.domain.ids import KeyId
from router.domain.principal import Permission, Principal
from router.facades.grpc.admin.tenants import tenant_service
from tests.support.fakes import snapshot
from tests.support.grpc_service import USER, Service
from tests.support.ledger_facts import budget
from tests.support.pipeline import Rig
from tests.support.records import MemoryRecords, PlainRecordRules

NOW = Timestamp(seconds=1_800_000_000)
LEAD = Principal(key_id=KeyId("lead"), organization="acme", team="lab", permissions=frozenset({Permission.TEAM_ADMIN}))
KINDS = [TENANT_KIND_ORGANIZATION, TENANT_KIND_TEAM, TENANT_KIND_USER, TENANT_KIND_BUDGET]


class Site(Service):
    def __init__(self) -> None:
        in_force = budget("user/ann/usd", 100, value="ann")
        rig = Rig(replace(snapshot(), budgets={in_force.id: in_force}))
        rules = PlainRecordRules(filed='{"name":"filed"}')
        clock, turn = rig.clock, asyncio.Lock()
        tenants = TenantAdmin(store=MemoryRecords(), rules=rules, refresh=self._refresh, clock=clock, turn=turn)
        budgets = BudgetAdmin(accounts=rig.ledger, snapshots=rig.snapshots, clock=clock)
        super().__init__(tenant_service, tenants, budgets)

    async def _refresh(self) -> None:
        """Nothing is in force here."""


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.mark.parametrize("kind", KINDS, ids=TenantKind.Name)
async def test_each_kind_is_made_changed_listed_and_deleted(site: Site, kind: TenantKind) -> None:
    made = (await site.ask(CreateTenantRequest(kind=kind, settings_json='{"name":"x","y":1}'))).tenant
    expected = Tenant(
        kind=kind,
        name="x",
        source="store",
        state="active",
        create_time=NOW,
        update_time=NOW,
        revision=1,
        settings_json='{"name":"x","y":1}',
    )
    assert expected == made
    shown = await site.ask(GetTenantRequest(kind=kind, name="x"))
    assert (expected, False) == (shown.tenant, shown.HasField("account"))

    changed = (await site.ask(UpdateTenantRequest(kind=kind, name="x", patch_json='{"y":null}'))).tenant
    assert ({"name": "x"}, 2) == (json.loads(changed.settings_json), changed.revision)
    filed = Tenant(
        kind=kind, name="filed", source="file", place="f.yaml:3", state="active", settings_json='{"name":"filed"}'
    )
    first = await site.ask(ListTenantsRequest(kind=kind, limit=1))
    second = await site.ask(ListTenantsRequest(kind=kind, limit=1, after=first.next))
    assert ([filed], "filed") == (list(first.tenants), first.next)
    assert ([changed], False) == (list(second.tenants), second.HasField("next"))
    for other in KINDS:
        if other != kind:
            assert (Fault.NOT_FOUND, None) == await site.refusal(GetTenantRequest(kind=other, name="x"))

    assert not (await site.ask(DeleteTenantRequest(kind=kind, name="x"))).ByteSize()
    assert (Fault.NOT_FOUND, None) == await site.refusal(GetTenantRequest(kind=kind, name="x"))


async def test_a_budget_is_shown_as_it_stands(site: Site) -> None:
    settings = json.dumps({"name": "ann", "budget": "user/ann/usd"})
    await site.ask(CreateTenantRequest(kind=TENANT_KIND_USER, settings_json=settings))
    shown = await site.ask(GetTenantRequest(kind=TENANT_KIND_USER, name="ann"))

    assert "user/ann/usd" == shown.tenant.budget
    assert shown.account == Account(
        budget="user/ann/usd",
        scope_kind="key",
        scope_value="ann",
        unit="usd",
        window="day@UTC",
        limit=100,
        reset_time=shown.account.reset_time,
    )


async def test_a_teams_administrator_is_shown_its_team_and_nothing_else(site: Site) -> None:
    await site.ask(CreateTenantRequest(kind=TENANT_KIND_TEAM, settings_json='{"name":"acme/lab"}'))

    assert "acme/lab" == (await site.ask(GetTenantRequest(kind=TENANT_KIND_TEAM, name="acme/lab"), LEAD)).tenant.name
    for request in (
        GetTenantRequest(kind=TENANT_KIND_TEAM, name="acme/other"),
        GetTenantRequest(kind=TENANT_KIND_ORGANIZATION, name="acme/lab"),
        GetTenantRequest(name="acme/lab"),
        GetTenantRequest(kind=TENANT_KIND_TEAM),
        ListTenantsRequest(kind=TENANT_KIND_TEAM),
        DeleteTenantRequest(kind=TENANT_KIND_TEAM, name="acme/lab"),
    ):
        assert (Fault.PERMISSION_DENIED, None) == await site.refusal(request, LEAD)


U = TENANT_KIND_USER


@pytest.mark.parametrize(
    ("request_", "fault", "field"),
    [
        (CreateTenantRequest(settings_json="{}"), Fault.INVALID_REQUEST, "kind"),
        (CreateTenantRequest(kind=9, settings_json="{}"), Fault.INVALID_REQUEST, "kind"),  # type: ignore[arg-type]
        (CreateTenantRequest(kind=U), Fault.INVALID_REQUEST, "settings_json"),
        (CreateTenantRequest(kind=U, settings_json="7"), Fault.INVALID_REQUEST, "settings_json"),
        (
            CreateTenantRequest(kind=U, settings_json=" " * (BODY_BYTES_MAX + 1)),
            Fault.REQUEST_TOO_LARGE,
            "settings_json",
        ),
        (CreateTenantRequest(kind=U, settings_json="{}"), Fault.INVALID_REQUEST, "name"),
        (CreateTenantRequest(kind=U, settings_json='{"name":"filed"}'), Fault.CONFLICT, "name"),
        (GetTenantRequest(), Fault.INVALID_REQUEST, "kind"),
        (GetTenantRequest(kind=U), Fault.INVALID_REQUEST, "name"),
        (GetTenantRequest(kind=U, name="never"), Fault.NOT_FOUND, None),
        (ListTenantsRequest(), Fault.INVALID_REQUEST, "kind"),
        (UpdateTenantRequest(name="x", patch_json="{}"), Fault.INVALID_REQUEST, "kind"),
        (UpdateTenantRequest(kind=U, patch_json="{}"), Fault.INVALID_REQUEST, "name"),
        (UpdateTenantRequest(kind=U, name="x"), Fault.INVALID_REQUEST, "patch_json"),
        (UpdateTenantRequest(kind=U, name="x", patch_json="[]"), Fault.INVALID_REQUEST, "patch_json"),
        (UpdateTenantRequest(kind=U, name="never", patch_json="{}"), Fault.NOT_FOUND, None),
        (DeleteTenantRequest(name="x"), Fault.INVALID_REQUEST, "kind"),
        (DeleteTenantRequest(kind=U), Fault.INVALID_REQUEST, "name"),
        (DeleteTenantRequest(kind=U, name="filed"), Fault.CONFLICT, "name"),
    ],
    ids=lambda one: one.DESCRIPTOR.name if isinstance(one, Message) else str(one),
)
async def test_what_is_wrong_is_refused_by_its_field_once_it_is_clear_who_asks(
    site: Site, request_: Message, fault: Fault, field: str | None
) -> None:
    assert (fault, field) == await site.refusal(request_)
    assert (Fault.PERMISSION_DENIED, None) == await site.refusal(request_, USER)
