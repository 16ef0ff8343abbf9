"""Who may do what: every route with every kind of key, every way to write a key, and every way to disguise a route."""

import hashlib
import json
import random
import socket

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.routing import Route

from router.admin.breakers import BreakerAdmin
from router.admin.budgets import BudgetAdmin
from router.admin.ledger import LedgerAdmin
from router.admin.limits import LimitAdmin
from router.admin.usage import UsageAdmin
from router.domain.dialects.metered import METERED
from router.facades.http.admin.desks import AdminDesks
from router.facades.http.admin.keys import KeyDesk
from router.facades.http.admin.tenants import TenantDesk
from router.facades.http.app import build_app
from router.facades.http.voice import BY_PATH
from router.lifecycle import Phase
from router.pipeline.open import Pipeline
from tests.support.asides import FedAsides
from tests.support.fakes import (
    FakeClock,
    FakeDraw,
    FedUpstreams,
    FixedSnapshots,
    RecordingTelemetry,
    breakers,
    snapshot,
)
from tests.support.running import ADMIN, KEY, chat
from tests.support.stage import Stage
from tests.support.wire import BODY, CHAT, exchange, head, post, wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXPIRED = "sk-test-expired"
REVOKED = "sk-test-revoked"
LOCAL = "sk-test-local"
HASHED = "sk-test-hashed"
UNKNOWN = "sk-test-unknown"


@pytest.fixture(scope="module")
def sections() -> dict[str, object]:
    """Open to other machines, with a key of every kind."""
    keys = [
        {"name": "test", "key": KEY, "models": ["*"]},
        {"name": "admin", "key": ADMIN, "models": ["*"], "permissions": ["admin"]},
        {"name": "expired", "key": EXPIRED, "models": ["*"], "expires": "2020-01-01T00:00:00Z"},
        {"name": "revoked", "key": REVOKED, "models": ["*"], "revoked": True},
        {"name": "local", "key": LOCAL, "models": ["*"]},
        {"name": "hashed", "key_sha256": hashlib.sha256(HASHED.encode()).hexdigest(), "models": ["*"]},
    ]
    return {"http": {"host": "0.0.0.0"}, "keys": keys}


# --- the matrix -----------------------------------------------------------------------------------------------------

