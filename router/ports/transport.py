"""Carry one HTTP request to a provider and its reply back, without knowing what they mean."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

import msgspec

from router.domain.dispatch.failure import FailureKind


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`head` is everything between the request line and what frames the body, each line ended by CRLF."""

    method: bytes = b"POST"
    target: bytes
    head: bytes
    body: bytes | AsyncIterator[bytes]
    """Pieces are sent as they come, no faster than the peer takes them, and cannot be sent again. A generator that has
    begun is closed."""
    length: int | None = None
    """Bytes of all pieces together; None: nobody knows yet."""


class TransportFailed(Exception):
    """No reply, or not all of it. `str()` continues a sentence that begins with the provider's name.

    `kind` is CONNECT or CONNECT_TIMEOUT when not a byte of the request was written; RESET, CUT, MALFORMED or
    ABORTED when the peer may have it, and may bill it; IDLE_TIMEOUT when it took half of it.
    """

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    @property
    def sent(self) -> bool:
        return self.kind not in (FailureKind.CONNECT, FailureKind.CONNECT_TIMEOUT)


class HttpReply(Protocol):
    """The answer to a request that was written. One reader at a time."""

    @property
    def status(self) -> int:
        """0 until the head has arrived; never 1xx."""
        ...

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        """Lower case names; empty until the head has arrived."""
        ...

    @property
    def complete(self) -> bool:
        """The last byte has arrived, read or not; of a body that was encoded, the last byte has been decoded."""
        ...

    async def read(self) -> bytes:
        """Wait for news and return the body bytes that have arrived.

        b"" when the news is something else: the head, the end (`complete`) or a nudge. A cancelled read loses
        nothing. Raises `TransportFailed` when the connection ends early or the reply is not HTTP.
        """
        ...

    async def each(self, take: Callable[[bytes], bool]) -> None:
        """Do `while take(await self.read()): pass`, but call `take` as the bytes arrive, without waking a task."""
        ...

    def nudge(self) -> None:
        """Make a waiting `read` return."""
        ...

    def abort(self) -> None:
        """Close the connection at once; a waiting `read` raises. Nothing happens once the reply is complete."""
        ...


class Transport(Protocol):
    """Connections to one origin (scheme, host, port)."""

    async def send(self, request: HttpRequest) -> HttpReply:
        """Write the request, over a new connection if none is idle.

        The caller reads the reply to its end or aborts it. Cancelling writes nothing, or closes the connection in the
        midst of a body in pieces. That ends with its last piece, with an answer that refuses it or a connection that
        breaks (both are read from the reply), or with what it raises itself; of a peer that takes nothing of it any
        more the failure is an IDLE_TIMEOUT. Raises `TransportFailed`.
        """
        ...

    async def close(self) -> None:
        """Close idle connections and keep no others; those that are busy close when their reply is done."""
        ...
