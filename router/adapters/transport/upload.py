"""Send a request whose body comes in pieces, no faster than the peer takes them, and stop when it has answered."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from router.adapters.transport.connection import Connection
from router.adapters.transport.reply import Reply
from router.domain.dispatch.failure import FailureKind
from router.domain.instants import NS_PER_S, format_duration
from router.ports.transport import HttpRequest, TransportFailed


async def upload(
    connection: Connection, request: HttpRequest, body: AsyncIterator[bytes], *, stall_ns: int | None = None
) -> Reply:
    """Write the request, and return when it is written, answered or broken: the reply tells which.

    `stall_ns`: a peer that takes nothing for so long has failed. Raises `TransportFailed` then.

    A cancel, and whatever the body raises, costs the connection: the peer must not take half a body for a whole one.
    """
    reply = connection.begin(request)
    limit = asyncio.timeout(None)
    connection.stop_upload = lambda: limit.reschedule(0.0)
    try:
        async with limit:
            await _pump(connection, body, stall_ns)
    except BaseException as exc:
        if not (isinstance(exc, TimeoutError) and limit.expired()):
            connection.close()
            raise
    finally:
        connection.stop_upload = None
        if isinstance(body, AsyncGenerator):
            await body.aclose()  # what it holds open, such as a file, is not left to the collector
    return reply


async def _pump(connection: Connection, body: AsyncIterator[bytes], stall_ns: int | None) -> None:
    async for piece in body:
        if not connection.usable:
            return
        if piece:  # an empty chunk would be the last
            connection.write_piece(piece)
            await _taken(connection, stall_ns)
    if connection.usable:
        connection.end()


async def _taken(connection: Connection, stall_ns: int | None) -> None:
    """Wait until the peer has taken enough, however slowly, as long as it takes some."""
    while connection.is_behind:
        unsent = connection.unsent_bytes
        try:
            async with asyncio.timeout(None if stall_ns is None else stall_ns / NS_PER_S):
                await connection.writable()
        except TimeoutError as exc:
            if connection.unsent_bytes >= unsent:
                words = f"took nothing more of the request for {format_duration(stall_ns or 0)}"
                raise TransportFailed(FailureKind.IDLE_TIMEOUT, words) from exc
