"""Write replies to a caller's connection: in one system call under our own listener, through ASGI under any other.

uvicorn's `send` checks and writes the head and the body apart: 30 µs of a 100 µs request (docs/adr/0002). Our own
connection takes both at once; what it must do besides is exactly what uvicorn does at the end of a reply.
"""

from http import HTTPStatus
from typing import Final, Protocol

from router.facades.http.asgi import Scope, Send
from router.facades.http.errors import Headers
from router.facades.http.protocol import FrontProtocol, connection_of

_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus
}


class Outlet(Protocol):
    """One reply: either `whole`, or `begin`, any number of `more`, `end`. Writing waits while the reader is behind."""

    async def whole(self, status: int, headers: Headers, body: bytes) -> None: ...

    async def begin(self, status: int, headers: Headers) -> None: ...

    async def more(self, data: bytes) -> None: ...

    async def end(self, data: bytes) -> None: ...


def outlet_for(scope: Scope, send: Send) -> Outlet:
    connection = connection_of(scope)
    if connection is None or scope["http_version"] != "1.1":
        return AsgiOutlet(send)
    return ConnectionOutlet(connection)


class AsgiOutlet:
    __slots__ = ("_send",)

    def __init__(self, send: Send) -> None:
        self._send = send

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        length = (b"content-length", b"%d" % len(body))
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await self._send({"type": "http.response.body", "body": body})

    async def begin(self, status: int, headers: Headers) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def more(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data})


class ConnectionOutlet:
    """Writes to the socket's transport. The cycle is uvicorn's record of the request being served."""

    __slots__ = ("_connection", "_cycle")

    def __init__(self, connection: FrontProtocol) -> None:
        self._connection = connection
        self._cycle = connection.serving

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        if not self._cycle.disconnected:
            self._connection.transport.write(self._head(status, headers, b"content-length: %d" % len(body)) + body)
            self._complete()

    async def begin(self, status: int, headers: Headers) -> None:
        if not self._cycle.disconnected:
            self._connection.transport.write(self._head(status, headers, b"transfer-encoding: chunked"))

    async def more(self, data: bytes) -> None:
        flow = self._cycle.flow
        if flow.write_paused:
            await flow.drain()
        if not self._cycle.disconnected:
            self._connection.transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self, data: bytes) -> None:
        flow = self._cycle.flow
        if flow.write_paused:
            await flow.drain()
        if not self._cycle.disconnected:
            self._connection.transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))
            self._complete()

    def _head(self, status: int, headers: Headers, framing: bytes) -> bytes:
        cycle = self._cycle
        cycle.response_started = True
        lines = [_STATUS_LINES[status]]
        lines += [b"%b: %b\r\n" % field for field in cycle.default_headers]
        lines += [b"%b: %b\r\n" % field for field in headers]
        lines.append(framing + (b"\r\n\r\n" if cycle.keep_alive else b"\r\nconnection: close\r\n\r\n"))
        return b"".join(lines)

    def _complete(self) -> None:
        cycle = self._cycle
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self._connection.transport.close()
        cycle.on_response()
