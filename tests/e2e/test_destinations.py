"""Only the operator decides where a request goes and with which credential; a caller can neither choose nor steer."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.fake_upstream import FakeUpstream, Reply
from tests.support.running import KEY, UPSTREAM_KEY, chat
from tests.support.stage import Stage
from tests.support.wire import CHAT, exchange, post

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def elsewhere() -> AsyncIterator[FakeUpstream]:
    """A provider that nobody configured."""
    async with FakeUpstream() as upstream:
        yield upstream


@pytest.mark.parametrize("name", ["api_base", "base_url", "api_key", "extra_headers"])
@pytest.mark.parametrize("value", ["http://127.0.0.1:1/v1", None, {}, ""], ids=repr)
async def test_a_field_that_chooses_a_destination_is_refused(name: str, value: object, stage: Stage) -> None:
    """T11c: 400 naming it, whatever its value; nothing goes anywhere."""
    async with stage.router.client() as client:
        reply = await client.post(CHAT, json=chat(**{name: value}))

    error = reply.json()["error"]
    assert 400 == reply.status_code
    assert ("unsupported_parameter", name) == (error["code"], error["param"])
    assert name in error["message"]
    assert [] == stage.upstream.requests


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"small","messages":[],"\\u0061pi_base":"http://x"}',
        b'{"api_base":"http://x","api_base":null,"model":"small","messages":[]}',
        b'{"model":"small","messages":[],"base\\u005furl":"http://x"}',
    ],
    ids=["escaped", "twice", "escaped underscore"],
)
async def test_no_spelling_hides_such_a_field(body: bytes, stage: Stage) -> None:
    """T11c: names are compared as what they mean."""
    answer = await exchange(stage.router.http_port, post("connection: close", body=body))

    assert b"unsupported_parameter" in answer
    assert [] == stage.upstream.requests


async def test_a_field_of_that_name_deeper_down_is_content(stage: Stage) -> None:
    """T11c: a tool may well have a parameter called api_key."""
    schema = {"type": "object", "properties": {"api_key": {"type": "string"}, "base_url": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": "connect", "parameters": schema}}]
    async with stage.router.client() as client:
        reply = await client.post(CHAT, json=chat(tools=tools))

    assert 200 == reply.status_code
    assert tools == stage.upstream.requests[0].json["tools"]


async def test_nothing_of_the_callers_headers_reaches_the_provider(stage: Stage) -> None:
    """T11c: the provider gets our credential and our headers; the caller's own stay here."""
    theirs = [
        "cookie: session=1",
        "x-api-key: caller",
        "api-key: caller",
        "proxy-authorization: Basic caller",
        "openai-organization: org-caller",
        "openai-project: caller",
        "te: trailers",
        "keep-alive: timeout=5",
        "x-forwarded-for: 192.0.2.1",
        "forwarded: for=192.0.2.1",
        "x-custom: caller",
        "user-agent: caller",
        "accept: caller/type",
        "accept-encoding: gzip",
        "referer: http://caller",
        "x-checkrein-agent: caller",
        "connection: close, x-custom",
    ]
    for members in (chat(), chat(stream=True)):
        answer = await exchange(stage.router.http_port, post(*theirs, body=json.dumps(members).encode()))
        assert answer.startswith(b"HTTP/1.1 200")

    for request in stage.upstream.requests:
        names = {
            "host",
            "user-agent",
            "content-type",
            "accept",
            "accept-encoding",
            "authorization",
            "x-request-id",
        }
        assert names | {"content-length"} == set(request.headers)
        assert f"Bearer {UPSTREAM_KEY}" == request.headers["authorization"]
        assert "identity" == request.headers["accept-encoding"]
        assert f"127.0.0.1:{stage.upstream.port}" == request.headers["host"]
        assert "caller" not in str(request.headers)
        assert KEY not in str(request.headers)
    assert 2 == len(stage.upstream.requests)


async def test_a_traceparent_goes_with_the_call(stage: Stage) -> None:
    """T11c: the one header of a caller that is passed on, besides its request id."""
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with stage.router.client() as client:
        await client.post(CHAT, json=chat(), headers={"traceparent": trace, "x-request-id": "mine"})

    sent = stage.upstream.requests[0].headers
    assert (trace, "mine") == (sent["traceparent"], sent["x-request-id"])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_a_redirect_is_not_followed(status: int, stream: bool, stage: Stage, elsewhere: FakeUpstream) -> None:
    """T11c: our credential goes where the operator said, and the caller is not sent there either."""
    location = ("location", f"{elsewhere.base_url}/chat/completions")
    stage.upstream.script(Reply(status=status, headers=(location, ("content-type", "text/plain"))))
    async with stage.router.client() as client:
        reply = await client.post(CHAT, json=chat(stream=stream))

    assert 502 == reply.status_code
    assert "upstream_error" == reply.json()["error"]["code"]
    assert "location" not in reply.headers
    assert str(elsewhere.port) not in reply.text
    assert [] == elsewhere.requests
    assert 1 == len(stage.upstream.requests)


async def test_a_model_name_is_no_path(stage: Stage) -> None:
    """T11c: what a caller names is looked up, never built into an address."""
    names = (
        "../../admin",
        "http://evil.example/v1",
        "fake/fake-model?x",
        "small\r\nx: y",
        "small\x00",
        " small",
        "*",
    )
    async with stage.router.client() as client:
        replies = [await client.post(CHAT, json=chat(model=name)) for name in names]

    assert {404} == {reply.status_code for reply in replies}
    assert {"model_not_found"} == {reply.json()["error"]["code"] for reply in replies}
    assert [] == stage.upstream.requests