OPEN = (200, 200, 200, 200)
KEYED = (401, 200, 401, 200)
NO_CHATS = ("completions", "responses", "embeddings", *[str(grammar.route).lstrip("/") for grammar in METERED])
MATRIX = {
    # (no key, user, revoked, admin)
    "POST /v1/chat/completions": KEYED,
    "POST /chat/completions": KEYED,
    **{f"POST {prefix}/messages": KEYED for prefix in ("", "/v1")},
    **{
        f"POST {prefix}/{route}": (401, 400, 401, 400)  # what is sent is a chat
        for prefix in ("", "/v1")
        for route in NO_CHATS
    },
    "GET /v1/models": KEYED,
    "GET /models": KEYED,
    "GET /v1/models/{model_id:path}": KEYED,
    "GET /models/{model_id:path}": KEYED,
    "GET /checkrein/v1/calls/{call_id}": (401, 404, 401, 404),  # no such call
    "POST /checkrein/v1/route/explain": KEYED,
    **{f"POST {prefix}/messages/count_tokens": KEYED for prefix in ("", "/v1")},
    **{
        f"{method} {prefix}/responses/{{response_id}}{rest}": (401, 404, 401, 404)  # no such reply
        for prefix in ("", "/v1")
        for method, rest in (("GET", ""), ("DELETE", ""), ("GET", "/input_items"), ("POST", "/cancel"))
    },
    "GET /admin/v1/keys": (401, 403, 401, 200),
    "POST /admin/v1/keys": (401, 403, 401, 400),  # a chat is no key
    "GET /admin/v1/keys/{key}": (401, 403, 401, 404),  # no such key
    "PATCH /admin/v1/keys/{key}": (401, 403, 401, 404),
    "POST /admin/v1/keys/{key}/rotate": (401, 403, 401, 400),
    "POST /admin/v1/keys/{key}/revoke": (401, 403, 401, 404),
    "GET /admin/v1/keys/{key}/changes": (401, 403, 401, 404),
    "GET /admin/v1/breakers": (401, 403, 401, 200),
    "POST /admin/v1/breakers/open": (401, 403, 401, 400),  # a chat is no target
    "POST /admin/v1/breakers/close": (401, 403, 401, 400),
    "POST /admin/v1/breakers/reset": (401, 403, 401, 400),
    **{
        f"{method} /admin/v1/{kind}{name}": (401, 403, 401, status)
        for kind in ("organizations", "teams", "users", "budgets")
        for method, name, status in (
            ("GET", "", 200),
            ("POST", "", 400),  # a chat is no tenant
            ("GET", "/{name:path}", 404),  # no such tenant
            ("PATCH", "/{name:path}", 404),
            ("DELETE", "/{name:path}", 404),
        )
    },
    "GET /admin/v1/budgets/{budget:path}/top_ups": (401, 403, 401, 404),  # no such budget
    "POST /admin/v1/budgets/{budget:path}/top_ups": (401, 403, 401, 404),
    "DELETE /admin/v1/budgets/{budget:path}/top_ups/{top_up}": (401, 403, 401, 404),
    "GET /admin/v1/audit": (401, 403, 401, 200),
    "GET /admin/v1/accounts": (401, 403, 401, 200),
    "GET /admin/v1/ledger/calls": (401, 403, 401, 200),
    "GET /admin/v1/usage": (401, 403, 401, 200),
    "GET /admin/v1/limits": (401, 403, 401, 200),
    "GET /admin/v1/limits/upstream": (401, 403, 401, 200),
    "GET /admin/v1/ledger/attempts": (401, 403, 401, 200),
    "GET /livez": OPEN,
    "GET /readyz": OPEN,
    "GET /healthz": OPEN,
    "GET /health": OPEN,
    "GET /health/liveness": OPEN,
    "GET /health/liveliness": OPEN,
    "GET /health/readiness": OPEN,
    "GET /openapi.json": OPEN,
    "GET /docs": OPEN,
    "GET /docs/oauth2-redirect": OPEN,
}
"""Who gets what. A route that is missing here fails the test: nothing is open by omission."""


def routes_of_the_app() -> set[str]:
    """Read the routes where they are served: the application's table, and the paths of the front before it."""

    class Unasked:
        epoch = 1

    pipeline = Pipeline(
        clock=FakeClock(),
        draw=FakeDraw(),
        ledger=Unasked(),  # type: ignore[arg-type]  # nothing is called
        telemetry=RecordingTelemetry(),
        upstreams=FedUpstreams(),
        snapshots=FixedSnapshots(snapshot()),
        breakers=breakers(),
    )
    found = {f"POST {path}" for path in BY_PATH}
    keys = KeyDesk(keys=Unasked())  # type: ignore[arg-type]  # as above
    ledger = LedgerAdmin(Unasked())  # type: ignore[arg-type]  # as above
    unasked = Unasked()
    budgets = BudgetAdmin(accounts=unasked, snapshots=unasked, clock=unasked)  # type: ignore[arg-type]  # as above
    usage = UsageAdmin(Unasked())  # type: ignore[arg-type]  # as above
    limits = LimitAdmin(states=unasked, snapshots=unasked)  # type: ignore[arg-type]  # as above
    tenants = TenantDesk(tenants=unasked, top_ups=unasked, audit=unasked, budgets=budgets)  # type: ignore[arg-type]  # as above
    health = BreakerAdmin(breakers=unasked, clock=unasked)  # type: ignore[arg-type]  # as above
    admin = AdminDesks(
        keys=keys, tenants=tenants, budgets=budgets, limits=limits, breakers=health, usage=usage, ledger=ledger
    )
    app = build_app(pipeline=pipeline, health=Phase(), admin=admin, asides=FedAsides())
    pending = list(app.routes)
    while pending:
        route = pending.pop()
        nested = getattr(getattr(route, "original_router", None), "routes", None)
        if nested is not None:
            pending += nested
            continue
        assert isinstance(route, APIRoute | Route), f"{route!r} is of a kind that this test does not know"
        found |= {f"{method} {route.path}" for method in (route.methods or set()) - {"HEAD"}}
    return found


