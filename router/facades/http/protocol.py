"""Make uvicorn's connection tell when its peer is gone, and bound what a peer may cost: bytes, pauses, a slow reader.

Everything else is uvicorn's. An ASGI application reaches its connection through
`connection_of(scope)`; under another server there is none, and callers fall back to what ASGI offers.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from httptools import HttpParserError, HttpParserUpgrade
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from router.domain.faults import Fault, Refusal
from router.facades.http.asgi import Scope
from router.facades.http.errors import TOO_LARGE, TOO_SLOW, error_body, error_headers
from router.facades.http.exchange import Exchange, HotRoutes
from router.facades.http.limits import HttpLimits
from router.facades.http.peer import is_local

_EXTENSION: Final = "checkrein.connection"

_INVALID: Final = Refusal(fault=Fault.INVALID_REQUEST, message="This is not a valid HTTP/1.1 request.")


def connection_of(scope: Scope) -> "FrontProtocol | None":
    """Return the connection that a request came over; None under another server."""
    found = scope.get("extensions", {}).get(_EXTENSION)
    return found if isinstance(found, FrontProtocol) else None


class RequestStopped(Exception):
    """Raised inside the parser to stop it."""


class FrontProtocol(HttpToolsProtocol):
    """One connection of the HTTP listener."""

    def __init__(  # type: ignore[explicit-any] # uvicorn's own signature
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: HttpLimits,
        hot: HotRoutes | None = None,
    ) -> None:
        """`hot`: None where replies must pass a middleware, as with CORS."""
        super().__init__(config, server_state, app_state, _loop)
        self.peer_is_local = False
        self._hot = hot
        self._hot_targets = frozenset[bytes]() if hot is None else hot.targets
        self._deferred = False
        """A hot request whose head is read: if the rest of it comes in the same segment, ASGI will not hear of it."""
        self._head: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self.on_gone: Callable[[], None] | None = None
        """Called once, at the moment the peer is gone, while a request is being served."""
        self._limits = limits
        self._extensions: dict[str, object] = {_EXTENSION: self}
        self._header_bytes = 0
        self._in_lines = False
        """What is being read is a head or trailers, not a body."""
        self._line_bytes = 0
        self._unread_bytes = 0
        self._declined = False
        """The request that is being read offers another protocol: it will be read again without the offer."""
        self._arriving = False
        self._arrival_began = 0.0
        self._arrival_timer: asyncio.TimerHandle | None = None
        self._progress = 0.0
        self._idle_since: float | None = None
        """None while a request is arriving or being answered."""
        self._idle_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._unsent_bytes = 0
        self._serving: RequestResponseCycle

    @property
    def serving(self) -> RequestResponseCycle:
        """The request whose application is being started: of several on one connection the others still wait."""
        return self._serving

    @property
    def is_gone(self) -> bool:
        return self.transport.is_closing()

    # -- what arrives ------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._arriving:
            self._progress = self.loop.time()
            self._drop_unread(len(data))
            if self._in_lines:
                self._line_bytes += len(data)
        self._idle_since = None
        try:
            self._parse(data)
        except HttpParserError:
            self._answer_raw(TOO_LARGE if self._header_bytes > self._limits.max_headers else _INVALID)
        if self._deferred:
            self._take_the_long_way()
        # A line that does not end never reaches `on_header`: the parser would keep it all.
        if self._in_lines and self._line_bytes > self._limits.max_headers:
            self._answer_raw(TOO_LARGE)
        # A request that came whole, as nearly all do, costs no timer.
        if self._arriving and self._arrival_timer is None and not self.transport.is_closing():
            self._arrival_began = self._progress = self.loop.time()
            self._arm_arrival()

    def _parse(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
                return
            except HttpParserUpgrade as offer:
                self._declined = False
                data = self._without_offer() + data[offer.args[0] :]

    def _without_offer(self) -> bytes:
        """Write the head that was just read again, without its offer of another protocol, which we decline.

        The parser skips the body of a request with an offer, and would take it for a request of its own. Java's client
        offers h2c with the first request of every connection.
        """
        version = self.parser.get_http_version().encode()
        first = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version)
        fields = b"".join([b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"])
        return first + fields + b"\r\n"

    def on_message_begin(self) -> None:
        # As uvicorn does, but for the scope, which is made in `_begin_scope`.
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.scope = None  # type: ignore[assignment] # uvicorn's own first value
        self._header_bytes = self._line_bytes = self._unread_bytes = 0
        self._arriving = self._in_lines = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > self._limits.max_headers:  # counts trailers too
            raise RequestStopped
        # uvicorn's own three lines, not its method: a second Python call a header is 2 µs a request.
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_url(self, url: bytes) -> None:
        self._header_bytes += len(url)
        if self._header_bytes > self._limits.max_headers:
            raise RequestStopped
        self.url += url

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise RequestStopped  # its offer is not a header that can be left out
            self._declined = True
            return
        before: RequestResponseCycle | None = self.cycle
        may_come_whole = not self.expect_100_continue and (before is None or before.response_complete)
        if self.url in self._hot_targets and may_come_whole and self.parser.get_method() == b"POST":
            self._deferred = True
            self._head, self.headers = self.headers, []
            self._parts = []
        else:
            self._begin_scope(self.headers)
            super().on_headers_complete()
            # Trailers are read after this: they are no headers of this request.
            self.headers = []
        self._in_lines = False

    def _begin_scope(self, headers: list[tuple[bytes, bytes]]) -> None:
        url, expect_100_continue = self.url, self.expect_100_continue
        super().on_message_begin()
        self.url = url
        self.headers += headers
        self.expect_100_continue = expect_100_continue
        self.scope["extensions"] = self._extensions  # type: ignore[typeddict-item] # ASGI lets a server add its own

    def _take_the_long_way(self) -> None:
        """Hand a request that did not come whole to ASGI, with what has come of it."""
        self._deferred = False
        parts, self._parts = self._parts, []
        if self.transport.is_closing():
            return
        self._begin_scope(self._head)
        super().on_headers_complete()
        self.headers = []
        for part in parts:
            super().on_body(part)

    def _answer_whole(self, hot: HotRoutes) -> None:
        self._deferred = False
        parts, self._parts = self._parts, []
        version = self.parser.get_http_version()
        self.cycle = exchange = Exchange(  # type: ignore[assignment] # it has what uvicorn wants of its own
            self,
            target=self.url,
            headers=self._head,
            body=parts[0] if len(parts) == 1 else b"".join(parts),
            http_version=version,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            flow=self.flow,
            default_headers=self.server_state.default_headers,
            on_response=self.on_response_complete,
        )
        exchange.task = self.loop.create_task(hot.answer(exchange))

    def on_chunk_header(self) -> None:
        """A chunk of no bytes is followed by trailers; `on_body` tells that this one has some."""
        self._in_lines = True
        self._line_bytes = 0

    def on_body(self, body: bytes) -> None:
        self._in_lines = False
        if self._deferred:
            self._parts.append(body)
        else:
            super().on_body(body)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._serving = cycle
        super()._start_asgi_task(cycle, app)

    def on_message_complete(self) -> None:
        if self._declined:
            return
        if self._deferred:
            assert self._hot is not None, "it has the target"
            self._answer_whole(self._hot)
        else:
            super().on_message_complete()
        self._arriving = self._in_lines = False
        if self._arrival_timer is not None:
            self._arrival_timer.cancel()
            self._arrival_timer = None

    def _drop_unread(self, size: int) -> None:
        """Let go of a peer that keeps sending a body long after it was answered."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.response_complete and cycle.scope is self.scope:
            self._unread_bytes += size
            if self._unread_bytes > self._limits.max_body:
                self.transport.abort()

    def _arm_arrival(self) -> None:
        pause = self._progress + self._limits.read_timeout_ns / 1e9
        whole = self._arrival_began + self._limits.body_timeout_ns / 1e9
        self._arrival_timer = self.loop.call_at(min(pause, whole), self._arrival_overdue)

    def _arrival_overdue(self) -> None:
        self._arrival_timer = None
        now = self.loop.time()
        if self.flow.read_paused:  # it is we who do not take what comes: a provider is slow to take it from us
            self._progress = now
            self._arrival_timer = self.loop.call_at(now + self._limits.read_timeout_ns / 1e9, self._arrival_overdue)
            return
        paused = now - self._progress >= self._limits.read_timeout_ns / 1e9
        if paused or now - self._arrival_began >= self._limits.body_timeout_ns / 1e9:
            self._answer_raw(TOO_SLOW)
        else:
            self._arm_arrival()

    def _answer_raw(self, refusal: Refusal) -> None:
        """Answer beside the application, unless it has begun to answer itself, and close."""
        if self.transport.is_closing():
            return
        cycle: RequestResponseCycle | None = self.cycle
        answered = cycle is not None and cycle.response_complete and cycle.scope is self.scope and self._arriving
        if cycle is None or not cycle.response_started or (cycle.response_complete and not answered):
            body = error_body(refusal)
            phrase = HTTPStatus(refusal.status).phrase.encode()
            head = b"HTTP/1.1 %d %b\r\nconnection: close\r\ncontent-length: %d\r\n" % (
                refusal.status,
                phrase,
                len(body),
            )
            fields = b"".join([b"%b: %b\r\n" % field for field in error_headers(refusal)])
            self.transport.write(head + fields + b"\r\n" + body)
        self.transport.close()

    # -- what leaves -------------------------------------------------------------------------------------------

    def write_soon(self, data: bytes) -> None:
        """Write at the end of the loop's turn, in order with other such writes and with `close_soon`."""
        self.loop.call_soon(self._write, data)

    def close_soon(self) -> None:
        self.loop.call_soon(self.transport.close)

    def shutdown(self) -> None:
        """End after this request, or at once when there is none; but never before what `write_soon` was given."""
        self.loop.call_soon(super().shutdown)

    def _write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unset_stall_timer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type] # a stream's transport is an asyncio.Transport
        self.peer_is_local = is_local({"client": self.client})
        # uvicorn waits for ever for the first byte of a connection; like any other pause it has an end.
        self._idle_since = self.loop.time()
        self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._close_if_idle)

    def on_response_complete(self) -> None:
        """Go on with the connection, as uvicorn does, but without a timer for each pause between two requests."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_since = self.loop.time()

    def _close_if_idle(self) -> None:
        """One timer a connection, however many requests it carries: it looks whether the pause was long enough."""
        now = self.loop.time()
        since = now if self._idle_since is None else self._idle_since
        if now - since >= self.timeout_keep_alive:
            self.timeout_keep_alive_handler()
        else:
            self._idle_timer = self.loop.call_at(since + self.timeout_keep_alive, self._close_if_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unset_stall_timer()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        if self._arrival_timer is not None:
            self._arrival_timer.cancel()
            self._arrival_timer = None
        super().connection_lost(exc)
        if self.on_gone is not None:
            gone, self.on_gone = self.on_gone, None
            gone()

    def _await_reader(self) -> None:
        """Look again in a while. Nothing is written meanwhile, so what is unsent only shrinks if the reader reads."""
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self._stall_timer = self.loop.call_later(self._limits.write_timeout_ns / 1e9, self._reader_overdue)

    def _reader_overdue(self) -> None:
        if self.transport.get_write_buffer_size() < self._unsent_bytes:
            self._await_reader()
        else:
            self.transport.abort()

    def _unset_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
