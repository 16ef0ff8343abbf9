"""The routes of the ledger decode and encode: every column is there, and every refusal has the one shape."""

import hashlib
import json
from dataclasses import replace

import pytest

from router.admin.ledger import LedgerAdmin
from router.domain.ids import KeyId
from router.domain.principal import KeyEntry, Permission, Principal
from router.facades.http.admin.desks import AdminDesks
from router.facades.http.app import build_app
from router.lifecycle import Phase
from router.ports.ledger_pages import CallFilter
from tests.support.asgi import Exchange
from tests.support.fakes import principal, snapshot
from tests.support.ledger_facts import attempt, open_record, settled_record
from tests.support.pages import ListedPages, attempt_record
from tests.support.pipeline import Rig

WHO = {
    "user": principal("small"),
    "admin": Principal(key_id=KeyId("boss"), permissions=frozenset({Permission.ADMIN})),
}


class Site:
    def __init__(self) -> None:
        digests = {hashlib.sha256(key.encode()).digest(): who for key, who in WHO.items()}
        entries = {sha256: KeyEntry(sha256=sha256, principal=who) for sha256, who in digests.items()}
        rig = Rig(replace(snapshot(), keys=entries))
        self.pages = ListedPages(
            calls=[open_record(9, hold=5), settled_record(8, hold=7, attempts=(attempt(1),))],
            attempts=[attempt_record(8, 1), attempt_record(8, 2)],
        )
        self.app = build_app(pipeline=rig.pipeline, health=Phase(), admin=AdminDesks(ledger=LedgerAdmin(self.pages)))

    async def ask(self, path: str, key: str = "admin") -> Exchange:
        path, _, query = path.partition("?")
        exchange = Exchange(path, method="GET", headers={"authorization": f"Bearer {key}"})
        exchange.scope["query_string"] = query.encode()
        return await exchange.through(self.app)


@pytest.fixture
def site() -> Site:
    return Site()


async def test_a_call_is_shown_with_every_column(site: Site) -> None:
    reply = await site.ask("/admin/v1/ledger/calls")
    page = json.loads(reply.body)
    opened, settled = page["data"]

    assert (200, "application/json") == (reply.status, reply.headers["content-type"])
    assert ("list", None) == (page["object"], page["next"])
    assert ("call_0000000000000009", "open", 5, None) == tuple(
        opened[name] for name in ("id", "outcome", "hold_nano_usd", "would_refuse")
    )
    assert ("call_0000000000000008", "req-8", "completed", 7, 3_556_000, 900.0, 1) == tuple(
        len(settled[name]) if name == "attempts" else settled[name]
        for name in ("id", "request_id", "outcome", "hold_nano_usd", "cost_nano_usd", "duration_ms", "attempts")
    )


async def test_an_attempt_is_shown_with_every_column(site: Site) -> None:
    page = json.loads((await site.ask("/admin/v1/ledger/attempts?limit=1")).body)

    assert "call_0000000000000008-1" == page["next"]
    assert [
        {
            "object": "attempt",
            "call_id": "call_0000000000000008",
            "request_id": "req-8",
            "key_id": "ci",
            "number": 1,
            "deployment": "local:mock",
            "provider": "local",
            "upstream_model": "mock",
            "started_at_ms": 1_800_000_000_000,
            "duration_ms": 800.0,
            "first_token_ms": None,
            "fault": "timeout",
            "upstream_status": None,
            "input_tokens": 2_006,
            "cached_input_tokens": 1_920,
            "cache_write_tokens": 16,
            "output_tokens": 300,
            "reasoning_tokens": 40,
            "usage_estimated": True,
            "usage_clamped": False,
            "cost_nano_usd": 3_556_000,
            "price_version": "config-1",
        }
    ] == page["data"]


@pytest.mark.parametrize("what", ["calls", "attempts"])
async def test_the_query_is_what_is_looked_for(site: Site, what: str) -> None:
    query = "key=k&team=o/t&agent=a&workflow=w&model=m&outcome=failed&fault=timeout&since=1&until=2&limit=5000"
    reply = await site.ask(f"/admin/v1/ledger/{what}?{query}")
    sought = CallFilter(
        key="k",
        team="o/t",
        agent="a",
        workflow="w",
        model="m",
        outcome="failed",
        fault="timeout",
        since_ns=10**9,
        until_ns=2 * 10**9,
    )

    assert 200 == reply.status
    assert [sought] == site.pages.sought


async def test_a_page_goes_on_where_the_last_one_ended(site: Site) -> None:
    first = json.loads((await site.ask("/admin/v1/ledger/calls?limit=1")).body)
    second = json.loads((await site.ask(f"/admin/v1/ledger/calls?limit=1&after={first['next']}")).body)

    assert (["call_0000000000000009"], "call_0000000000000009") == (
        [call["id"] for call in first["data"]],
        first["next"],
    )
    assert (["call_0000000000000008"], None) == ([call["id"] for call in second["data"]], second["next"])


@pytest.mark.parametrize(
    ("path", "key", "status", "param"),
    [
        ("calls", "user", 403, None),
        ("attempts", "user", 403, None),
        ("calls?since=x", "user", 403, None),
        ("calls", "nobody", 401, None),
        ("calls?since=x", "admin", 400, "since"),
        ("attempts?after=x", "admin", 400, "after"),
        ("calls?limit=x", "admin", 400, None),
    ],
)
async def test_a_refusal_has_the_one_shape(site: Site, path: str, key: str, status: int, param: str | None) -> None:
    reply = await site.ask(f"/admin/v1/ledger/{path}", key)

    assert (status, param) == (reply.status, reply.error["param"])
    assert [] == site.pages.sought


async def test_the_routes_are_documented(site: Site) -> None:
    document = json.loads((await site.ask("/openapi.json")).body)
    members = document["components"]["schemas"]["LedgerCallView"]["properties"]

    assert {"/admin/v1/ledger/calls", "/admin/v1/ledger/attempts"} <= document["paths"].keys()
    assert {"request_id", "outcome", "cost_nano_usd", "hold_nano_usd", "would_refuse"} <= members.keys()
