"""Keep connections to one origin alive, newest first, and open another when none is idle."""

import asyncio
import ssl
from collections.abc import Callable
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from router.adapters.transport.addresses import AddressRefused
from router.adapters.transport.connection import Connection
from router.adapters.transport.dialing import Dialer, Reach, Resolver, system_resolver
from router.adapters.transport.reply import Reply
from router.adapters.transport.upload import upload
from router.domain.catalog import Provider
from router.domain.dispatch.failure import FailureKind
from router.domain.instants import NS_PER_S, format_duration
from router.ports.transport import HttpRequest, TransportFailed

IDLE_S_MAX: Final = 30.0
"""An idle connection is closed after this: servers close theirs after 60 s or more, and a race costs a request."""
AGE_S_MAX: Final = 600.0
"""A connection that is older is not kept: who moves a name to another address shall see the traffic follow."""
IDLE_CONNECTIONS_MAX: Final = 512
CONNECTIONS_MAX: Final = 8_192
"""To one origin, busy and idle."""
RECEIVER_CONNECT_NS: Final = 5 * NS_PER_S
"""For a connection to a receiver of events, TLS included."""
_RECEIVER_REACH: Final = Reach(allow_private=True)
"""The operator names each receiver, and most are at home."""


class HttptoolsTransport:
    """The `Transport` port on asyncio and httptools."""

    def __init__(self, dialer: Dialer, *, connect_ns: int, stall_ns: int | None = None) -> None:
        """`stall_ns`: how long a peer may take nothing of a body in pieces; None: as long as it wants."""
        self._dialer = dialer
        self._connect_ns = connect_ns
        self._stall_ns = stall_ns
        self._idle: list[Connection] = []  # ascending by `idle_since`
        self._open_count = 0
        self._connecting_count = 0
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def send(self, request: HttpRequest) -> Reply:
        # Without an await between the look and the write, a connection that is usable stays so.
        connection = None
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                break
            connection = None
        if connection is None:
            connection = await self._connect()
        body = request.body
        if isinstance(body, bytes):
            return connection.request(request, body)
        return await upload(connection, request, body, stall_ns=self._stall_ns)

    async def close(self) -> None:
        self._closed = True
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    async def _connect(self) -> Connection:
        if self._open_count + self._connecting_count >= CONNECTIONS_MAX:
            raise TransportFailed(FailureKind.CONNECT, f"already has {CONNECTIONS_MAX} connections from us")
        self._connecting_count += 1
        try:
            async with asyncio.timeout(self._connect_ns / NS_PER_S):
                connection = await self._dialer.open(lambda: Connection(self))
        except TimeoutError as exc:
            message = f"did not accept a connection within {format_duration(self._connect_ns)}"
            raise TransportFailed(FailureKind.CONNECT_TIMEOUT, message) from exc
        except (OSError, UnicodeError) as exc:  # UnicodeError: a host name that DNS cannot express
            raise TransportFailed(FailureKind.CONNECT, f"could not be reached ({_reason(exc)})") from exc
        finally:
            self._connecting_count -= 1
        if not connection.usable:
            raise TransportFailed(FailureKind.CONNECT, "closed the connection as soon as it was open")
        return connection

    # What connections report.

    def connection_opened(self, connection: Connection) -> None:
        self._open_count += 1
        connection.opened_s = asyncio.get_running_loop().time()

    def connection_idle(self, connection: Connection) -> None:
        if self._closed or len(self._idle) >= IDLE_CONNECTIONS_MAX:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = now_s = loop.time()
        if now_s - connection.opened_s > AGE_S_MAX:
            connection.close()
            return
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(IDLE_S_MAX, self._close_expired)

    def connection_closed(self, connection: Connection) -> None:
        self._open_count -= 1
        if connection in self._idle:
            self._idle.remove(connection)

    def _close_expired(self) -> None:
        loop = asyncio.get_running_loop()
        expired_s = loop.time() - IDLE_S_MAX
        kept = [connection for connection in self._idle if connection.idle_since > expired_s]
        for connection in self._idle[: len(self._idle) - len(kept)]:
            connection.close()
        self._idle = kept
        self._sweep = loop.call_at(kept[0].idle_since + IDLE_S_MAX, self._close_expired) if kept else None


def transport_to(
    provider: Provider, reach: Reach | None = None, *, resolve: Resolver = system_resolver
) -> HttptoolsTransport:
    """Build the transport for a provider's `base_url`. Raises ValueError or OSError when it cannot work.

    `reach`: where the provider's own network does not say it.
    """
    network = provider.network
    where = f"base_url of provider {provider.id!r}"
    tls = partial(_tls_context, network.ca_file)
    reach = reach or Reach(allow_private=network.allow_private, proxy=network.proxy)
    dialer = _dialer(provider.base_url, where, tls=tls, reach=reach, resolve=resolve)
    timeouts = provider.timeouts
    return HttptoolsTransport(dialer, connect_ns=timeouts.connect_ns, stall_ns=timeouts.stream_idle_ns)


def transport_to_receiver(url: str) -> HttptoolsTransport:
    """Build the transport for a webhook's address. Raises ValueError or OSError when it cannot work."""
    dialer = _dialer(url, "the url of a webhook", tls=partial(_tls_context, None), reach=_RECEIVER_REACH)
    return HttptoolsTransport(dialer, connect_ns=RECEIVER_CONNECT_NS)


def _dialer(
    url: str,
    where: str,
    *,
    tls: Callable[[], ssl.SSLContext],
    reach: Reach,
    resolve: Resolver = system_resolver,
) -> Dialer:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{where} must begin with http:// or https:// and a host")
    secure = parts.scheme == "https"
    try:
        return Dialer(
            host=parts.hostname,
            port=parts.port or (443 if secure else 80),
            tls=tls() if secure else None,
            reach=reach,
            resolve=resolve,
        )
    except AddressRefused as exc:
        raise ValueError(f"{where} {exc}") from exc


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Verify against the system's authorities, or against those in `ca_file` alone."""
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _reason(exc: OSError | UnicodeError) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {exc.verify_message}"
    return str(getattr(exc, "strerror", None) or exc)[:200] or type(exc).__name__
