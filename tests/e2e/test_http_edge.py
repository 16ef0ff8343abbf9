"""The HTTP listener at its edges: sizes, pauses, methods, media types, models."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.support.running import ADMIN, KEY, chat
from tests.support.stage import Stage
from tests.support.wire import BODY, CHAT, chunked, head, post, wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_BODY = 4_096
PAUSE = "300ms"
NARROW = "sk-test-narrow"
PRICE = {"input": 1, "output": 1}


@pytest.fixture(scope="module")
def sections() -> dict[str, object]:
    """A small router: bodies to 4 KiB, pauses to 0.3 s, three models of which one key may use two."""
    limits = {
        "max_body": f"{MAX_BODY}B",
        "max_headers": "2KiB",
        "read_timeout": PAUSE,
        "body_timeout": "600ms",
    }
    names = ("small", "vendor/deep/model", "hidden")
    deployment = {"provider": "fake", "model": "fake-model", "price": PRICE}
    return {
        "http": limits,
        "models": [{"name": name, "deployments": [deployment]} for name in names],
        "keys": [
            {"name": "test", "key": KEY, "models": ["*"]},
            {"name": "narrow", "key": NARROW, "models": ["small", "vendor/*"]},
            {"name": "admin", "key": ADMIN, "models": ["*"], "permissions": ["admin"]},
        ],
    }


def assert_error(reply: httpx.Response, status: int, code: str | None) -> dict[str, object]:
    """Check the one shape that every error of every route has."""
    assert status == reply.status_code, reply.text
    assert "application/json" == reply.headers["content-type"]
    assert reply.headers["x-request-id"]
    body = reply.json()
    assert ["error"] == list(body)
    error: dict[str, object] = body["error"]
    assert {"message", "type", "param", "code"} == set(error) - {"details"}
    assert isinstance(error["message"], str)
    assert error["message"]
    assert isinstance(error["type"], str)
    assert code == error["code"]
    return error


# --- how much -------------------------------------------------------------------------------------------------------


async def test_a_body_too_large_by_its_length_is_refused(stage: Stage) -> None:
    """T31: 413, in a shape that a client can read although it was still sending."""
    async with stage.router.client() as client:
        reply = await client.post(CHAT, json=chat(x_pad="a" * 1_000_000))
        exactly = await client.post(CHAT, content=BODY.ljust(MAX_BODY))
        one_more = await client.post(CHAT, content=BODY.ljust(MAX_BODY + 1))

    assert_error(reply, 413, "request_too_large")
    assert 200 == exactly.status_code
    assert_error(one_more, 413, "request_too_large")
    assert 1 == len(stage.upstream.requests)


async def test_a_body_too_large_in_chunks_is_refused(stage: Stage) -> None:
    """T31: without a length the bytes are counted as they come."""

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(6):
            yield b" " * 1_000

    async with stage.router.client() as client:
        reply = await client.post(CHAT, content=parts(), headers={"content-type": "application/json"})
    async with wire(stage.router.http_port) as connection:
        at_once = chunked(BODY.ljust(MAX_BODY + 1))
        await connection.send(head("POST", CHAT, "transfer-encoding: chunked") + at_once)
        answer = await connection.answer()

    assert_error(reply, 413, "request_too_large")
    assert (413, "request_too_large") == (answer.status, answer.error["code"])
    assert [] == stage.upstream.requests


async def test_a_caller_that_sends_on_and_on_is_cut(stage: Stage) -> None:
    """T31: after its 413 a body is thrown away, up to the size of the largest body, and no further."""
    async with wire(stage.router.http_port) as connection:
        await connection.send(head("POST", CHAT, "transfer-encoding: chunked"))
        for _ in range(5):
            await connection.send(b"400\r\n" + b" " * 1_024 + b"\r\n")
        answer = await connection.answer()
        for _ in range(5):
            await connection.send(b"400\r\n" + b" " * 1_024 + b"\r\n")
        rest = await connection.rest()

    assert 413 == answer.status
    assert b"" == rest


# --- how long -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [b"POST /v1/chat", head("POST", CHAT)[:-2], post()[:-1]],
    ids=["in the line", "in the head", "in the body"],
)
async def test_a_request_that_stops_gets_a_408(data: bytes, stage: Stage) -> None:
    """T31: a pause longer than `read_timeout` ends it, wherever it is."""
    async with wire(stage.router.http_port) as connection:
        await connection.send(data)
        answer = await connection.answer()
        rest = await connection.rest()

    assert 408 == answer.status
    assert "request_timeout" == answer.error["code"]
    assert "close" == answer.headers.get("connection")
    assert b"" == rest
    assert [] == stage.upstream.requests


async def test_a_request_that_trickles_gets_a_408(stage: Stage) -> None:
    """T31: never a long pause, and still not whole after `body_timeout`."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with wire(stage.router.http_port) as connection:
        await connection.send(head("POST", CHAT, body=BODY))

        async def trickle() -> None:
            for byte in BODY:
                await asyncio.sleep(0.05)  # how the client sends: oftener than `read_timeout`
                await connection.send(bytes([byte]))

        async with asyncio.TaskGroup() as tasks:
            trickling = tasks.create_task(trickle())
            answer = await connection.answer()
            trickling.cancel()

    assert 408 == answer.status
    assert 0.5 < loop.time() - began < 3
    assert [] == stage.upstream.requests


