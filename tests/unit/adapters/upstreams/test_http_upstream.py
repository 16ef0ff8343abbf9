"""What of a provider's settings goes into every request. Replies are in the contract suite."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable

import pytest

from router.adapters.upstreams.http_upstream import HttpUpstream
from router.domain.catalog import Credential, Deployment, Network, Provider, ProviderKind
from router.domain.dialects.dialect import Dialect
from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.ids import DeploymentId, ProviderId
from router.domain.secret import Secret
from router.domain.stream import Event, EventKind, ReplyMode
from router.ports.transport import HttpReply, HttpRequest, TransportFailed
from router.ports.upstream import UpstreamFailed, UpstreamRequest
from tests.support.fakes import FakeClock, snapshot


class RefusingTransport:
    """Remembers the request and fails before it is sent."""

    def __init__(self) -> None:
        self.requests: list[HttpRequest] = []

    async def send(self, request: HttpRequest) -> HttpReply:
        self.requests.append(request)
        raise TransportFailed(FailureKind.CONNECT, "could not be reached (no route)")

    async def close(self) -> None:
        pass


def provider(
    base_url: str = "https://user:pass@api.test/v1/",
    api_key: str | None = None,
    headers: tuple[tuple[str, str], ...] = (),
) -> Provider:
    return Provider(
        id=ProviderId("up"),
        kind=ProviderKind.OPENAI_COMPATIBLE,
        base_url=base_url,
        credentials=(Credential(key=None if api_key is None else Secret(api_key)),),
        timeouts=snapshot().providers[ProviderId("up")].timeouts,
        network=Network(headers=headers),
    )


def written(
    settings: Provider,
    mode: ReplyMode = ReplyMode.UNARY,
    dialect: Dialect = Dialect.CHAT,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> tuple[HttpRequest, Failure]:
    transport = RefusingTransport()
    deployment = Deployment(id=DeploymentId("d"), provider=ProviderId("up"), upstream_model="m")
    request = UpstreamRequest(deployment=deployment, dialect=dialect, body=b"{}", mode=mode, headers=headers)
    with pytest.raises(UpstreamFailed) as caught:
        asyncio.run(open_and_fail(HttpUpstream(settings, transport, FakeClock()), request))
    return transport.requests[0], caught.value.failure


async def open_and_fail(upstream: HttpUpstream, request: UpstreamRequest) -> None:
    await upstream.open(request)


@pytest.mark.parametrize(
    ("base_url", "target", "host"),
    [
        ("https://api.test/v1", b"/v1/chat/completions", b"host: api.test\r\n"),
        ("https://api.test/v1/", b"/v1/chat/completions", b"host: api.test\r\n"),
        ("http://api.test:9101", b"/chat/completions", b"host: api.test:9101\r\n"),
        ("http://[::1]:80/v1", b"/v1/chat/completions", b"host: [::1]:80\r\n"),
        ("https://user:pass@api.test/v1", b"/v1/chat/completions", b"host: api.test\r\n"),
        ("https://api.test/v1?api-version=1", b"/v1/chat/completions?api-version=1", b"host: api.test\r\n"),
    ],
)
def test_the_address_is_made_of_the_base_url(base_url: str, target: bytes, host: bytes) -> None:
    request, _ = written(provider(base_url))

    assert target == request.target
    assert request.head.startswith(host)
    assert b"pass" not in request.head


@pytest.mark.parametrize(
    ("mode", "accept"), [(ReplyMode.UNARY, b"application/json"), (ReplyMode.STREAM, b"text/event-stream")]
)
def test_what_is_accepted_follows_the_mode(mode: ReplyMode, accept: bytes) -> None:
    assert b"\r\naccept: " + accept + b"\r\n" in written(provider(), mode)[0].head


def test_without_a_key_nothing_is_authorized() -> None:
    assert b"authorization" not in written(provider())[0].head


def test_an_operators_header_replaces_ours() -> None:
    request, _ = written(provider(api_key="k", headers=(("Authorization", "Basic eA=="),)))

    assert 1 == request.head.count(b"authorization")
    assert b"\r\nauthorization: Basic eA==\r\n" in request.head


@pytest.mark.parametrize("header", [("x", "a\r\nb: c"), ("x\n", "a"), ("é", "a"), ("x", "a\x00")])
def test_a_header_that_would_break_the_request_is_refused(header: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="of provider 'up' has characters"):
        HttpUpstream(provider(headers=(header,)), RefusingTransport(), FakeClock())


def test_a_failure_to_connect_names_the_provider_and_not_its_url() -> None:
    _, failure = written(provider())

    assert Failure(kind=FailureKind.CONNECT, message="up could not be reached (no route)") == failure


@pytest.mark.parametrize(
    ("dialect", "target"),
    [
        (Dialect.COMPLETIONS, b"/v1/completions"),
        (Dialect.EMBEDDINGS, b"/v1/embeddings"),
        (Dialect.RESPONSES, b"/v1/responses"),
        (Dialect.MESSAGES, b"/v1/messages"),
    ],
)
def test_each_dialect_has_its_route(dialect: Dialect, target: bytes) -> None:
    assert target == written(provider(), dialect=dialect)[0].target


@pytest.mark.parametrize(
    ("content_type", "sent"),
    [(None, b"application/json"), (b"multipart/form-data; boundary=x", b"multipart/form-data; boundary=x")],
)
def test_a_route_of_its_own_is_asked_there_for_whatever_it_answers(content_type: bytes | None, sent: bytes) -> None:
    transport = RefusingTransport()
    request = UpstreamRequest(
        deployment=Deployment(id=DeploymentId("d"), provider=ProviderId("up"), upstream_model="m"),
        dialect=Dialect.AUDIO,
        route="/audio/speech",
        content_type=content_type,
        body=b"{}",
        mode=ReplyMode.STREAM,
    )
    settings = provider(api_key="k", headers=(("content-type", "text/plain"),) if content_type else ())
    with pytest.raises(UpstreamFailed):
        asyncio.run(open_and_fail(HttpUpstream(settings, transport, FakeClock()), request))

    assert b"/v1/audio/speech" == transport.requests[0].target
    head = transport.requests[0].head
    assert (1, 1) == (head.count(b"content-type: " + sent + b"\r\n"), head.count(b"content-type"))
    assert b"\r\naccept: */*\r\n" in head
    assert b"\r\nauthorization: Bearer k\r\n" in head


class SpeakingTransport(RefusingTransport):
    """Answers with sound."""

    async def send(self, request: HttpRequest) -> HttpReply:
        return Sound()


class Sound:
    """An `HttpReply` that is whole."""

    status = 200
    headers = ((b"content-type", b"audio/mpeg"),)
    complete = True

    async def read(self) -> bytes:
        return b"ID3"

    async def each(self, take: Callable[[bytes], bool]) -> None:
        raise NotImplementedError

    def nudge(self) -> None:
        raise NotImplementedError

    def abort(self) -> None:
        pass


async def test_on_a_route_of_its_own_sound_is_a_good_reply() -> None:
    request = UpstreamRequest(
        deployment=Deployment(id=DeploymentId("d"), provider=ProviderId("up"), upstream_model="m"),
        dialect=Dialect.AUDIO,
        route="/audio/speech",
        body=b"{}",
        mode=ReplyMode.UNARY,
    )
    reply = await HttpUpstream(provider(), SpeakingTransport(), FakeClock()).open(request)

    assert [Event(EventKind.BYTES, b"ID3")] == await reply.read()
    reply.abort()


def anthropic(*headers: tuple[bytes, bytes]) -> bytes:
    settings = dataclasses.replace(provider(api_key="k"), kind=ProviderKind.ANTHROPIC)
    return written(settings, dialect=Dialect.MESSAGES, headers=headers)[0].head


def test_anthropic_is_told_who_asks_in_its_own_header_and_in_which_version() -> None:
    head = anthropic()

    assert b"\r\nx-api-key: k\r\n" in head
    assert b"authorization" not in head
    assert b"\r\nanthropic-version: 2023-06-01\r\n" in head


def test_the_version_that_a_caller_names_stands_alone() -> None:
    head = anthropic((b"anthropic-version", b"2024-01-01"), (b"anthropic-beta", b"x"))

    assert 1 == head.count(b"anthropic-version")
    assert b"\r\nanthropic-version: 2024-01-01\r\nanthropic-beta: x\r\n" in head


class TakingTransport(SpeakingTransport):
    """Takes a body in pieces to its end, which a test may hold back."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = b""

    async def send(self, request: HttpRequest) -> HttpReply:
        self.requests.append(request)
        assert not isinstance(request.body, bytes)
        async for piece in request.body:
            self.taken += piece
        return Sound()


