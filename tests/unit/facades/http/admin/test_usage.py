"""The route of usage decodes and encodes: JSON or CSV as asked, and every refusal in the one shape."""

import hashlib
import json
from dataclasses import replace

import pytest

from router.admin.usage import UsageAdmin
from router.admin.usage_text import usage_csv
from router.domain.ids import KeyId
from router.domain.principal import KeyEntry, Permission, Principal
from router.facades.http.admin.desks import AdminDesks
from router.facades.http.admin.usage import UsageList
from router.facades.http.app import build_app
from router.lifecycle import Phase
from router.ports.usage import UsageQuery
from tests.support.asgi import Exchange
from tests.support.fakes import principal, snapshot
from tests.support.pipeline import Rig
from tests.support.usage import REPORT, FixedUsage

WHO = {
    "user": principal("small"),
    "admin": Principal(key_id=KeyId("boss"), permissions=frozenset({Permission.ADMIN})),
}


class Site:
    def __init__(self) -> None:
        digests = {hashlib.sha256(key.encode()).digest(): who for key, who in WHO.items()}
        entries = {sha256: KeyEntry(sha256=sha256, principal=who) for sha256, who in digests.items()}
        self.usage = FixedUsage()
        rig = Rig(replace(snapshot(), keys=entries))
        self.app = build_app(pipeline=rig.pipeline, health=Phase(), admin=AdminDesks(usage=UsageAdmin(self.usage)))

    async def ask(self, query: str = "", key: str = "admin", accept: str = "*/*") -> Exchange:
        headers = {"authorization": f"Bearer {key}", "accept": accept}
        exchange = Exchange("/admin/v1/usage", method="GET", headers=headers)
        exchange.scope["query_string"] = query.encode()
        return await exchange.through(self.app)


@pytest.fixture
def site() -> Site:
    return Site()


async def test_a_report_is_json_as_described(site: Site) -> None:
    reply = await site.ask()

    assert (200, "application/json") == (reply.status, reply.headers["content-type"])
    assert json.loads(reply.body) == UsageList.model_validate_json(reply.body, strict=True).model_dump()
    assert [UsageQuery(by=("key",), limit=1_000)] == site.usage.asked


@pytest.mark.parametrize(
    ("query", "accept", "kind"),
    [
        ("format=csv", "*/*", "text/csv; charset=utf-8"),
        ("", "text/csv, */*;q=0.1", "text/csv; charset=utf-8"),
        ("format=json", "text/csv", "application/json"),
        ("", "", "application/json"),
    ],
)
async def test_a_report_is_csv_for_whoever_wants_it(site: Site, query: str, accept: str, kind: str) -> None:
    reply = await site.ask(query, accept=accept)

    assert (200, kind) == (reply.status, reply.headers["content-type"])
    if "csv" in kind:
        assert usage_csv(("key",), REPORT) == reply.body.decode()
        assert ("true", "false") == (reply.headers["x-checkrein-truncated"], reply.headers["x-checkrein-partial"])


async def test_the_query_is_what_is_added_up(site: Site) -> None:
    query = "group_by=key,day&group_by=tag&key=k&team=o/t&agent=a&workflow=w&model=m&since=1&until=2&limit=50000"
    reply = await site.ask(query)

    assert 200 == reply.status
    assert [
        UsageQuery(
            by=("key", "day", "tag"),
            key="k",
            team="o/t",
            agent="a",
            workflow="w",
            model="m",
            since_ns=10**9,
            until_ns=2 * 10**9,
            limit=10_000,
        )
    ] == site.usage.asked


@pytest.mark.parametrize(
    ("query", "key", "status", "param"),
    [
        ("", "user", 403, None),
        ("group_by=nonsense", "user", 403, None),
        ("", "nobody", 401, None),
        ("group_by=hour", "admin", 400, "group_by"),
        ("group_by=", "admin", 400, "group_by"),
        ("since=x", "admin", 400, "since"),
        ("format=xml", "admin", 400, None),
        ("limit=x", "admin", 400, None),
    ],
)
async def test_a_refusal_has_the_one_shape(site: Site, query: str, key: str, status: int, param: str | None) -> None:
    reply = await site.ask(query, key)

    assert (status, param) == (reply.status, reply.error["param"])
    assert [] == site.usage.asked


async def test_the_route_is_documented(site: Site) -> None:
    exchange = Exchange("/openapi.json", method="GET", headers={})
    document = json.loads((await exchange.through(site.app)).body)
    reply = document["paths"]["/admin/v1/usage"]["get"]["responses"]["200"]["content"]

    assert {"application/json", "text/csv"} == reply.keys()
    assert "reasoning_tokens" in document["components"]["schemas"]["UsageView"]["properties"]
