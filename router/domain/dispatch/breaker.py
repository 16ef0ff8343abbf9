"""Decide when a deployment is left alone, for how long, and what brings it back.

One `Breaker` judges one target. It is closed until failures or slow replies open it; open, it lets nobody through
before its time; then it is half open, and a few calls at a time try: one quick success closes it, one failure opens it
again for longer. Times are monotonic nanoseconds. An outcome counts only in the state that let its call in, so late
news of an outage, or of the time before it, decides nothing.

Who was left alone though it `answers`, slowly or not always, may be spared by whoever knows that the others are worse
off: the calls it gets then close and prolong nothing, they only tell whether it still answers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from router.domain.instants import NS_PER_S

BUCKETS: Final = 10
"""Parts of the window: a call leaves it at most a tenth of it too late."""
SAID_MAX_NS: Final = 3_600 * NS_PER_S
"""A provider that asks to be left alone for longer is tried once an hour all the same."""
TRYING_NS: Final = NS_PER_S
"""How soon to ask again while somebody else is trying; what comes of it is not known yet."""

SPARED: Final = -1
"""The generation of a call that is let through though the breaker is not closed, and not to try it."""

_DOUBLINGS_MAX: Final = 32
_JITTER: Final = 0.2
_NEVER_NS: Final = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerTerms:
    """When a breaker opens and closes. Durations are nanoseconds, shares from 0 to 1."""

    window_ns: int = 30 * NS_PER_S
    min_calls: int = 10
    """With fewer calls in the window, shares say nothing."""
    failure_rate: float = 0.5
    consecutive_failures: int = 5
    slow_call_ns: int | None = None
    """A call that is without its first token for longer is slow; None: none is."""
    slow_call_rate: float = 0.8
    open_ns: int = 15 * NS_PER_S
    """How long it stays open at first; doubled each time it opens again before it has closed."""
    open_max_ns: int = 300 * NS_PER_S
    probes: int = 1
    """Calls that may try it at the same time while it is half open."""


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class OpenedBy(StrEnum):
    """Why a breaker opened."""

    FAILURES_IN_A_ROW = "failures_in_a_row"
    FAILURE_RATE = "failure_rate"
    SLOW_CALLS = "slow_calls"
    PROBE = "probe"
    """It was half open, and a call that tried it failed."""
    HAND = "hand"


_CLOSED: Final = BreakerState.CLOSED
_OPEN: Final = BreakerState.OPEN
_HALF_OPEN: Final = BreakerState.HALF_OPEN


class Window:
    """Calls, failures and slow calls of the last `span_ns`, in buckets.

    Whoever counts begins a new one once `end_ns` has come.
    """

    __slots__ = (
        "_calls",
        "_failures",
        "_slot",
        "_slow",
        "_width_ns",
        "calls",
        "end_ns",
        "failures",
        "fresh_calls",
        "slow",
    )

    def __init__(self, span_ns: int) -> None:
        self._width_ns = max(span_ns // BUCKETS, 1)
        self.clear()

    def clear(self) -> None:
        self._calls = [0] * BUCKETS
        self._failures = [0] * BUCKETS
        self._slow = [0] * BUCKETS
        self._slot = 0
        self.end_ns = 0
        """When the bucket of now ends."""
        self.fresh_calls = 0
        """Of this bucket; a sum apart, so that counting a success is one addition."""
        self.calls = 0
        """Of the other buckets."""
        self.failures = 0
        self.slow = 0

    def fail(self, calls: int) -> None:
        self.fresh_calls += calls
        self._failures[self._slot % BUCKETS] += 1
        self.failures += 1

    def delay(self) -> None:
        """Count one of the calls as slow."""
        self._slow[self._slot % BUCKETS] += 1
        self.slow += 1

    def roll(self, now: int) -> None:
        """Begin the bucket of now, and drop what has left the window."""
        slot = now // self._width_ns
        self._calls[self._slot % BUCKETS] = self.fresh_calls
        self.calls += self.fresh_calls
        self.fresh_calls = 0
        for passed in range(max(self._slot, slot - BUCKETS) + 1, slot + 1):
            at = passed % BUCKETS
            self.calls -= self._calls[at]
            self.failures -= self._failures[at]
            self.slow -= self._slow[at]
            self._calls[at] = self._failures[at] = self._slow[at] = 0
        self._slot = slot
        self.end_ns = (slot + 1) * self._width_ns


class Breaker:
    """The health of one target. `uniform` draws from [0, 1); `changed` hears of every new state."""

    __slots__ = (
        "_changed",
        "_mixed",
        "_openings",
        "_row",
        "_row_before",
        "_slow_ns",
        "_terms",
        "_trying",
        "_uniform",
        "_window",
        "generation",
        "opened_by",
        "state",
        "successes",
        "until_ns",
    )

    def __init__(
        self, terms: BreakerTerms, uniform: Callable[[], float], changed: Callable[[BreakerState], None]
    ) -> None:
        self._uniform = uniform
        self._changed = changed
        self._terms = terms
        self._slow_ns = _NEVER_NS if terms.slow_call_ns is None else terms.slow_call_ns
        self._window = Window(terms.window_ns)
        self._mixed = False
        """There was a good reply among those that opened it."""
        self._row = 0
        self._row_before = 0
        """Failures in a row before the last success."""
        self._openings = 0
        """How often it opened since it was last closed."""
        self._trying = 0
        self.state = _CLOSED
        self.generation = 0
        """Which stay in a state this is. Who is let in takes it along and shows it with the outcome."""
        self.successes = 0
        self.until_ns = 0
        """Nobody is let in before, while it is open."""
        self.opened_by: OpenedBy | None = None
        """None: it is closed."""

    @property
    def window_ns(self) -> int:
        return self._terms.window_ns

    @property
    def held(self) -> bool:
        """Tell whether it was opened by hand: time does not close it."""
        return self.opened_by is OpenedBy.HAND

    @property
    def answers(self) -> bool:
        """Tell of one that is not closed whether its target answers at least sometimes, as far as calls have shown."""
        return self._mixed and self._row < self._terms.consecutive_failures and not self.held

    def adopt(self, terms: BreakerTerms) -> None:
        """Go on under other terms; a window of another length begins empty."""
        if terms.window_ns != self._terms.window_ns:
            self._window = Window(terms.window_ns)
        self._terms = terms
        self._slow_ns = _NEVER_NS if terms.slow_call_ns is None else terms.slow_call_ns

    def away_until(self, now: int) -> int | None:
        """Say when to ask again; None: now."""
        if self.state is _CLOSED:
            return None
        if self.held:
            return now + self._terms.open_max_ns
        if self.state is _OPEN:
            return None if now >= self.until_ns else self.until_ns
        return None if self._trying < self._terms.probes else now + TRYING_NS

    def enter(self) -> None:
        """Let somebody in whom `away_until` did not turn away. An open breaker becomes half open."""
        if self.state is _OPEN:
            self._become(_HALF_OPEN)
        if self.state is _HALF_OPEN:
            self._trying += 1

    def succeed(self, generation: int, now: int, took_ns: int) -> None:
        """Count a call whose reply has begun, so long after it was sent."""
        spared = generation == SPARED and self.state is not _CLOSED
        if generation != self.generation and not spared:
            return
        row = self._row
        self._row = 0
        self._row_before = row
        self.successes += 1
        if spared:
            return
        slow = took_ns > self._slow_ns
        if self.state is _HALF_OPEN:
            if slow:
                self._mixed = True
                self._open(now, None, OpenedBy.SLOW_CALLS)
                return
            self.close()
            self._row_before = row
        window = self._window
        if now >= window.end_ns:
            window.roll(now)
        window.fresh_calls += 1
        if slow:
            window.delay()
            self._judge(now, None)

    def fail(
        self,
        generation: int,
        now: int,
        took_ns: int,
        *,
        retry_after_ns: int | None,
        successes: int | None,
        anew: bool,
    ) -> None:
        """Count a failed call. `successes` is what the breaker said when its reply began; None: it never did.

        A reply that breaks off after it has begun was no success after all: when nobody succeeded since, the row goes
        on as if it had never begun. `anew`: the call is not in the window yet, or has left it. `took_ns`: how long it
        was without a first token.
        """
        if generation != self.generation:
            if self.state is _OPEN and retry_after_ns is not None:
                self.until_ns = max(self.until_ns, now + min(retry_after_ns, SAID_MAX_NS))
            if generation == SPARED and self.state is not _CLOSED:
                self._lengthen_row(successes)
            return
        self._lengthen_row(successes)
        if self.state is _HALF_OPEN:
            self._open(now, retry_after_ns, OpenedBy.PROBE)
            return
        window = self._window
        if now >= window.end_ns:
            window.roll(now)
        window.fail(1 if anew else 0)
        if anew and took_ns > self._slow_ns:
            window.delay()
        self._judge(now, retry_after_ns)

    def release(self, generation: int) -> None:
        """Give back the place of somebody who left, or whose outcome says nothing about the target."""
        if generation == self.generation and self.state is _HALF_OPEN:
            self._trying -= 1

    def hold(self) -> None:
        """Open it by hand, until it is closed by hand."""
        self.opened_by = OpenedBy.HAND
        self._become(_OPEN)

    def close(self) -> None:
        """Close it, by hand or by a success. The past is forgotten."""
        self.opened_by = None
        self.until_ns = 0
        self._openings = 0
        self._row = 0
        self._row_before = 0
        self._window.clear()
        self._become(_CLOSED)

    def standing(self, now: int) -> tuple[int, int, int, int]:
        """Return calls, failures and slow calls in the window, and failures in a row."""
        window = self._window
        if now >= window.end_ns:
            window.roll(now)
        return window.calls + window.fresh_calls, window.failures, window.slow, self._row

    def _lengthen_row(self, successes: int | None) -> None:
        if successes == self.successes:
            self._row += self._row_before
            self._row_before = 0
        self._row += 1

    def _judge(self, now: int, retry_after_ns: int | None) -> None:
        """Open it if what is in the window, or the row, is bad enough."""
        window, terms = self._window, self._terms
        calls = window.calls + window.fresh_calls
        by = None
        if self._row >= terms.consecutive_failures:
            by = OpenedBy.FAILURES_IN_A_ROW
        elif calls < terms.min_calls:
            return
        elif window.failures and window.failures >= terms.failure_rate * calls:
            by = OpenedBy.FAILURE_RATE
        elif window.slow and window.slow >= terms.slow_call_rate * calls:
            by = OpenedBy.SLOW_CALLS
        if by is not None:
            self._mixed = calls > window.failures
            self._open(now, retry_after_ns, by)

    def _open(self, now: int, retry_after_ns: int | None, by: OpenedBy) -> None:
        terms = self._terms
        span_ns = min(terms.open_ns << self._openings, terms.open_max_ns)
        span_ns = min(int(span_ns * (1 - _JITTER + 2 * _JITTER * self._uniform())), terms.open_max_ns)
        if retry_after_ns is not None:
            span_ns = max(span_ns, min(retry_after_ns, SAID_MAX_NS))
        self._openings = min(self._openings + 1, _DOUBLINGS_MAX)
        self.until_ns = max(self.until_ns, now + span_ns)
        self.opened_by = by
        self._become(_OPEN)

    def _become(self, state: BreakerState) -> None:
        self._trying = 0
        self.generation += 1
        if state is not self.state:
            self.state = state
            self._changed(state)
