"""Undo the encoding of a reply's body, a bounded slice at a time: a small reply may be a very large one inside."""

import zlib
from collections import deque
from collections.abc import Sequence
from typing import Final

SLICE_BYTES_MAX: Final = 64 * 1024
"""What one `take` returns at most. It is decoded in well under a millisecond."""

_INPUT_BYTES_MAX: Final = 16 * 1024
_STEPS_MAX: Final = 64
"""Of one `take`: many members that are empty inside must not take long either."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB: Final = zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS
_ZLIB_HEAD_BYTES: Final = 2


class Undecodable(Exception):
    """`str()` continues a sentence that begins with the provider's name."""


class Decoder:
    """One body. `put` what arrives, `take` while `pending`; then `ended` says whether that was all of it."""

    __slots__ = ("_begun", "_coding", "_full", "_head", "_held", "_inflater", "held_bytes")

    def __init__(self, coding: str) -> None:
        self._begun = False
        self._coding = coding
        self._head = b""
        """What came before its bytes said how they are to be read."""
        self._held: deque[bytes] = deque()
        self._inflater = zlib.decompressobj(_GZIP) if coding == "gzip" else None
        self._full = False
        """The last slice was full: there may be more inside, whatever has arrived."""
        self.held_bytes = 0
        """Arrived and not decoded."""

    @property
    def pending(self) -> bool:
        return bool(self._held) or self._full

    @property
    def ended(self) -> bool:
        """Nothing is missing, if nothing is pending. A body without a byte is whole, whatever its encoding."""
        return not self._begun or (self._inflater is not None and self._inflater.eof)

    def put(self, data: bytes) -> None:
        self._begun = True
        self.held_bytes += len(data)
        if self._inflater is None:
            data = self._head = self._head + data
            if len(data) < _ZLIB_HEAD_BYTES:
                return
            # The standard says that `deflate` means zlib, and some servers send it bare.
            framed = data[0] & 15 == zlib.DEFLATED and int.from_bytes(data[:_ZLIB_HEAD_BYTES], "big") % 31 == 0
            self._inflater = zlib.decompressobj(_ZLIB if framed else _RAW)
        self._held.extend(data[at : at + _INPUT_BYTES_MAX] for at in range(0, len(data), _INPUT_BYTES_MAX))

    def take(self) -> bytes:
        """Return at most `SLICE_BYTES_MAX` bytes, or none. Raises `Undecodable`."""
        parts: list[bytes] = []
        room = SLICE_BYTES_MAX
        try:
            for _ in range(_STEPS_MAX):
                if not (room and self.pending):
                    break
                self._full = False
                parts.append(self._inflate(room))
                room -= len(parts[-1])
                self._full = not room
        except zlib.error as exc:
            raise Undecodable(f"sent a reply that is not the {self._coding} it says it is") from exc
        return b"".join(parts)

    def _inflate(self, room: int) -> bytes:
        assert self._inflater is not None, "bytes are held once they can be read"
        data = self._held.popleft() if self._held else b""
        if self._inflater.eof and data:
            if self._coding != "gzip":
                raise zlib.error("bytes after the end")
            self._inflater = zlib.decompressobj(_GZIP)  # gzip allows several members in a row
        part = self._inflater.decompress(data, room)
        rest = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
        if data and rest:
            self._held.appendleft(rest)
            data = data[: -len(rest)]
        self.held_bytes -= len(data)
        return part


def decoder_for(codings: Sequence[bytes]) -> Decoder | None:
    """Return a decoder for what `content-encoding` says; None for what we do not know."""
    if len(codings) != 1:
        return None
    coding = {b"gzip": "gzip", b"x-gzip": "gzip", b"deflate": "deflate"}.get(codings[0].strip().lower())
    return Decoder(coding) if coding is not None else None
