"""Ask an HTTP proxy for a tunnel to another host, before anything that the proxy must not see is sent."""

import asyncio
import base64
import re
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import unquote, urlsplit

from router.domain.secret import Secret

TUNNEL_HEAD_BYTES_MAX: Final = 16 * 1024
"""Of the proxy's answer; nothing may follow its head."""

_PORT: Final = 80
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([2-5]\d\d)[ \r]")
_HOST: Final = re.compile(r"[A-Za-z0-9._:-]+")


class TunnelRefused(Exception):
    """The proxy opened no tunnel. `str()` continues a sentence that begins with the provider's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    host: str
    port: int
    credentials: Secret | None = None
    """The value of `proxy-authorization`."""


def read_proxy(url: str) -> Proxy:
    """Read `http://user:password@host:port`. Raises ValueError, whose text repeats nothing of it."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORT
    except ValueError:
        parts, port = urlsplit(""), _PORT
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise ValueError("a proxy is written as http://host:port, with user:password@ before the host if it asks")
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    pair = f"{unquote(user)}:{unquote(password)}".encode()
    basic = Secret(f"Basic {base64.b64encode(pair).decode()}") if user else None
    return Proxy(host=parts.hostname, port=port, credentials=basic)


class Tunnel(asyncio.Protocol):
    """The conversation with the proxy; `opened` ends it, and the connection is somebody else's then."""

    def __init__(self, proxy: Proxy, host: str, port: int) -> None:
        """Raises ValueError for a host that cannot be asked for."""
        if not _HOST.fullmatch(host):
            raise ValueError("the host has characters that a proxy cannot be asked for")
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {authority} HTTP/1.1", f"host: {authority}"]
        if proxy.credentials is not None:
            lines.append(f"proxy-authorization: {proxy.credentials.reveal()}")
        self._asking = "\r\n".join([*lines, "", ""]).encode()
        self._head = b""
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def opened(self) -> None:
        """Wait until the proxy has opened the tunnel. Raises `TunnelRefused`."""
        await self._opened

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.WriteTransport, transport).write(self._asking)

    def data_received(self, data: bytes) -> None:
        if self._opened.done():
            return
        self._head += data
        head, blank, rest = self._head.partition(b"\r\n\r\n")
        if not blank and len(self._head) <= TUNNEL_HEAD_BYTES_MAX:
            return
        status = _STATUS.match(head + b"\r") if blank else None
        if status is None:
            self._refuse("was not reached: its proxy did not answer as a proxy does")
        elif not status[1].startswith(b"2"):
            self._refuse(f"was not reached: its proxy answered with status {status[1].decode()}")
        elif rest:  # whoever sent this, it is not the provider, which has not been asked yet
            self._refuse("was not reached: its proxy sent more than the head of an answer")
        else:
            self._opened.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._refuse("was not reached: its proxy closed the connection")

    def _refuse(self, message: str) -> None:
        if not self._opened.done():
            self._opened.set_exception(TunnelRefused(message))
            self._opened.exception()  # seen: whoever gave up meanwhile will not ask
