"""An HTTP proxy that opens tunnels and passes on bytes, ends, resets and back-pressure, as a test says."""

import asyncio
from typing import Self, cast

from tests.support.fake_upstream import reset


class ConnectProxy:
    """`async with ConnectProxy() as proxy:` serves until the block ends."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        """The first line of each request, and its headers."""
        self.answer = b"HTTP/1.1 200 Connection established\r\n\r\n"
        """What is said instead of this opens no tunnel."""
        self.silent = False
        self.sides: set[_Side] = set()
        self._tasks = asyncio.TaskGroup()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._server = await asyncio.get_running_loop().create_server(lambda: _Client(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for side in list(self.sides):
            side.transport.abort()
        await self._tasks.__aexit__(None, None, None)

    def ask(self, client: "_Client", head: bytes) -> None:
        first, *lines = head.decode().split("\r\n")
        self.asked.append((first, dict(line.split(": ", 1) for line in lines)))
        if self.silent:
            return
        if not self.answer.startswith(b"HTTP/1.1 200") or not self.answer.endswith(b"\r\n\r\n"):
            client.transport.write(self.answer)
            return
        self._tasks.create_task(self._open(client, first.split(" ")[1]))

    async def _open(self, client: "_Client", authority: str) -> None:
        host, _, port = authority.rpartition(":")
        try:
            _, origin = await asyncio.get_running_loop().create_connection(lambda: _Side(self), host, int(port))
        except OSError:
            client.transport.write(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")
            return
        client.peer, origin.peer = origin, client
        if client.transport.is_closing():
            origin.transport.abort()
        client.transport.write(self.answer)


class _Side(asyncio.Protocol):
    """One end of a tunnel."""

    transport: asyncio.Transport
    peer: "_Side | None" = None

    def __init__(self, owner: ConnectProxy) -> None:
        self._owner = owner

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._owner.sides.add(self)

    def data_received(self, data: bytes) -> None:
        if self.peer is not None:
            self.peer.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.sides.discard(self)
        if self.peer is None or self.peer.transport.is_closing():
            return
        if exc is None:
            self.peer.transport.close()
        else:
            reset(self.peer.transport)

    def pause_writing(self) -> None:
        if self.peer is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None and not self.peer.transport.is_closing():
            self.peer.transport.resume_reading()


class _Client(_Side):
    """The end that asked."""

    def __init__(self, owner: ConnectProxy) -> None:
        super().__init__(owner)
        self._head = b""

    def data_received(self, data: bytes) -> None:
        if self.peer is not None:
            self.peer.transport.write(data)
            return
        self._head += data
        head, blank, _ = self._head.partition(b"\r\n\r\n")
        if blank:
            self._owner.ask(self, head)
