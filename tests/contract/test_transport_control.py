"""The contract of the `Transport` port, over a real socket: limits, cancelling, aborting, back-pressure, TLS."""

import asyncio
import random
import ssl
from pathlib import Path
from typing import cast

import pytest

from router.adapters.transport.connection import BUFFER_BYTES_MAX
from router.adapters.transport_httptools import HttptoolsTransport, transport_to
from router.domain.dispatch.failure import FailureKind
from router.ports.transport import TransportFailed
from tests.support import fake_upstream
from tests.support.certificate import make_certificate
from tests.support.fake_upstream import Cut, FakeUpstream, Framing, Gap, Reply
from tests.support.transport_calls import LOCAL, MS, cancel_read, failure_of, provider, request, whole
from tests.support.waiting import pause, turn


async def test_connecting_takes_no_longer_than_its_limit(upstream: FakeUpstream) -> None:
    # The TLS handshake is part of connecting, and a server that speaks plain HTTP never answers it.
    tls = transport_to(provider(upstream.base_url.replace("http:", "https:"), connect_ns=30 * MS), LOCAL)

    with pytest.raises(TransportFailed) as caught:
        await tls.send(request())

    assert caught.value.kind is FailureKind.CONNECT_TIMEOUT
    assert "did not accept a connection within 30ms" == str(caught.value)


async def test_cancelling_send_closes_a_connection_that_is_being_made(upstream: FakeUpstream) -> None:
    tls = transport_to(provider(upstream.base_url.replace("http:", "https:")), LOCAL)
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


async def test_each_stops_when_told_and_the_rest_waits(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    gate = asyncio.Event()
    upstream.script(Reply(steps=(b"one", gate, b"two"), framing=Framing.CHUNKED))
    reply = await transport.send(request())
    taken: list[bytes] = []

    def take(data: bytes) -> bool:
        taken.append(data)
        gate.set()
        return not data

    await reply.each(take)

    assert b"one" == b"".join(taken)
    assert b"two" == await whole(reply)


async def test_each_ends_with_the_failure_after_what_came_before_it(
    upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    upstream.script(Reply(steps=(b"one", Gap(0.005), b"two", Cut.RESET), framing=Framing.CHUNKED))
    reply = await transport.send(request())
    taken: list[bytes] = []

    def take(data: bytes) -> bool:
        taken.append(data)
        return True

    with pytest.raises(TransportFailed):
        await reply.each(take)

    assert b"onetwo" == b"".join(taken)


async def test_a_taker_that_stops_holds_the_sender_back(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    piece = b"x" * 65_536
    upstream.script(Reply(steps=(piece,) * 500, framing=Framing.CHUNKED))
    reply = await transport.send(request())
    seen = await upstream.received(1)
    held = 0

    def take(data: bytes) -> bool:
        nonlocal held
        held += len(data)
        return not data

    await reply.each(take)
    sent = -1
    while sent != seen.sent_bytes:  # until the sender makes no more progress
        sent = seen.sent_bytes
        await pause(0.05)

    assert not seen.done.is_set()
    assert 500 * len(piece) == held + len(await whole(reply))


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
        transport = transport_to(provider(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"), LOCAL)
        reply = await transport.send(request(b"x" * 20_000_000))
        await accepted.wait()

        reply.abort()

        assert (await failure_of(reply)).kind is FailureKind.ABORTED
        await lost.wait()
        server.close()


async def test_a_large_request_arrives_whole(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    body = random.Random(1).randbytes(20_000_000)
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
    transport = transport_to(provider(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"), LOCAL)

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
        transport = transport_to(provider(upstream.base_url, ca_file=str(made.authority)), LOCAL)
        for _ in range(2):
            assert b"chatcmpl-1" in await whole(await transport.send(request()))
        await transport.close()

        with pytest.raises(TransportFailed) as caught:
            await transport_to(provider(upstream.base_url), LOCAL).send(request())
        assert caught.value.kind is FailureKind.CONNECT
        assert "certificate" in str(caught.value)

        other_name = transport_to(
            provider(upstream.base_url.replace("127.0.0.1", "localhost"), ca_file=str(made.authority)), LOCAL
        )
        with pytest.raises(TransportFailed, match="certificate"):
            await other_name.send(request())


@pytest.mark.parametrize("base_url", ["ftp://host/v1", "host/v1", "http:///v1"])
def test_a_base_url_that_is_no_origin_is_refused(base_url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        transport_to(provider(base_url), LOCAL)
