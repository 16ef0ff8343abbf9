"""Read one reply that litellm makes as events, within its time limits.

litellm's streams are generators that cannot be left in the middle and taken up again, so a task of their own reads
them ahead, as far as the buffer goes, and the reader takes what is there.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Protocol, cast

import msgspec

from router.adapters.upstreams.error_body import ErrorReader
from router.adapters.upstreams.litellm_exchange import Exchange
from router.adapters.upstreams.litellm_failure import failure_of
from router.adapters.upstreams.litellm_library import Acompletion
from router.adapters.upstreams.sse import EVENT_BYTES_MAX
from router.adapters.upstreams.watch import Watch, Watches, timeout_words
from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.stream import END_EVENT, Event, EventKind, ReplyMode
from router.ports.clock import Clock
from router.ports.upstream import UpstreamFailed

BUFFER_BYTES_MAX: Final = 256 * 1024
"""What is read ahead of a slow reader, and one event more."""
BREATH_EVENTS: Final = 16
"""After so many events at once, others of this process get the loop."""
LINGER_S_MAX: Final = 1.0
"""From an abort to the end of a call of litellm that did not notice that its connection is gone."""

_encode: Final = msgspec.json.Encoder().encode
Headers = Sequence[tuple[bytes, bytes]]
Members = dict[str, object]


class _Model(Protocol):
    """A reply or a chunk of litellm's."""

    def model_dump(self, *, mode: str, exclude_none: bool) -> Members: ...


