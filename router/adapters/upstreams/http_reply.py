"""Read one HTTP reply of a provider as events, within its time limits."""

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from typing import Final, Protocol

from router.adapters.upstreams.error_body import ErrorReader
from router.adapters.upstreams.sse import Malformed, SseSplitter
from router.adapters.upstreams.watch import Watch, Watches, timeout_words
from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.stream import END_EVENT, Event, EventKind, ReplyMode
from router.ports.clock import Clock
from router.ports.transport import HttpReply, TransportFailed
from router.ports.upstream import UpstreamFailed

REPLY_BYTES_MAX: Final = 64 * 1024 * 1024
"""A reply that is not streamed."""
ERROR_BYTES_MAX: Final = 64 * 1024
"""What is read of an error's body; the rest is cut off."""
LINGER_S_MAX: Final = 1.0
"""From `[DONE]` to the end of the reply; a provider that takes longer loses its connection."""

_DATA: Final = b"data: "
_EVENT_STREAM: Final = b"text/event-stream"
_JSON: Final = b"application/json"
_PAGE: Final = b"text/html"
_PROGRESS: Final = (EventKind.CHUNK, EventKind.BYTES)
_ERROR_MEMBER: Final = b'"error"'
_OPENS, _CLOSES = b"{}"


class Shape(Enum):
    """What a good reply may be, besides that its provider says so in `content-type`."""

    JSON = "json"
    EVENTS = "events"
    JSON_OR_EVENTS = "json_or_events"
    ANY = "any"
    """JSON, events, or bytes of whatever kind, but no page."""


class _Body(Protocol):
    """How the body of a reply becomes events. Both raise `UpstreamFailed` when it turns out to be a failure."""

    failure: Failure | None
    """What ends the reply after the events already returned: nothing more need arrive for it to be true."""

    def feed(self, data: bytes) -> list[Event]: ...

    def finish(self) -> list[Event]: ...


class ProviderReply:
    """The `LiveStream` port over an `HttpReply`."""

    __slots__ = (
        "_body",
        "_clock",
        "_ended",
        "_errors",
        "_failure",
        "_named",
        "_nudged",
        "_reply",
        "_shape",
        "_watch",
        "headers",
    )

    def __init__(
        self,
        reply: HttpReply,
        *,
        mode: ReplyMode,
        named_events: bool = False,
        shape: Shape | None = None,
        started_s: float,
        watches: Watches,
        total_ns: int,
        errors: ErrorReader,
        clock: Clock,
    ) -> None:
        self._reply = reply
        self.headers: Sequence[tuple[bytes, bytes]] = ()
        self._shape = shape or (Shape.EVENTS if mode is ReplyMode.STREAM else Shape.JSON)
        self._named = named_events
        self._errors = errors
        self._clock = clock
        self._body: _Body | None = None
        self._failure: Failure | None = None
        self._ended = False
        self._nudged = False
        self._watch = Watch(watches, started_s=started_s, mode=mode, total_ns=total_ns, expired=self._expire)

    async def read(self) -> list[Event]:
        watch = self._watch
        while self._failure is None:
            watch.waiting = True
            try:
                events = self._take(await self._reply.read())
            except (TransportFailed, UpstreamFailed) as exc:
                self._fail(self._failure_in(exc))
                break
            finally:
                watch.waiting = False
            if events or self._nudged:
                self._nudged = False
                return events
        assert self._failure is not None
        raise UpstreamFailed(self._failure)

    async def each(self, take: Callable[[list[Event]], bool]) -> None:
        going = True

        def arrived(data: bytes) -> bool:
            nonlocal going
            events = self._take(data)
            if events or self._nudged:
                self._nudged = False
                going = take(events)
            return going and self._failure is None

        watch = self._watch
        if self._failure is None:
            watch.waiting = True
            try:
                await self._reply.each(arrived)
            except (TransportFailed, UpstreamFailed) as exc:
                self._fail(self._failure_in(exc))
            finally:
                watch.waiting = False
        if going:
            assert self._failure is not None, "only a failure ends what nobody stopped"
            raise UpstreamFailed(self._failure)

    def nudge(self) -> None:
        if self._watch.waiting:
            self._nudged = True
            self._reply.nudge()

    def abort(self) -> None:
        if not self._ended:  # nearly always it has, and then there is no failure to name
            self._fail(self._errors.own(FailureKind.ABORTED, "was cut off by the router"))

    def _take(self, data: bytes) -> list[Event]:
        if self._failure is not None:  # aborted as this arrived: whoever did that has counted what was read
            return []
        body = self._body
        if body is None:
            if not self._reply.status:
                return []
            body = self._body = self._choose_body()
        events = body.feed(data) if data else []
        if not events and self._reply.complete:
            events = body.finish()
        if events:
            last = events[-1].kind
            if last is EventKind.END or last is EventKind.COMPLETE:
                self._end()
            elif last is EventKind.CHUNK or any(event.kind in _PROGRESS for event in events):
                self._watch.progressed()
            if body.failure is not None:
                self._fail(body.failure)
        return events

    def _choose_body(self) -> _Body:
        """Decide by status and content type what kind of reply this is."""
        status, headers = self._reply.status, self._reply.headers
        self.headers = headers
        if not 200 <= status < 300:
            return _Collected(ERROR_BYTES_MAX, self._conclude_refusal)
        shape = self._shape
        if shape is Shape.JSON:
            return _Collected(REPLY_BYTES_MAX, partial(_conclude_whole, self._errors))
        usual = _EVENT_STREAM if shape is Shape.EVENTS else b""
        content_type = dict(headers).get(b"content-type", usual).lower()
        if content_type.startswith(_EVENT_STREAM):
            return _Stream(self._errors, named_events=self._named)
        if shape is Shape.ANY and not content_type.startswith((_JSON, _PAGE)):
            return _Passed()
        if shape is not Shape.EVENTS:
            return _Collected(REPLY_BYTES_MAX, partial(_conclude_whole, self._errors))
        return _Collected(ERROR_BYTES_MAX, partial(_conclude_not_a_stream, self._errors))

    def _conclude_refusal(self, body: bytes) -> Failure:
        reply = self._reply
        return self._errors.from_status(reply.status, reply.headers, body[:ERROR_BYTES_MAX], self._clock.wall_ns())

    def _expire(self, kind: FailureKind, span_ns: int) -> None:
        if self._reply.complete:  # the provider is done, and only our reader is late
            self._watch.stop()
        else:
            self._fail(self._broken(kind, timeout_words(kind, span_ns)))

    def _failure_in(self, exc: TransportFailed | UpstreamFailed) -> Failure:
        return exc.failure if isinstance(exc, UpstreamFailed) else self._broken(exc.kind, str(exc))

    def _broken(self, kind: FailureKind, words: str) -> Failure:
        """Name a failure of the connection; an error status that came before it says more."""
        status = self._reply.status
        if status and not 200 <= status < 300:
            try:
                (self._body or self._choose_body()).finish()
            except UpstreamFailed as exc:
                return exc.failure
        return self._errors.own(kind, words)

    def _fail(self, failure: Failure) -> None:
        """End with the first failure. After the last event this does nothing: the reply was good."""
        if self._failure is None and not self._ended:
            self._failure = failure
            self.headers = self._reply.headers
            self._watch.stop()
            self._reply.abort()

    def _end(self) -> None:
        self._ended = True
        self._watch.stop()
        if not self._reply.complete:
            asyncio.get_running_loop().call_later(LINGER_S_MAX, self._reply.abort)


