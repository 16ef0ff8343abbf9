"""Own what goes between litellm and its provider during one call: the connection, and what the wire really said."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Final

from router.adapters.upstreams.http_reply import ERROR_BYTES_MAX, LINGER_S_MAX, REPLY_BYTES_MAX
from router.domain.dispatch.failure import FailureKind
from router.ports.transport import HttpReply, HttpRequest, Transport, TransportFailed

ORIGINS_MAX: Final = 8
"""Hosts of one provider that connections are kept to; litellm derives them from the operator's settings."""
REQUESTS_MAX: Final = 8
"""Of one call: a token is fetched first at some providers. litellm asks no provider twice."""

_FINISH: Final = re.compile(rb'"(?:finish_?[rR]eason|blockReason)"\s*:\s*"')
"""In JSON these quotes cannot be part of a text. Gemini says the second of a prompt that it will not answer."""
_FINISH_BYTES_MAX: Final = 64
_DONE: Final = re.compile(rb"(?:\A|\n)data: ?\[DONE\]\s*\Z")
"""What ends a stream of OpenAI's kind; some providers keep the connection open behind it."""

_exchange: ContextVar["Exchange"] = ContextVar("litellm_exchange")

Fields = Sequence[tuple[bytes, bytes]]


def current_exchange() -> "Exchange":
    return _exchange.get()


class WireFailed(Exception):
    """The exchange is broken; its `failure` says how. None of the exceptions after which litellm asks again."""


class Origins:
    """Our transports to one provider, one for each host that litellm names."""

    def __init__(self, connect: Callable[[str], Transport]) -> None:
        self._connect = connect
        self._transports: dict[str, Transport] = {}

    def to(self, origin: str) -> Transport:
        """Raises `ValueError` or `OSError` when there is no way there."""
        transport = self._transports.get(origin)
        if transport is None:
            if len(self._transports) >= ORIGINS_MAX:
                raise ValueError(f"more than {ORIGINS_MAX} hosts")
            transport = self._transports[origin] = self._connect(origin)
        return transport

    async def close(self) -> None:
        for transport in self._transports.values():
            await transport.close()


class Exchange:
    """The requests of one call. `status` and `headers` are the last reply's: 0 and none until there is one."""

    __slots__ = (
        "_done",
        "_early",
        "_extra",
        "_left",
        "_origins",
        "_reply",
        "_size",
        "_tail",
        "aborted",
        "failure",
        "finish_seen",
        "refusal",
        "sent",
    )

    def __init__(self, origins: Origins, extra: Mapping[bytes, bytes]) -> None:
        """`extra` are headers that replace litellm's of the same name."""
        self._origins = origins
        self._extra = extra
        self._reply: HttpReply | None = None
        self._left = REQUESTS_MAX
        self._done = False
        self._early = b""
        self._tail = b""
        self._size = 0
        self.aborted = False
        self.finish_seen = False
        """The reply says why it ended, in JSON. litellm says `stop` for Gemini whether or not it does."""
        self.sent = False
        """A request was written: the provider may have it, and may bill it."""
        self.refusal = b""
        """The body of a reply whose status is no success, as much as is read of it."""
        self.failure: tuple[FailureKind, str] | None = None
        """How the connection failed. The words continue a sentence that begins with the provider's name."""

    @property
    def status(self) -> int:
        return self._reply.status if self._reply is not None else 0

    @property
    def headers(self) -> Fields:
        return self._reply.headers if self._reply is not None else ()

    def enter(self) -> None:
        """Let all that this task asks litellm for go this way."""
        _exchange.set(self)

    def abort(self) -> None:
        """Close the connection at once; what litellm still sends is refused."""
        self.aborted = True
        if self._reply is not None:
            self._reply.abort()

    async def send(self, *, method: str, origin: str, target: bytes, fields: Fields, body: bytes) -> HttpReply:
        """Write a request and wait for the head of its reply, and for the body of a refusal. Raises `WireFailed`."""
        self._check_wanted()
        self._left -= 1
        if method != "POST" or self._left < 0:
            raise self._broken(FailureKind.CONNECT, f"was to be asked by {method}, which the router does not do")
        lines = {**dict(fields), b"accept-encoding": b"identity", **self._extra}
        head = b"".join([b"%b: %b\r\n" % pair for pair in lines.items()])
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
            raise self._broken(FailureKind.CONNECT, "was to be sent a header with a line break in it")
        self._reply = None
        try:
            transport = self._origins.to(origin)
            reply = await transport.send(HttpRequest(target=target, head=head, body=body))
        except TransportFailed as exc:
            raise self._broken(exc.kind, str(exc)) from exc
        except (ValueError, OSError) as exc:
            raise self._broken(FailureKind.CONNECT, "cannot be reached: its address is not usable") from exc
        self._reply = reply
        self.sent = True
        self._check_wanted()
        await self._read_head(reply)
        return reply

    async def read(self, reply: HttpReply) -> bytes:
        """Wait for bytes of the body; empty at its end, or where a stream says that it is done. Raises `WireFailed`."""
        if self._done:
            if not reply.complete:
                asyncio.get_running_loop().call_later(LINGER_S_MAX, reply.abort)
            return b""
        data, self._early = self._early, b""
        try:
            while not (data or reply.complete):
                data = await reply.read()
            data = data or await reply.read()  # what arrived with the end; nothing after it
        except TransportFailed as exc:
            raise self._broken(exc.kind, str(exc)) from exc
        self._size += len(data)
        if self._size > REPLY_BYTES_MAX:
            raise self._broken(FailureKind.MALFORMED, f"answered with more than {REPLY_BYTES_MAX} bytes")
        seen = self._tail + data
        self.finish_seen = self.finish_seen or _FINISH.search(seen) is not None
        self._done = _DONE.search(seen, max(0, len(seen) - _FINISH_BYTES_MAX)) is not None
        self._tail = seen[-_FINISH_BYTES_MAX:]
        return data

    async def _read_head(self, reply: HttpReply) -> None:
        self._early = self._tail = b""
        self._done = False
        self._size = 0
        try:
            while not reply.status:
                self._early = await reply.read()
        except TransportFailed as exc:
            raise self._broken(exc.kind, str(exc)) from exc
        if not 200 <= reply.status < 300:
            self.refusal = await self._read_refusal(reply)

    async def _read_refusal(self, reply: HttpReply) -> bytes:
        """Read what a refusal says. If its connection breaks meanwhile, the status still says why."""
        parts = [self._early]
        size = len(self._early)
        try:
            while size <= ERROR_BYTES_MAX and not reply.complete:
                parts.append(await reply.read())
                size += len(parts[-1])
            parts.append(await reply.read() if reply.complete else b"")
        except TransportFailed:
            pass
        reply.abort()  # nothing happens if it is complete
        return b"".join(parts)[:ERROR_BYTES_MAX]

    def _check_wanted(self) -> None:
        if self.aborted:
            raise self._broken(FailureKind.ABORTED, "was cut off by the router")

    def _broken(self, kind: FailureKind, words: str) -> WireFailed:
        if self.failure is None:
            self.failure = (kind, words)
        if self._reply is not None:
            self._reply.abort()
        return WireFailed(words)
