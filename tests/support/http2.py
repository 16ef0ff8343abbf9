"""A peer that speaks just enough HTTP/2 to keep a connection, and answers pings only if it is told to."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS: Final = 0x4
PING: Final = 0x6
GOAWAY: Final = 0x7
ACK: Final = 0x1
_HEAD_BYTES: Final = 9


@dataclass(frozen=True, slots=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def is_ping(self) -> bool:
        return self.kind == PING and not self.flags & ACK

    @property
    def reason(self) -> bytes:
        """What a GOAWAY says."""
        return self.payload[8:]


@dataclass(slots=True)
class Peer:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    answers_pings: bool
    frames: list[Frame] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, kind: int, payload: bytes = b"", flags: int = 0) -> None:
        self.writer.write(struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + bytes(4) + payload)

    def seen(self, kind: int, *, ack: bool = False) -> list[Frame]:
        return [frame for frame in self.frames if frame.kind == kind and bool(frame.flags & ACK) == ack]

    async def listen(self) -> None:
        """Read until the other side ends the connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await self.reader.readexactly(_HEAD_BYTES)
                length, stream = int.from_bytes(head[:3]), int.from_bytes(head[5:])
                frame = Frame(head[3], head[4], stream, await self.reader.readexactly(length))
                self.frames.append(frame)
                if frame.kind == SETTINGS and not frame.flags & ACK:
                    self.send(SETTINGS, flags=ACK)
                if frame.is_ping and self.answers_pings:
                    self.send(PING, frame.payload, ACK)
        self.closed.set()


@contextlib.asynccontextmanager
async def peer(port: int, *, answers_pings: bool) -> AsyncIterator[Peer]:
    """Connect, and read what comes until the block is left."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    one = Peer(reader, writer, answers_pings)
    writer.write(PREFACE)
    one.send(SETTINGS)
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(one.listen())
        try:
            yield one
        finally:
            writer.close()
            listening.cancel()
