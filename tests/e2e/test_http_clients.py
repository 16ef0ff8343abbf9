"""The HTTP listener and its kinds of clients: browsers, old and eager ones, those behind TLS; and headers both ways."""

import asyncio
import json
import ssl
from pathlib import Path

import httpx
import pytest

from tests.support import fake_upstream as fake
from tests.support.certificate import make_certificate
from tests.support.fake_upstream import FakeUpstream
from tests.support.running import KEY, chat, config_for, running_router
from tests.support.stage import Stage
from tests.support.wire import BODY, CHAT, chunked, exchange, head, post, wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

ORIGIN = "https://app.example"


@pytest.fixture(scope="module")
def sections() -> dict[str, object]:
    return {"http": {"cors": [ORIGIN]}}


# --- browsers -------------------------------------------------------------------------------------------------------


async def test_a_page_of_a_configured_origin_may_call(stage: Stage) -> None:
    """T31: the preflight needs no key, and the reply itself, also a refusal or a stream, carries the permission."""
    origin = {"origin": ORIGIN}
    asks = {**origin, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    async with stage.router.client() as client, stage.router.client(None) as anonymous:
        preflight = await anonymous.options(CHAT, headers=asks)
        replies = [
            await client.post(CHAT, json=chat(), headers=origin),
            await client.post(CHAT, json=chat(stream=True), headers=origin),
            await client.get("/v1/models", headers=origin),
            await anonymous.post(CHAT, json=chat(), headers=origin),
        ]

    assert 200 == preflight.status_code
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    assert [200, 200, 200, 401] == [reply.status_code for reply in replies]
    assert [ORIGIN] * 5 == [reply.headers.get("access-control-allow-origin") for reply in (preflight, *replies)]
    assert replies[1].text.endswith("data: [DONE]\n\n")


async def test_a_page_of_another_origin_may_not(stage: Stage) -> None:
    """T31: its preflight is refused, and no reply names it."""
    origin = {"origin": "https://evil.example"}
    async with stage.router.client() as client:
        preflight = await client.options(CHAT, headers={**origin, "access-control-request-method": "POST"})
        reply = await client.post(CHAT, json=chat(), headers=origin)

    assert 400 == preflight.status_code
    assert "access-control-allow-origin" not in preflight.headers
    assert "access-control-allow-origin" not in reply.headers


async def test_a_page_that_hangs_up_stops_its_upstream(stage: Stage) -> None:
    """T9: the way through the middleware notices it as the quick way does."""
    stage.upstream.script(
        fake.event_stream(fake.sse({"choices": [{"index": 0, "delta": {"content": "a"}}]}), asyncio.Event())
    )
    body = json.dumps(chat(stream=True)).encode()
    async with wire(stage.router.http_port) as connection:
        await connection.send(post(f"origin: {ORIGIN}", body=body))
        request = await stage.upstream.received(1)
    async with asyncio.timeout(5):
        await request.closed.wait()

    assert not request.done.is_set()


# --- old and eager clients ------------------------------------------------------------------------------------------


async def test_a_client_of_http_1_0_is_served_and_let_go(tmp_path: Path) -> None:
    """T31: whole replies have a length, streams end with the connection, nothing is in chunks."""
    body = json.dumps(chat(stream=True)).encode()
    async with FakeUpstream() as upstream, running_router(config_for(upstream), tmp_path) as router:
        unary = await exchange(router.http_port, head("POST", CHAT, body=BODY, version="1.0") + BODY)
        stream = await exchange(router.http_port, head("POST", CHAT, body=body, version="1.0") + body)

    assert unary.startswith(b"HTTP/1.1 200")
    assert b'"content": "w0 w1' in unary
    assert stream.startswith(b"HTTP/1.1 200")
    assert stream.endswith(b"data: [DONE]\n\n")
    assert b"transfer-encoding" not in stream


async def test_requests_sent_at_once_are_answered_in_order(stage: Stage) -> None:
    """T31: a slow first one does not let the second one pass."""
    gate = asyncio.Event()
    stage.upstream.script(lambda request: fake.Reply(before_head=(gate,), steps=fake.completion(request, 1).steps))
    body = json.dumps(chat(stream=True)).encode()
    async with wire(stage.router.http_port) as connection:
        await connection.send(
            post("x-request-id: one") + post("x-request-id: two", body=body) + head("GET", "/v1/models")
        )
        await stage.upstream.received(1)
        gate.set()
        answers = [await connection.answer() for _ in range(3)]

    assert [200, 200, 200] == [answer.status for answer in answers]
    assert ["one", "two"] == [answer.headers["x-request-id"] for answer in answers[:2]]
    assert answers[1].body.endswith(b"data: [DONE]\n\n")
    assert b'"object":"list"' in answers[2].body


# --- headers --------------------------------------------------------------------------------------------------------


async def test_the_request_id_comes_back_whatever_the_answer(stage: Stage) -> None:
    """T31: in = out on success and error, one is made where none came, and it reaches the provider."""
    ours = {"x-request-id": "trace-me-7"}
    async with stage.router.client() as client, stage.router.client(None) as anonymous:
        replies = [
            await client.post(CHAT, json=chat(), headers=ours),
            await client.post(CHAT, json=chat(stream=True), headers=ours),
            await client.post(CHAT, content=b"{", headers={**ours, "content-type": "application/json"}),
            await client.post(CHAT, json=chat(model="none"), headers=ours),
            await client.get(CHAT, headers=ours),
            await client.get("/nowhere", headers=ours),
            await client.get("/v1/models/none", headers=ours),
            await anonymous.get("/v1/models", headers=ours),
        ]
        made = [(await client.post(CHAT, json=chat())).headers["x-request-id"] for _ in range(2)]
        odd = await client.post(CHAT, json=chat(), headers={"x-request-id": "a" * 500})

    assert ["trace-me-7"] * len(replies) == [reply.headers.get("x-request-id") for reply in replies]
    assert made[0] != made[1]
    assert 32 == len(odd.headers["x-request-id"])
    assert ["trace-me-7", "trace-me-7", *made] == [
        request.headers["x-request-id"] for request in stage.upstream.requests[:4]
    ]


async def test_the_providers_useful_headers_pass_and_its_own_do_not(stage: Stage) -> None:
    """T31: an allow-list by prefix, on replies and streams alike."""
    useful = {"openai-processing-ms": "12", "openai-version": "2020", "x-ratelimit-remaining-requests": "9"}
    private = {"set-cookie": "a=b", "server": "secret/1.0", "x-powered-by": "php", "via": "1.1 x", "alt-svc": "h3"}
    headers = tuple({**useful, **private}.items())

    def dressed(request: fake.Request) -> fake.Reply:
        reply = fake.answer(request)
        return fake.Reply(steps=reply.steps, headers=(*reply.headers, *headers), framing=reply.framing)

    stage.upstream.script(dressed, dressed)
    async with stage.router.client() as client:
        replies = [await client.post(CHAT, json=chat()), await client.post(CHAT, json=chat(stream=True))]

    for reply in replies:
        assert useful == {name: reply.headers.get(name) for name in useful}
        assert set() == set(private) & set(reply.headers)


async def test_a_limited_provider_tells_the_caller_when_to_come_back(stage: Stage) -> None:
    """T31: its wait comes through exactly once, in seconds and milliseconds."""
    stage.upstream.script(fake.error(429, "slow down", headers=(("retry-after", "3"),)))
    async with wire(stage.router.http_port) as connection:
        await connection.send(post())
        answer = await connection.answer()

    assert 429 == answer.status
    assert {"retry-after": "3", "retry-after-ms": "3000"} == {
        name: value for name, value in answer.headers.items() if name.startswith("retry-after")
    }


async def test_a_crooked_label_is_refused_by_name(stage: Stage) -> None:
    """T31: ids are bounded; a label that could not be kept whole is a 400 that names its header, on every route."""
    async with stage.router.client() as client:
        for path in (CHAT, "/v1/models"):
            method = "POST" if path == CHAT else "GET"
            reply = await client.request(method, path, json=chat(), headers={"x-checkrein-agent": "a" * 129})
            assert (400, "x-checkrein-agent") == (reply.status_code, reply.json()["error"]["param"])

    assert [] == stage.upstream.requests


# --- TLS ------------------------------------------------------------------------------------------------------------


async def test_the_listener_speaks_tls(tmp_path: Path) -> None:
    """T31: whole replies, streams, bad framing; a plain request on that port gets nothing."""
    made = make_certificate(tmp_path, "localhost", "127.0.0.1")
    trust = ssl.create_default_context(cafile=str(made.authority))
    tls = {"cert_file": made.certificate.name, "key_file": made.key.name}
    async with (
        FakeUpstream() as upstream,
        running_router(config_for(upstream, http={"tls": tls}), tmp_path) as router,
    ):
        async with httpx.AsyncClient(verify=trust, headers={"authorization": f"Bearer {KEY}"}) as client:
            url = f"https://127.0.0.1:{router.http_port}{CHAT}"
            unary = await client.post(url, json=chat())
            stream = await client.post(url, json=chat(stream=True))
        async with wire(router.http_port, tls=trust) as connection:
            await connection.send(b"rubbish\r\n\r\n")
            bad = await connection.answer()
        plain = await exchange(router.http_port, post())

    assert 200 == unary.status_code
    assert stream.text.endswith("data: [DONE]\n\n")
    assert 400 == bad.status
    assert b"HTTP/" not in plain
    assert 2 == len(upstream.requests)


async def test_chunks_may_come_one_byte_at_a_time(stage: Stage) -> None:
    """T11d: a request is the same however the network cuts it."""
    data = head("POST", CHAT, "transfer-encoding: chunked", "connection: close") + chunked(BODY[:9], BODY[9:])
    async with wire(stage.router.http_port) as connection:
        for at in range(len(data)):
            await connection.send(data[at : at + 1])
            await asyncio.sleep(0)
        answer = await connection.answer()

    assert 200 == answer.status
