"""The routes of limits decode and encode; every refusal has the one shape."""

import hashlib
import json
from dataclasses import replace

import pytest

from router.admin.limits import LimitAdmin
from router.domain.dialects.chat.meter import ChatMeter
from router.domain.governance.permits import ConcurrencyLimit
from router.domain.governance.rate import RateLimit, Smoothing, Unit, costs_of
from router.domain.ids import KeyId
from router.domain.principal import KeyEntry, Permission, Principal
from router.facades.http.admin.desks import AdminDesks
from router.facades.http.app import build_app
from router.lifecycle import Phase
from router.pipeline.flight import Flight
from router.pipeline.limit_states import LiveLimits
from tests.support.asgi import Exchange
from tests.support.attempts import attempt as begun_attempt
from tests.support.fakes import SECOND, FedStream, principal, snapshot
from tests.support.pipeline import Rig

RPM = RateLimit(
    id="key/ci/rpm",
    scope_kind="key",
    scope_value="ci",
    unit=Unit.REQUESTS,
    limit=60,
    period_ns=60 * SECOND,
    smoothing=Smoothing.BURST,
)
PLACES = ConcurrencyLimit(id="key/ci/concurrency", scope_kind="key", scope_value="ci", limit=2, observe=True)
WHO = {
    "user": replace(principal("small"), rate_limits=(RPM,), concurrency_limits=(PLACES,)),
    "admin": Principal(key_id=KeyId("boss"), permissions=frozenset({Permission.ADMIN})),
}
PATH = "/admin/v1/limits"
UPSTREAM = f"{PATH}/upstream"


class Site:
    def __init__(self) -> None:
        digests = {hashlib.sha256(key.encode()).digest(): who for key, who in WHO.items()}
        entries = {sha256: KeyEntry(sha256=sha256, principal=who) for sha256, who in digests.items()}
        self.rig = rig = Rig(replace(snapshot(), keys=entries))
        self.gate, self.book = rig.pipeline.gate, rig.pipeline.upstream_limits
        states = LiveLimits(gate=self.gate, book=self.book, snapshots=rig.snapshots, clock=rig.clock)
        admin = LimitAdmin(states=states, snapshots=rig.snapshots)
        self.app = build_app(pipeline=rig.pipeline, health=Phase(), admin=AdminDesks(limits=admin))

    async def ask(self, path: str = PATH, query: str = "", key: str = "admin") -> Exchange:
        exchange = Exchange(path, method="GET", headers={"authorization": f"Bearer {key}"})
        exchange.scope["query_string"] = query.encode()
        return await exchange.through(self.app)


@pytest.fixture
def site() -> Site:
    return Site()


async def test_limits_are_shown_as_they_stand(site: Site) -> None:
    site.gate.rates.charge((RPM,), costs_of(requests=2, input_tokens=0, output_tokens=0), site.rig.clock.monotonic)
    site.gate.permits.acquire((PLACES,))
    site.rig.clock.pass_ns(1)
    reply = await site.ask()
    scope = {"kind": "key", "value": "ci"}

    assert 200 == reply.status
    assert {
        "object": "list",
        "data": [
            {
                "object": "limit",
                "scope": scope,
                "limit": "concurrency",
                "limit_value": 2,
                "remaining": None,
                "in_use": 1,
                "resets_in_ms": None,
                "smoothing": None,
                "observed": True,
            },
            {
                "object": "limit",
                "scope": scope,
                "limit": "rpm",
                "limit_value": 60,
                "remaining": 58,
                "in_use": None,
                "resets_in_ms": 2_000,
                "smoothing": "burst",
                "observed": False,
            },
        ],
        "next": None,
    } == json.loads(reply.body)


async def test_what_a_provider_said_is_shown(site: Site) -> None:
    headers = (
        (b"x-ratelimit-limit-requests", b"60"),
        (b"x-ratelimit-remaining-requests", b"0"),
        (b"x-ratelimit-reset-requests", b"60s"),
        (b"anthropic-ratelimit-input-tokens-remaining", b"5"),
        (b"retry-after", b"20"),
    )
    attempt = begun_attempt()
    attempt.flight = Flight(FedStream(headers), ChatMeter(wants_usage=False))
    site.book.learn(attempt)
    site.rig.clock.pass_ns(10 * SECOND)
    reply = await site.ask(UPSTREAM)

    assert {
        "object": "list",
        "data": [
            {
                "object": "upstream_limit",
                "deployment": "up/model",
                "credential": "default",
                "provider": "up",
                "blocked_ms": 10_000,
                "units": [
                    {
                        "unit": "requests",
                        "limit_value": 60,
                        "remaining": 10,
                        "resets_in_ms": 50_000,
                        "said_ms_ago": 10_000,
                    },
                    {
                        "unit": "input_tokens",
                        "limit_value": None,
                        "remaining": 5,
                        "resets_in_ms": None,
                        "said_ms_ago": 10_000,
                    },
                ],
            }
        ],
        "next": None,
    } == json.loads(reply.body)


async def test_questions_narrow_down_and_go_on(site: Site) -> None:
    first = json.loads((await site.ask(query="kind=key&value=ci&limit=1")).body)
    second = json.loads((await site.ask(query=f"kind=key&value=ci&limit=1&after={first['next']}")).body)
    other = json.loads((await site.ask(query="kind=user")).body)

    assert ["concurrency", "rpm"] == [page["data"][0]["limit"] for page in (first, second)]
    assert (None, []) == (second["next"], other["data"])


@pytest.mark.parametrize(
    ("path", "query", "key", "status", "param"),
    [
        (PATH, "", "user", 403, None),
        (UPSTREAM, "", "user", 403, None),
        (PATH, "", "nobody", 401, None),
        (UPSTREAM, "", "nobody", 401, None),
        (PATH, "after=x", "admin", 400, "after"),
        (UPSTREAM, "after=x", "admin", 400, "after"),
        (PATH, "kind=agent", "admin", 400, "kind"),
        (PATH, "limit=x", "admin", 400, None),
    ],
)
async def test_a_refusal_has_the_one_shape(
    site: Site, path: str, query: str, key: str, status: int, param: str | None
) -> None:
    reply = await site.ask(path, query, key)

    assert (status, param) == (reply.status, reply.error["param"])


async def test_the_routes_are_documented(site: Site) -> None:
    document = json.loads((await site.ask("/openapi.json")).body)

    assert {PATH, UPSTREAM} <= document["paths"].keys()
    assert {"LimitView", "UpstreamLimitView"} <= document["components"]["schemas"].keys()
