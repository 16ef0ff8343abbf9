"""Keep connections to one origin alive, newest first, and open another when none is idle."""

import asyncio
import ssl
from typing import Final
from urllib.parse import urlsplit

from router.adapters.transport_connection import Connection, Reply
from router.domain.catalog import Provider
from router.domain.dispatch.failure import FailureKind
from router.domain.instants import NS_PER_S, format_duration
from router.ports.transport import HttpRequest, TransportFailed

IDLE_S_MAX: Final = 30.0
"""An idle connection is closed after this: servers close theirs after 60 s or more, and a race costs a request."""
IDLE_CONNECTIONS_MAX: Final = 512
CONNECTIONS_MAX: Final = 8_192
"""To one origin, busy and idle."""
RECEIVER_CONNECT_NS: Final = 5 * NS_PER_S
"""For a connection to a receiver of events, TLS included."""


class HttptoolsTransport:
    """The `Transport` port on asyncio and httptools."""

    def __init__(self, *, host: str, port: int, tls: ssl.SSLContext | None, connect_ns: int) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._connect_ns = connect_ns
        self._idle: list[Connection] = []  # ascending by `idle_since`
        self._open_count = 0
        self._connecting_count = 0
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def send(self, request: HttpRequest) -> Reply:
        # Without an await between the look and the write, a connection that is usable stays so.
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection.request(request)
        connection = await self._connect()
        if not connection.usable:
            raise TransportFailed(FailureKind.CONNECT, "closed the connection as soon as it was open")
        return connection.request(request)

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
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self),
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=self._host if self._tls is not None else None,
                )
        except TimeoutError as exc:
            message = f"did not accept a connection within {format_duration(self._connect_ns)}"
            raise TransportFailed(FailureKind.CONNECT_TIMEOUT, message) from exc
        except (OSError, UnicodeError) as exc:  # UnicodeError: a host name that DNS cannot express
            raise TransportFailed(FailureKind.CONNECT, f"could not be reached ({_reason(exc)})") from exc
        finally:
            self._connecting_count -= 1
        return connection

    # What connections report.

    def connection_opened(self) -> None:
        self._open_count += 1

    def connection_idle(self, connection: Connection) -> None:
        if self._closed or len(self._idle) >= IDLE_CONNECTIONS_MAX:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
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


def transport_to(provider: Provider) -> HttptoolsTransport:
    """Build the transport for a provider's `base_url`. Raises ValueError or OSError when it cannot work."""
    where = f"base_url of provider {provider.id!r}"
    timeouts, network = provider.timeouts, provider.network
    return _transport(provider.base_url, where, connect_ns=timeouts.connect_ns, ca_file=network.ca_file)


def transport_to_receiver(url: str) -> HttptoolsTransport:
    """Build the transport for a webhook's address. Raises ValueError or OSError when it cannot work."""
    return _transport(url, "the url of a webhook", connect_ns=RECEIVER_CONNECT_NS)


def _transport(url: str, where: str, *, connect_ns: int, ca_file: str | None = None) -> HttptoolsTransport:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{where} must begin with http:// or https:// and a host")
    tls = _tls_context(ca_file) if parts.scheme == "https" else None
    port = parts.port or (443 if tls is not None else 80)
    return HttptoolsTransport(host=parts.hostname, port=port, tls=tls, connect_ns=connect_ns)


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Verify against the system's authorities, or against those in `ca_file` alone."""
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _reason(exc: OSError | UnicodeError) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {exc.verify_message}"
    return str(getattr(exc, "strerror", None) or exc)[:200] or type(exc).__name__
