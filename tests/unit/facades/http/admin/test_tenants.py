"""The routes of tenants, top-ups and the audit decode and encode; every refusal has the one shape."""

import asyncio
import hashlib
import json
from dataclasses import replace

import pytest

from router.admin.audit import AuditAdmin
from router.admin.budgets import BudgetAdmin
from router.admin.storing import BODY_BYTES_MAX
from router.admin.tenants import TenantAdmin
from router.admin.top_ups import TopUpAdmin
from router.domain.ids import KeyId
from router.domain.principal import KeyEntry, Permission, Principal
from router.facades.http.admin.desks import AdminDesks
from router.facades.http.admin.tenants import TenantDesk
from router.facades.http.app import build_app
from router.lifecycle import Phase
from router.ports.records import RecordKind
from tests.support.asgi import Exchange
from tests.support.fakes import principal, snapshot
from tests.support.ledger_facts import budget
from tests.support.pipeline import Rig
from tests.support.records import MemoryRecords, PlainRecordRules

WHO = {
    "user": principal("small"),
    "admin": Principal(key_id=KeyId("boss"), permissions=frozenset({Permission.ADMIN})),
}
BUDGET = "user/ann/usd"


class Site:
    def __init__(self) -> None:
        digests = {hashlib.sha256(key.encode()).digest(): who for key, who in WHO.items()}
        entries = {sha256: KeyEntry(sha256=sha256, principal=who) for sha256, who in digests.items()}
        in_force = budget(BUDGET, 100, value="ann")
        self.rig = Rig(replace(snapshot(), keys=entries, budgets={in_force.id: in_force}))
        store, rules, turn = MemoryRecords(), PlainRecordRules(filed='{"name":"filed"}'), asyncio.Lock()
        clock, snapshots = self.rig.clock, self.rig.snapshots
        desk = TenantDesk(
            tenants=TenantAdmin(store=store, rules=rules, refresh=self._refresh, clock=clock, turn=turn),
            top_ups=TopUpAdmin(
                store=store,
                rules=rules,
                snapshots=snapshots,
                refresh=self._refresh,
                clock=clock,
                draw_bytes=bytes,
                turn=turn,
            ),
            audit=AuditAdmin(store),
            budgets=BudgetAdmin(accounts=self.rig.ledger, snapshots=snapshots, clock=clock),
            settings={RecordKind.ORGANIZATION: {"properties": {"name": {}, "teams": {}}}},
        )
        self.app = build_app(pipeline=self.rig.pipeline, health=Phase(), admin=AdminDesks(tenants=desk))

    async def _refresh(self) -> None:
        """Nothing is in force here."""

    async def ask(self, method: str, path: str, body: bytes = b"", key: str = "admin", query: str = "") -> Exchange:
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        exchange = Exchange(f"/admin/v1{path}", body, method=method, headers=headers)
        exchange.scope["query_string"] = query.encode()
        return await exchange.through(self.app)


@pytest.fixture
def site() -> Site:
    return Site()


async def test_the_life_of_a_tenant(site: Site) -> None:
    made = await site.ask("POST", "/users", b'{"name":"ann/x","budget":"user/ann/usd"}')
    shown = await site.ask("GET", "/users/ann/x")
    changed = await site.ask("PATCH", "/users/ann/x", b'{"budget":null}')
    listed = json.loads((await site.ask("GET", "/users")).body)
    gone = await site.ask("DELETE", "/users/ann/x")

    view = json.loads(made.body)
    assert (201, "user", "ann/x", "store", None, "active", BUDGET, 1_800_000_000_000, 1) == (
        made.status,
        *(view[name] for name in ("object", "name", "source", "place", "state", "budget", "created_at_ms", "revision")),
    )
    assert (100, "ann") == (
        json.loads(shown.body)["account"]["limit"],
        json.loads(shown.body)["account"]["scope"]["value"],
    )
    assert {"name": "ann/x"} == json.loads(changed.body)["settings"]
    assert [("ann/x", None), ("filed", "f.yaml:3")] == [(one["name"], one["place"]) for one in listed["data"]]
    assert (200, {"object": "user", "name": "ann/x", "deleted": True}) == (gone.status, json.loads(gone.body))
    assert 404 == (await site.ask("GET", "/users/ann/x")).status