async def test_a_silent_connection_between_requests_is_no_slow_request(stage: Stage) -> None:
    """T31: `read_timeout` counts from the first byte of a request, not from the end of the last."""
    async with wire(stage.router.http_port) as connection:
        await connection.send(post())
        first = await connection.answer()
        await asyncio.sleep(0.7)  # the router's own clock: longer than `read_timeout` and `body_timeout`
        await connection.send(post())
        second = await connection.answer()

    assert [200, 200] == [first.status, second.status]


# --- Expect: 100-continue -------------------------------------------------------------------------------------------


async def test_100_continue_is_said_to_a_good_request(stage: Stage) -> None:
    """T31: the body is asked for, then served."""
    async with wire(stage.router.http_port) as connection:
        await connection.send(head("POST", CHAT, "expect: 100-continue", body=BODY))
        go_on = await connection.answer()
        await connection.send(BODY)
        answer = await connection.answer()

    assert [100, 200] == [go_on.status, answer.status]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head("POST", CHAT, "expect: 100-continue", key="sk-unknown", body=BODY), 401),
        (head("POST", CHAT, "expect: 100-continue", f"content-length: {MAX_BODY + 1}"), 413),
        (head("POST", CHAT, "expect: 100-continue", "content-encoding: gzip", body=BODY), 415),
    ],
    ids=["bad key", "too large", "compressed"],
)
async def test_100_continue_is_not_said_to_a_bad_request(data: bytes, status: int, stage: Stage) -> None:
    """T31: one final answer, and the connection closes: nobody can tell whether the body still comes."""
    async with wire(stage.router.http_port) as connection:
        await connection.send(data)
        answer = await connection.answer()
        rest = await connection.rest()

    assert status == answer.status
    assert "close" == answer.headers.get("connection")
    assert b"" == rest


# --- what -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_another_method_on_the_chat_route_gets_a_405(method: str, stage: Stage) -> None:
    """T31: with `allow`, in the one shape."""
    async with stage.router.client() as client:
        reply = await client.request(method, CHAT)

    assert_error(reply, 405, "method_not_allowed")
    assert "POST" == reply.headers["allow"]


async def test_a_reply_to_head_has_no_body(stage: Stage) -> None:
    """T31: a byte of it would be taken for the next reply."""
    async with wire(stage.router.http_port) as connection:
        for target in (CHAT, "/v1/models", "/livez", "/nowhere"):
            await connection.send(head("HEAD", target))
            assert (await connection.answer(to="HEAD")).status in (200, 404, 405), target
        await connection.send(post())
        served = await connection.answer()

    assert 200 == served.status


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_a_body_that_is_no_json_by_its_type_gets_a_415(media: str, stage: Stage) -> None:
    """T31: a browser's form cannot call us, so no other site can make one do it."""
    async with stage.router.client() as client:
        reply = await client.post(CHAT, content=BODY, headers={"content-type": media})

    assert_error(reply, 415, "unsupported_media_type")