async def test_every_route_is_in_the_matrix() -> None:
    """T11b: default deny: who adds a route says here who may use it."""
    assert set(MATRIX) == routes_of_the_app()


@pytest.mark.parametrize("route", MATRIX)
async def test_a_route_lets_in_whom_the_matrix_says(route: str, stage: Stage) -> None:
    """T11b: every route with no key, a user's, a revoked one and an administrator's."""
    method, _, path = route.partition(" ")
    path = path.replace("{model_id:path}", "small").replace("{call_id}", "call_01a1af3955c04000")
    path = path.replace("{key}", "nobody")
    statuses = []
    for key in (None, KEY, REVOKED, ADMIN):
        async with stage.router.client(key) as client:
            body = {"json": chat()} if method in ("POST", "PATCH") else {}
            statuses.append((await client.request(method, path, **body)).status_code)

    assert MATRIX[route] == tuple(statuses)


async def test_a_call_is_shown_to_its_own_key_and_to_administrators(stage: Stage) -> None:
    """T11b: somebody else's call is as unknown as one that never was."""
    async with stage.router.client() as mine:
        call_id = (await mine.post(CHAT, json=chat())).headers["x-checkrein-call"]
        path = f"/checkrein/v1/calls/{call_id}"
        own = await mine.get(path)
    async with stage.router.client(HASHED) as other, stage.router.client(ADMIN) as admin:
        foreign = await other.get(path)
        never = await other.get("/checkrein/v1/calls/call_01a1af3955c04000")
        seen = await admin.get(path)

    assert [200, 404, 200] == [own.status_code, foreign.status_code, seen.status_code]
    assert never.content == foreign.content


# --- keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer {KEY}"},
        {"authorization": f"BEARER   {KEY}"},
        {"authorization": KEY},
        {"x-api-key": KEY},
        {"api-key": KEY},
        {"x-api-key": f"Bearer {KEY}"},
        {"authorization": f"Bearer {HASHED}"},
    ],
    ids=str,
)
async def test_a_key_is_taken_from_the_headers_that_clients_use(headers: dict[str, str], stage: Stage) -> None:
    """T11b: OpenAI's, Anthropic's and Azure's."""
    async with stage.router.client(None) as client:
        reply = await client.post(CHAT, json=chat(), headers=headers)

    assert 200 == reply.status_code


async def test_the_first_credential_decides(stage: Stage) -> None:
    """T11b: a bad `authorization` is not made good by a second one or by another header."""
    bad = f"authorization: Bearer {UNKNOWN}"
    good = f"authorization: Bearer {KEY}"
    beside = await exchange(stage.router.http_port, post(bad, f"x-api-key: {KEY}", "connection: close", key=None))
    second = await exchange(stage.router.http_port, post(bad, good, "connection: close", key=None))
    first = await exchange(stage.router.http_port, post(good, bad, "connection: close", key=None))

    assert [b"401", b"401", b"200"] == [answer[9:12] for answer in (beside, second, first)]


