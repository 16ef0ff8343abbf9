"""The routes of breakers decode and encode; every refusal has the one shape."""

import hashlib
import json
from dataclasses import replace

import pytest

from router.admin.breakers import BreakerAdmin
from router.domain.dispatch.breaker import BreakerTerms
from router.domain.dispatch.breakers import Breakers, Passage
from router.domain.dispatch.failure import Park, Verdict
from router.domain.faults import Fault
from router.domain.ids import KeyId
from router.domain.principal import KeyEntry, Permission, Principal
from router.facades.http.admin.desks import AdminDesks
from router.facades.http.app import build_app
from router.lifecycle import Phase
from tests.support.asgi import Exchange
from tests.support.fakes import deployment, principal, snapshot
from tests.support.pipeline import Rig

WHO = {
    "user": principal("small"),
    "admin": Principal(key_id=KeyId("boss"), permissions=frozenset({Permission.ADMIN})),
}
PATH = "/admin/v1/breakers"


class Site:
    def __init__(self) -> None:
        digests = {hashlib.sha256(key.encode()).digest(): who for key, who in WHO.items()}
        entries = {sha256: KeyEntry(sha256=sha256, principal=who) for sha256, who in digests.items()}
        self.rig = Rig(replace(snapshot(), keys=entries))
        self.breakers = Breakers(uniform=lambda: 0.5, changed=lambda _transition: None)
        self.breakers.follow(BreakerTerms(), [deployment()])
        admin = BreakerAdmin(breakers=self.breakers, clock=self.rig.clock)
        self.app = build_app(pipeline=self.rig.pipeline, health=Phase(), admin=AdminDesks(breakers=admin))

    async def ask(self, way: str = "", body: bytes | None = None, key: str = "admin", path: str = PATH) -> Exchange:
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        method = "GET" if body is None else "POST"
        return await Exchange(path + way, body or b"", method=method, headers=headers).through(self.app)


@pytest.fixture
def site() -> Site:
    return Site()


async def test_a_target_is_shown_as_it_stands(site: Site) -> None:
    now = site.rig.clock.monotonic_ns()
    for park, fault in ((Park.RATE, Fault.UPSTREAM_RATE_LIMITED), (Park.CREDENTIAL, Fault.UPSTREAM_QUOTA)):
        passage = site.breakers.enter(deployment(), now)
        assert isinstance(passage, Passage)
        passage.failed(Verdict(fault=fault, park=park), now=now)
        now += 2 * 10**9
    now_ms = site.rig.clock.wall_ns() // 10**6
    page = json.loads((await site.ask()).body)

    assert "list" == page["object"]
    assert [
        {
            "object": "breaker",
            "target": "up/model",
            "deployment": "up/model",
            "provider": "up",
            "credential": "",
            "state": "closed",
            "opened_by": None,
            "calls": 0,
            "failures": 0,
            "slow": 0,
            "failures_in_a_row": 0,
            "opens_until_ms": None,
            "not_before_ms": now_ms + 1_000,
            "not_before_why": "rate",
            "credential_parked_until_ms": now_ms + 62_000,
            "credential_parked_why": "upstream_quota",
        }
    ] == page["data"]


async def test_a_breaker_is_opened_closed_and_reset(site: Site) -> None:
    body = b'{"target":"up/model"}'
    replies = [json.loads((await site.ask(way, body)).body) for way in ("/open", "/close", "/open", "/reset")]

    assert [("open", "hand"), ("closed", None)] * 2 == [(reply["state"], reply["opened_by"]) for reply in replies]


@pytest.mark.parametrize(
    ("body", "key", "status", "param"),
    [
        (b'{"target":"up/model"}', "user", 403, None),
        (b"{", "user", 403, None),
        (b'{"target":"up/model"}', "nobody", 401, None),
        (b'{"target":"up/other"}', "admin", 404, "target"),
        (b'{"target":7}', "admin", 400, "target"),
        (b'{"target":"up/model","for":"1h"}', "admin", 400, "target"),
        (b"{", "admin", 400, "target"),
        (b"", "admin", 400, "target"),
        (b"[" * 10_000, "admin", 400, "target"),
        (b'{"target":"' + b"x" * 20_000 + b'"}', "admin", 413, None),
    ],
)
async def test_a_refusal_has_the_one_shape(site: Site, body: bytes, key: str, status: int, param: str | None) -> None:
    replies = [await site.ask(way, body, key) for way in ("/open", "/close", "/reset")]

    assert [(status, param)] * 3 == [(reply.status, reply.error["param"]) for reply in replies]


async def test_the_routes_are_documented(site: Site) -> None:
    document = json.loads((await site.ask(path="/openapi.json")).body)

    assert {PATH, f"{PATH}/open", f"{PATH}/close", f"{PATH}/reset"} <= document["paths"].keys()
    assert "requestBody" in document["paths"][f"{PATH}/open"]["post"]