@pytest.mark.parametrize("media", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.x+json"])
async def test_json_by_any_name_is_served(media: str, stage: Stage) -> None:
    """T31: parameters, capitals and suffixes are JSON too."""
    async with stage.router.client() as client:
        reply = await client.post(CHAT, content=BODY, headers={"content-type": media})

    assert 200 == reply.status_code


async def test_a_compressed_body_gets_a_415(stage: Stage) -> None:
    """T31: it is not read as if it were JSON, nor unpacked to any size."""
    async with stage.router.client() as client:
        reply = await client.post(CHAT, content=BODY, headers={"content-encoding": "gzip"})

    assert_error(reply, 415, "unsupported_media_type")


NOT_A_REQUEST = {
    "nothing": b"",
    "cut": BODY[:-1],
    "not a number": b'{"model":"small","messages":[],"temperature":NaN}',
    "infinity": b'{"model":"small","messages":[],"temperature":-Infinity}',
    "an array": b"[]",
    "text": b'"small"',
    "two values": BODY + b"{}",
    "a comment": b'{"model":"small",/* hi */"messages":[]}',
    "single quotes": b"{'model':'small'}",
    "UTF-16": '{"model":"small"}'.encode("utf-16"),
    "half a pair in a name": b'{"model":"\\ud800","messages":[]}',
    "deeply nested": b'{"model":"small","messages":' + b"[" * 1_500 + b"]" * 1_500 + b"}",
    "nested and open": b"[" * 4_000,
    "no model": b'{"messages":[]}',
    "a model of null": b'{"model":null,"messages":[]}',
    "a model of numbers": b'{"model":7,"messages":[]}',
    "an empty model": b'{"model":"","messages":[]}',
    "a model without end": b'{"model":"' + b"a" * 300 + b'","messages":[]}',
    "no messages": b'{"model":"small"}',
    "messages of text": b'{"model":"small","messages":"hi"}',
    "a stream of text": b'{"model":"small","messages":[],"stream":"yes"}',
    "options of text": b'{"model":"small","messages":[],"stream":true,"stream_options":"yes"}',
}


@pytest.mark.parametrize("name", NOT_A_REQUEST)
async def test_a_body_that_is_no_request_gets_a_400(name: str, stage: Stage) -> None:
    """T31: said at once, naming what is wrong; nothing goes upstream."""
    async with stage.router.client() as client:
        reply = await client.post(CHAT, content=NOT_A_REQUEST[name], headers={"content-type": "application/json"})

    error = assert_error(reply, 400, None)
    assert "invalid_request_error" == error["type"]
    assert [] == stage.upstream.requests


async def test_a_route_that_is_not_there_gets_a_404(stage: Stage) -> None:
    """T31: also with a slash too many, which is no redirect that repeats the caller's Host."""
    async with stage.router.client() as client:
        for path in ("/nowhere", "/v1/chat/completions/", "/v1/models/small/", "/livez/", "/v1", "/"):
            reply = await client.get(path)
            error = assert_error(reply, 404, "model_not_found" if "models" in path else "unknown_url")
            assert "invalid_request_error" == error["type"], path


# --- models ---------------------------------------------------------------------------------------------------------


async def test_an_unknown_model_gets_a_404_and_no_upstream_call(stage: Stage) -> None:
    """T19: `model_not_found`, naming the parameter."""
    async with stage.router.client() as client:
        reply = await client.post(CHAT, json=chat(model="gpt-unknown"))

    error = assert_error(reply, 404, "model_not_found")
    assert "model" == error["param"]
    assert [] == stage.upstream.requests


async def test_a_key_sees_the_models_it_may_use_and_no_others(stage: Stage) -> None:
    """T31: in the list, by name, and in calls."""
    async with stage.router.client() as all_models, stage.router.client(NARROW) as narrow:
        everything = (await all_models.get("/v1/models")).json()
        mine = (await narrow.get("/v1/models")).json()
        shown = await narrow.get("/v1/models/vendor/deep/model")
        hidden = await narrow.get("/v1/models/hidden")
        missing = await narrow.get("/v1/models/missing")
        called = await narrow.post(CHAT, json=chat(model="hidden"))

    assert ["hidden", "small", "vendor/deep/model"] == [model["id"] for model in everything["data"]]
    assert ["small", "vendor/deep/model"] == [model["id"] for model in mine["data"]]
    assert "list" == mine["object"]
    assert ("vendor/deep/model", "model", "fake") == tuple(shown.json()[name] for name in ("id", "object", "owned_by"))
    assert_error(hidden, 404, "model_not_found")
    assert hidden.text.replace("hidden", "missing") == missing.text
    assert_error(called, 403, "model_not_allowed")
    assert [] == stage.upstream.requests
