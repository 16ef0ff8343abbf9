"""Keep what was promised since the last commit in a file mapped into memory, so that `kill -9` cannot take it back.

Two halves take turns: one is written to while what the other holds is being committed to the store. A half is used
again only after its commit, under the next generation; a record counts only under the generation that it was sealed
with, so nothing is ever erased. The kernel owns the mapped pages: they outlive the process, though not a power cut.
"""

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

HALF_BYTES: Final = 4 * 1024 * 1024
"""About 10,000 calls. A commit takes as many as came in a tenth of a second."""

_MAGIC: Final = b"checkrei"
_HEAD: Final = struct.Struct("<8sIIQ")
"""Of a half: magic, layout of the records, bytes of a half, generation."""
_FRAME: Final = struct.Struct("<II")
"""Of a record: its length, and its checksum begun with the generation."""
_STOP: Final = bytes(_FRAME.size)
"""Follows the last record, so that a reader never comes to what an older generation left there."""
_SEED_MAX: Final = 0xFFFFFFFF


class Left(NamedTuple):
    """What a dead process left: its records, oldest first, and their layout."""

    records: list[bytes]
    layout: int


class _Half(NamedTuple):
    generation: int
    layout: int
    half_bytes: int
    records: list[bytes]


_NOTHING: Final = _Half(0, 0, 0, [])


class Journal:
    """One file of two halves. Made by `create_journal`; the records of an earlier one are read by `read_journal`."""

    __slots__ = ("_end", "_generation", "_half_bytes", "_layout", "_map", "_path", "_position", "_start")

    def __init__(self, memory: mmap.mmap, path: Path | None, *, layout: int) -> None:
        self._map = memory
        self._path = path
        self._layout = layout
        self._half_bytes: int = len(memory) // 2
        self._generation = 0
        self._start: int = self._half_bytes
        self._position: int = 0
        self._end: int = 0
        self.turn()

    @property
    def used(self) -> float:
        """The share of the current half that is taken."""
        return (self._position - self._start) / self._half_bytes

    @property
    def closed(self) -> bool:
        return not self._end

    def append(self, record: bytes) -> bool:
        """Keep `record`; it is safe when this returns. False if the half has no room for it."""
        position = self._position
        body = position + _FRAME.size
        after = body + len(record)
        if after > self._end:
            return False
        self._map[body : after + _FRAME.size] = record + _STOP
        # The frame comes last: a record that was being written when the process died has none.
        _FRAME.pack_into(self._map, position, len(record), crc32(record, self._generation & _SEED_MAX))
        self._position = after
        return True

    def turn(self) -> None:
        """Write to the other half from now on. The caller has committed what that one holds."""
        self._generation += 1
        self._start = self._half_bytes - self._start
        self._position = self._start + _HEAD.size
        self._end = self._start + self._half_bytes - _FRAME.size
        # First no records, then their generation: the old records must not be read in an order that is not theirs.
        self._map[self._position : self._position + _FRAME.size] = _STOP
        _HEAD.pack_into(self._map, self._start, _MAGIC, self._layout, self._half_bytes, self._generation)

    def close(self) -> None:
        """Let go of the file; there is no room in it any more. What it holds is for the next start."""
        self._end = 0
        self._map.close()

    def discard(self) -> None:
        """Close, and remove the file: everything it held is committed."""
        self.close()
        if self._path is not None:
            with suppress(OSError):  # the next start finds nothing in it that the store has not
                self._path.unlink()


def read_journal(path: Path) -> Left:
    """Read what is there, nothing if there is no file or it is not a journal. Raises OSError."""
    try:
        content = memoryview(path.read_bytes())
    except FileNotFoundError:
        return Left([], 0)
    first = _read_half(content)
    second = _read_half(content[first.half_bytes :]) if first.half_bytes else _NOTHING
    older, newer = sorted((first, second), key=lambda half: half.generation)
    return Left(older.records + newer.records, first.layout)


def create_journal(path: Path | None, *, layout: int, half_bytes: int = HALF_BYTES) -> Journal:
    """Start an empty journal in place of any older one; without a path, in memory only. Raises OSError.

    Its blocks are written here, so that a full disk is met at the start and not in the middle of a call.
    """
    size = 2 * half_bytes
    if path is None:
        return Journal(mmap.mmap(-1, size), None, layout=layout)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _write_zeros(descriptor, size)
        memory = mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)
    return Journal(memory, path, layout=layout)


def _write_zeros(descriptor: int, size: int) -> None:
    zeros = memoryview(bytes(size))
    while zeros:
        zeros = zeros[os.write(descriptor, zeros) :]


def _read_half(content: memoryview) -> _Half:
    """Read the half that begins here."""
    if len(content) < _HEAD.size:
        return _NOTHING
    magic, layout, half_bytes, generation = _HEAD.unpack_from(content)
    if magic != _MAGIC:
        return _NOTHING
    return _Half(generation, layout, half_bytes, list(_records(content[:half_bytes], generation)))


def _records(half: memoryview, generation: int) -> Iterator[bytes]:
    position = _HEAD.size
    while position + _FRAME.size <= len(half):
        length, checksum = _FRAME.unpack_from(half, position)
        position += _FRAME.size
        record = bytes(half[position : position + length])
        if not length or len(record) < length or crc32(record, generation & _SEED_MAX) != checksum:
            return
        yield record
        position += length