def recording(rest: AsyncIterator[bytes], *, total_ns: int | None = None) -> UpstreamRequest:
    return UpstreamRequest(
        deployment=Deployment(id=DeploymentId("d"), provider=ProviderId("up"), upstream_model="m"),
        dialect=Dialect.AUDIO,
        route="/audio/transcriptions",
        body=b"begun ",
        rest=rest,
        rest_bytes=4,
        mode=ReplyMode.UNARY,
        total_ns=total_ns,
    )


async def test_what_is_still_coming_follows_what_is_here() -> None:
    async def rest() -> AsyncIterator[bytes]:
        yield b"re"
        yield b"st"

    transport = TakingTransport()
    reply = await HttpUpstream(provider(), transport, FakeClock()).open(recording(rest()))

    assert (b"begun rest", 10) == (transport.taken, transport.requests[0].length)
    reply.abort()


async def test_an_upload_takes_no_longer_than_the_whole_attempt() -> None:
    ended = False

    async def never() -> AsyncIterator[bytes]:
        nonlocal ended
        try:
            yield b"re"
            await asyncio.Event().wait()
        finally:
            ended = True

    connected_at_once = dataclasses.replace(provider().timeouts, connect_ns=1)
    settings = dataclasses.replace(provider(), timeouts=connected_at_once)
    upstream = HttpUpstream(settings, TakingTransport(), FakeClock())
    with pytest.raises(UpstreamFailed) as caught:
        async with asyncio.timeout(5):
            await upstream.open(recording(never(), total_ns=1_000_000))

    assert FailureKind.TOTAL_TIMEOUT is caught.value.failure.kind
    assert ended
