"""Send a request whose body comes in pieces, no faster than the peer takes them, and stop when it has answered."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from router.adapters.transport.connection import Connection
from router.adapters.transport.reply import Reply
from router.ports.transport import HttpRequest


async def upload(connection: Connection, request: HttpRequest, body: AsyncIterator[bytes]) -> Reply:
    """Write the request, and return when it is written, answered or broken: the reply tells which.

    A cancel, and whatever the body raises, costs the connection: the peer must not take half a body for a whole one.
    """
    reply = connection.begin(request)
    limit = asyncio.timeout(None)
    connection.stop_upload = lambda: limit.reschedule(0.0)
    try:
        async with limit:
            await _pump(connection, body)
    except BaseException as exc:
        if not (isinstance(exc, TimeoutError) and limit.expired()):
            connection.close()
            raise
    finally:
        connection.stop_upload = None
        if isinstance(body, AsyncGenerator):
            await body.aclose()  # what it holds open, such as a file, is not left to the collector
    return reply


async def _pump(connection: Connection, body: AsyncIterator[bytes]) -> None:
    async for piece in body:
        if not connection.usable:
            return
        if piece:  # an empty chunk would be the last
            connection.write_chunk(piece)
            await connection.writable()
    if connection.usable:
        connection.end()
