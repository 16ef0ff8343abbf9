"""Bring a reply to the façade honestly: nothing before it is real, nothing after it broke, one end.

The status of a stream is committed only when its first real event is known, or when the caller has waited so long
that a proxy between us would hang up; from then on silence is filled with comments. Until the first real event an
attempt that fails is followed by the next one, also behind a status that is committed; after it, none is.
"""

from asyncio import TimerHandle, get_running_loop
from collections.abc import Callable
from typing import Final

from router.domain.catalog import ReplyModel
from router.domain.dialects.restamp import restamp
from router.domain.dispatch.failure import Failure, FailureKind, interruption_of
from router.domain.faults import Fault, Refusal
from router.domain.settlement import Outcome
from router.domain.stream import END_EVENT, ERROR_EVENT, KEEP_ALIVE, TRUNCATED, Event, EventKind
from router.pipeline.admission import Admission
from router.pipeline.attempt import Attempt
from router.pipeline.attempts import Attempts
from router.pipeline.call import Call
from router.pipeline.upstream_limit_book import UpstreamLimitBook
from router.ports.clock import Clock
from router.ports.upstream import UpstreamFailed

_HELD_BYTES_MAX: Final = 64 * 1024
"""Start-up events kept back until the first real one; a provider that sends more than this is taken at its word."""

_OVERRAN: Final = Failure(kind=FailureKind.MALFORMED, message="The provider went on beyond the maximum it was given.")
_BEYOND: Final = Refusal(
    fault=Fault.BUDGET_EXHAUSTED,
    message="The reply grew longer than the budget allows, though its provider was told where to end. Ask for less.",
)
_CUT: Final = Failure(kind=FailureKind.CUT, message="The provider's reply ended before it was complete.")
_FOREIGN: Final = Failure(kind=FailureKind.MALFORMED, message="The provider's reply is not in the dialect it speaks.")
_EMPTY: Final = Failure(kind=FailureKind.EMPTY, message="The provider's reply ended before it began.")


