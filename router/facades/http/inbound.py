"""Bring the two ways in which a hot request arrives to one: whole over our own listener, or through any ASGI server."""

from typing import Protocol

from router.facades.http.asgi import Receive, Scope, Send
from router.facades.http.body import length_of, read_body, read_piece, too_large
from router.facades.http.exchange import Exchange
from router.facades.http.outlet import ConnectionOutlet, Outlet, outlet_for
from router.facades.http.peer import is_local
from router.facades.http.protocol import FrontProtocol, connection_of

Pairs = list[tuple[bytes, bytes]]


class Inbound(Protocol):
    """One request of a hot route, its head read."""

    method: str
    path: str
    headers: Pairs
    """Names in lower case."""
    local: bool
    """The peer is on this machine."""
    outlet: Outlet
    connection: FrontProtocol | None
    """None under a server whose connections do not tell when they close."""

    @property
    def coming_bytes(self) -> int:
        """Of a body that `piece` brings, what has not been read of it; 0: there is only `body`."""
        ...

    async def piece(self) -> bytes:
        """Return what comes next of the body, no more than half a MiB; b"" after its end. Raises `CallerGone`."""
        ...

    async def body(self, *, max_bytes: int, begun: bytes = b"") -> bytes:
        """Return all of it. `begun`: what `piece` has brought before. Raises `RouterError` and `CallerGone`."""
        ...


class WholeInbound:
    __slots__ = ("_body", "connection", "headers", "local", "outlet", "path")

    method = "POST"
    coming_bytes = 0

    def __init__(self, exchange: Exchange) -> None:
        connection = exchange.connection
        self.path = exchange.target.decode("ascii")
        self.headers = exchange.headers
        self.local = connection.peer_is_local
        self.outlet: Outlet = ConnectionOutlet(connection, exchange, in_chunks=exchange.http_version == "1.1")
        self.connection: FrontProtocol | None = connection
        self._body = exchange.body

    async def piece(self) -> bytes:
        return b""

    async def body(self, *, max_bytes: int, begun: bytes = b"") -> bytes:
        if len(self._body) > max_bytes:
            raise too_large(max_bytes)
        return self._body


class AsgiInbound:
    __slots__ = ("_coming_bytes", "_receive", "_scope", "connection", "headers", "local", "method", "outlet", "path")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: Pairs = scope["headers"]
        self.local = is_local(scope)
        self.outlet = outlet_for(scope, send)
        self.connection = connection_of(scope)
        self._coming_bytes: int | None = None
        self._scope = scope
        self._receive = receive

    @property
    def coming_bytes(self) -> int:
        if self._coming_bytes is None:
            # Another server's connection does not tell when its caller leaves, and `receive`, which does, is busy here.
            self._coming_bytes = 0 if self.connection is None else length_of(self.headers) or 0
        return self._coming_bytes

    async def piece(self) -> bytes:
        coming = self.coming_bytes
        if not coming:
            return b""
        piece = await read_piece(self._receive)
        self._coming_bytes = coming - len(piece)
        return piece

    async def body(self, *, max_bytes: int, begun: bytes = b"") -> bytes:
        if begun and not self.coming_bytes:
            return begun
        return await read_body(self._receive, max_bytes=max_bytes, begun=begun)
