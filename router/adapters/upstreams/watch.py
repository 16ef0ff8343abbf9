"""Measure how long a provider has been silent, for all of its replies with one timer."""

import asyncio
import math
from collections.abc import Callable
from typing import Final

from router.domain.catalog import Timeouts
from router.domain.dispatch.failure import FailureKind
from router.domain.instants import NS_PER_S, format_duration
from router.domain.stream import ReplyMode

_SENTENCES: Final = {
    FailureKind.FIRST_EVENT_TIMEOUT: "did not begin its answer within {}",
    FailureKind.IDLE_TIMEOUT: "sent nothing more for {}",
    FailureKind.TOTAL_TIMEOUT: "did not finish its answer within {}",
}


def timeout_words(kind: FailureKind, span_ns: int) -> str:
    """Continue a sentence that begins with the provider's name."""
    return _SENTENCES[kind].format(format_duration(span_ns))


class Watch:
    """The time limits of one reply. `expired(kind, span_ns)` is called at most once.

    Silence counts only while somebody waits for the provider: a reader that is slow itself proves nothing.
    """

    __slots__ = (
        "_expired",
        "_last_s",
        "_silence",
        "_silence_ns",
        "_time",
        "_total_ns",
        "_total_s",
        "_watches",
        "waiting",
    )

    def __init__(
        self,
        watches: "Watches",
        *,
        started_s: float,
        mode: ReplyMode,
        total_ns: int,
        expired: Callable[[FailureKind, int], None],
    ) -> None:
        """`started_s` is the loop's time when the attempt began; the silence before the first event begins now."""
        self.waiting = False
        self._watches = watches
        self._expired: Callable[[FailureKind, int], None] | None = expired
        self._total_ns = total_ns
        self._total_s = started_s + total_ns / NS_PER_S
        self._time = watches.time()
        self._last_s = self._time()
        self._silence = FailureKind.FIRST_EVENT_TIMEOUT
        self._silence_ns = watches.timeouts.stream_first_event_ns if mode is ReplyMode.STREAM else total_ns
        watches.add(self, self.due_s)

    @property
    def due_s(self) -> float:
        return min(self._total_s, self._last_s + self._silence_ns / NS_PER_S)

    def progressed(self) -> None:
        """An event arrived that is not a comment."""
        self._last_s = self._time()
        if self._silence is FailureKind.FIRST_EVENT_TIMEOUT:
            self._silence = FailureKind.IDLE_TIMEOUT
            self._silence_ns = self._watches.timeouts.stream_idle_ns
            self._watches.hasten(self.due_s)  # this limit may be shorter than the one before

    def stop(self) -> None:
        self._watches.live.discard(self)
        self._expired = None  # it holds the reply, which holds us

    def check(self, now_s: float) -> None:
        """Expire if it is time, or excuse a silence that nobody waited through."""
        assert self._expired is not None
        if now_s >= self._total_s:
            self._expired(FailureKind.TOTAL_TIMEOUT, self._total_ns)
        elif self.waiting:
            self._expired(self._silence, self._silence_ns)
        else:
            self._last_s = now_s


class Watches:
    """The replies of one provider that are on their way, under one timer.

    The timer is set to the earliest limit and moves only when it fires, or when an earlier one appears. A timer a
    reply would cost 3 µs, more than all else that an upstream adds to its transport (docs/adr/0004-transport.md).
    """

    __slots__ = ("_loop", "_timer", "_timer_s", "live", "timeouts")

    def __init__(self, timeouts: Timeouts) -> None:
        self.timeouts = timeouts
        self.live: set[Watch] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf

    def time(self) -> Callable[[], float]:
        """Return the clock of the loop that runs."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop.time

    def add(self, watch: Watch, due_s: float) -> None:
        self.live.add(watch)
        if due_s < self._timer_s:
            self.hasten(due_s)

    def hasten(self, due_s: float) -> None:
        """Fire at `due_s` at the latest."""
        if due_s < self._timer_s:
            if self._timer is not None:
                self._timer.cancel()
            assert self._loop is not None
            self._timer_s = due_s
            self._timer = self._loop.call_at(due_s, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._timer_s = math.inf
        now_s = self.time()()
        for watch in [watch for watch in self.live if watch.due_s <= now_s]:
            if watch in self.live:
                watch.check(now_s)
                assert watch not in self.live or watch.due_s > now_s, "a limit that has passed ends its watch"
        if self.live:
            self.hasten(min(watch.due_s for watch in self.live))
