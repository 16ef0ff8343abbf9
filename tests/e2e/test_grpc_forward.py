"""HTTP through gRPC over sockets: byte for byte what HTTP says, both ways, within the same bounds, to the same end."""

import asyncio
import contextlib
import hashlib
import json
import math
import random
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from checkrein.v1.passthrough_pb2 import ForwardRequest

from tests.support import fake_upstream as fake
from tests.support.dialects import message, message_events, response, streamed, whole
from tests.support.fake_upstream import Cut, Framing, Reply, Request, Step
from tests.support.forms import CONTENT_TYPE, form
from tests.support.forwarding import bearer, begin, channel_to, forward, head_of, read_reply
from tests.support.pool import RICH_KEYS, Pool, at, pool, served_by
from tests.support.running import chat
from tests.support.waiting import back_to, footprint, pause

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

MIB = 1 << 20
BODY_MAX = 8 * MIB
SOUND = random.Random(1).randbytes(3_000_000)
REJECTED = 'checkrein_requests_rejected_total{fault="client_closed"}'
OWN = {"x-checkrein-call", "x-request-id", "request-id", "date"}
"""Headers that are each reply's own, and the server's."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    tokens = {"input": 2.0, "output": 10.0}
    models = [
        served_by("small", at("a")),
        served_by("claude", at("m", name="claude", model="claude-x")),
        served_by("whisper", at("a", model="whisper", price={"per_second_audio": 0.0001})),
        served_by("tts", at("a", model="tts", price={"per_character": 0.000015})),
        served_by("embedder", at("a", model="embedder", price=tokens)),
    ]
    async with pool(
        tmp_path_factory.mktemp("router"),
        "a",
        "m",
        models=models,
        keys=[*RICH_KEYS],
        members={"a": {"dialects": ["chat", "embeddings", "audio", "responses"]}, "m": {"kind": "anthropic"}},
        http={"max_body": "8MiB", "write_timeout": "1s", "read_timeout": "500ms", "stream_ping": "1h"},
        server={
            "http": {"port": 0, "max_body": "8MiB", "read_timeout": "500ms", "stream_ping": "1h"},
            "ops": {"port": 0},
            "grpc": {"port": 0, "write_timeout": "500ms"},
            "drain": {"grace": "2s"},
        },
    ) as providers:
        yield providers


@pytest_asyncio.fixture(loop_scope="module")
async def live(running: Pool) -> Pool:
    await running.router.idle()
    return running.start_over()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def channel(running: Pool) -> AsyncIterator[grpc.aio.Channel]:
    async with channel_to(running.router) as one:
        yield one


async def outcomes(live: Pool) -> list[Any]:
    await live.router.idle()
    return [row["outcome"] for row in live.router.rows()[live.earlier_rows :]]


async def same(
    live: Pool,
    channel: grpc.aio.Channel,
    target: str,
    body: bytes = b"",
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    key: str = "sk-test-key",
) -> tuple[int, bytes]:
    """Send it over HTTP and through gRPC, and return what both said; but for ids they said the same."""
    fields = headers or {"content-type": "application/json"}
    async with live.router.client(key) as client:
        by_http = await client.request(method, target, content=body, headers=fields)
    through = await forward(channel, target, body, method=method, headers=fields, metadata=bearer(key))

    assert (grpc.StatusCode.OK, by_http.status_code) == (through.code, through.status)
    ids = {by_http.headers[name].encode(): b"ID" for name in OWN - {"date"} if name in by_http.headers}
    ids |= {through.headers[name].encode(): b"ID" for name in OWN if name in through.headers}
    said, told = by_http.content, through.body
    for one in ids:
        said, told = said.replace(one, b"ID"), told.replace(one, b"ID")
    assert said == told
    by_name = {name: value for name, value in by_http.headers.items() if name not in OWN | {"transfer-encoding"}}
    assert by_name == {name: value for name, value in through.headers.items() if name not in OWN}
    assert (OWN & by_http.headers.keys()) - {"date"} == OWN & through.headers.keys()
    return through.status, through.body


@pytest.mark.parametrize("stream", [False, True])
async def test_chat_is_what_it_is_over_http(live: Pool, channel: grpc.aio.Channel, *, stream: bool) -> None:
    body = json.dumps(chat(stream=stream, max_tokens=50, x_future=[1, None])).encode()
    status, said = await same(live, channel, "/v1/chat/completions", body)
    first, second = live.upstreams["a"].requests

    assert (200, stream) == (status, said.endswith(b"data: [DONE]\n\n"))
    assert first.body == second.body
    assert ["completed", "completed"] == await outcomes(live)
    await live.books()


async def test_messages_takes_its_headers_along(live: Pool, channel: grpc.aio.Channel) -> None:
    live.script(m=lambda one: streamed(message_events()) if one.json.get("stream") else whole(message()))
    headers = {
        "content-type": "application/json",
        "anthropic-version": "2024-01-01",
        "anthropic-beta": "context-1m",
        "x-other": "stays here",
    }
    body = {"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    for stream in (False, True):
        raw = json.dumps({**body, "stream": stream}).encode()
        assert 200 == (await same(live, channel, "/v1/messages?beta=true", raw, headers=headers))[0]
    by_http, through = live.upstreams["m"].requests[-2:]

    assert by_http.body == through.body
    assert ("2024-01-01", "context-1m") == (through.headers["anthropic-version"], through.headers["anthropic-beta"])
    assert "x-other" not in through.headers
    assert by_http.headers.keys() == through.headers.keys()


async def test_a_form_with_sound_arrives_as_it_was_sent(live: Pool, channel: grpc.aio.Channel) -> None:
    live.script(a=Reply(steps=(b'{"text":"heard"}',)))
    sent = form(("model", "whisper"), ("file", SOUND), ("language", "en"))
    headers = {"content-type": CONTENT_TYPE, "content-length": str(len(sent))}
    pieces = [sent[at : at + 65_537] for at in range(0, len(sent), 65_537)]
    came = await forward(channel, "/v1/audio/transcriptions", *pieces, b"", headers=headers)
    (asked,) = live.upstreams["a"].requests

    assert (200, b'{"text":"heard"}', grpc.StatusCode.OK) == (came.status, came.body, came.code)
    assert hashlib.sha256(sent).hexdigest() == hashlib.sha256(asked.body).hexdigest()
    assert CONTENT_TYPE == asked.headers["content-type"]
    assert ["completed"] == await outcomes(live)


async def test_sound_comes_back_as_it_was_made_in_pieces(live: Pool, channel: grpc.aio.Channel) -> None:
    steps = tuple(SOUND[at : at + 100_000] for at in range(0, len(SOUND), 100_000))
    live.script(a=Reply(steps=steps, headers=(("content-type", "audio/mpeg"),), framing=Framing.CHUNKED))
    body = json.dumps({"model": "tts", "input": "say it", "voice": "alloy"}).encode()
    status, said = await same(live, channel, "/v1/audio/speech", body)
    came = await forward(channel, "/v1/audio/speech", body)

    assert (200, hashlib.sha256(SOUND).hexdigest()) == (status, hashlib.sha256(said).hexdigest())
    assert hashlib.sha256(SOUND).hexdigest() == hashlib.sha256(came.body).hexdigest()
    assert "audio/mpeg" == came.headers["content-type"]
    assert 0 < max(came.parts) <= 256 * 1024


async def test_a_large_reply_is_cut_into_messages_that_any_client_takes(live: Pool, channel: grpc.aio.Channel) -> None:
    large = json.dumps({"data": [], "x": "y" * (6 * MIB)}).encode()
    live.script(a=Reply(steps=(large,)))
    came = await forward(channel, "/v1/embeddings", json.dumps({"model": "embedder", "input": "a"}).encode())

    assert (200, len(large), large) == (came.status, sum(came.parts), came.body)


@pytest.mark.parametrize(
    ("method", "target", "body", "headers", "key", "status"),
    [
        ("POST", "/v1/chat/completions", b"{", None, None, 400),
        ("POST", "/v1/chat/completions", b'{"model":"none","messages":[]}', None, None, 404),
        ("POST", "/v1/chat/completions", b"{}", {"content-type": "text/plain"}, None, 415),
        ("POST", "/v1/chat/completions", b"{}", {"x-checkrein-timeout": "0"}, None, 400),
        ("POST", "/v1/chat/completions", b"{}", None, "sk-nobody", 401),
        ("POST", "/v1/messages", b"{}", None, "sk-nobody", 401),
        ("GET", "/v1/chat/completions", b"", None, None, 405),
        ("POST", "/v1/messages", b"{", None, None, 400),
        ("POST", "/v1/no/such/route", b"{}", None, None, 404),
        ("PUT", "/v1/models", b"{}", None, None, 405),
        ("GET", "/v1/models", b"", None, None, 200),
        ("GET", "/v1/models/small", b"", None, None, 200),
        ("GET", "/v1/responses/resp_none?a=b", b"", None, None, 404),
        ("POST", "/v1/audio/transcriptions", b"no form", {"content-type": CONTENT_TYPE}, None, 400),
    ],
)
async def test_what_http_refuses_is_its_refusal_and_the_status_is_ok(
    live: Pool,
    channel: grpc.aio.Channel,
    method: str,
    target: str,
    body: bytes,
    headers: Mapping[str, str] | None,
    key: str | None,
    status: int,
) -> None:
    said = await same(live, channel, target, body, method=method, headers=headers, key=key or "sk-test-key")

    assert status == said[0]
    assert status == 200 or "error" in json.loads(said[1])


@pytest.mark.parametrize("target", ["/admin/v1/keys", "/docs", "/healthz", "/checkrein/v1/calls/call_1", "/"])
async def test_what_is_no_inference_is_no_route_here(live: Pool, channel: grpc.aio.Channel, target: str) -> None:
    came = await forward(channel, target, method="GET", metadata=bearer("sk-test-admin"))

    assert (404, "unknown_url") == (came.status, json.loads(came.body)["error"]["code"])


async def test_a_providers_failure_is_told_as_over_http(live: Pool, channel: grpc.aio.Channel) -> None:
    live.script(a=fake.error(422, code="odd"))
    status, body = await same(live, channel, "/v1/chat/completions", json.dumps(chat()).encode())

    assert (422, "odd") == (status, json.loads(body)["error"]["code"])


async def test_tokens_are_counted_as_over_http(live: Pool, channel: grpc.aio.Channel) -> None:
    live.script(m=whole({"input_tokens": 2095}))
    body = {"model": "claude", "messages": [{"role": "user", "content": "hi"}]}
    said = await same(live, channel, "/v1/messages/count_tokens", json.dumps(body).encode())

    assert (200, {"input_tokens": 2095}) == (said[0], json.loads(said[1]))


async def test_a_stored_reply_is_shown_also_to_a_caller_that_goes_on_sending(
    live: Pool, channel: grpc.aio.Channel
) -> None:
    live.script(a=whole(response()))
    body = json.dumps({"model": "small", "input": "hi", "store": True}).encode()
    made = await forward(channel, "/v1/responses", body)
    await live.router.idle()
    target = f"/v1/responses/{json.loads(made.body)['id']}"
    shown = await same(live, channel, target, method="GET")
    call = begin(channel)
    await call.write(head_of(target, method="GET"))
    still_open = await read_reply(call)

    assert (200, *shown) == (made.status, still_open.status, still_open.body)
    assert ["POST", "GET", "GET", "GET"] == [one.method for one in live.upstreams["a"].requests]


async def test_a_body_over_the_bound_is_refused_before_it_is_whole(live: Pool, channel: grpc.aio.Channel) -> None:
    piece = b" " * MIB
    came = await forward(channel, "/v1/chat/completions", *[piece] * 40)

    assert (413, "request_too_large") == (came.status, json.loads(came.body)["error"]["code"])


async def test_a_body_that_stops_coming_is_refused_as_over_http(live: Pool, channel: grpc.aio.Channel) -> None:
    call = begin(channel)
    await call.write(head_of("/v1/chat/completions"))
    await call.write(ForwardRequest(body=b'{"model":'))
    came = await read_reply(call)

    assert (408, "request_timeout", grpc.StatusCode.OK) == (
        came.status,
        json.loads(came.body)["error"]["code"],
        came.code,
    )


@pytest.mark.parametrize(
    "sends",
    [
        [],
        [ForwardRequest(body=b"{}")],
        [ForwardRequest()],
        [head_of("/v1/messages", method="")],
        [head_of("v1/messages")],
        [head_of("/v1/messages", headers={"Content-Type": "a"})],
        [head_of("/v1/messages", headers={"": "a"})],
        [head_of("/v1/messages", headers={"authorization": "Bearer sk-test-key"})],
        [head_of("/v1/messages", headers={"x-api-key": "sk-test-key"})],
        [head_of("/v1/messages", headers={"x-a": b"b\r\nc: d"})],
        [head_of("/v1/messages", headers={"content-length": "many"})],
        [head_of("/v1/messages", headers={"content-length": "3"}), ForwardRequest(body=b"{}")],
        [head_of("/v1/messages"), head_of("/v1/messages")],
        [head_of("/v1/messages"), ForwardRequest()],
    ],
)
async def test_what_is_no_request_is_an_invalid_argument(
    live: Pool, channel: grpc.aio.Channel, sends: list[ForwardRequest]
) -> None:
    call = begin(channel)
    for one in sends:
        await call.write(one)
    await call.done_writing()
    came = await read_reply(call)

    assert (grpc.StatusCode.INVALID_ARGUMENT, 0) == (came.code, came.status)
    assert not live.asked


async def test_a_stream_is_forwarded_while_it_comes(live: Pool, channel: grpc.aio.Channel) -> None:
    go_on = asyncio.Event()

    def halting(request: Request) -> Reply:
        return fake.event_stream(fake.chunk(request, {"content": "a"}), go_on, *fake.ending(request, 1))

    live.script(a=halting)
    call = begin(channel)
    await call.write(head_of("/v1/chat/completions"))
    await call.write(ForwardRequest(body=json.dumps(chat(stream=True)).encode()))
    await call.done_writing()
    head, early = await call.read(), await call.read()
    go_on.set()
    rest = [early.body]
    while (said := await call.read()) is not grpc.aio.EOF:
        rest.append(said.body)

    assert 200 == head.head.status
    assert b'"content":"a"' in early.body
    assert b"".join(rest).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("stage", ["before", "within"])
async def test_a_caller_that_leaves_stops_its_provider(live: Pool, channel: grpc.aio.Channel, stage: str) -> None:
    never = asyncio.Event()

    def halting(request: Request) -> Reply:
        if stage == "before":
            return fake.silence(never)
        return fake.event_stream(fake.chunk(request, {"content": "a"}), never)

    live.script(a=halting)
    call = begin(channel)
    await call.write(head_of("/v1/chat/completions"))
    await call.write(ForwardRequest(body=json.dumps(chat(stream=True)).encode()))
    await call.done_writing()
    asked = await live.upstreams["a"].received(1)
    if stage == "within":
        await call.read()
        await call.read()
    left_at = asyncio.get_running_loop().time()
    call.cancel()
    async with asyncio.timeout(5):
        await asked.closed.wait()

    assert asked.closed_at is not None
    assert asked.closed_at - left_at < 1
    assert ["client_cancelled"] == await outcomes(live)


@pytest.mark.parametrize("whole", [False, True], ids=["cut", "whole"])
async def test_a_caller_that_leaves_before_it_says_that_all_is_sent_reaches_nobody(
    live: Pool, channel: grpc.aio.Channel, *, whole: bool
) -> None:
    """gRPC ends a stream of requests in the same way for one that is whole and for one whose caller is gone."""
    times = 20
    baseline = footprint()
    before = await live.router.metric(REJECTED)
    body = json.dumps(chat()).encode()
    for _ in range(times):
        call = begin(channel)
        await call.write(head_of("/v1/chat/completions"))
        await call.write(ForwardRequest(body=body if whole else body[:-1]))
        await pause(0.01)  # so that the router waits for more
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call.code()
    await back_to(baseline)

    assert [] == await outcomes(live)
    assert not live.asked
    assert times == await live.router.metric(REJECTED) - before


def flood(_request: Request) -> Reply:
    piece = SOUND[:100_000]
    return Reply(
        steps=(piece,) * math.ceil(48 * MIB / len(piece)),
        headers=(("content-type", "audio/mpeg"),),
        framing=Framing.CHUNKED,
    )


async def test_a_caller_that_leaves_a_flood_is_told_from_a_fault(
    live: Pool, channel: grpc.aio.Channel, caplog: pytest.LogCaptureFixture
) -> None:
    """What is being written to it fails in the moment in which it leaves."""
    live.script(a=flood)
    for count in range(1, 21):
        call = begin(channel)
        await call.write(head_of("/v1/audio/speech"))
        await call.write(ForwardRequest(body=json.dumps({"model": "tts", "input": "x", "voice": "v"}).encode()))
        await call.done_writing()
        for _ in range(count):
            await call.read()
        call.cancel()
        async with asyncio.timeout(1):
            await live.upstreams["a"].left(0)

    assert ["client_cancelled"] * 20 == await outcomes(live)
    assert "internal error" not in caplog.text


async def test_a_reader_that_takes_nothing_stalls_the_provider_and_is_cut(live: Pool) -> None:
    live.script(a=flood)
    async with channel_to(live.router, http2_lookahead_bytes=65_536) as channel:
        call = begin(channel)
        await call.write(head_of("/v1/audio/speech"))
        await call.write(ForwardRequest(body=json.dumps({"model": "tts", "input": "x", "voice": "v"}).encode()))
        await call.done_writing()
        asked = await live.upstreams["a"].received(1)
        async with asyncio.timeout(15):
            await asked.closed.wait()
        came = await read_reply(call)

    assert asked.sent_bytes < 16 * MIB
    assert grpc.StatusCode.CANCELLED is came.code
    assert ["client_cancelled"] == await outcomes(live)


async def test_bytes_that_break_off_end_in_the_true_status(live: Pool, channel: grpc.aio.Channel) -> None:
    steps: tuple[Step, ...] = (SOUND[:200_000], Cut.RESET)
    live.script(a=Reply(steps=steps, headers=(("content-type", "audio/mpeg"),), framing=Framing.CHUNKED))
    body = json.dumps({"model": "tts", "input": "x", "voice": "v"}).encode()
    came = await forward(channel, "/v1/audio/speech", body)

    assert (200, grpc.StatusCode.UNAVAILABLE) == (came.status, came.code)
    assert len(came.body) < 200_001
    assert ["interrupted"] == await outcomes(live)


async def test_the_deadline_of_the_call_is_told_as_over_http(
    live: Pool, channel: grpc.aio.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.facades.grpc.inbound._ANSWER_NS", 9_500_000_000)  # a busy machine may answer late
    live.script(a=fake.silence(asyncio.Event()))
    came = await forward(channel, "/v1/chat/completions", json.dumps(chat()).encode(), timeout=10)

    assert (504, "timeout") == (came.status, json.loads(came.body)["error"]["code"])
    assert ["failed"] == await outcomes(live)


async def test_what_the_metadata_say_holds_unless_the_head_does(live: Pool, channel: grpc.aio.Channel) -> None:
    metadata = [*bearer(), ("x-checkrein-agent", "meta"), ("x-checkrein-workflow", "w1"), ("x-request-id", "mine")]
    headers = {"content-type": "application/json", "x-checkrein-agent": "head"}
    body = json.dumps(chat()).encode()
    came = await forward(channel, "/v1/chat/completions", body, headers=headers, metadata=metadata)
    row = await live.router.call(came.headers["x-checkrein-call"])

    assert ("head", "w1", "mine", "mine") == (
        row["agent"],
        row["workflow_id"],
        row["request_id"],
        came.headers["x-request-id"],
    )


@pytest.mark.parametrize("kind", ["events", "bytes"])
async def test_a_drain_that_runs_out_of_patience_says_so(tmp_path: Path, kind: str) -> None:
    never = asyncio.Event()

    def halting(request: Request) -> Reply:
        if kind == "bytes":
            return Reply(steps=(b"abc", never), headers=(("content-type", "audio/mpeg"),), framing=Framing.CHUNKED)
        return fake.event_stream(fake.chunk(request, {"content": "a"}), never)

    tts = served_by("tts", at("a", model="tts", price={"per_character": 0.000015}))
    sections: dict[str, Any] = {"members": {"a": {"dialects": ["chat", "audio"]}}, "drain": {"grace": "100ms"}}
    async with pool(tmp_path, "a", models=[served_by("small", at("a")), tts], **sections) as live:
        live.script(a=halting)
        async with channel_to(live.router) as channel:
            call = begin(channel)
            await call.write(head_of("/v1/audio/speech" if kind == "bytes" else "/v1/chat/completions"))
            body = {"model": "tts", "input": "x", "voice": "v"} if kind == "bytes" else chat(stream=True)
            await call.write(ForwardRequest(body=json.dumps(body).encode()))
            await call.done_writing()
            await call.read()
            await call.read()
            live.router.running.stop()
            came = b""
            with contextlib.suppress(grpc.aio.AioRpcError):
                while (said := await call.read()) is not grpc.aio.EOF:
                    came += said.body
            code = await call.code()

    if kind == "events":
        assert grpc.StatusCode.OK is code
        assert "overloaded" == json.loads(came.removeprefix(b"data: "))["error"]["code"]
    else:
        assert grpc.StatusCode.UNAVAILABLE is code
