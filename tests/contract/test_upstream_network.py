"""What a network adds to the contract of the `Upstream` port: connections, statuses, bytes that are no reply."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from router.adapters.transport.connection import BUFFER_BYTES_MAX
from router.adapters.transport_httptools import transport_to
from router.adapters.upstreams.http_reply import REPLY_BYTES_MAX
from router.adapters.upstreams.http_upstream import HttpUpstream
from router.domain.catalog import Network, Provider, ProviderKind
from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.ids import ProviderId
from router.domain.stream import END_EVENT, Event, EventKind, ReplyMode
from router.ports.upstream import UpstreamFailed, UpstreamRequest
from tests.support import fake_upstream
from tests.support.fake_upstream import Cut, FakeUpstream, Framing, Gap, Reply
from tests.support.fakes import FakeClock
from tests.support.transport_calls import LOCAL
from tests.support.upstream_calls import (
    API_KEY,
    DEPLOYMENT,
    MS,
    TIMEOUTS,
    ask,
    drain,
    failure_of,
    over,
    reads_failure,
)
from tests.support.waiting import pause, turn


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as upstream:
        yield upstream


async def test_the_request_is_what_openai_expects(fake: FakeUpstream) -> None:
    network = Network(headers=(("X-Title", "checkrein"), ("User-Agent", "mine/1")))
    request = ask(ReplyMode.STREAM)
    call = UpstreamRequest(
        deployment=DEPLOYMENT,
        body=request.body,
        mode=ReplyMode.STREAM,
        headers=((b"x-request-id", b"r1"), (b"traceparent", b"00-1")),
    )
    await drain(await over(fake, network=network).open(call))

    seen = fake.requests[0]
    assert "/v1/chat/completions" == seen.target
    assert request.body == seen.body
    assert {
        "host": f"127.0.0.1:{fake.port}",
        "authorization": f"Bearer {API_KEY}",
        "user-agent": "mine/1",
        "content-type": "application/json",
        "accept": "text/event-stream",
        "accept-encoding": "identity",
        "x-title": "checkrein",
        "x-request-id": "r1",
        "traceparent": "00-1",
        "content-length": str(len(request.body)),
    } == seen.headers


@pytest.mark.parametrize("mode", ReplyMode)
async def test_a_reply_that_is_encoded_although_nobody_asked_is_read_as_any_other(
    mode: ReplyMode, fake: FakeUpstream
) -> None:
    plain = b'data: {"a":1}\n\ndata: [DONE]\n\n' if mode is ReplyMode.STREAM else b'{"choices":[]}'
    kind = "text/event-stream" if mode is ReplyMode.STREAM else "application/json"
    headers = (("content-type", kind), ("content-encoding", "gzip"))
    fake.script(Reply(steps=(gzip.compress(plain),), headers=headers, framing=Framing.CHUNKED))

    events = await drain(await over(fake).open(ask(mode)))

    assert plain.startswith(events[0].raw)
    assert (EventKind.END if mode is ReplyMode.STREAM else EventKind.COMPLETE) is events[-1].kind


async def test_what_is_too_large_inside_is_refused_at_the_bound_of_a_reply(fake: FakeUpstream) -> None:
    body = gzip.compress(bytes(REPLY_BYTES_MAX + 1))
    fake.script(Reply(steps=(body,), headers=(("content-encoding", "gzip"),)))

    failure = await failure_of(over(fake), ask(ReplyMode.UNARY))

    assert (FailureKind.MALFORMED, f"fake answered with more than {REPLY_BYTES_MAX} bytes") == (
        failure.kind,
        failure.message,
    )


async def test_two_streams_share_a_connection(fake: FakeUpstream) -> None:
    upstream = over(fake)
    for _ in range(2):
        await drain(await upstream.open(ask(ReplyMode.STREAM)))
        await fake.requests[-1].done.wait()
        await turn()

    assert 1 == fake.connections_opened


async def test_a_provider_that_lingers_after_done_loses_its_connection(
    fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.adapters.upstreams.http_reply.LINGER_S_MAX", 0.02)
    fake.script(fake_upstream.event_stream(b"data: {}\n\ndata: [DONE]\n\n", asyncio.Event()))

    events = await drain(await over(fake).open(ask(ReplyMode.STREAM)))

    assert END_EVENT == events[-1]
    async with asyncio.timeout(1):
        await fake.requests[0].closed.wait()


async def test_abort_is_seen_by_the_provider_at_once(fake: FakeUpstream) -> None:
    fake.script(fake_upstream.event_stream(b"data: {}\n\n", asyncio.Event()))
    live = await over(fake).open(ask(ReplyMode.STREAM))
    assert [Event(EventKind.CHUNK, b"data: {}\n\n")] == await live.read()
    live.abort()

    async with asyncio.timeout(0.5):
        await fake.requests[0].closed.wait()


async def test_a_cancelled_open_leaves_no_connection(fake: FakeUpstream) -> None:
    provider = Provider(
        id=ProviderId("fake"),
        kind=ProviderKind.OPENAI_COMPATIBLE,
        base_url=fake.base_url.replace("http:", "https:"),  # a handshake that is never answered
        timeouts=TIMEOUTS,
    )
    upstream = HttpUpstream(provider, transport_to(provider, LOCAL), FakeClock())
    async with asyncio.TaskGroup() as tasks:
        opening = tasks.create_task(upstream.open(ask(ReplyMode.UNARY)))
        while not fake.open_connections:
            await turn()
        opening.cancel()

    await fake.left(0)


async def test_comments_do_not_count_as_a_sign_of_life(fake: FakeUpstream) -> None:
    pings: list[fake_upstream.Step] = [b": ping\n\n", Gap(0.01)]
    fake.script(fake_upstream.event_stream(*pings * 100))
    limits = replace(TIMEOUTS, stream_first_event_ns=60 * MS)

    failure = await failure_of(over(fake, timeouts=limits), ask(ReplyMode.STREAM))

    assert FailureKind.FIRST_EVENT_TIMEOUT is failure.kind


async def test_a_reader_that_stops_holds_the_provider_back(fake: FakeUpstream) -> None:
    event = b"data: {" + b"x" * 60_000 + b"}\n\n"
    fake.script(fake_upstream.event_stream(*[event] * 500, b"data: [DONE]\n\n"))
    live = await over(fake).open(ask(ReplyMode.STREAM))
    seen = await fake.received(1)
    sent = -1
    while sent != seen.sent_bytes:  # until the provider makes no more progress
        sent = seen.sent_bytes
        await pause(0.05)

    assert not seen.done.is_set()
    first = await live.read()
    assert sum(len(event.raw) for event in first) <= BUFFER_BYTES_MAX + 262_144
    assert 501 == len(first) + len(await drain(live))


async def test_the_connect_limit_is_told_apart(fake: FakeUpstream) -> None:
    provider = Provider(
        id=ProviderId("fake"),
        kind=ProviderKind.OPENAI_COMPATIBLE,
        base_url=fake.base_url.replace("http:", "https:"),
        timeouts=replace(TIMEOUTS, connect_ns=30 * MS),
    )
    upstream = HttpUpstream(provider, transport_to(provider, LOCAL), FakeClock())

    with pytest.raises(UpstreamFailed) as caught:
        await upstream.open(ask(ReplyMode.UNARY))
    assert FailureKind.CONNECT_TIMEOUT is caught.value.failure.kind
    assert "fake did not accept a connection within 30ms" == caught.value.failure.message

    with pytest.raises(UpstreamFailed) as caught:
        await upstream.open(ask(ReplyMode.UNARY, total_ns=10 * MS))
    assert FailureKind.CONNECT_TIMEOUT is caught.value.failure.kind


STREAM, UNARY = ReplyMode.STREAM, ReplyMode.UNARY


@pytest.mark.parametrize(
    ("mode", "reply", "kind", "message"),
    [
        (UNARY, Reply(), FailureKind.EMPTY, "fake answered with an empty body"),
        (UNARY, Reply(steps=(b" \n",)), FailureKind.EMPTY, "fake answered with an empty body"),
        (UNARY, Reply(steps=(b"<html>",)), FailureKind.MALFORMED, "fake did not answer with a whole JSON object"),
        (UNARY, Reply(steps=(b'{"id":',), framing=Framing.UNTIL_CLOSE), FailureKind.MALFORMED,
         "fake did not answer with a whole JSON object"),
        (UNARY, Reply(steps=(b'{"error":{"message":"no"}}',)), FailureKind.ERROR_EVENT, "no"),
        (UNARY, Reply(steps=(b"{", Cut.CLOSE, b"}")), FailureKind.CUT,
         "fake closed the connection in the middle of its reply"),
        (UNARY, fake_upstream.raw(Cut.RESET), FailureKind.RESET, "fake closed the connection before it answered"),
        (STREAM, Reply(steps=(b'{"error":{"message":"no"}}',)), FailureKind.ERROR_EVENT, "no"),
        (STREAM, Reply(steps=(b'{"id":1}',)), FailureKind.MALFORMED,
         "fake was asked for a stream and answered with something else"),
        (STREAM, fake_upstream.event_stream(b'data: {"error":"no"}\n\n'), FailureKind.ERROR_EVENT, "no"),
        (STREAM, fake_upstream.event_stream(b'event: error\ndata: {"type":"error","error":"no"}\n\n'),
         FailureKind.ERROR_EVENT, "no"),
        (STREAM, fake_upstream.error(503, "busy"), FailureKind.STATUS, "busy"),
        (STREAM, Reply(status=500, steps=(b"half of ", Cut.CLOSE, b"it")), FailureKind.STATUS, "half of"),
        (STREAM, Reply(status=302), FailureKind.STATUS, "fake answered with status 302"),
        (STREAM, fake_upstream.raw(b"SMTP"), FailureKind.MALFORMED,
         "fake sent a reply that is not HTTP (Expected HTTP/, RTSP/ or ICE/)"),
    ],
)  # fmt: skip
async def test_a_bad_reply_is_a_failure_of_its_kind(
    mode: ReplyMode, reply: Reply, kind: FailureKind, message: str, fake: FakeUpstream
) -> None:
    fake.script(reply)

    failure = await failure_of(over(fake), ask(mode))

    assert (kind, message) == (failure.kind, failure.message)


async def test_an_error_status_keeps_everything_that_it_says(fake: FakeUpstream) -> None:
    said = {"type": "rate", "code": "slow_down", "param": "model"}
    fake.script(fake_upstream.error(429, "Slow down", headers=(("retry-after", "1.5"),), **said))

    assert Failure(
        kind=FailureKind.STATUS, message="Slow down", status=429, retry_after_ms=1_500, **said
    ) == await failure_of(over(fake), ask(ReplyMode.UNARY))


async def test_a_long_error_body_is_read_to_its_bound_and_cut_off(fake: FakeUpstream) -> None:
    fake.script(Reply(status=500, steps=(b"x" * 65_536,) * 1_000, framing=Framing.CHUNKED))

    failure = await failure_of(over(fake), ask(ReplyMode.UNARY))

    assert "fake answered with status 500" == failure.message
    async with asyncio.timeout(1):
        await fake.requests[0].closed.wait()


async def test_our_credentials_are_never_repeated(fake: FakeUpstream) -> None:
    network = Network(headers=(("x-goog-api-key", "AIza-very-secret"), ("x-title", "checkrein")))
    leak = f"bad key {API_KEY[:14]}..., AIza-very-secret of checkrein"
    fake.script(
        fake_upstream.error(401, leak, param=API_KEY),
        fake_upstream.event_stream(fake_upstream.sse({"error": {"message": leak}})),
    )
    upstream = over(fake, network=network)

    refused = await failure_of(upstream, ask(ReplyMode.STREAM))
    broken = await failure_of(upstream, ask(ReplyMode.STREAM))

    assert "bad key [redacted]..., [redacted] of checkrein" == refused.message == broken.message
    assert "[redacted]" == refused.param


async def test_events_before_an_error_event_are_not_lost(fake: FakeUpstream) -> None:
    fake.script(fake_upstream.event_stream(b'data: {"a":1}\n\ndata: {"error":{"message":"no"}}\n\n'))
    live = await over(fake).open(ask(ReplyMode.STREAM))

    assert [Event(EventKind.CHUNK, b'data: {"a":1}\n\n')] == await live.read()
    assert FailureKind.ERROR_EVENT is (await reads_failure(live)).kind


async def test_a_stream_that_ends_without_done_ends_for_the_meter_to_judge(fake: FakeUpstream) -> None:
    fake.script(fake_upstream.event_stream(b'data: {"a":1}\n\ndata: {"b"'))

    events = await drain(await over(fake).open(ask(ReplyMode.STREAM)))

    assert [Event(EventKind.CHUNK, b'data: {"a":1}\n\n'), END_EVENT] == events