def odd_credentials() -> list[bytes]:
    """Several hundred values that are no key, the same in every run."""
    chance = random.Random(11)
    sql = [
        "' OR 1=1 --",
        "'; DROP TABLE calls; --",
        '" OR ""="',
        "1) UNION SELECT * FROM keys --",
        "%27 OR 1",
        "\\'",
    ]
    cut = [KEY[:size] for size in range(len(KEY))]
    around = [f"{KEY}{tail}" for tail in ("x", ".", "=", "\u00e9", ",", ";", "%00", "\t" + KEY, " " + KEY, "\\0")]
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    cases = [KEY.upper(), KEY.title(), f"Bearer Bearer {KEY}", f"'{KEY}'", f'"{KEY}"', f"<{KEY}>", digest]
    paths = ["../../etc/passwd", "${jndi:ldap://x}", "{{7*7}}", "null", "undefined", "None", "[]", "{}", "*", "0"]
    long = [("a" * size) for size in (1_023, 1_024, 1_025, 5_000, 20_000)] + [KEY + "a" * 20_000]
    utf8 = [text.encode() for text in ("\u043a\u043b\u044e\u0447", "\u9375" * 50, "\u202e" + KEY, KEY + "\u200b")]
    legal = [9, *range(32, 127), *range(128, 256)]
    noise = [bytes(chance.choices(legal, k=chance.randint(1, 80))) for _ in range(300)]
    prefixes = [f"{prefix}{KEY}" for prefix in ("Basic ", "Digest ", "Token ", "Bearer: ", "Bearer\t", "Bear er ")]
    texts = [*sql, *cut, *around, *cases, *paths, *long, *prefixes]
    return [*(text.encode("latin-1") for text in texts), *utf8, *noise]


async def test_odd_credentials_are_all_refused_alike(stage: Stage) -> None:
    """T11b: SQL, overlong, unicode, bytes: one 401, the same bytes each time, nothing upstream."""
    answers: dict[tuple[int, bytes], list[bytes]] = {}
    odd = odd_credentials()
    async with wire(stage.router.http_port) as connection:
        for value in odd:
            for header in ("authorization: Bearer %", "x-api-key: %"):
                await connection.send(post(header, key=None).replace(b"%", value, 1))
                answer = await connection.answer()
                answers.setdefault((answer.status, bytes(answer.body)), []).append(value)

    assert 350 < len(odd)
    assert 1 == len(answers), {answer: values[:3] for answer, values in answers.items()}
    assert 401 == next(iter(answers))[0]
    assert [] == stage.upstream.requests


async def test_all_bad_keys_get_the_same_bytes(stage: Stage) -> None:
    """T11a: missing, malformed, unknown, expired, revoked, local from elsewhere: nobody learns which it was."""
    forwarded = {"x-forwarded-for": "127.0.0.1"}
    attempts: list[tuple[str | None, dict[str, str]]] = [
        (None, {}),
        (None, {"authorization": "Bearer"}),
        (None, {"authorization": "Basic dXNlcjpwYXNz"}),
        (UNKNOWN, {}),
        (EXPIRED, {}),
        (REVOKED, {}),
        (LOCAL, forwarded),
        (LOCAL, {"forwarded": "for=127.0.0.1"}),
        (LOCAL, {"x-forwarded-for": ""}),
    ]
    replies = []
    for key, headers in attempts:
        async with stage.router.client(key) as client:
            ids = {**headers, "x-request-id": "the-same"}
            replies.append(await client.post(CHAT, json=chat(), headers=ids))
            replies.append(await client.get("/v1/models", headers=ids))

    assert {401} == {reply.status_code for reply in replies}
    assert 1 == len({reply.content for reply in replies})
    hot, cold = ({name: value for name, value in reply.headers.items() if name != "date"} for reply in replies[:2])
    assert hot == cold
    assert all(hot == {k: v for k, v in reply.headers.items() if k != "date"} for reply in replies)
    assert [] == stage.upstream.requests


async def test_a_local_key_works_from_this_machine(stage: Stage) -> None:
    """T11b: over loopback, with nothing between."""
    async with stage.router.client(LOCAL) as client:
        statuses = [
            (await client.post(CHAT, json=chat())).status_code,
            (await client.get("/v1/models")).status_code,
        ]

    assert [200, 200] == statuses


