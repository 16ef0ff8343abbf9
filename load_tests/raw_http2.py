"""Speak just enough HTTP/2 to put gRPC calls on a server for less CPU than a client takes: frames, one after the other.

A client that parses and checks costs more than the server that is to be measured. Header blocks are written once; the
peer is told to keep no table of its own, so that a status can be found in its trailers without decoding them.
"""

import asyncio
from collections.abc import Callable
from typing import Final, cast

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_ACK: Final = 1
_END_STREAM: Final = 1
_END_HEADERS: Final = 4
_WINDOW: Final = (1 << 31) - 1
_WINDOW_BEGUN: Final = (1 << 16) - 1
_FRAME_BYTES: Final = 9
_PREFIX_BYTES: Final = 5
"""Before each message: whether it is compressed, and its length."""
_STATIC: Final = 61
"""Entries of the table that all peers have."""
_OK: Final = b"\x0bgrpc-status\x010"

Take = Callable[[bytes], None]
"""Takes each message of a reply."""
End = Callable[[int], None]
"""Takes how many errors a call ended in: one, or none."""


class Http2Connection(asyncio.Protocol):
    """One connection, on which one method is called with the same metadata each time."""

    def __init__(self, path: bytes, metadata: list[tuple[bytes, bytes]]) -> None:
        pseudo = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"localhost")]
        headers = [*pseudo, *metadata]
        self._block = b"".join(b"\x40" + _text(name) + _text(value) for name, value in headers)
        """The headers of the first call. The server keeps them, the others name their places: the newest is first."""
        self._again = b"".join(_number(_STATIC + each, 7, 0x80) for each in range(len(headers), 0, -1))
        self._calls: dict[int, tuple[Take, End, bytearray]] = {}
        self._next = 1
        self._read = bytearray()
        self._ready = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by name
        # No header table, no push, and windows that no run fills.
        settings = b"\0\1" + bytes(4) + b"\0\2" + bytes(4) + b"\0\4" + _WINDOW.to_bytes(4, "big")
        self._transport.write(_PREFACE + _frame(_SETTINGS, 0, 0, settings))
        self._transport.write(_frame(_WINDOW_UPDATE, 0, 0, (_WINDOW - _WINDOW_BEGUN).to_bytes(4, "big")))

    async def ready(self) -> None:
        await self._ready

    def call(self, message: bytes, take: Take, end: End) -> None:
        """Begin a call whose request is one message. What is taken comes in order; `end` comes once."""
        number, self._next = self._next, self._next + 2
        self._calls[number] = (take, end, bytearray())
        headers = _frame(_HEADERS, _END_HEADERS, number, self._block)
        self._block = self._again
        self._transport.write(
            headers + _frame(_DATA, _END_STREAM, number, b"\0" + len(message).to_bytes(4, "big") + message)
        )

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        read = self._read
        read += data
        at = 0
        while len(read) - at >= _FRAME_BYTES:
            size = int.from_bytes(read[at : at + 3], "big")
            if len(read) - at < _FRAME_BYTES + size:
                break
            number = int.from_bytes(read[at + 5 : at + 9], "big")
            self._frame(read[at + 3], read[at + 4], number, read[at + _FRAME_BYTES : at + _FRAME_BYTES + size])
            at += _FRAME_BYTES + size
        del read[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        calls, self._calls = self._calls, {}
        for _, end, _ in calls.values():
            end(1)

    def _frame(self, kind: int, flags: int, number: int, payload: bytearray) -> None:
        if kind == _DATA:
            take, _, rest = self._calls[number]
            rest += payload
            while len(rest) >= _PREFIX_BYTES:
                size = _PREFIX_BYTES + int.from_bytes(rest[1:_PREFIX_BYTES], "big")
                if len(rest) < size:
                    break
                take(bytes(rest[_PREFIX_BYTES:size]))
                del rest[:size]
        elif kind == _HEADERS and flags & _END_STREAM:
            self._calls.pop(number)[1](0 if _OK in payload else 1)
        elif kind == _RST_STREAM and number in self._calls:
            self._calls.pop(number)[1](1)
        elif kind == _SETTINGS and not flags & _ACK:
            self._transport.write(_frame(_SETTINGS, _ACK, 0, b""))
            if not self._ready.done():
                self._ready.set_result(None)
        elif kind == _PING and not flags & _ACK:
            self._transport.write(_frame(_PING, _ACK, 0, payload))
        elif kind == _GOAWAY:
            self._transport.close()


def _frame(kind: int, flags: int, number: int, payload: bytes | bytearray) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + number.to_bytes(4, "big") + payload


def _text(text: bytes) -> bytes:
    return _number(len(text), 7, 0) + text


def _number(value: int, bits: int, first: int) -> bytes:
    """Write a number of HPACK, whose first byte has so many bits for it."""
    most = (1 << bits) - 1
    if value < most:
        return bytes((first | value,))
    written = bytearray((first | most,))
    value -= most
    while value >= 128:
        written.append(value % 128 | 128)
        value //= 128
    return bytes((*written, value))
