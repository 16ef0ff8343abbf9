"""Write replies to a caller's connection: in one system call under our own listener, through ASGI under any other.

uvicorn's `send` checks and writes the head and the body apart: 30 µs of a 100 µs request (docs/adr/0002). Our own
connection takes both at once; what it must do besides is exactly what uvicorn does at the end of a reply.
"""

from http import HTTPStatus
from typing import Final, Protocol

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from router.facades.http.asgi import Message, Scope, Send
from router.facades.http.errors import Headers
from router.facades.http.exchange import Exchange
from router.facades.http.protocol import FrontProtocol, connection_of

_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus
}
_CHUNKED: Final = b"transfer-encoding: chunked\r\n"


class Outlet(Protocol):
    """One reply: either `whole`, or `begin`, any number of `more`, and `end` or `cut`.

    Writing never waits; `flush` does.
    """

    def whole(self, status: int, headers: Headers, body: bytes) -> None: ...

    def begin(self, status: int, headers: Headers) -> None: ...

    def more(self, data: bytes) -> bool:
        """Write a part; False if the reader is behind."""
        ...

    def end(self, data: bytes) -> None: ...

    def cut(self) -> None:
        """End a reply so that its reader sees that it is not whole."""
        ...

    async def flush(self) -> None:
        """Wait until the reader has caught up."""
        ...


def outlet_for(scope: Scope, send: Send) -> Outlet:
    connection = connection_of(scope)
    # A middleware that wants to see replies, as the one for CORS does, has put its own `send` before the connection's.
    ours = connection is not None and getattr(send, "__self__", None) is connection.serving
    if connection is None or not ours or scope["method"] != "POST":
        return AsgiOutlet(send, connection)
    return ConnectionOutlet(connection, connection.serving, in_chunks=scope["http_version"] == "1.1")


class AsgiOutlet:
    """Queues what is written until `flush` sends it: ASGI cannot be written to without waiting."""

    __slots__ = ("_connection", "_cut", "_messages", "_send")

    def __init__(self, send: Send, connection: FrontProtocol | None) -> None:
        self._send = send
        self._connection = connection
        self._cut = False
        self._messages: list[Message] = []  # bounded by one batch: a writer flushes while it is behind

    def whole(self, status: int, headers: Headers, body: bytes) -> None:
        fields = [*headers, (b"content-length", b"%d" % len(body))]
        if self._connection is not None and self._connection.serving.waiting_for_100_continue:
            fields.append((b"connection", b"close"))  # as in ConnectionOutlet
        self.begin(status, fields)
        self.end(body)

    def begin(self, status: int, headers: Headers) -> None:
        self._messages.append({"type": "http.response.start", "status": status, "headers": headers})

    def more(self, data: bytes) -> bool:
        self._messages.append({"type": "http.response.body", "body": data, "more_body": True})
        return False

    def end(self, data: bytes) -> None:
        self._messages.append({"type": "http.response.body", "body": data})

    def cut(self) -> None:
        """Leave the reply unfinished: a server that is not ours closes the connection of such a one by itself."""
        self._cut = True

    async def flush(self) -> None:
        messages, self._messages = self._messages, []
        for message in messages:
            await self._send(message)
        if self._cut and self._connection is not None:
            self._connection.transport.close()


class ConnectionOutlet:
    """Writes to the socket's transport. The cycle is the record of the request being served, uvicorn's or our own.

    Without chunks, for clients of HTTP/1.0, a stream ends with its connection.
    """

    __slots__ = ("_connection", "_cycle", "_in_chunks")

    def __init__(self, connection: FrontProtocol, cycle: RequestResponseCycle | Exchange, *, in_chunks: bool) -> None:
        self._connection = connection
        self._in_chunks = in_chunks
        self._cycle = cycle

    def whole(self, status: int, headers: Headers, body: bytes) -> None:
        if not self._cycle.disconnected:
            reply = self._head(status, headers, b"content-length: %d\r\n" % len(body)) + body
            if self._cycle.more_body:  # a refusal whose caller is still sending: it may be cut off any moment
                self._connection.transport.write(reply)
            else:
                # At the end of the loop's turn, together with the other replies of this turn: a write between two
                # computations wakes its reader each time, which costs more than the write (docs/adr/0002).
                self._connection.write_soon(reply)
            self._complete()

    def begin(self, status: int, headers: Headers) -> None:
        if not self._cycle.disconnected:
            self._connection.transport.write(self._head(status, headers, _CHUNKED if self._in_chunks else b""))

    def more(self, data: bytes) -> bool:
        if data and not self._cycle.disconnected:  # a chunk of no bytes would be the last
            self._connection.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._in_chunks else data)
        return not self._cycle.flow.write_paused

    def end(self, data: bytes) -> None:
        if not self._cycle.disconnected:
            if self._in_chunks:
                data = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if data else b"0\r\n\r\n"
            self._connection.transport.write(data)
            self._complete()

    def cut(self) -> None:
        self._connection.transport.close()

    async def flush(self) -> None:
        flow = self._cycle.flow
        if flow.write_paused:
            await flow.drain()

    def _head(self, status: int, headers: Headers, framing: bytes) -> bytes:
        cycle = self._cycle
        cycle.response_started = True
        if cycle.waiting_for_100_continue:  # never told to go on, the caller may send its body or not
            cycle.keep_alive = False
        lines = [_STATUS_LINES[status]]
        lines += [b"%b: %b\r\n" % field for field in cycle.default_headers + headers]
        lines.append(framing + (b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"))
        return b"".join(lines)

    def _complete(self) -> None:
        cycle = self._cycle
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self._connection.close_soon()
        cycle.on_response()