def own_address() -> str | None:
    """An address of this machine that is not loopback; connecting a UDP socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return None if address.startswith("127.") else address


@pytest.mark.skipif(own_address() is None, reason="this machine has no address but loopback")
async def test_a_local_key_does_not_work_from_another_address(stage: Stage) -> None:
    """T11b: the peer's address decides, whatever the Host header says."""
    url = f"http://{own_address()}:{stage.router.http_port}{CHAT}"
    async with httpx.AsyncClient(trust_env=False) as client:
        local = await client.post(url, json=chat(), headers={"authorization": f"Bearer {LOCAL}", "host": "127.0.0.1"})
        other = await client.post(url, json=chat(), headers={"authorization": f"Bearer {KEY}"})

    assert [401, 200] == [local.status_code, other.status_code]


# --- disguises ------------------------------------------------------------------------------------------------------

HOSTS = (
    "router",
    "x/health?",
    "x#",
    "x/livez",
    "x@y",
    "127.0.0.1:1",
    "[::1]",
    "x/v1/models?",
    "",
    "x\\y",
    "a" * 300,
)
TARGETS = {
    CHAT: 401,
    f"http://evil.example{CHAT}": 401,
    f"http://evil.example/livez?{CHAT}": 405,
    f"{CHAT}?path=/livez": 401,
    f"{CHAT}#/livez": 401,
    "/v1/chat%2fcompletions": 401,
    "/v1/chat/completion%73": 401,
    f"/{CHAT}": 404,
    f"{CHAT}/": 404,
    "/v1/%2e/chat/completions": 404,
    "/livez/../v1/chat/completions": 404,
    "/livez/%2e%2e/v1/chat/completions": 404,
    "/livez%2f..%2fv1/chat/completions": 404,
    "/livez;/v1/chat/completions": 404,
    "/V1/CHAT/COMPLETIONS": 404,
    "/v1/models": 405,
    "/v1/models/..%2f..%2flivez": 405,
}


@pytest.mark.parametrize("target", TARGETS)
async def test_no_host_changes_what_a_target_means(target: str, stage: Stage) -> None:
    """T11b: without a key, with any Host, twice or in the target: the decision is always the target's own."""
    answers = [
        await exchange(stage.router.http_port, post("connection: close", key=None, target=target, host=host))
        for host in HOSTS
    ]
    two = post("host: x/health?", "connection: close", key=None, target=target)
    none = two.replace(b"host: router\r\n", b"", 1).replace(b"host: x/health?\r\n", b"", 1)
    answers += [await exchange(stage.router.http_port, data) for data in (two, none)]

    assert {b"%d" % TARGETS[target]} == {answer[9:12] for answer in answers}
    assert {True} == {b"location:" not in answer for answer in answers}
    assert [] == stage.upstream.requests


async def test_a_disguised_target_finds_the_model_it_names_and_nothing_else(stage: Stage) -> None:
    """T11b: with a key, a path that climbs out of /v1/models is the name of a model that nobody has."""
    for target in ("/v1/models/../../livez", "/v1/models/%2e%2e/%2e%2e/livez", "/v1/models/..%2f..%2flivez"):
        answer = await exchange(stage.router.http_port, head("GET", target, "connection: close"))
        assert b"404" == answer[9:12], target
        assert "model_not_found" == json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"]


async def test_one_body_for_the_key_that_is_missing_and_one_for_the_body_that_is_bad(stage: Stage) -> None:
    """T11b: the key is looked at first: without one, nobody learns what a body lacks."""
    keyless = await exchange(stage.router.http_port, post("connection: close", key=None, body=b"{"))
    keyed = await exchange(stage.router.http_port, post("connection: close", body=b"{"))
    whole = await exchange(stage.router.http_port, post("connection: close", key=None, body=BODY))

    assert [b"401", b"400", b"401"] == [answer[9:12] for answer in (keyless, keyed, whole)]
    assert whole.partition(b"\r\n\r\n")[2] == keyless.partition(b"\r\n\r\n")[2]