class LitellmReply:
    """The `LiveStream` port over one call of `acompletion`."""

    __slots__ = (
        "_clock",
        "_dropped",
        "_ended",
        "_errors",
        "_events",
        "_exchange",
        "_failure",
        "_id",
        "_mode",
        "_nudged",
        "_reader",
        "_room",
        "_size",
        "_task",
        "_watch",
    )

    def __init__(
        self,
        ask: Acompletion,
        arguments: Members,
        *,
        exchange: Exchange,
        mode: ReplyMode,
        started_s: float,
        watches: Watches,
        total_ns: int,
        errors: ErrorReader,
        clock: Clock,
        dropped: Headers = (),
    ) -> None:
        """`dropped` are headers that say what litellm was not given."""
        self._exchange = exchange
        self._mode = mode
        self._errors = errors
        self._clock = clock
        self._dropped = dropped
        self._events: list[Event] = []
        self._size = 0
        self._id: object = None
        self._failure: Failure | None = None
        self._ended = False
        self._nudged = False
        self._reader: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._watch = Watch(watches, started_s=started_s, mode=mode, total_ns=total_ns, expired=self._expire)
        self._task = asyncio.get_running_loop().create_task(self._run(ask, arguments))

    @property
    def headers(self) -> Headers:
        return [*self._exchange.headers, *self._dropped]

    @property
    def task(self) -> "asyncio.Task[None]":
        """What reads litellm. It ends with the reply, or soon after an abort."""
        return self._task

    @property
    def is_left(self) -> bool:
        """It was broken off, and litellm may not have noticed yet."""
        return self._failure is not None and not self._task.done()

    async def read(self) -> list[Event]:
        self._nudged = False
        while True:
            if self._events:
                return self._hand_over()
            if self._failure is not None:
                raise UpstreamFailed(self._failure)
            if self._nudged:
                return []
            self._reader = asyncio.get_running_loop().create_future()
            self._watch.waiting = True
            try:
                await self._reader
            finally:
                self._reader = None
                self._watch.waiting = False

    async def each(self, take: Callable[[list[Event]], bool]) -> None:
        while take(await self.read()):
            pass

    def nudge(self) -> None:
        if self._reader is not None:
            self._nudged = True
            _wake(self._reader)

    def abort(self) -> None:
        self._break(self._errors.own(FailureKind.ABORTED, "was cut off by the router"))

    def _hand_over(self) -> list[Event]:
        events, self._events, self._size = self._events, [], 0
        self._ended = events[-1].kind in (EventKind.END, EventKind.COMPLETE)
        _wake(self._room)
        return events

    def _expire(self, kind: FailureKind, span_ns: int) -> None:
        self._break(self._errors.own(kind, timeout_words(kind, span_ns)))

    def _break(self, failure: Failure) -> None:
        """End with the first failure, and with the connection. After the last event was read this does nothing."""
        if self._ended or (self._failure is not None and not self._events):
            return
        self._failure = self._failure or failure
        self._events.clear()
        self._watch.stop()
        if not self._task.done():
            self._exchange.abort()
            # What is on the wire notices. Before that, litellm is in a thread, which nobody can cancel.
            asyncio.get_running_loop().call_later(LINGER_S_MAX, self._task.cancel)
        _wake(self._reader)
        _wake(self._room)

    async def _run(self, ask: Acompletion, arguments: Members) -> None:
        """Read litellm to its end. Never raises but when it is cancelled."""
        self._exchange.enter()
        try:
            answer = await ask(**arguments)
            if self._mode is ReplyMode.UNARY:
                self._add(Event(EventKind.COMPLETE, _encode(_complete(cast(_Model, answer)))))
            else:
                await self._run_stream(cast(AsyncIterator[_Model], answer))
            self._watch.stop()
        except asyncio.CancelledError:
            # By us after an abort, or by litellm itself, and then whoever reads must hear of it.
            self._fail(UpstreamFailed(self._errors.own(FailureKind.RESET, "was given up by litellm")))
            raise
        except Exception as exc:
            self._fail(exc)

    async def _run_stream(self, chunks: AsyncIterator[_Model]) -> None:
        count = 0
        async for chunk in chunks:
            members = self._chunk(chunk, chunks)
            if members is not None:
                self._watch.progressed()
                self._add(Event(EventKind.CHUNK, b"data: %b\n\n" % _encode(members)))
            count += 1
            if count % BREATH_EVENTS == 0 or self._size > BUFFER_BYTES_MAX:
                await self._pause()
            if self._failure is not None:
                return
        if not self._finished(chunks):
            raise UpstreamFailed(self._errors.own(FailureKind.CUT, "ended its stream without finishing its answer"))
        self._add(END_EVENT)

    async def _pause(self) -> None:
        """Wait for room, or if there is some, for the others' turn."""
        loop = asyncio.get_running_loop()
        self._room = loop.create_future()
        if self._failure is not None or self._size <= BUFFER_BYTES_MAX:
            loop.call_soon(_wake, self._room)
        await self._room

    def _chunk(self, chunk: _Model, source: object) -> Members | None:
        members = _tidy(chunk.model_dump(mode="json", exclude_none=True))
        # litellm makes up a finish and a usage where the provider sent none.
        if "usage" in members:
            if not _counted(source):
                return None
            members["choices"] = []
        elif not self._finished(source):
            for choice in cast(list[Members], members["choices"]):
                choice["finish_reason"] = None
        if self._id is None:
            self._id = members.get("id")
        members["id"] = self._id  # some of its providers get a new one with each chunk
        return members

    def _finished(self, source: object) -> bool:
        """The provider itself said why it stopped."""
        said = getattr(source, "received_finish_reason", None) or (
            self._exchange.finish_seen and getattr(source, "intermittent_finish_reason", None)
        )
        return bool(said)

    def _add(self, event: Event) -> None:
        if self._failure is None:
            if len(event.raw) > EVENT_BYTES_MAX and event.kind is EventKind.CHUNK:
                words = f"sent an event of more than {EVENT_BYTES_MAX} bytes"
                raise UpstreamFailed(self._errors.own(FailureKind.MALFORMED, words))
            self._events.append(event)
            self._size += len(event.raw)
            _wake(self._reader)

    def _fail(self, exc: Exception) -> None:
        """End with what litellm failed with, after the events that came before."""
        if self._failure is None:
            if isinstance(exc, UpstreamFailed):
                self._failure = exc.failure
            else:
                wall_ns = self._clock.wall_ns()
                self._failure = failure_of(exc, self._exchange, self._errors, mode=self._mode, wall_ns=wall_ns)
            self._exchange.abort()
            self._watch.stop()
            _wake(self._reader)


def _wake(waiter: "asyncio.Future[None] | None") -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def _tidy(members: Members) -> Members:
    """Bring what litellm makes to OpenAI's form: nulls where its clients look, and none of litellm's own remarks."""
    tidied = {name: value for name, value in members.items() if value != [] or name == "choices"}
    usage = tidied.get("usage")
    if isinstance(usage, dict):
        usage.pop("cost", None)  # by litellm's prices: ours are in the ledger
    for choice in cast(list[Members], tidied.setdefault("choices", [])):
        choice.setdefault("finish_reason", None)
    return tidied


def _complete(reply: _Model) -> Members:
    members = _tidy(reply.model_dump(mode="json", exclude_none=True))
    for choice in cast(list[Members], members["choices"]):
        message = cast(Members, choice.setdefault("message", {"role": "assistant"}))
        choice["message"] = {
            "content": None,
            **{name: value for name, value in message.items() if value != []},
        }
    return members


def _counted(source: object) -> bool:
    """The provider itself said what it used."""
    return any(getattr(chunk, "usage", None) is not None for chunk in getattr(source, "chunks", ()))
