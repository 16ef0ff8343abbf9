"""Speak HTTP/1.1 over one connection, one request at a time, and say when it may carry another.

Laws: a request is written once and never again. A connection is reusable only after a reply that was complete,
allowed keep-alive and left nothing over; after anything else its socket is closed at once, without lingering.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, cast

import httptools

from router.adapters.transport.decoding import decoder_for
from router.adapters.transport.reply import Reply, wake
from router.domain.dispatch.failure import FailureKind
from router.ports.transport import HttpRequest, TransportFailed

BUFFER_BYTES_MAX: Final = 256 * 1024
"""Body bytes kept for a reader that is slower than the peer; above it the socket is not read."""
WRITE_BYTES_MAX: Final = 256 * 1024
"""A longer body is written in pieces of this size as the peer takes them: to copy or encrypt 30 MiB at once would hold
the event loop up for milliseconds."""
HEAD_BYTES_MAX: Final = 64 * 1024
"""Reply head, interim replies included; and, after the head, framing that carries no body, such as trailers."""

_NOTHING: Final = memoryview(b"")
_ENDS_ITSELF: Final = {b"content-length", b"transfer-encoding"}


class ConnectionOwner(Protocol):
    """Who is told what becomes of a connection: opened once, idle after each reply that allows it, closed once."""

    def connection_opened(self, connection: "Connection") -> None: ...

    def connection_idle(self, connection: "Connection") -> None: ...

    def connection_closed(self, connection: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    """One socket and its parser."""

    __slots__ = (
        "_drained",
        "_due_bytes",
        "_fed_bytes",
        "_headers",
        "_owner",
        "_parser",
        "_reply",
        "_rest",
        "_spoiled",
        "_transport",
        "_uploading",
        "_write_paused",
        "idle_since",
        "opened_s",
        "read_paused",
        "stop_upload",
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
        self._uploading = False
        self._due_bytes: int | None = None
        """Of a body in pieces, what was announced and is not written; None: it is written in chunks."""
        self._rest = _NOTHING
        """What of a long body has not been given to the transport yet."""
        self._drained: asyncio.Future[None] | None = None
        self.stop_upload: Callable[[], None] | None = None
        self._spoiled = False
        self.opened_s = 0.0
        self.idle_since = 0.0

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def request(self, request: HttpRequest, body: bytes) -> Reply:
        """Write the request, and return at once. The caller has checked that the connection is `usable`."""
        assert self._reply is None
        assert self._transport is not None
        reply = self._reply = Reply(self)
        self._headers = []
        self._fed_bytes = 0
        begin = body if len(body) <= WRITE_BYTES_MAX else body[:WRITE_BYTES_MAX]
        if begin is not body:
            self._rest = memoryview(body)[WRITE_BYTES_MAX:]
        self._transport.write(
            b"%b %b HTTP/1.1\r\n%bcontent-length: %d\r\n\r\n%b"
            % (request.method, request.target, request.head, len(body), begin)
        )
        if self._rest:
            self._write_on()
        return reply

    @property
    def is_behind(self) -> bool:
        """The peer has more to take than it should."""
        return self._write_paused and self.usable

    @property
    def unsent_bytes(self) -> int:
        """What was written and the peer has not taken."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def begin(self, request: HttpRequest) -> Reply:
        """Write a head, to be followed by pieces until `stop_upload` is called: the peer wants no more then."""
        assert self._reply is None
        reply = self._reply = Reply(self)
        self._headers = []
        self._fed_bytes = 0
        self._uploading = True
        self._due_bytes = request.length
        line = b"%b %b HTTP/1.1\r\n" % (request.method, request.target)
        framing = b"transfer-encoding: chunked" if request.length is None else b"content-length: %d" % request.length
        self._write(line + request.head + framing + b"\r\n\r\n")
        return reply

    async def writable(self) -> None:
        """Wait until the peer has taken enough of what was written, or takes nothing any more."""
        if self.is_behind:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    def write_piece(self, data: bytes) -> None:
        if self._due_bytes is None:
            self._write(b"%x\r\n%b\r\n" % (len(data), data))
            return
        self._due_bytes -= len(data)
        assert self._due_bytes >= 0, "more than was announced would be taken for the next request"
        self._write(data)

    def end(self) -> None:
        """Write what says that all pieces are written."""
        assert not self._due_bytes, "less than was announced leaves the peer waiting"
        if self._due_bytes is None:
            self._write(b"0\r\n\r\n")
        self._uploading = False

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
        self._owner.connection_opened(self)

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
            if not reply.arrived:
                self._give_up(f"sent a reply that is not HTTP ({str(exc)[:80]})")
        if reply.arrived:
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
        self._stop_upload()  # also one that waits until it may write on
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
        wake(self._drained)
        if self._rest:
            self._write_on()

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._reply is None or self._reply.arrived:
            self._spoiled = True  # the beginning of a second reply to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._reply is not None and not self._reply.status:  # after the head these are trailers
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        reply = self._reply
        if reply is None or reply.arrived:
            return
        status = self._parser.get_status_code()
        if status < 200:
            self._headers = []
            if status == 101:
                self._give_up("switched to another protocol")
            return
        decoder = None
        for name, value in self._headers:
            if name == b"content-encoding" and value.lower() != b"identity":
                decoder = decoder_for([value for name, value in self._headers if name == b"content-encoding"])
                if decoder is None:
                    self._give_up(f"encoded its reply in a way that nobody asked for ({value[:40].decode('latin-1')})")
                    return
                break
        if self._fed_bytes > HEAD_BYTES_MAX and self._head_bytes() > HEAD_BYTES_MAX:
            self._give_up(f"sent a reply head of more than {HEAD_BYTES_MAX} bytes")
            return
        reply.start(status, self._headers, decoder)
        if status >= 300:
            self._stop_upload()  # it has made up its mind, whatever else there is to send

    def on_body(self, body: bytes) -> None:
        reply = self._reply
        if reply is not None and not reply.arrived:
            reply.push(body)

    def on_message_complete(self) -> None:
        reply = self._reply
        if reply is not None and reply.status:
            if not self._parser.should_keep_alive():
                self._spoiled = True
            reply.finish()

    # What follows from it.

    def _stop_upload(self) -> None:
        stop, self.stop_upload = self.stop_upload, None
        if stop is not None:
            stop()

    def _write_on(self) -> None:
        """Write of a long body as much as the transport wants now; it says when it wants more."""
        while self._rest and not self._write_paused and self.usable:
            piece, self._rest = self._rest[:WRITE_BYTES_MAX], self._rest[WRITE_BYTES_MAX:]
            self._uploading = bool(self._rest)
            self._write(bytes(piece))

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def _release(self) -> None:
        """Hand the connection back after a complete reply, or close it when it cannot be trusted with another."""
        self._reply = None
        if self._spoiled or self._write_paused or self._uploading:  # the peer answered without taking the whole request
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