class Relay:
    """Pass on to one call what the attempt brings that is to serve it."""

    __slots__ = (
        "_admission",
        "_attempt",
        "_attempts",
        "_begun",
        "_book",
        "_call",
        "_clock",
        "_early",
        "_flight",
        "_held",
        "_last_event",
        "_overdue",
        "_ping_ns",
        "_stamp",
        "_timer",
        "_translator",
    )

    def __init__(
        self,
        call: Call,
        attempts: Attempts,
        first: Attempt,
        *,
        clock: Clock,
        book: UpstreamLimitBook,
        ping_ns: int | None,
    ) -> None:
        self._book = book
        self._call = call
        self._attempts = attempts
        self._clock = clock
        self._take_up(first)
        self._begun = False
        """There is a reply that the caller may see, so no other attempt follows."""
        self._early: list[Event] = []
        """What the attempt began with, until it is known to be real. Bounded by `_HELD_BYTES_MAX`."""
        self._held: list[Event] = []
        self._overdue = False
        self._last_event = clock.monotonic_ns()
        self._ping_ns = ping_ns or 0
        self._timer: TimerHandle | None = None
        if ping_ns is not None:
            self._arm(ping_ns)

    def _take_up(self, attempt: Attempt) -> None:
        assert attempt.flight is not None, "what was sent has a flight"
        self._attempt = attempt
        self._flight = attempt.flight
        self._admission = self._call.admission
        model = self._call.snapshot.models.get(attempt.deployment.model)
        alias = model is not None and model.reply_model is ReplyModel.ALIAS
        self._stamp = self._call.request.model if alias else None
        self._translator = attempt.translator

    async def start(self) -> None:
        """Wait until a reply is known to be real, or until its caller needs a sign of life.

        Raises `RouterError` when no attempt brings one.
        """
        while not self._held:
            self._held = await self._advance()

    async def read(self) -> list[Event]:
        """Return the next batch; the last one ends with COMPLETE, END or ERROR, after which there is none."""
        passed: list[Event] = []
        while not passed:
            batch, self._held = self._held, []
            while not batch and (not self._begun or self._flight.meter.failure is None):
                if not self._begun:
                    batch = await self._advance()
                    continue
                try:
                    batch = self._due(await self._flight.read())
                except UpstreamFailed as exc:
                    return [self._broken(exc.failure)]
            passed = self._passed(batch)
        return passed

    async def each(self, take: Callable[[list[Event]], bool]) -> None:
        """Do `while take(await self.read()): pass`, without waking a task for each batch; begin with a `read`."""
        assert not self._held
        while not self._begun:
            if not take(await self.read()):
                return
        meter = self._flight.meter

        def arrived(batch: list[Event]) -> bool:
            if not batch:
                batch = self._due(batch)
                if not batch and meter.failure is None:
                    return True
            passed = self._passed(batch)
            return take(passed) if passed else True

        try:
            await self._flight.each(arrived)
        except UpstreamFailed as exc:
            take([self._broken(exc.failure)])

    async def _advance(self) -> list[Event]:
        """Go on towards the beginning: return all there is once a reply has begun, a sign of life, or nothing yet.

        An attempt that fails is followed by the next one. Raises `RouterError` when there is none.
        """
        if self._overdue:
            return [KEEP_ALIVE]
        meter = self._flight.meter
        try:
            batch = await self._flight.read()
        except UpstreamFailed as exc:
            return await self._go_on_after(exc.failure)
        if not meter.started:
            if meter.failure is not None:
                return await self._go_on_after(meter.failure)
            if batch and batch[-1].kind is EventKind.END:
                return await self._go_on_after(_EMPTY)
        if self._translator is not None and batch and batch[-1].kind is EventKind.COMPLETE:
            try:
                batch = self._translator.take(batch)  # while another deployment may still be asked
            except ValueError:
                return await self._go_on_after(_FOREIGN)
        # With its comments: which of them came before the first real event depends on how the network cut it.
        self._early += batch
        if not meter.started and sum([len(event.raw) for event in self._early]) < _HELD_BYTES_MAX:
            return []
        self._begun = True
        early, self._early = self._early, []
        return early

    async def _go_on_after(self, failure: Failure) -> list[Event]:
        self._early.clear()
        self._take_up(await self._attempts.next(self._attempt, failure))
        return []

    def close(self) -> None:
        """Stop the timer. The flight is the call's to leave."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self, batch: list[Event]) -> list[Event]:
        """Return `batch`, or a sign of life if it is empty and one is due."""
        return [KEEP_ALIVE] if self._overdue and not batch else batch

    def _passed(self, batch: list[Event]) -> list[Event]:
        """Note the progress in `batch` and end the call where the batch ends the reply."""
        meter = self._flight.meter
        self._overdue = False
        self._last_event = now = self._clock.monotonic_ns()
        if meter.started and self._attempt.first_token is None:
            self._attempt.began(now)
            self._book.learn(self._attempt)
        if meter.failure is not None:
            return self._worded([*batch, self._broken(meter.failure)])
        last = batch[-1].kind if batch else EventKind.COMMENT
        admission, tokens = self._admission, meter.counted_tokens
        if last is EventKind.COMPLETE:
            self._call.close(Outcome.COMPLETED)
        elif (
            admission is not None
            # When no more comes, no more has to be held.
            and not ((last is EventKind.END or meter.finished) and admission.has_enough(tokens))
            and not admission.may_go_on(tokens)
        ):
            if last is EventKind.END:
                batch.pop()
            batch = [*batch, *self._cut(admission)]
        elif last is EventKind.END:
            batch[-1] = self._broken(_CUT)
        return batch if self._translator is None and self._stamp is None else self._worded(batch)

    def _worded(self, batch: list[Event]) -> list[Event]:
        """Return the batch in the caller's dialect, which may be nothing yet, and with its name for the model."""
        translator = self._translator
        if translator is not None and batch and batch[-1].kind is not EventKind.COMPLETE:
            broken = batch.pop() if batch[-1].kind is EventKind.ERROR else None
            try:
                batch = translator.take(batch)
            except ValueError:  # more than it may keep
                batch, broken = [], self._broken(_FOREIGN)
            if broken is not None:
                batch.append(broken)
        if self._stamp is not None:
            return [restamp(self._call.request.grammar.dialect, event, self._stamp) for event in batch]
        return batch

    def _cut(self, admission: Admission) -> list[Event]:
        """End a stream that has used all that could be held for it: well, unless its upstream ignored its maximum."""
        admission.truncated = True
        if admission.overrun:
            self._attempt.fail(_OVERRAN, self._last_event)
            self._call.close(Outcome.INTERRUPTED, _BEYOND)
            return [ERROR_EVENT]
        self._call.close(Outcome.COMPLETED)
        return [*self._flight.meter.cut(), TRUNCATED, END_EVENT]

    def _broken(self, failure: Failure) -> Event:
        """End a reply whose upstream has ended, somehow: well if every choice was finished, else with an error."""
        if self._flight.meter.finished:
            self._call.close(Outcome.COMPLETED)
            return END_EVENT
        self._attempt.fail(failure, self._clock.monotonic_ns())
        self._call.close(Outcome.INTERRUPTED, interruption_of(failure))
        return ERROR_EVENT

    def _arm(self, delay_ns: int) -> None:
        self._timer = get_running_loop().call_later(delay_ns / 1e9, self._tick)

    def _tick(self) -> None:
        """Wake the reader when nothing was passed on for a whole interval. One timer a stream, not one an event."""
        silent_ns = self._clock.monotonic_ns() - self._last_event
        if silent_ns < self._ping_ns:
            self._arm(self._ping_ns - silent_ns)
            return
        self._overdue = True
        self._arm(self._ping_ns)
        self._flight.nudge()
