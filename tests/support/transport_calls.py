"""Send through a transport and read the reply to its end or its failure, for the tests of the `Transport` port."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from router.adapters.transport.dialing import Reach
from router.domain.catalog import Network, Provider, ProviderKind, Timeouts
from router.domain.ids import ProviderId
from router.ports.transport import HttpReply, HttpRequest, TransportFailed
from tests.support.waiting import turn

MS = 1_000_000
SECOND = 1_000 * MS
LOCAL = Reach(allow_private=True)
BODY = b'{"messages":[{"role":"user","content":"hi there"}]}'


def request(body: bytes | AsyncIterator[bytes] = BODY, *, length: int | None = None) -> HttpRequest:
    return HttpRequest(target=b"/v1/chat/completions", head=b"host: test\r\n", body=body, length=length)


def provider(
    base_url: str, *, ca_file: str | None = None, connect_ns: int = 5 * SECOND, idle_ns: int = SECOND
) -> Provider:
    timeouts = Timeouts(
        connect_ns=connect_ns, stream_first_event_ns=SECOND, stream_idle_ns=idle_ns, total_ns=10 * SECOND
    )
    return Provider(
        id=ProviderId("fake"),
        kind=ProviderKind.OPENAI_COMPATIBLE,
        base_url=base_url,
        timeouts=timeouts,
        network=Network(ca_file=ca_file),
    )


async def whole(reply: HttpReply) -> bytes:
    """Read as an upstream does: the first part by `read`, what follows by `each`."""
    parts = [await reply.read()]

    def take(data: bytes) -> bool:
        parts.append(data)
        return bool(data) or not reply.complete

    await reply.each(take)
    return b"".join(parts)


async def failure_of(reply: HttpReply) -> TransportFailed:
    with pytest.raises(TransportFailed) as caught:
        await whole(reply)
    return caught.value


async def cancel_read(reply: HttpReply) -> None:
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(reply.read())
        await turn()
        reading.cancel()
