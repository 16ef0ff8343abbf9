"""Measure how long a provider has been silent, with one timer a reply that is set again only when it fires."""

import asyncio
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
    """The time limits of one reply. Calls `expired(kind, span_ns)` at most once.

    Silence counts only while somebody waits for the provider: a reader that is slow itself proves nothing.
    """

    __slots__ = (
        "_expired",
        "_idle_ns",
        "_last_s",
        "_loop",
        "_silence",
        "_silence_ns",
        "_started_s",
        "_timer",
        "_total_ns",
        "waiting",
    )

    def __init__(
        self,
        *,
        started_s: float,
        mode: ReplyMode,
        timeouts: Timeouts,
        total_ns: int,
        expired: Callable[[FailureKind, int], None],
    ) -> None:
        """`started_s` is the loop's time when the attempt began; the silence before the first event begins now."""
        self.waiting = False
        self._expired: Callable[[FailureKind, int], None] | None = expired
        self._loop = asyncio.get_running_loop()
        self._started_s = started_s
        self._total_ns = total_ns
        self._last_s = self._loop.time()
        self._silence = FailureKind.FIRST_EVENT_TIMEOUT
        self._silence_ns = timeouts.stream_first_event_ns if mode is ReplyMode.STREAM else total_ns
        self._idle_ns = timeouts.stream_idle_ns
        self._timer: asyncio.TimerHandle | None = None
        self._arm()

    def progressed(self) -> None:
        """An event arrived that is not a comment."""
        self._last_s = self._loop.time()
        if self._silence is FailureKind.FIRST_EVENT_TIMEOUT:
            self._silence = FailureKind.IDLE_TIMEOUT
            self._silence_ns = self._idle_ns
            self._arm()  # once: the timer was set for a limit that may have been longer

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._expired = None  # it holds the reply, which holds us

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due_s = min(self._started_s + self._total_ns / NS_PER_S, self._last_s + self._silence_ns / NS_PER_S)
        self._timer = self._loop.call_at(due_s, self._fire)

    def _fire(self) -> None:
        assert self._expired is not None
        now_s = self._loop.time()
        self._timer = None
        if now_s >= self._started_s + self._total_ns / NS_PER_S:
            self._expired(FailureKind.TOTAL_TIMEOUT, self._total_ns)
            return
        if now_s >= self._last_s + self._silence_ns / NS_PER_S:
            if self.waiting:
                self._expired(self._silence, self._silence_ns)
                return
            self._last_s = now_s
        self._arm()
