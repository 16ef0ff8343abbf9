"""Speak just enough HTTP/1.1 to put calls on a router for less CPU than any client takes: one after the other."""

import asyncio
from typing import Final, cast

from load_tests.raw_http2 import End, Take

_HEAD_END: Final = b"\r\n\r\n"
_LAST: Final = b"0\r\n\r\n"


class Http1Connection(asyncio.Protocol):
    """One connection, on which one path is called with the same headers each time."""

    def __init__(self, path: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        named = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        self._head = b"POST " + path + b" HTTP/1.1\r\nhost: localhost\r\n" + named
        self._read = bytearray()
        self._under_way: tuple[Take, End] | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by name

    async def ready(self) -> None:
        """It is, as soon as it is connected."""

    def call(self, message: bytes, take: Take, end: End) -> None:
        """Begin a call; the one before has ended. What is taken is what came together, the head with it."""
        self._under_way = (take, end)
        self._transport.write(self._head + b"content-length: %d\r\n\r\n" % len(message) + message)

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        assert self._under_way is not None, "nothing comes unasked"
        take, end = self._under_way
        take(data)
        self._read += data
        head, found, body = self._read.partition(_HEAD_END)
        if not found:
            return
        length = _length(head)
        if body.endswith(_LAST) if length is None else len(body) >= length:
            good = head.startswith(b"HTTP/1.1 200") and (length is not None or b"data: [DONE]" in body)
            self._read.clear()
            self._under_way = None
            end(0 if good else 1)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._under_way is not None:
            self._under_way[1](1)


def _length(head: bytearray) -> int | None:
    """Return what `content-length` says; None: the body is chunked."""
    _, found, rest = head.partition(b"content-length: ")
    return int(rest.partition(b"\r\n")[0]) if found else None
