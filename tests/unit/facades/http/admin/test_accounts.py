"""The route of accounts decodes and encodes; every refusal has the one shape."""

import hashlib
import json
from dataclasses import replace

import pytest

from router.admin.budgets import BudgetAdmin
from router.domain.ids import KeyId
from router.domain.principal import KeyEntry, Permission, Principal
from router.facades.http.admin.desks import AdminDesks
from router.facades.http.app import build_app
from router.lifecycle import Phase
from tests.support.asgi import Exchange
from tests.support.fakes import principal, snapshot
from tests.support.ledger_facts import STARTED_NS, budget, reservation
from tests.support.pipeline import Rig

WHO = {
    "user": principal("small"),
    "admin": Principal(key_id=KeyId("boss"), permissions=frozenset({Permission.ADMIN})),
}


class Site:
    def __init__(self) -> None:
        digests = {hashlib.sha256(key.encode()).digest(): who for key, who in WHO.items()}
        entries = {sha256: KeyEntry(sha256=sha256, principal=who) for sha256, who in digests.items()}
        in_force = budget("key/ci", 100)
        self.rig = Rig(replace(snapshot(), keys=entries, budgets={in_force.id: in_force}))
        admin = BudgetAdmin(accounts=self.rig.ledger, snapshots=self.rig.snapshots, clock=self.rig.clock)
        self.app = build_app(pipeline=self.rig.pipeline, health=Phase(), admin=AdminDesks(budgets=admin))

    async def ask(self, query: str = "", key: str = "admin", path: str = "/admin/v1/accounts") -> Exchange:
        exchange = Exchange(path, method="GET", headers={"authorization": f"Bearer {key}"})
        exchange.scope["query_string"] = query.encode()
        return await exchange.through(self.app)


@pytest.fixture
def site() -> Site:
    return Site()


async def test_an_account_is_shown_as_it_stands(site: Site) -> None:
    await site.rig.ledger.reserve(reservation(1, hold=30, path=[("key/ci", "ci")]), STARTED_NS)
    reply = await site.ask()
    page = json.loads(reply.body)
    resets_at_ms = page["data"][0].pop("resets_at_ms")

    assert (200, "list", None) == (reply.status, page["object"], page["next"])
    assert [
        {
            "object": "account",
            "budget": "key/ci",
            "scope": {"kind": "key", "value": "ci"},
            "unit": "usd",
            "window": "day@UTC",
            "limit": 100,
            "used": 0,
            "reserved": 30,
            "observed": False,
        }
    ] == page["data"]
    assert STARTED_NS // 10**6 < resets_at_ms <= STARTED_NS // 10**6 + 86_400_000


async def test_a_page_goes_on_where_the_last_one_ended(site: Site) -> None:
    for number, value in ((1, "a"), (2, "b")):
        await site.rig.ledger.reserve(reservation(number, path=[("key/ci", value)]), STARTED_NS)
    first = json.loads((await site.ask("limit=1")).body)
    second = json.loads((await site.ask(f"limit=1&after={first['next']}")).body)

    assert ["a", "b"] == [page["data"][0]["scope"]["value"] for page in (first, second)]
    assert second["next"] is None


@pytest.mark.parametrize(
    ("query", "key", "status", "param"),
    [
        ("", "user", 403, None),
        ("", "nobody", 401, None),
        ("after=x", "admin", 400, "after"),
        ("limit=x", "admin", 400, None),
    ],
)
async def test_a_refusal_has_the_one_shape(site: Site, query: str, key: str, status: int, param: str | None) -> None:
    reply = await site.ask(query, key)

    assert (status, param) == (reply.status, reply.error["param"])


async def test_the_route_is_documented(site: Site) -> None:
    document = json.loads((await site.ask(path="/openapi.json")).body)

    assert "/admin/v1/accounts" in document["paths"]
    assert "AccountView" in document["components"]["schemas"]
