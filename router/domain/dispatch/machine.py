"""Decide what a call does next: whom it asks, when it waits, when it gives up. Events in, commands out.

Laws:
1. After the first event that the caller may see there is no further attempt.
2. No call makes more attempts than its terms allow, and none beyond the first that its model has not saved up for.
3. Another deployment of the same model is asked at once; the same one again after a pause; another model last, each of
   its deployments once: it has not failed, so nothing has to be saved up for it.
4. Who fails because of what the request says is not asked again, and only such models as may help are asked after it.
5. A call that gives up says why its first attempt failed: what came after it was our own idea.

Times are monotonic nanoseconds; the machine knows no clock.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from router.domain.catalog import Deployment
from router.domain.dispatch.failure import Failure, Fallback, Verdict, refusal_of
from router.domain.dispatch.retry import RetryBudget, RetryTerms, backoff_ns
from router.domain.faults import Fault, Refusal
from router.domain.ids import TargetId
from router.domain.instants import NS_PER_MS

SPREAD_NS: Final = 100 * NS_PER_MS
"""Those who were all told to come back at one moment come within so long after it."""
UNKNOWN_WAIT_MS: Final = 1_000
"""After this a caller may look again, where nobody can say when a deployment will be free."""

_LATE: Final = Refusal(
    fault=Fault.TIMEOUT, message="The time that the call had passed before anybody could be asked. Allow it more."
)


_GONE: Final = "Nobody else was asked: most of its file had been passed on and is not kept."


class Start(NamedTuple):
    """Send the call to this deployment."""

    deployment: Deployment


class Wait(NamedTuple):
    """Do nothing until then."""

    until: int


class Widen(NamedTuple):
    """Say which deployments the models have that may take the place of the one asked for."""

    kind: Fallback


class Give(NamedTuple):
    """Give up, and say this to the caller."""

    refusal: Refusal


Command = Start | Wait | Widen | Give


class _Tried:
    """How often a deployment was asked, and from when on it may be asked again; None: not any more."""

    __slots__ = ("attempts", "deployment", "ready_at")

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.attempts = 0
        self.ready_at: int | None = None


class Dispatch:
    """One call's way through its candidates, best first. Ask `begin`, then tell it what became of each command."""

    __slots__ = (
        "_attempts",
        "_candidates",
        "_current",
        "_deadline",
        "_declined",
        "_first",
        "_free_at",
        "_kind",
        "_outgrown",
        "_saved",
        "_terms",
        "_total",
        "_tried",
        "_widened",
    )

    def __init__(
        self,
        candidates: Sequence[Deployment],
        *,
        terms: RetryTerms,
        saved: RetryBudget,
        deadline: int,
        attempts_before: int = 0,
        otherwise: Refusal | None = None,
        free_at: int | None = None,
        kind: Fallback = Fallback.ANY,
    ) -> None:
        """`kind`: which other models may help, as far as is known before anybody is asked.

        `attempts_before`: those that the caller's SDK says it has made already; one is left all the same.

        `otherwise`: what to say if nobody is asked at all; None: that nobody is free before `free_at`.
        """
        self._candidates = [*candidates[::-1]]
        self._terms = terms
        self._saved = saved
        self._deadline = deadline
        total = terms.attempts_total - attempts_before
        self._total = total if total > 0 else 1
        self._attempts = 0
        self._current: _Tried | None = None
        self._tried: dict[TargetId, _Tried] = {}
        self._first: Refusal | None = None
        self._declined = otherwise
        self._free_at = free_at
        self._kind = kind
        """Which models may take the place of the one asked for, after all that is known of the request."""
        self._widened: tuple[Fallback, ...] = ()
        self._outgrown: int | None = None
        """The largest context window, in tokens, of a deployment that found the prompt too long."""

    def begin(self, now: int) -> Command:
        return self._next(now)

    def declined(self, refusal: Refusal | None, until: int | None, now: int) -> Command:
        """The deployment was not asked: it has no place or is left alone until then, or this call has no money for it.

        `refusal`: what to say if that is the end of it; None: that nobody is free.
        """
        self._current = None
        self._declined = self._declined or refusal
        if until is not None:
            self._free_at = until if self._free_at is None else min(self._free_at, until)
        return self._next(now)

    def failed(self, failure: Failure, verdict: Verdict, now: int, draw: float, *, repeatable: bool = True) -> Command:
        """The deployment was asked, and failed before anything that the caller may see.

        `repeatable`: whether there is still all that another one would have to be sent.
        """
        tried = self._current
        assert tried is not None, "only what was started can fail"
        self._attempts += 1
        tried.attempts += 1
        if self._first is None:
            self._first = refusal_of(failure)
        self._current = None
        tried.ready_at = self._ready_at(tried, failure, verdict, now, draw)
        if verdict.fallback is not Fallback.ANY:
            self._leave_those_who_cannot_help(tried, verdict)
        hopeless = verdict.fallback is Fallback.NONE and tried.ready_at is None
        if hopeless or self._attempts >= self._total:
            return self._give(now)
        if not repeatable:
            self._first = replace(self._first, message=f"{self._first.message.rstrip('.')}. {_GONE}")
            return self._give(now)
        if not self._widened and not self._saved.take(now):
            self._leave_the_model()
        return self._next(now)

    def woke(self, now: int) -> Command:
        """The time of a `Wait` has come."""
        return self._next(now)

    def widened(self, candidates: Sequence[Deployment], now: int) -> Command:
        """Answer a `Widen`, best first; those that were asked already, or are known to be too small, are left out."""
        self._candidates = [one for one in reversed(candidates) if one.target not in self._tried and self._may_fit(one)]
        return self._next(now)

    def _next(self, now: int) -> Command:
        if now >= self._deadline:
            return self._give(now)
        if self._candidates:
            deployment = self._candidates.pop()
            self._current = self._tried[deployment.target] = _Tried(deployment)
            return Start(deployment)
        again = min(
            [one for one in self._tried.values() if one.ready_at is not None],
            key=lambda one: one.ready_at or 0,
            default=None,
        )
        if again is not None and again.ready_at is not None:
            if again.ready_at > now:
                return Wait(again.ready_at)
            again.ready_at = None
            self._current = again
            return Start(again.deployment)
        if self._kind is not Fallback.NONE and self._kind not in self._widened:
            self._widened += (self._kind,)
            return Widen(self._kind)
        return self._give(now)

    def _leave_the_model(self) -> None:
        """Ask no deployment of it again: it has nothing saved up. Models that stand in for it are others' business."""
        self._candidates.clear()
        for tried in self._tried.values():
            tried.ready_at = None

    def _leave_those_who_cannot_help(self, tried: _Tried, verdict: Verdict) -> None:
        self._kind = verdict.fallback
        for other in self._tried.values():
            if other is not tried:
                other.ready_at = None
        if verdict.fallback is not Fallback.CONTEXT:
            self._candidates.clear()
            return
        window = tried.deployment.context_window
        if window is not None:
            self._outgrown = max(window, self._outgrown or 0)
        elif not self._widened:
            self._candidates.clear()  # nobody guesses what is larger than a window that is not known
        self._candidates = [one for one in self._candidates if self._may_fit(one)]

    def _may_fit(self, one: Deployment) -> bool:
        """Tell whether a prompt that was too long for others may fit. Models that stand in are the operator's guess."""
        if one.context_window is None:
            return self._outgrown is None or bool(self._widened)
        return self._outgrown is None or one.context_window > self._outgrown

    def _ready_at(self, tried: _Tried, failure: Failure, verdict: Verdict, now: int, draw: float) -> int | None:
        """Return when the deployment that failed may be asked again, if it is worth it."""
        if self._widened or not verdict.retry or tried.attempts >= self._terms.attempts_per_deployment:
            return None
        pause = backoff_ns(self._terms, tried.attempts, draw)
        if failure.retry_after_ms is not None:
            asked = failure.retry_after_ms * NS_PER_MS
            pause = asked + int(SPREAD_NS * draw)
            if asked > self._terms.backoff_cap_ns:
                return None
        return now + pause if now + pause < self._deadline else None

    def _give(self, now: int) -> Command:
        if self._first is not None:
            return Give(replace(self._first, final=True) if self._attempts > 1 else self._first)
        if self._declined is not None:
            return Give(self._declined)
        if now >= self._deadline:
            return Give(_LATE)
        wait_ms = UNKNOWN_WAIT_MS if self._free_at is None else max(0, -(-(self._free_at - now) // NS_PER_MS))
        return Give(
            Refusal(
                fault=Fault.OVERLOADED,
                message="No deployment of this model can take the call now. Try again when retry-after says.",
                retry_after_ms=wait_ms,
            )
        )
