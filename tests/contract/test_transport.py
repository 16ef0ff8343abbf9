"""The contract of the `Transport` port, over a real socket."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from router.adapters import transport_httptools
from router.adapters.transport_connection import BUFFER_BYTES_MAX, HEAD_BYTES_MAX
from router.adapters.transport_httptools import HttptoolsTransport, transport_to
from router.domain.catalog import Network, Provider, ProviderKind, Timeouts
from router.domain.dispatch.failure import FailureKind
from router.domain.ids import ProviderId
from router.ports.transport import HttpReply, HttpRequest, TransportFailed
from tests.support import fake_upstream
from tests.support.certificate import make_certificate
from tests.support.fake_upstream import Cut, FakeUpstream, Framing, Gap, Reply

MS = 1_000_000
SECOND = 1_000 * MS
BODY = b'{"messages":[{"role":"user","content":"hi there"}]}'


def request(body: bytes = BODY) -> HttpRequest:
    return HttpRequest(target=b"/v1/chat/completions", head=b"host: test\r\n", body=body)


def provider(base_url: str, *, ca_file: str | None = None, connect_ns: int = 5 * SECOND) -> Provider:
    timeouts = Timeouts(
        connect_ns=connect_ns, stream_first_event_ns=SECOND, stream_idle_ns=SECOND, total_ns=10 * SECOND
    )
    return Provider(
        id=ProviderId("fake"),
        kind=ProviderKind.OPENAI_COMPATIBLE,
        base_url=base_url,
        timeouts=timeouts,
        network=Network(ca_file=ca_file),
    )


async def whole(reply: HttpReply) -> bytes:
    parts: list[bytes] = []
    while not reply.complete or not parts or parts[-1]:
        parts.append(await reply.read())
    return b"".join(parts)


async def failure_of(reply: HttpReply) -> TransportFailed:
    with pytest.raises(TransportFailed) as caught:
        await whole(reply)
    return caught.value


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as fake:
        yield fake


@pytest.fixture
async def transport(upstream: FakeUpstream) -> AsyncIterator[HttptoolsTransport]:
    opened = transport_to(provider(upstream.base_url))
    yield opened
    await opened.close()


async def test_a_request_arrives_as_it_was_given(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    await whole(await transport.send(request()))

    seen = upstream.requests[0]
    assert "POST" == seen.method
    assert "/v1/chat/completions" == seen.target
    assert {"host": "test", "content-length": str(len(BODY))} == seen.headers
    assert BODY == seen.body


@pytest.mark.parametrize("framing", [Framing.LENGTH, Framing.CHUNKED, Framing.UNTIL_CLOSE])
async def test_a_body_is_whole_however_it_is_framed(
    framing: Framing, upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    upstream.script(Reply(steps=(b"one ", Gap(0.001), b"two ", b"three"), framing=framing))

    reply = await transport.send(request())

    assert b"one two three" == await whole(reply)
    assert 200 == reply.status
    assert (b"content-type", b"application/json") in reply.headers


async def test_a_chunked_reply_may_be_cut_at_every_byte(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n6\r\n w\xc3\xb6rl\r\n0\r\n\r\n"
    for at in range(1, len(reply)):
        upstream.script(fake_upstream.raw(reply[:at], Gap(0.0005), reply[at:]))
        assert "hello wörl".encode() == await whole(await transport.send(request()))

    assert 1 == upstream.connections_opened


async def test_calls_one_after_the_other_share_a_connection(
    upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    for _ in range(3):
        await whole(await transport.send(request()))

    assert 1 == upstream.connections_opened


async def test_calls_at_the_same_time_do_not_share_a_connection(
    upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    gate = asyncio.Event()
    upstream.script(fake_upstream.silence(gate))
    first = await transport.send(request())
    await upstream.received(1)
    second = await transport.send(request())

    assert b"chatcmpl-2" in await whole(second)
    gate.set()
    assert b"{}" == await whole(first)


async def test_the_connection_used_last_is_used_next(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    first, second = await transport.send(request()), await transport.send(request())
    await whole(first)
    await whole(second)

    await whole(await transport.send(request()))

    assert upstream.requests[1].connection == upstream.requests[2].connection


@pytest.mark.parametrize(
    "reply",
    [
        Reply(steps=(b"{}",), keep_alive=False),
        Reply(steps=(b"{}",), framing=Framing.UNTIL_CLOSE),
        fake_upstream.raw(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}"),
        fake_upstream.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n"),
        fake_upstream.raw(
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]"
        ),
    ],
    ids=["connection-close", "until-close", "http-1.0", "bytes-left-over", "second-reply"],
)
async def test_a_connection_that_cannot_be_trusted_is_not_used_again(
    reply: Reply, upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    upstream.script(reply)

    assert b"{}" == await whole(await transport.send(request()))
    assert b"chatcmpl-2" in await whole(await transport.send(request()))


async def test_a_connection_that_the_server_closed_while_idle_is_replaced_silently(
    upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    await whole(await transport.send(request()))
    upstream.close_idle()
    await upstream.left(0)
    await turn()  # the server has closed; now our side may see it

    assert b"chatcmpl-2" in await whole(await transport.send(request()))


async def test_idle_connections_are_closed_when_they_grow_old(
    upstream: FakeUpstream, transport: HttptoolsTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_httptools, "IDLE_S_MAX", 0.02)
    await whole(await transport.send(request()))
    assert 1 == upstream.open_connections

    await upstream.left(0)


async def test_close_closes_idle_connections_at_once_and_busy_ones_after_their_reply(
    upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    gate = asyncio.Event()
    upstream.script(fake_upstream.completion, fake_upstream.silence(gate))
    idle = await transport.send(request())
    busy = await transport.send(request())
    await whole(idle)

    await transport.close()
    await upstream.left(1)
    gate.set()

    assert b"{}" == await whole(busy)
    await upstream.left(0)


async def test_interim_replies_are_skipped(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    upstream.script(fake_upstream.raw(interim, b"HTTP/1.1 201 Created\r\nx: y\r\ncontent-length: 2\r\n\r\n{}"))

    reply = await transport.send(request())

    assert b"{}" == await whole(reply)
    assert 201 == reply.status
    assert [(b"x", b"y"), (b"content-length", b"2")] == list(reply.headers)


async def test_a_redirect_is_only_a_status(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    upstream.script(Reply(status=307, headers=(("location", "/elsewhere"),), steps=(b"moved",)))

    reply = await transport.send(request())

    assert b"moved" == await whole(reply)
    assert 307 == reply.status
    assert 1 == len(upstream.requests)


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ((b"SSH-2.0-OpenSSH_9.2\r\n",), FailureKind.MALFORMED),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",), FailureKind.MALFORMED),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",), FailureKind.MALFORMED),
        ((b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n??",), FailureKind.MALFORMED),
        ((b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",), FailureKind.MALFORMED),
        ((b"HTTP/1.1 200 OK\r\nx: " + b"y" * (HEAD_BYTES_MAX + 1) + b"\r\n\r\n",), FailureKind.MALFORMED),
        ((b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * (HEAD_BYTES_MAX // 3),), FailureKind.MALFORMED),
        ((b"HTTP/1.1 100 Continue\r\n\r\n" * (HEAD_BYTES_MAX // 20),), FailureKind.MALFORMED),
        ((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",), FailureKind.MALFORMED),
        ((Cut.CLOSE,), FailureKind.RESET),
        ((Cut.RESET,), FailureKind.RESET),
        ((b"HTTP/1.1 200 OK\r\ncontent-le", Cut.CLOSE), FailureKind.RESET),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", Cut.CLOSE), FailureKind.CUT),
        ((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf", Cut.CLOSE), FailureKind.CUT),
        ((b"HTTP/1.1 200 OK\r\n\r\nhalf", Gap(0.005), Cut.RESET), FailureKind.CUT),
    ],
)
async def test_a_broken_reply_is_told_by_its_kind_and_was_sent(
    steps: tuple[fake_upstream.Step, ...],
    kind: FailureKind,
    upstream: FakeUpstream,
    transport: HttptoolsTransport,
) -> None:
    upstream.script(fake_upstream.raw(*steps))

    failed = await failure_of(await transport.send(request()))

    assert failed.kind is kind
    assert failed.sent
    assert 1 == len(upstream.requests)
    await upstream.left(0)


async def test_trailers_without_end_are_cut_off(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    trailers: list[fake_upstream.Step] = [b"x: y\r\n" * 1_000, Gap(0.0005)]
    upstream.script(fake_upstream.raw(head, *trailers * 100))

    assert (await failure_of(await transport.send(request()))).kind is FailureKind.MALFORMED


async def test_what_arrived_before_the_cut_is_read_before_the_failure(
    upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    upstream.script(fake_upstream.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", Cut.CLOSE))
    reply = await transport.send(request())
    await upstream.left(0)

    assert b"half" == await reply.read()
    with pytest.raises(TransportFailed):
        await reply.read()


async def test_a_refused_connection_was_not_sent(upstream: FakeUpstream) -> None:
    async with FakeUpstream() as gone:
        transport = transport_to(provider(gone.base_url))

    with pytest.raises(TransportFailed) as caught:
        await transport.send(request())

    assert caught.value.kind is FailureKind.CONNECT
    assert not caught.value.sent


async def test_an_unknown_host_was_not_sent() -> None:
    transport = transport_to(provider("http://no-such-host.invalid/v1"))

    with pytest.raises(TransportFailed) as caught:
        await transport.send(request())

    assert caught.value.kind is FailureKind.CONNECT


async def test_connecting_takes_no_longer_than_its_limit(upstream: FakeUpstream) -> None:
    # The TLS handshake is part of connecting, and a server that speaks plain HTTP never answers it.
    tls = transport_to(provider(upstream.base_url.replace("http:", "https:"), connect_ns=30 * MS))

    with pytest.raises(TransportFailed) as caught:
        await tls.send(request())

    assert caught.value.kind is FailureKind.CONNECT_TIMEOUT
    assert "did not accept a connection within 30ms" == str(caught.value)


async def test_cancelling_send_closes_a_connection_that_is_being_made(upstream: FakeUpstream) -> None:
    tls = transport_to(provider(upstream.base_url.replace("http:", "https:")))
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(tls.send(request()))
        while not upstream.open_connections:
            await turn()
        sending.cancel()

    await upstream.left(0)


async def test_a_cancelled_read_loses_nothing(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    gate, second_gate = asyncio.Event(), asyncio.Event()
    upstream.script(Reply(before_head=(gate,), steps=(b"one", second_gate, b"two")))
    reply = await transport.send(request())
    await cancel_read(reply)
    gate.set()
    while not reply.status:
        await turn()
    parts = [await reply.read()]
    await cancel_read(reply)
    second_gate.set()

    parts.append(await whole(reply))
    assert b"onetwo" == b"".join(parts)


async def test_a_nudge_wakes_the_reader_and_loses_nothing(
    upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    gate = asyncio.Event()
    upstream.script(fake_upstream.silence(gate))
    reply = await transport.send(request())
    reply.nudge()
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(reply.read())
        await turn()
        reply.nudge()

    assert b"" == reading.result()
    assert not reply.complete
    gate.set()
    assert b"{}" == await whole(reply)


async def test_abort_wakes_the_reader_and_closes_the_socket_at_once(
    upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    upstream.script(Reply(steps=(b"one", asyncio.Event()), framing=Framing.CHUNKED))
    reply = await transport.send(request())
    seen = await upstream.received(1)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(failure_of(reply))
        await turn()
        aborted_at = asyncio.get_running_loop().time()
        reply.abort()
        reply.abort()

    assert reading.result().kind is FailureKind.ABORTED
    await seen.closed.wait()
    assert seen.closed_at is not None
    assert seen.closed_at - aborted_at < 0.5


async def test_abort_works_while_a_large_request_is_being_sent() -> None:
    async with asyncio.timeout(5):
        accepted = asyncio.Event()
        lost = asyncio.Event()

        class Deaf(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                reading = cast(asyncio.ReadTransport, transport)
                reading.pause_reading()
                accepted.set()
                asyncio.get_running_loop().call_later(0.05, reading.resume_reading)

            def connection_lost(self, exc: Exception | None) -> None:
                lost.set()

        server = await asyncio.get_running_loop().create_server(Deaf, "127.0.0.1", 0)
        transport = transport_to(provider(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"))
        reply = await transport.send(request(b"x" * 20_000_000))
        await accepted.wait()

        reply.abort()

        assert (await failure_of(reply)).kind is FailureKind.ABORTED
        await lost.wait()
        server.close()


async def test_a_large_request_arrives_whole(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    body = b"x" * 20_000_000
    upstream.script(Reply(steps=(b"{}",)))

    assert b"{}" == await whole(await transport.send(request(body)))
    assert body == upstream.requests[0].body


async def test_an_answer_before_the_whole_request_was_taken_spends_the_connection() -> None:
    class Hasty(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.connection = cast(asyncio.Transport, transport)
            connections.append(self.connection)

        def data_received(self, data: bytes) -> None:
            self.connection.pause_reading()
            self.connection.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}")

    connections: list[asyncio.Transport] = []
    server = await asyncio.get_running_loop().create_server(Hasty, "127.0.0.1", 0)
    transport = transport_to(provider(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"))

    large = request(b"x" * 20_000_000)
    for _ in range(2):
        reply = await transport.send(large)
        assert b"{}" == await whole(reply)
        assert 413 == reply.status

    assert 2 == len(connections)
    for connection in connections:
        connection.abort()
    server.close()


async def test_a_reader_that_stops_holds_the_sender_back(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    piece = b"x" * 65_536
    upstream.script(Reply(steps=(piece,) * 1_000, framing=Framing.CHUNKED))
    reply = await transport.send(request())
    seen = await upstream.received(1)
    sent = -1
    while sent != seen.sent_bytes:  # until the sender makes no more progress
        sent = seen.sent_bytes
        await pause(0.05)

    assert not seen.done.is_set()
    held = len(await reply.read())
    assert held <= BUFFER_BYTES_MAX + 262_144  # and at most one more read of the socket
    assert 1_000 * len(piece) == held + len(await whole(reply))


async def test_tls_is_verified_against_the_given_authority(tmp_path: Path) -> None:
    made = make_certificate(tmp_path, "127.0.0.1")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made.certificate, made.key)
    async with FakeUpstream(tls=server) as upstream:
        transport = transport_to(provider(upstream.base_url, ca_file=str(made.authority)))
        for _ in range(2):
            assert b"chatcmpl-1" in await whole(await transport.send(request()))
        await transport.close()

        with pytest.raises(TransportFailed) as caught:
            await transport_to(provider(upstream.base_url)).send(request())
        assert caught.value.kind is FailureKind.CONNECT
        assert "certificate" in str(caught.value)

        other_name = transport_to(
            provider(upstream.base_url.replace("127.0.0.1", "localhost"), ca_file=str(made.authority))
        )
        with pytest.raises(TransportFailed, match="certificate"):
            await other_name.send(request())


@pytest.mark.parametrize("base_url", ["ftp://host/v1", "host/v1", "http:///v1"])
def test_a_base_url_that_is_no_origin_is_refused(base_url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        transport_to(provider(base_url))


async def cancel_read(reply: HttpReply) -> None:
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(reply.read())
        await turn()
        reading.cancel()


async def turn() -> None:
    """Let the loop look at its sockets."""
    await pause(0.001)


async def pause(seconds: float) -> None:
    await asyncio.sleep(seconds)
