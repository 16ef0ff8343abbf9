"""Open connections to one origin, straight or through a proxy, and only to addresses that were judged.

Laws: a name is resolved once for a connection, and the connection goes to an address of that answer. TLS is with the
origin, never with the proxy.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from router.adapters.transport.addresses import AddressRefused, admit, is_address
from router.adapters.transport.tunnel import Proxy, Tunnel, TunnelRefused, read_proxy
from router.domain.dispatch.failure import FailureKind
from router.domain.secret import Secret
from router.ports.transport import TransportFailed

P = TypeVar("P", bound=asyncio.Protocol)

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host, best first. Raises OSError or UnicodeError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far, and which way, connections may go."""

    allow_private: bool = False
    proxy: Secret | None = None
    """`http://user:password@host:port`"""


async def system_resolver(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Dialer:
    """Opens connections to one host and port."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        reach: Reach,
        resolve: Resolver = system_resolver,
    ) -> None:
        """Raises `AddressRefused` for an address that needs no resolving, and ValueError for a proxy that is none."""
        self._host, self._port, self._tls = host, port, tls
        self._allow_private = reach.allow_private
        self._proxy = read_proxy(reach.proxy.reveal()) if reach.proxy is not None else None
        self._resolve = resolve
        if is_address(host):
            admit(host, [host], allow_private=self._allow_private)

    async def open(self, make: Callable[[], P]) -> P:
        """Connect a new protocol. Raises OSError, UnicodeError, or `TransportFailed` for what was not even tried."""
        if self._proxy is None:
            addresses = await self._addresses(self._host, self._port, allow_private=self._allow_private)
            _, protocol = await self._reach(addresses, self._port, make, self._tls)
            return protocol
        return await self._open_through(self._proxy, make)

    async def _open_through(self, proxy: Proxy, make: Callable[[], P]) -> P:
        # The proxy's own address is the operator's word, and in most networks a private one. It resolves the host.
        addresses = await self._addresses(proxy.host, proxy.port, allow_private=True)
        tunnel = Tunnel(proxy, self._host, self._port)
        transport, _ = await self._reach(addresses, proxy.port, lambda: tunnel, None)
        try:
            await tunnel.opened()
            if self._tls is not None:
                # Nobody listens during the handshake: a protocol that hears of its end before its beginning miscounts.
                secured = await asyncio.get_running_loop().start_tls(
                    transport, asyncio.Protocol(), self._tls, server_hostname=self._host
                )
                if secured is None:
                    raise ConnectionResetError("the connection was closed")
                transport = secured
            if transport.is_closing():
                raise ConnectionResetError("the connection was closed")
        except TunnelRefused as exc:
            transport.abort()
            raise TransportFailed(FailureKind.CONNECT, str(exc)) from exc
        except BaseException:
            transport.abort()
            raise
        protocol = make()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        return protocol

    async def _addresses(self, host: str, port: int, *, allow_private: bool) -> Sequence[str]:
        found = [host] if is_address(host) else await self._resolve(host, port)
        try:
            return admit(host, found, allow_private=allow_private)
        except AddressRefused as exc:
            raise TransportFailed(FailureKind.CONNECT, str(exc)) from exc

    async def _reach(
        self, addresses: Sequence[str], port: int, make: Callable[[], P], tls: ssl.SSLContext | None
    ) -> tuple[asyncio.Transport, P]:
        """Connect to the first address that answers. A certificate that is wrong at one would be wrong at all."""
        loop = asyncio.get_running_loop()
        name = self._host if tls is not None else None
        last: OSError | None = None
        for address in addresses:
            try:
                return await loop.create_connection(make, address, port, ssl=tls, server_hostname=name)
            except ssl.SSLError:
                raise
            except OSError as exc:
                last = exc
        assert last is not None, "there is at least one address"
        raise last
