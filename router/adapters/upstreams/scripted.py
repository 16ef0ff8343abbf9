"""The `scripted` provider: deterministic answers at a chosen pace, without a network."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from router.adapters.upstreams.error_body import ErrorReader
from router.adapters.upstreams.script_dialects import Answer, answer_to
from router.adapters.upstreams.watch import Watch, Watches, timeout_words
from router.domain.catalog import Provider, Script
from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.instants import NS_PER_S
from router.domain.stream import END_EVENT, Event, EventKind, ReplyMode
from router.ports.upstream import UpstreamFailed, UpstreamRequest

BATCH_STEPS_MAX: Final = 64
"""Tokens handed out in one read, however far the pace is ahead of the reader."""

_PARTS_PER_ONE: Final = 1_000_000


class ScriptedUpstream:
    """One provider of kind `scripted`."""

    def __init__(self, provider: Provider) -> None:
        self._script = provider.script or Script()
        self._watches = Watches(provider.timeouts)
        self._words = ErrorReader(provider.id, ())
        self._error_parts = round(self._script.error_rate * _PARTS_PER_ONE)
        self._opened = 0

    async def open(self, request: UpstreamRequest) -> "ScriptedReply":
        """Never waits and never fails: errors are the reply's."""
        self._opened += 1
        answer = self._answer(request)
        timeouts = self._watches.timeouts
        total_ns = min(timeouts.total_ns, request.total_ns or timeouts.total_ns)
        return ScriptedReply(
            answer,
            mode=request.mode,
            script=self._script,
            watches=self._watches,
            total_ns=total_ns,
            words=self._words,
        )

    async def close(self) -> None:
        """Nothing is held open."""

    def _answer(self, request: UpstreamRequest) -> Answer | Failure:
        status = self._script.error_status
        # The n-th request fails when the errors due by then, n times the rate, reach another whole one.
        due = self._opened * self._error_parts // _PARTS_PER_ONE
        if due > (self._opened - 1) * self._error_parts // _PARTS_PER_ONE:
            return Failure(kind=FailureKind.STATUS, status=status, message=f"The script answers with status {status}.")
        try:
            return answer_to(request.dialect, request.body, self._script)
        except ValueError as exc:
            return Failure(kind=FailureKind.STATUS, status=400, type="invalid_request_error", message=str(exc))


class ScriptedReply:
    """The `LiveStream` port over an `Answer`, or over the failure that the script holds instead."""

    __slots__ = (
        "_answer",
        "_breathless",
        "_ended",
        "_failure",
        "_mode",
        "_nudged",
        "_script",
        "_started_s",
        "_step",
        "_steps",
        "_waiter",
        "_watch",
        "_words",
    )

    headers: Sequence[tuple[bytes, bytes]] = ()

    def __init__(
        self,
        answer: Answer | Failure,
        *,
        mode: ReplyMode,
        script: Script,
        watches: Watches,
        total_ns: int,
        words: ErrorReader,
    ) -> None:
        self._answer = answer
        self._mode = mode
        self._script = script
        self._words = words
        self._started_s = asyncio.get_running_loop().time()
        self._steps = iter(()) if isinstance(answer, Failure) else answer.steps()
        self._step = 0
        self._failure: Failure | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._nudged = False
        self._breathless = False
        self._ended = False
        self._watch = Watch(watches, started_s=self._started_s, mode=mode, total_ns=total_ns, expired=self._expire)

    async def read(self) -> list[Event]:
        loop = asyncio.get_running_loop()
        self._nudged = False
        while self._failure is None:
            due_s = self._due_s()
            if loop.time() >= due_s and not self._breathless:
                return self._take(loop.time())
            if self._nudged:
                return []
            self._breathless = False
            await self._wait_until(due_s)
        raise UpstreamFailed(self._failure)

    async def each(self, take: Callable[[list[Event]], bool]) -> None:
        while take(await self.read()):
            pass

    def nudge(self) -> None:
        if self._waiter is not None:
            self._nudged = True
            self._wake()

    def abort(self) -> None:
        self._fail(self._words.own(FailureKind.ABORTED, "was cut off by the router"))

    def _due_s(self) -> float:
        """When the next step is due: the opening one with the first token, the closing one with the last."""
        if isinstance(self._answer, Failure):
            return self._started_s
        tokens = self._answer.tokens
        step = tokens if self._mode is ReplyMode.UNARY else min(self._step, tokens)
        pace = self._script.tokens_per_s
        waited_s = max(step - 1, 0) / pace if pace > 0 else 0.0
        return self._started_s + self._script.first_token_ns / NS_PER_S + waited_s

    def _take(self, now_s: float) -> list[Event]:
        answer, cut = self._answer, self._script.cut_after_tokens
        if isinstance(answer, Failure):
            self._fail(answer)
            raise UpstreamFailed(answer)
        if self._mode is ReplyMode.UNARY:
            if cut is not None:
                failure = self._words.own(FailureKind.CUT, "ended its reply before it was complete, as scripted")
                self._fail(failure)
                raise UpstreamFailed(failure)
            self._end()
            return [Event(EventKind.COMPLETE, answer.whole())]
        events: list[Event] = []
        steps_end = self._step + BATCH_STEPS_MAX
        while self._step < steps_end and self._due_s() <= now_s:
            if self._step > answer.tokens + 1 or (cut is not None and self._step > cut):
                self._end()
                return [*events, END_EVENT]
            events += [Event(EventKind.CHUNK, raw) for raw in next(self._steps)]
            self._step += 1
        self._breathless = self._step == steps_end  # others of this process also want the loop
        self._watch.progressed()
        return events

    async def _wait_until(self, due_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_at(due_s, self._wake)
        self._watch.waiting = True
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None
            self._watch.waiting = False

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _expire(self, kind: FailureKind, span_ns: int) -> None:
        self._fail(self._words.own(kind, timeout_words(kind, span_ns)))

    def _fail(self, failure: Failure) -> None:
        """End with the first failure. After the last event this does nothing: the reply was good."""
        if self._failure is None and not self._ended:
            self._failure = failure
            self._watch.stop()
            self._wake()

    def _end(self) -> None:
        self._ended = True
        self._watch.stop()
