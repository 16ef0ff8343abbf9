"""The contract of the `Transport` port, over a real socket: bodies that come in pieces."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest

from router.adapters.transport_httptools import HttptoolsTransport, transport_to
from router.domain.dispatch.failure import FailureKind
from router.ports.transport import TransportFailed
from tests.support.fake_upstream import FakeUpstream, Reply
from tests.support.transport_calls import LOCAL, MS, SECOND, failure_of, provider, request, whole
from tests.support.waiting import pause, turn

PIECE = b"x" * 65_536


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for piece in given:
        await turn()
        yield piece


class Stalled(Exception):
    """What a body may raise."""


class Counting:
    """A body without end that knows how much of it was taken."""

    def __init__(self, *, stall_after: int | None = None, fail_after: int | None = None) -> None:
        self.taken = 0
        self.ended = False
        self._stall_after, self._fail_after = stall_after, fail_after

    async def __call__(self) -> AsyncIterator[bytes]:
        try:
            while self.taken != self._fail_after:
                if self.taken == self._stall_after:
                    await asyncio.Event().wait()
                self.taken += 1
                yield PIECE
            raise Stalled
        finally:
            self.ended = True


class Peer(asyncio.Protocol):
    """A server that takes nothing after the head, answers what it was given, and says when it was left."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self.heard = b""
        self._deaf = True
        self.lost = asyncio.Event()

    def listen(self) -> None:
        """Take everything from now on: a socket that is not read never hears of its end."""
        self._deaf = False
        self.transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.heard += data
        answer, self._answer = self._answer, b""
        self.transport.write(answer)
        if self._deaf:
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


@asynccontextmanager
async def peer(
    answer: bytes = b"", *, idle_ns: int = SECOND
) -> AsyncIterator[tuple[HttptoolsTransport, Callable[[], Peer]]]:
    peers: list[Peer] = []

    def accept() -> Peer:
        peers.append(Peer(answer))
        return peers[-1]

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    transport = transport_to(provider(url, idle_ns=idle_ns), LOCAL)
    try:
        yield transport, lambda: peers[-1]
    finally:
        await transport.close()
        server.close()
        for one in peers:
            one.transport.abort()


async def test_a_body_in_pieces_arrives_in_chunks_and_its_connection_is_used_again(
    upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    for _ in range(2):
        upstream.script(lambda _: Reply(steps=(b"{}",)))
        assert b"{}" == await whole(await transport.send(request(pieces(b"one ", b"", b"two ", b"three"))))

    first = upstream.requests[0]
    assert {"host": "test", "transfer-encoding": "chunked"} == first.headers
    assert (b"one ", b"two ", b"three") == first.chunks
    assert 1 == upstream.connections_opened


async def test_a_body_without_a_piece_is_empty(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    upstream.script(lambda _: Reply(steps=(b"{}",)))

    assert b"{}" == await whole(await transport.send(request(pieces())))
    assert (b"", ()) == (upstream.requests[0].body, upstream.requests[0].chunks)


async def test_a_large_body_in_pieces_arrives_whole(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    upstream.script(lambda _: Reply(steps=(b"{}",)))

    assert b"{}" == await whole(await transport.send(request(pieces(*[PIECE] * 100))))
    assert PIECE * 100 == upstream.requests[0].body


async def test_a_peer_that_takes_nothing_holds_the_body_back_and_a_cancel_ends_both() -> None:
    body = Counting()
    async with asyncio.timeout(10), peer() as (transport, peer_of), asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(transport.send(request(body())))
        taken = -1
        while taken != body.taken:  # until no more is taken
            taken = body.taken
            await pause(0.05)
        sending.cancel()
        await asyncio.wait((sending,))

        assert sending.cancelled()
        assert 0 < body.taken < 400  # what sockets hold; we hold a piece and the loop's 64 KiB
        peer_of().listen()
        await peer_of().lost.wait()


async def test_a_body_that_stalls_is_cancelled_with_its_call() -> None:
    body = Counting(stall_after=1)
    async with asyncio.timeout(10), peer() as (transport, peer_of), asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(transport.send(request(body())))
        while not body.taken:
            await turn()
        await pause(0.02)
        sending.cancel()
        await asyncio.wait((sending,))

        assert body.ended
        peer_of().listen()
        await peer_of().lost.wait()
        assert not peer_of().heard.endswith(b"0\r\n\r\n")


async def test_what_a_body_raises_is_raised_and_its_peer_sees_no_end_of_it() -> None:
    async with asyncio.timeout(10), peer() as (transport, peer_of):
        with pytest.raises(Stalled):
            await transport.send(request(Counting(fail_after=1)()))

        peer_of().listen()
        await peer_of().lost.wait()
        assert not peer_of().heard.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("stall_after", [None, 1], ids=["endless", "stalled"])
async def test_a_refusal_ends_the_body_and_spends_the_connection(stall_after: int | None) -> None:
    body = Counting(stall_after=stall_after)
    async with (
        asyncio.timeout(10),
        peer(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}") as (transport, peer_of),
    ):
        reply = await transport.send(request(body()))

        assert (413, b"{}") == (reply.status, await whole(reply))
        assert body.ended
        peer_of().listen()
        await peer_of().lost.wait()


async def test_a_timeout_of_the_body_is_its_own() -> None:
    async def late() -> AsyncIterator[bytes]:
        yield b"x"
        raise TimeoutError("late")

    async with asyncio.timeout(10), peer() as (transport, _):
        with pytest.raises(TimeoutError, match="late"):
            await transport.send(request(late()))


@pytest.mark.parametrize("stall_after", [None, 1], ids=["endless", "stalled"])
async def test_a_connection_that_breaks_ends_the_body(stall_after: int | None) -> None:
    body = Counting(stall_after=stall_after)
    async with asyncio.timeout(10), peer() as (transport, peer_of), asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(transport.send(request(body())))
        while not body.taken:
            await turn()
        await pause(0.02)
        peer_of().transport.abort()

        failed = await failure_of(await sending)
        assert failed.kind is FailureKind.RESET
        assert failed.sent
        assert body.ended


async def test_a_body_of_known_length_arrives_as_any_other_and_its_connection_is_used_again(
    upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    for _ in range(2):
        upstream.script(lambda _: Reply(steps=(b"{}",)))
        body = pieces(b"one ", b"", b"two ", *[PIECE] * 20)
        assert b"{}" == await whole(await transport.send(request(body, length=8 + 20 * len(PIECE))))

    first = upstream.requests[0]
    assert {"host": "test", "content-length": str(8 + 20 * len(PIECE))} == first.headers
    assert b"one two " + PIECE * 20 == first.body
    assert 1 == upstream.connections_opened


async def test_a_peer_that_takes_nothing_any_more_is_given_up_and_left() -> None:
    body = Counting()
    async with asyncio.timeout(10), peer(idle_ns=50 * MS) as (transport, peer_of):
        with pytest.raises(TransportFailed, match="took nothing more of the request for 50ms") as caught:
            await transport.send(request(body()))

        assert (FailureKind.IDLE_TIMEOUT, True) == (caught.value.kind, body.ended)
        peer_of().listen()
        await peer_of().lost.wait()
