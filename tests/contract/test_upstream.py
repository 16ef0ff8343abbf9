"""The contract of the `Upstream` and `LiveStream` ports: for every kind, then what a network adds."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Protocol

import pytest

from router.adapters.transport_connection import BUFFER_BYTES_MAX
from router.adapters.transport_httptools import transport_to
from router.adapters.upstreams.openai_compatible import OpenAiCompatible
from router.adapters.upstreams.scripted import ScriptedUpstream
from router.domain.catalog import Deployment, Network, Provider, ProviderKind, Script, Timeouts
from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.ids import DeploymentId, ProviderId
from router.domain.secret import Secret
from router.domain.stream import END_EVENT, Event, EventKind, ReplyMode
from router.ports.upstream import LiveStream, Upstream, UpstreamFailed, UpstreamRequest
from tests.support import fake_upstream
from tests.support.fake_upstream import Cut, FakeUpstream, Framing, Gap, Reply, Request
from tests.support.fakes import FakeClock

MS = 1_000_000
SECOND = 1_000 * MS
TIMEOUTS = Timeouts(
    connect_ns=5 * SECOND, stream_first_event_ns=10 * SECOND, stream_idle_ns=10 * SECOND, total_ns=20 * SECOND
)
DEPLOYMENT = Deployment(id=DeploymentId("fake/m"), provider=ProviderId("fake"), upstream_model="m")
API_KEY = "sk-proj-0123456789abcdef"


def ask(mode: ReplyMode, *, total_ns: int | None = None, **members: object) -> UpstreamRequest:
    stream = {"stream": True} if mode is ReplyMode.STREAM else {}
    chat = {"model": "m", "messages": [{"role": "user", "content": "hello there"}], **stream, **members}
    return UpstreamRequest(deployment=DEPLOYMENT, body=json.dumps(chat).encode(), mode=mode, total_ns=total_ns)


async def drain(live: LiveStream) -> list[Event]:
    events: list[Event] = []
    while not events or events[-1].kind not in (EventKind.END, EventKind.COMPLETE):
        events += await live.read()
    return events


async def failure_of(upstream: Upstream, request: UpstreamRequest) -> Failure:
    """Read a reply to its failure, which must stay the same however often it is asked for."""
    with pytest.raises(UpstreamFailed) as caught:
        await drain(await upstream.open(request))
    return caught.value.failure


def content(events: Sequence[Event]) -> str:
    chunks = [json.loads(event.raw[6:]) for event in events if event.kind is EventKind.CHUNK]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


# Every kind.


class MakeUpstream(Protocol):
    """Make an upstream whose first token comes after `delay_s`, and one more every `gap_s`."""

    def __call__(
        self, *, delay_s: float = 0.0, gap_s: float = 0.0, timeouts: Timeouts = TIMEOUTS
    ) -> AbstractAsyncContextManager[Upstream]: ...


@asynccontextmanager
async def openai_compatible(
    *, delay_s: float = 0.0, gap_s: float = 0.0, timeouts: Timeouts = TIMEOUTS
) -> AsyncIterator[Upstream]:
    def handler(request: Request) -> Reply:
        reply = fake_upstream.answer(request)
        if gap_s and request.json.get("stream"):
            reply = fake_upstream.stream(request, gap_s=gap_s)
        return replace(reply, before_head=(Gap(delay_s),))

    async with FakeUpstream(handler=handler) as fake:
        upstream = over(fake, timeouts=timeouts)
        yield upstream
        await upstream.close()


@asynccontextmanager
async def scripted(
    *, delay_s: float = 0.0, gap_s: float = 0.0, timeouts: Timeouts = TIMEOUTS
) -> AsyncIterator[Upstream]:
    script = Script(first_token_ns=round(delay_s * SECOND), tokens_per_s=1 / gap_s if gap_s else 0.0, reply_tokens=60)
    yield ScriptedUpstream(
        Provider(id=ProviderId("fake"), kind=ProviderKind.SCRIPTED, timeouts=timeouts, script=script)
    )


every_kind = pytest.mark.parametrize("make", [openai_compatible, scripted])


@every_kind
async def test_a_unary_reply_is_one_complete_event(make: MakeUpstream) -> None:
    async with make() as upstream:
        events = await drain(await upstream.open(ask(ReplyMode.UNARY)))

    assert [EventKind.COMPLETE] == [event.kind for event in events]
    reply = json.loads(events[0].raw)
    assert "chat.completion" == reply["object"]
    assert 60 == reply["usage"]["completion_tokens"]
    assert 60 == len(reply["choices"][0]["message"]["content"].split())
    assert "stop" == reply["choices"][0]["finish_reason"]


@every_kind
async def test_a_stream_is_chunks_and_one_end(make: MakeUpstream) -> None:
    async with make() as upstream:
        options = {"include_usage": True}
        events = await drain(await upstream.open(ask(ReplyMode.STREAM, stream_options=options)))

    assert END_EVENT == events[-1]
    assert {EventKind.CHUNK} == {event.kind for event in events[:-1]}
    assert all(event.raw.startswith(b"data: {") and event.raw.endswith(b"}\n\n") for event in events[:-1])
    assert 60 == len(content(events).split())
    last = json.loads(events[-2].raw[6:])
    assert [] == last["choices"]
    assert 60 == last["usage"]["completion_tokens"]
    assert "stop" == json.loads(events[-3].raw[6:])["choices"][0]["finish_reason"]


@every_kind
async def test_open_does_not_wait_for_an_answer(make: MakeUpstream) -> None:
    async with make(delay_s=5.0) as upstream, asyncio.timeout(1):
        live = await upstream.open(ask(ReplyMode.STREAM))
        live.abort()


@every_kind
@pytest.mark.parametrize("mode", list(ReplyMode))
async def test_a_cancelled_read_loses_nothing(make: MakeUpstream, mode: ReplyMode) -> None:
    async with make(delay_s=0.01, gap_s=0.0005) as upstream:
        undisturbed = await drain(await upstream.open(ask(mode)))
        live = await upstream.open(ask(mode))
        events: list[Event] = []
        while not events or events[-1].kind not in (EventKind.END, EventKind.COMPLETE):
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(live.read())
                await turn()
                reading.cancel()
            if not reading.cancelled():
                events += reading.result()

    assert undisturbed == events


@every_kind
@pytest.mark.parametrize("mode", list(ReplyMode))
async def test_abort_wakes_the_reader_and_may_be_repeated(make: MakeUpstream, mode: ReplyMode) -> None:
    async with make(delay_s=5.0) as upstream:
        live = await upstream.open(ask(mode))
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(reads_failure(live))
            await turn()
            live.abort()
            live.abort()

        assert FailureKind.ABORTED is reading.result().kind
        assert FailureKind.ABORTED is (await reads_failure(live)).kind


@every_kind
async def test_abort_before_the_first_read_is_found_by_it(make: MakeUpstream) -> None:
    async with make() as upstream:
        live = await upstream.open(ask(ReplyMode.STREAM))
        live.abort()

        assert FailureKind.ABORTED is (await reads_failure(live)).kind


@every_kind
async def test_abort_after_the_end_is_harmless(make: MakeUpstream) -> None:
    async with make() as upstream:
        live = await upstream.open(ask(ReplyMode.STREAM))
        await drain(live)
        live.abort()

        assert END_EVENT == (await drain(await upstream.open(ask(ReplyMode.STREAM))))[-1]


@every_kind
@pytest.mark.parametrize("mode", list(ReplyMode))
async def test_a_nudge_wakes_the_reader_with_nothing(make: MakeUpstream, mode: ReplyMode) -> None:
    async with make(delay_s=0.05) as upstream:
        live = await upstream.open(ask(mode))
        live.nudge()  # nobody waits: nothing happens
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(live.read())
            await turn()
            live.nudge()

        assert [] == reading.result()
        assert (await drain(live))[-1].kind in (EventKind.END, EventKind.COMPLETE)


@every_kind
@pytest.mark.parametrize(
    ("mode", "delay_s", "gap_s", "limits", "kind", "words"),
    [
        (ReplyMode.STREAM, 5.0, 0.0, {"stream_first_event_ns": 30 * MS}, FailureKind.FIRST_EVENT_TIMEOUT,
         "fake did not begin its answer within 30ms"),
        (ReplyMode.STREAM, 0.0, 5.0, {"stream_idle_ns": 30 * MS}, FailureKind.IDLE_TIMEOUT,
         "fake sent nothing more for 30ms"),
        (ReplyMode.STREAM, 0.0, 0.01, {"total_ns": 50 * MS}, FailureKind.TOTAL_TIMEOUT,
         "fake did not finish its answer within 50ms"),
        (ReplyMode.UNARY, 5.0, 0.0, {"total_ns": 30 * MS}, FailureKind.TOTAL_TIMEOUT,
         "fake did not finish its answer within 30ms"),
    ],
)  # fmt: skip
async def test_each_timeout_has_its_own_limit(
    make: MakeUpstream, mode: ReplyMode, delay_s: float, gap_s: float, limits: dict[str, int], kind: FailureKind,
    words: str,
) -> None:  # fmt: skip
    async with make(delay_s=delay_s, gap_s=gap_s, timeouts=replace(TIMEOUTS, **limits)) as upstream:
        started = asyncio.get_running_loop().time()
        failure = await failure_of(upstream, ask(mode))

    assert kind is failure.kind
    assert words == failure.message
    assert asyncio.get_running_loop().time() - started < 1.0


@every_kind
async def test_the_callers_own_limit_counts_when_it_is_tighter(make: MakeUpstream) -> None:
    async with make(delay_s=5.0) as upstream:
        failure = await failure_of(upstream, ask(ReplyMode.UNARY, total_ns=30 * MS))

    assert FailureKind.TOTAL_TIMEOUT is failure.kind
    assert "fake did not finish its answer within 30ms" == failure.message


@every_kind
async def test_a_unary_reply_may_be_slower_than_both_stream_limits(make: MakeUpstream) -> None:
    limits = replace(TIMEOUTS, stream_first_event_ns=10 * MS, stream_idle_ns=10 * MS)
    async with make(delay_s=0.06, timeouts=limits) as upstream:
        events = await drain(await upstream.open(ask(ReplyMode.UNARY)))

    assert EventKind.COMPLETE is events[-1].kind


@every_kind
async def test_a_steady_stream_may_be_longer_than_both_stream_limits(make: MakeUpstream) -> None:
    limits = replace(TIMEOUTS, stream_first_event_ns=150 * MS, stream_idle_ns=150 * MS)
    async with make(gap_s=0.005, timeouts=limits) as upstream:
        events = await drain(await upstream.open(ask(ReplyMode.STREAM)))

    assert END_EVENT == events[-1]


@every_kind
async def test_a_slow_reader_is_not_mistaken_for_a_silent_provider(make: MakeUpstream) -> None:
    limits = replace(TIMEOUTS, stream_first_event_ns=20 * MS, stream_idle_ns=20 * MS)
    async with make(timeouts=limits) as upstream:
        live = await upstream.open(ask(ReplyMode.STREAM))
        await pause(0.06)
        first = await live.read()
        await pause(0.06)

        assert END_EVENT == (first if first[-1] == END_EVENT else await drain(live))[-1]


# Over a network.


def over(fake: FakeUpstream, *, timeouts: Timeouts = TIMEOUTS, network: Network | None = None) -> OpenAiCompatible:
    provider = Provider(
        id=ProviderId("fake"),
        kind=ProviderKind.OPENAI_COMPATIBLE,
        base_url=fake.base_url,
        api_key=Secret(API_KEY),
        timeouts=timeouts,
        network=network or Network(),
    )
    return OpenAiCompatible(provider, transport_to(provider), FakeClock())


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
    monkeypatch.setattr("router.adapters.upstreams.openai_reply.LINGER_S_MAX", 0.02)
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
    upstream = OpenAiCompatible(provider, transport_to(provider), FakeClock())
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
    upstream = OpenAiCompatible(provider, transport_to(provider), FakeClock())

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


async def reads_failure(live: LiveStream) -> Failure:
    with pytest.raises(UpstreamFailed) as caught:
        await live.read()
    return caught.value.failure


async def turn() -> None:
    """Let the loop look at its sockets."""
    await pause(0.001)


async def pause(seconds: float) -> None:
    await asyncio.sleep(seconds)