async def test_a_tenant_without_a_budget_has_no_account(site: Site) -> None:
    await site.ask("POST", "/teams", b'{"name":"acme/lab"}')
    view = json.loads((await site.ask("GET", "/teams/acme/lab")).body)

    assert (None, None) == (view["budget"], view["account"])


async def test_a_top_up_is_made_listed_and_taken_back_under_an_id_with_slashes(site: Site) -> None:
    path = f"/budgets/{BUDGET}/top_ups"
    made = await site.ask("POST", path, b'{"amount_usd":"0.5","for":"2h","reason":"demo"}')
    view = json.loads(made.body)
    listed = json.loads((await site.ask("GET", path)).body)["data"]

    assert (201, "top_up", BUDGET, "ann", 500_000_000, 1_800_007_200_000, False, "demo") == (
        made.status,
        *(view[name] for name in ("object", "budget", "value", "amount", "until_ms", "ended", "reason")),
    )
    assert [view] == listed
    assert 200 == (await site.ask("DELETE", f"{path}/{view['id']}")).status
    assert [] == json.loads((await site.ask("GET", path)).body)["data"]


async def test_the_audit_says_who_did_what_to_what(site: Site) -> None:
    await site.ask("POST", "/organizations", b'{"name":"acme"}')
    await site.ask("PATCH", "/organizations/acme", b'{"x":1}')
    page = json.loads((await site.ask("GET", "/audit", query="limit=1&subject=acme")).body)
    (row,) = page["data"]

    assert ("organization", "acme", "boss", "update", 2) == tuple(
        row[name] for name in ("kind", "subject", "actor", "action", "id")
    )
    assert ({"name": "acme"}, {"name": "acme", "x": 1}) == (row["before"], row["after"])
    rest = json.loads((await site.ask("GET", "/audit", query=f"after={page['next']}")).body)
    assert (["create"], None) == ([one["action"] for one in rest["data"]], rest["next"])


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "param"),
    [
        ("POST", "/users", b"{", 400, None),
        ("POST", "/users", b" " * (BODY_BYTES_MAX + 1), 413, None),
        ("POST", "/users", b'{"name":"filed"}', 409, "name"),
        ("PATCH", "/users/filed", b"{}", 409, "name"),
        ("DELETE", "/users/filed", b"", 409, "name"),
        ("GET", "/users/nobody", b"", 404, None),
        ("PUT", "/users", b"", 405, None),
        ("POST", f"/budgets/{BUDGET}/top_ups", b"{}", 400, "amount_usd"),
        ("POST", "/budgets/none/top_ups", b"{}", 404, None),
        ("DELETE", f"/budgets/{BUDGET}/top_ups/none", b"", 404, None),
        ("GET", "/audit/x", b"", 404, None),
    ],
)
async def test_what_cannot_be_done_is_an_error_of_the_one_shape(
    method: str, path: str, body: bytes, status: int, param: str | None, site: Site
) -> None:
    answer = await site.ask(method, path, body)

    assert (status, param) == (answer.status, answer.error["param"])
    assert {"message", "type", "param", "code"} == set(answer.error)


@pytest.mark.parametrize(("key", "status"), [("user", 403), ("nobody", 401)])
async def test_who_may_not_administer_learns_nothing_of_its_body(key: str, status: int, site: Site) -> None:
    for method, path in (
        ("POST", "/teams"),
        ("PATCH", "/teams/x"),
        ("DELETE", "/teams/x"),
        ("POST", f"/budgets/{BUDGET}/top_ups"),
        ("GET", "/audit"),
    ):
        assert status == (await site.ask(method, path, b"{", key)).status


async def test_the_document_has_the_settings_without_what_is_a_resource_of_its_own(site: Site) -> None:
    exchange = Exchange("/openapi.json", method="GET")
    document = json.loads((await exchange.through(site.app)).body)

    assert {"name"} == set(document["components"]["schemas"]["OrganizationSettings"]["properties"])
    assert {"/admin/v1/teams/{name}", "/admin/v1/budgets/{budget}/top_ups", "/admin/v1/audit"} <= set(document["paths"])
