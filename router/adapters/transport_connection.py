"""Speak HTTP/1.1 over one connection, one request at a time, and say when it may carry another.

Laws: a request is written once and never again. A connection is reusable only after a reply that was complete,
allowed keep-alive and left nothing over; after anything else its socket is closed at once, without lingering.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

import httptools

from router.domain.dispatch.failure import FailureKind
from router.ports.transport import HttpRequest, TransportFailed

BUFFER_BYTES_MAX: Final = 256 * 1024
"""Body bytes kept for a reader that is slower than the peer; above it the socket is not read."""
HEAD_BYTES_MAX: Final = 64 * 1024
"""Reply head, interim replies included; and, after the head, framing that carries no body, such as trailers."""

_ENDS_ITSELF: Final = {b"content-length", b"transfer-encoding"}


class Reply:
    """The reply to one request. It holds its connection until the last byte has arrived, and not longer."""

    __slots__ = (
        "_chunks",
        "_connection",
        "_failure",
        "_take",
        "_taking",
        "_waiter",
        "buffered_bytes",
        "complete",
        "headers",
        "status",
    )

    def __init__(self, connection: "Connection") -> None:
        self._connection: Connection | None = connection
        self._chunks: list[bytes] = []
        self._failure: TransportFailed | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._take: Callable[[bytes], bool] | None = None
        self._taking = False
        self.buffered_bytes = 0
        self.complete = False
        self.headers: Sequence[tuple[bytes, bytes]] = ()
        self.status = 0

    async def read(self) -> bytes:
        if not (self._chunks or self.complete or self._failure is not None):
            assert self._waiter is None, "a reply has one reader at a time"
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._pop()

    async def each(self, take: Callable[[bytes], bool]) -> None:
        while self._has_news:
            if not take(self._pop()):
                return
        assert self._waiter is None, "a reply has one reader at a time"
        self._take = take
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = self._take = None

    def nudge(self) -> None:
        """Give whoever waits a turn: with what has arrived, if anything has."""
        waiter = self._waiter
        if waiter is None or waiter.done() or self._taking:
            return
        if self._take is None:
            waiter.set_result(None)
        else:
            self._hand_over(self._take, waiter)

    def abort(self) -> None:
        connection = self._connection
        if connection is not None:
            self._chunks = []
            self.fail(TransportFailed(FailureKind.ABORTED, "was cut off by the router"))
            connection.close()

    @property
    def _has_news(self) -> bool:
        return bool(self._chunks) or self.complete or self._failure is not None

    def _hand_over(self, take: Callable[[bytes], bool], waiter: asyncio.Future[None]) -> None:
        self._taking = True  # what `take` does may end this reply, which must not call it again meanwhile
        try:
            going = take(self._pop())
            while going and self._has_news:
                going = take(self._pop())
        except Exception as exc:
            waiter.set_exception(exc)  # whatever it is, the task that waits has asked for it
        else:
            if not going:
                waiter.set_result(None)
        finally:
            self._taking = False

    def _pop(self) -> bytes:
        chunks = self._chunks
        if not chunks:
            if self._failure is not None:
                raise self._failure
            return b""
        self._chunks = []
        self.buffered_bytes = 0
        if self._connection is not None and self._connection.read_paused:
            self._connection.resume()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    # What the connection reports; it nudges once it has reported everything.

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.status = status
        self.headers = headers

    def push(self, data: bytes) -> None:
        self._chunks.append(data)
        self.buffered_bytes += len(data)

    def finish(self) -> None:
        self.complete = True
        self._connection = None

    def fail(self, reason: TransportFailed) -> None:
        """End the reply with `reason`; what has arrived can still be read first."""
        if self._failure is None and not self.complete:
            self._failure = reason
            self._connection = None
            self.nudge()


class ConnectionOwner(Protocol):
    """Who is told what becomes of a connection: opened once, idle after each reply that allows it, closed once."""

    def connection_opened(self) -> None: ...

    def connection_idle(self, connection: "Connection") -> None: ...

    def connection_closed(self, connection: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    """One socket and its parser."""

    __slots__ = (
        "_fed_bytes",
        "_headers",
        "_owner",
        "_parser",
        "_reply",
        "_spoiled",
        "_transport",
        "_write_paused",
        "idle_since",
        "read_paused",
    )

    def __init__(self, owner: ConnectionOwner) -> None:
        self._owner = owner
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._reply: Reply | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._fed_bytes = 0
        self.read_paused = False
        self._write_paused = False
        self._spoiled = False
        self.idle_since = 0.0

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def request(self, request: HttpRequest) -> Reply:
        """Write the request in one piece. The caller has checked that the connection is `usable`."""
        assert self._reply is None
        assert self._transport is not None
        reply = self._reply = Reply(self)
        self._headers = []
        self._fed_bytes = 0
        body = request.body
        self._transport.write(
            b"POST %b HTTP/1.1\r\n%bcontent-length: %d\r\n\r\n%b" % (request.target, request.head, len(body), body)
        )
        return reply

    def resume(self) -> None:
        if self.read_paused and self._transport is not None:
            self.read_paused = False
            self._transport.resume_reading()

    def close(self) -> None:
        """Close the socket at once; bytes that were not sent yet are dropped."""
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its bases
        self._owner.connection_opened()

    def data_received(self, data: bytes) -> None:
        reply = self._reply
        if reply is None:
            self.close()  # nobody asked: whatever this is, it must not be taken for the next reply
            return
        held_bytes = reply.buffered_bytes
        self._fed_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            self._spoiled = True
            if not reply.complete:
                self._give_up(f"sent a reply that is not HTTP ({str(exc)[:80]})")
        if reply.complete:
            self._release()
        elif reply.buffered_bytes != held_bytes:
            self._fed_bytes = 0
            if reply.buffered_bytes > BUFFER_BYTES_MAX:
                self._pause()
        elif self._fed_bytes > HEAD_BYTES_MAX:
            self._give_up(f"sent more than {HEAD_BYTES_MAX} bytes around its reply")
        reply.nudge()

    def eof_received(self) -> None:
        """Let the loop close the connection: `connection_lost` follows."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        reply, self._reply = self._reply, None
        if reply is not None:
            if not reply.status:
                reply.fail(TransportFailed(FailureKind.RESET, "closed the connection before it answered"))
            elif exc is None and self._ends_with_connection():
                reply.finish()
                reply.nudge()
            else:
                reply.fail(TransportFailed(FailureKind.CUT, "closed the connection in the middle of its reply"))
        self._owner.connection_closed(self)

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._reply is None or self._reply.complete:
            self._spoiled = True  # the beginning of a second reply to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._reply is not None and not self._reply.status:  # after the head these are trailers
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        reply = self._reply
        if reply is None or reply.complete:
            return
        status = self._parser.get_status_code()
        if status < 200:
            self._headers = []
            if status == 101:
                self._give_up("switched to another protocol")
            return
        for name, value in self._headers:
            if name == b"content-encoding" and value.lower() != b"identity":
                coding = value[:40].decode("latin-1")
                self._give_up(f"encoded its reply ({coding}) although it was asked not to")
                return
        if self._fed_bytes > HEAD_BYTES_MAX and self._head_bytes() > HEAD_BYTES_MAX:
            self._give_up(f"sent a reply head of more than {HEAD_BYTES_MAX} bytes")
            return
        reply.start(status, self._headers)

    def on_body(self, body: bytes) -> None:
        reply = self._reply
        if reply is not None and not reply.complete:
            reply.push(body)

    def on_message_complete(self) -> None:
        reply = self._reply
        if reply is not None and reply.status:
            if not self._parser.should_keep_alive():
                self._spoiled = True
            reply.finish()

    # What follows from it.

    def _release(self) -> None:
        """Hand the connection back after a complete reply, or close it when it cannot be trusted with another."""
        self._reply = None
        if self._spoiled or self._write_paused:  # the peer answered without taking the whole request
            self.close()
        else:
            if self.read_paused:
                self.resume()
            self._owner.connection_idle(self)

    def _give_up(self, message: str) -> None:
        if self._reply is not None:
            self._reply.fail(TransportFailed(FailureKind.MALFORMED, message))
        self.close()

    def _pause(self) -> None:
        if not self.read_paused and self._transport is not None:
            self.read_paused = True
            self._transport.pause_reading()

    def _head_bytes(self) -> int:
        return sum(len(name) + len(value) + 4 for name, value in self._headers)

    def _ends_with_connection(self) -> bool:
        return _ENDS_ITSELF.isdisjoint(name for name, _ in self._headers)