class StoredAnswer(ProviderReply):
    """A whole answer that is not a reply of a model, but may tell of one: an `error` in it is what it tells."""

    __slots__ = ()

    def _choose_body(self) -> "_Body":
        if not 200 <= self._reply.status < 300:
            return super()._choose_body()
        return _Collected(REPLY_BYTES_MAX, partial(_conclude_object, self._errors))


class _Stream:
    """Events as they come. An error event is a failure, not an event."""

    __slots__ = ("_errors", "_splitter", "failure")

    def __init__(self, errors: ErrorReader, *, named_events: bool) -> None:
        self._errors = errors
        self._splitter = SseSplitter(named_events=named_events)
        self.failure: Failure | None = None

    def feed(self, data: bytes) -> list[Event]:
        try:
            events = self._splitter.feed(data)
        except Malformed as exc:
            raise UpstreamFailed(self._errors.own(FailureKind.MALFORMED, str(exc))) from exc
        for index, event in enumerate(events):
            if _ERROR_MEMBER in event.raw:
                self.failure = self._errors.from_success(event.raw[event.raw.find(_DATA) + len(_DATA) :])
                if self.failure is not None:
                    events = events[:index]
                    break
        if self._splitter.trouble is not None and self.failure is None:
            self.failure = self._errors.own(FailureKind.MALFORMED, self._splitter.trouble)
        if self.failure is not None and not events:
            raise UpstreamFailed(self.failure)
        return events

    def finish(self) -> list[Event]:
        try:
            self._splitter.check()
        except Malformed as exc:
            raise UpstreamFailed(self._errors.own(FailureKind.MALFORMED, str(exc))) from exc
        return [END_EVENT]


class _Passed:
    """Bytes as they come."""

    __slots__ = ()
    failure: Failure | None = None

    def feed(self, data: bytes) -> list[Event]:
        return [Event(EventKind.BYTES, data)]

    def finish(self) -> list[Event]:
        return [END_EVENT]


class _Collected:
    """A body that means something only as a whole, or as much of it as is bounded; `conclude` says what."""

    __slots__ = ("_bytes_max", "_conclude", "_parts", "_size", "failure")

    def __init__(self, bytes_max: int, conclude: Callable[[bytes], Event | Failure]) -> None:
        self._bytes_max = bytes_max
        self._conclude = conclude
        self._parts: list[bytes] = []
        self._size = 0
        self.failure: Failure | None = None

    def feed(self, data: bytes) -> list[Event]:
        self._parts.append(data)
        self._size += len(data)
        return self.finish() if self._size > self._bytes_max else []

    def finish(self) -> list[Event]:
        conclusion = self._conclude(self._parts[0] if len(self._parts) == 1 else b"".join(self._parts))
        if isinstance(conclusion, Failure):
            raise UpstreamFailed(conclusion)
        return [conclusion]


def _conclude_whole(errors: ErrorReader, body: bytes) -> Event | Failure:
    found = _conclude_object(errors, body)
    if isinstance(found, Event) and _ERROR_MEMBER in body:
        return errors.from_success(body.strip()) or found
    return found


def _conclude_object(errors: ErrorReader, body: bytes) -> Event | Failure:
    if len(body) > REPLY_BYTES_MAX:
        return errors.own(FailureKind.MALFORMED, f"answered with more than {REPLY_BYTES_MAX} bytes")
    text = body.strip()
    if not text:
        return errors.own(FailureKind.EMPTY, "answered with an empty body")
    if text[0] != _OPENS or text[-1] != _CLOSES:  # a page of some proxy, or a reply that ended with its connection
        return errors.own(FailureKind.MALFORMED, "did not answer with a whole JSON object")
    return Event(EventKind.COMPLETE, body)


def _conclude_not_a_stream(errors: ErrorReader, body: bytes) -> Event | Failure:
    failure = errors.from_success(body[:ERROR_BYTES_MAX])
    return failure or errors.own(FailureKind.MALFORMED, "was asked for a stream and answered with something else")
