"""Hold what has arrived of one reply for its reader, decoded if need be, and tell the connection when to go on."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from router.adapters.transport.decoding import Decoder, Undecodable
from router.domain.dispatch.failure import FailureKind
from router.ports.transport import TransportFailed


class Carrier(Protocol):
    """The connection that a reply comes over, as far as its reader moves it."""

    @property
    def read_paused(self) -> bool: ...

    def resume(self) -> None: ...

    def close(self) -> None: ...


class Reply:
    """The reply to one request. It holds its connection until the last byte has arrived, and not longer."""

    __slots__ = (
        "_chunks",
        "_connection",
        "_decoder",
        "_failure",
        "_take",
        "_taking",
        "_waiter",
        "arrived",
        "buffered_bytes",
        "complete",
        "headers",
        "status",
    )

    def __init__(self, connection: "Carrier") -> None:
        self._connection: Carrier | None = connection
        self._chunks: list[bytes] = []
        self._decoder: Decoder | None = None
        self._failure: TransportFailed | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._take: Callable[[bytes], bool] | None = None
        self._taking = False
        self.arrived = False
        """All of it, though some may still have to be decoded; then it is `complete` later."""
        self.buffered_bytes = 0
        self.complete = False
        self.headers: Sequence[tuple[bytes, bytes]] = ()
        self.status = 0

    async def read(self) -> bytes:
        if not (self._chunks or self.complete) and not self._has_news:
            assert self._waiter is None, "a reply has one reader at a time"
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        elif self._decoder is not None:
            await _turn()
        return self._pop()

    async def each(self, take: Callable[[bytes], bool]) -> None:
        while self._has_news:
            if not take(self._pop()):
                return
            if self._decoder is not None:
                await _turn()
        assert self._waiter is None, "a reply has one reader at a time"
        self._take = take
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = self._take = None

    def nudge(self) -> None:
        """Give whoever waits a turn: with what has arrived, if anything has."""
        waiter = self._waiter
        if waiter is None or waiter.done() or self._taking:
            return
        if self._take is None:
            waiter.set_result(None)
        else:
            self._hand_over(self._take, waiter)

    def abort(self) -> None:
        if not self.complete and self._failure is None:
            connection = self._connection
            self._chunks = []
            self._decoder = None
            self.fail(TransportFailed(FailureKind.ABORTED, "was cut off by the router"))
            if connection is not None:
                connection.close()

    @property
    def _has_news(self) -> bool:
        if self._chunks or self.complete or self._failure is not None:
            return True
        return self._decoder is not None and self._decoder.pending

    def _hand_over(self, take: Callable[[bytes], bool], waiter: asyncio.Future[None]) -> None:
        self._taking = True  # what `take` does may end this reply, which must not call it again meanwhile
        try:
            going = take(self._pop())
            while going and self._decoder is None and (self._chunks or self.complete or self._failure is not None):
                going = take(self._pop())
            if going and self._decoder is not None and self._has_news:
                asyncio.get_running_loop().call_soon(self.nudge)
        except Exception as exc:
            waiter.set_exception(exc)  # whatever it is, the task that waits has asked for it
        else:
            if not going:
                waiter.set_result(None)
        finally:
            self._taking = False

    def _pop(self) -> bytes:
        chunks = self._chunks
        if self._decoder is not None:
            return self._pop_decoded(self._decoder)
        if not chunks:
            if self._failure is not None:
                raise self._failure
            return b""
        self._chunks = []
        self.buffered_bytes = 0
        if self._connection is not None and self._connection.read_paused:
            self._connection.resume()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _pop_decoded(self, decoder: Decoder) -> bytes:
        for chunk in self._chunks:
            decoder.put(chunk)
        self._chunks = []
        if self._failure is not None and not decoder.pending:
            raise self._failure
        try:
            data = decoder.take()
        except Undecodable as exc:
            connection, self._decoder = self._connection, None
            self.fail(TransportFailed(FailureKind.MALFORMED, str(exc)))
            if connection is not None:
                connection.close()
            assert self._failure is not None
            raise self._failure from exc
        self.buffered_bytes = decoder.held_bytes
        if self.arrived:
            self._conclude(decoder)
        elif not decoder.pending and self._connection is not None and self._connection.read_paused:
            self._connection.resume()
        return data

    def _conclude(self, decoder: Decoder) -> None:
        """After the last byte: it is complete, or less than it should be, or there is more to decode."""
        if self._chunks or decoder.pending:
            return
        if decoder.ended:
            self.complete = True
        else:
            self.fail(TransportFailed(FailureKind.CUT, "ended its reply before the end of its encoding"))

    # What the connection reports; it nudges once it has reported everything.

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]], decoder: Decoder | None = None) -> None:
        self.status = status
        self.headers = headers
        self._decoder = decoder

    def push(self, data: bytes) -> None:
        self._chunks.append(data)
        self.buffered_bytes += len(data)

    def finish(self) -> None:
        self.arrived = True
        self._connection = None
        if self._decoder is None:
            self.complete = True
        else:
            self._conclude(self._decoder)

    def fail(self, reason: TransportFailed) -> None:
        """End the reply with `reason`; what has arrived can still be read first."""
        if self._failure is None and not self.complete:
            self._failure = reason
            self._connection = None
            self.nudge()


def wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


async def _turn() -> None:
    """Let others run between two slices: a reply that is large inside holds nobody up."""
    loop = asyncio.get_running_loop()
    turned = loop.create_future()
    loop.call_soon(wake, turned)
    await turned
