"""The routes of keys decode and encode; whoever may not administer is stopped before its body is read."""

import asyncio
import hashlib
import json
from dataclasses import replace

import pytest
from fastapi import FastAPI

from router.admin.keys import KeyAdmin
from router.admin.storing import BODY_BYTES_MAX
from router.domain.ids import KeyId
from router.domain.principal import KeyEntry, Permission, Principal
from router.facades.http.admin.desks import AdminDesks
from router.facades.http.admin.keys import KeyDesk
from router.facades.http.app import build_app
from router.lifecycle import Phase
from tests.support.asgi import Exchange
from tests.support.fakes import principal, snapshot
from tests.support.keys import MemoryKeys, PlainRules
from tests.support.pipeline import Rig

WHO = {
    "user": principal("small"),
    "admin": Principal(key_id=KeyId("boss"), permissions=frozenset({Permission.ADMIN})),
}


class Site:
    def __init__(self) -> None:
        entries = {}
        for key, who in WHO.items():
            sha256 = hashlib.sha256(key.encode()).digest()
            entries[sha256] = KeyEntry(sha256=sha256, principal=who)
        self.store = MemoryKeys()
        rig = Rig(replace(snapshot(), keys=entries))
        admin = KeyAdmin(
            store=self.store,
            rules=PlainRules(filed='{"name":"filed"}'),
            refresh=self._refresh,
            clock=rig.clock,
            draw_bytes=bytes,
            turn=asyncio.Lock(),
        )
        schema = {"properties": {"name": {}, "key": {}}, "$defs": {"Inner": {"type": "string"}}}
        self.app: FastAPI = build_app(
            pipeline=rig.pipeline, health=Phase(), admin=AdminDesks(keys=KeyDesk(keys=admin, schema=schema))
        )

    async def _refresh(self) -> None:
        """Nothing is in force here."""

    async def ask(self, method: str, path: str = "", body: bytes = b"", key: str = "admin", **more: str) -> Exchange:
        headers = {"authorization": f"Bearer {key}", **{name.replace("_", "-"): value for name, value in more.items()}}
        path, _, query = path.partition("?")
        exchange = Exchange(f"/admin/v1/keys{path}", body, method=method, headers=headers)
        exchange.scope["query_string"] = query.encode()
        return await exchange.through(self.app)


@pytest.fixture
def site() -> Site:
    return Site()


async def test_a_secret_is_in_the_reply_that_makes_it_and_nowhere_else(site: Site) -> None:
    made = await site.ask("POST", "", b'{"name":"ci","models":["small"]}')
    rotated = await site.ask("POST", "/ci/rotate", b'{"overlap":"1h"}')
    others = [await site.ask("GET"), await site.ask("GET", "/ci"), await site.ask("GET", "/ci/changes")]

    assert (201, "no-store") == (made.status, made.headers["cache-control"])
    assert {"name": "ci", "models": ["small"]} == json.loads(made.body)["settings"]
    assert (200, "no-store") == (rotated.status, rotated.headers["cache-control"])
    hidden = json.loads(made.body)["secret"].rpartition("-")[2].encode()
    assert [True, True] == [hidden in reply.body for reply in (made, rotated)]  # the fake draws the same
    assert [200, 200, 200] == [reply.status for reply in others]
    assert [False, False, False] == [hidden in reply.body for reply in others]


async def test_a_key_is_shown_with_its_limits_and_times(site: Site) -> None:
    await site.ask("POST", "", b'{"name":"ci"}')
    await site.ask("POST", "/ci/rotate", b"")
    shown = json.loads((await site.ask("GET", "/ci")).body)

    assert ("key", "ci", "store", "active", 2) == tuple(
        shown[name] for name in ("object", "name", "source", "state", "revision")
    )
    assert 1_800_000_000_000 == shown["created_at_ms"]
    assert [None, 1_800_000_000_000 + 86_400_000] == shown["secrets_until_ms"]
    assert [{"scope": "key:ci", "limit": "rpm", "value": "6", "set_by": "store", "observed": False}] == shown["limits"]


async def test_a_list_goes_on_where_its_page_ended(site: Site) -> None:
    await site.ask("POST", "", b'{"name":"ci"}')
    first = json.loads((await site.ask("GET", "?limit=1")).body)
    second = json.loads((await site.ask("GET", f"?limit=1&after={first['next']}")).body)

    assert (["ci"], "ci") == ([key["name"] for key in first["data"]], first["next"])
    assert (["filed"], None) == ([key["name"] for key in second["data"]], second["next"])


async def test_changes_say_who_and_what(site: Site) -> None:
    await site.ask("POST", "", b'{"name":"ci"}')
    await site.ask("PATCH", "/ci", b'{"models":["small"]}')
    await site.ask("POST", "/ci/revoke")
    changes = json.loads((await site.ask("GET", "/ci/changes?limit=2")).body)["data"]

    assert [("boss", "revoke"), ("boss", "update")] == [(one["actor"], one["action"]) for one in changes]
    assert {"name": "ci"} == changes[1]["before"]["settings"]
    assert {"name": "ci", "models": ["small"]} == changes[1]["after"]["settings"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "param"),
    [
        ("POST", "", b"{", 400, None),
        ("POST", "", b'{"name":"filed"}', 409, "name"),
        ("POST", "", b'{"name":"x","key":"sk-mine-1234"}', 400, "key"),
        ("POST", "", b" " * (BODY_BYTES_MAX + 1), 413, None),
        ("GET", "/nobody", b"", 404, None),
        ("GET", "?limit=x", b"", 400, None),
        ("POST", "/nobody/rotate", b'{"overlap":"soon"}', 400, "overlap"),
        ("POST", "/nobody/rotate", b'{"overlap":7}', 400, "overlap"),
        ("POST", "/nobody/rotate", b'{"overlop":"1h"}', 400, "overlop"),
        ("POST", "/nobody/rotate", b"{}", 404, None),
        ("DELETE", "/nobody", b"", 405, None),
    ],
)
async def test_what_cannot_be_done_is_an_error_of_the_one_shape(
    method: str, path: str, body: bytes, status: int, param: str | None, site: Site
) -> None:
    answer = await site.ask(method, path, body)

    assert (status, param) == (answer.status, answer.error["param"])
    assert {"message", "type", "param", "code"} == set(answer.error)


async def test_a_body_of_another_kind_is_refused(site: Site) -> None:
    assert 415 == (await site.ask("POST", "", b"name=x", content_type="text/plain")).status


@pytest.mark.parametrize(("key", "status"), [("user", 403), ("nobody", 401)])
async def test_who_may_not_administer_learns_nothing_of_its_body(key: str, status: int, site: Site) -> None:
    for method, path in (("POST", ""), ("PATCH", "/ci"), ("POST", "/ci/rotate"), ("POST", "/ci/revoke")):
        assert status == (await site.ask(method, path, b"{", key)).status
    for path in ("", "/ci", "/ci/changes"):
        assert status == (await site.ask("GET", path, b"", key)).status


async def test_the_document_has_the_settings_without_their_secret(site: Site) -> None:
    exchange = Exchange("/openapi.json", method="GET")
    schemas = json.loads((await exchange.through(site.app)).body)["components"]["schemas"]

    assert {"name"} == set(schemas["KeySettings"]["properties"])
    assert {"type": "string"} == schemas["Inner"]
    assert {"KeyView", "IssuedKeyView", "KeyDetailView", "Error"} <= set(schemas)
