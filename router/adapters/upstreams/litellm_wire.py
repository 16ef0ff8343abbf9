"""Carry litellm's HTTP over our own transport, so that limits, TLS, retries and closing are ours.

litellm's own clients send a request again when a connection breaks, which may be billed twice, follow redirects, and
obey proxies of the environment. Imported with litellm only: httpx comes with it.
"""

from collections.abc import AsyncIterator
from typing import Final

import httpx

from router.adapters.upstreams.litellm_exchange import Exchange, current_exchange
from router.ports.transport import HttpReply

_OURS: Final = frozenset(
    {b"accept-encoding", b"connection", b"content-length", b"keep-alive", b"proxy-connection", b"transfer-encoding"}
)
"""Headers that the transport writes, or that would have it read what it cannot."""


class WireTransport(httpx.AsyncBaseTransport):
    """Sends each request in the exchange of the call that is running."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        exchange = current_exchange()
        fields = [(name.lower(), value) for name, value in request.headers.raw if name.lower() not in _OURS]
        reply = await exchange.send(
            method=request.method,
            origin=f"{request.url.scheme}://{request.url.netloc.decode('ascii')}",
            target=request.url.raw_path,
            fields=fields,
            body=await request.aread(),
        )
        headers = [(name, value) for name, value in reply.headers if name not in _OURS]
        if 200 <= reply.status < 300:
            return httpx.Response(reply.status, headers=headers, stream=_Body(exchange, reply))
        return httpx.Response(reply.status, headers=headers, content=exchange.refusal)


class _Body(httpx.AsyncByteStream):
    def __init__(self, exchange: Exchange, reply: HttpReply) -> None:
        self._exchange = exchange
        self._reply = reply

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self._exchange.read(self._reply):
            yield data

    async def aclose(self) -> None:
        self._reply.abort()  # nothing happens if it is complete
