"""Decide whether a target may be asked now: its breaker, its provider's wishes, and whether its credential is any good.

Three things keep calls away, each for its own time. The breaker opens on failures and slow replies, a target at a time.
A rate limit or a model that is not there keeps its target away without opening anything. A credential that was refused,
or whose quota is used up, is left alone at its provider whatever the model; when its time is over one call at a time
tries it. The state of a target is kept under its id and survives reloads; it belongs to one process and dies with it.

A target that its breaker alone keeps away, though it answers at least sometimes, is ejected: that is advice to whoever
chooses among several (`domain/planning/eligibility.py`), and who chooses it all the same is let through.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from router.domain.catalog import Deployment
from router.domain.dispatch.breaker import (
    SAID_MAX_NS,
    SPARED,
    TRYING_NS,
    Breaker,
    BreakerState,
    BreakerTerms,
    OpenedBy,
)
from router.domain.dispatch.failure import Park, Verdict
from router.domain.faults import Fault
from router.domain.ids import DeploymentId, ProviderId, TargetId
from router.domain.instants import NS_PER_S

RATE_NS: Final = NS_PER_S
"""How long a target that limits our rate is left alone when it does not say."""
MODEL_NS: Final = 600 * NS_PER_S
CREDENTIAL_NS: Final = 60 * NS_PER_S
"""How long a bad credential is left alone at first; doubled each time it is still bad."""
CREDENTIAL_MAX_NS: Final = 7_200 * NS_PER_S
"""Two hours: an empty purse is tried 17 times in a day. Hourly tries, after doublings from a minute, would be 28."""
CREDENTIAL_SAID_MAX_NS: Final = 86_400 * NS_PER_S

_DOUBLINGS_MAX: Final = 16
_CLOSED: Final = BreakerState.CLOSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A breaker changed its state."""

    target: TargetId
    deployment: DeploymentId
    credential: str
    to: BreakerState


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetState:
    """How one target stands. Times are monotonic nanoseconds; None: not, or not by time."""

    target: TargetId
    deployment: DeploymentId
    provider: ProviderId
    credential: str
    state: BreakerState
    opened_by: OpenedBy | None
    """None: it is closed."""
    calls: int
    failures: int
    """In the window, as `calls` and `slow`."""
    slow: int
    failures_in_a_row: int
    opens_until_ns: int | None
    not_before_ns: int | None
    not_before_why: Park
    credential_parked_until_ns: int | None
    credential_parked_why: Fault | None


class _Credential:
    """What one provider thinks of one of our keys."""

    __slots__ = ("generation", "level", "trying", "until_ns", "why")

    def __init__(self) -> None:
        self.generation = 0
        """Which stay at a level this is: levels come back."""
        self.restore()

    def restore(self) -> None:
        self.generation += 1
        self.level = 0
        """How often in a row it was found bad. 0: it is good as far as we know."""
        self.until_ns = 0
        self.trying = False
        self.why: Fault | None = None

    def away_until(self, now: int) -> int | None:
        if now < self.until_ns:
            return self.until_ns
        return now + TRYING_NS if self.trying else None

    def park(self, now: int, why: Fault, said_ns: int | None, generation: int) -> None:
        """Leave it alone. `generation` is what the call met: a hundred calls under way are one piece of news."""
        if generation == self.generation:
            span_ns = min(CREDENTIAL_NS << min(self.level, _DOUBLINGS_MAX), CREDENTIAL_MAX_NS)
            self.generation += 1
            self.level += 1
            self.trying = False
            self.until_ns = now + span_ns
            self.why = why
        if said_ns is not None and self.level:  # else it was found good since the call was let in
            self.until_ns = max(self.until_ns, now + min(said_ns, CREDENTIAL_SAID_MAX_NS))


class _Target:
    __slots__ = ("breaker", "credential", "deployment", "until_ns", "well", "why")

    def __init__(
        self, deployment: Deployment, breaker: Breaker, credential: _Credential, well: set[frozenset[TargetId]]
    ) -> None:
        self.deployment = deployment
        self.breaker = breaker
        self.credential = credential
        self.well = well
        self.until_ns = 0
        self.why = Park.NOTHING

    def keep_away(self, until_ns: int, why: Park) -> None:
        if until_ns > self.until_ns:
            self.until_ns = until_ns
            self.why = why

    def away_until(self, now: int) -> int | None:
        until_ns = self.kept_away_until(now)
        return self.breaker.away_until(now) if until_ns is None else until_ns

    def is_well(self, now: int) -> bool:
        """Tell whether nothing is held against it: what is only being tried may be left alone the moment after."""
        return self.breaker.state is _CLOSED and not self.credential.level and now >= self.until_ns

    def kept_away_until(self, now: int) -> int | None:
        """Say what its provider asked for, whatever its breaker says."""
        if now < self.until_ns:
            return self.until_ns
        return self.credential.away_until(now) if self.credential.level else None

    def is_ejected(self, now: int) -> bool:
        breaker = self.breaker
        return (
            breaker.state is not _CLOSED
            and breaker.answers
            and breaker.away_until(now) is not None
            and self.kept_away_until(now) is None
        )


class Passage:
    """One attempt's way through. Whoever holds it calls `left` at the end, whatever came before."""

    __slots__ = ("_began_ns", "_credential", "_ended", "_generation", "_successes", "_target")

    def __init__(self, target: _Target, generation: int) -> None:
        self._target = target
        self._generation = generation
        self._credential = target.credential.generation
        self._successes: int | None = None
        self._began_ns = 0
        self._ended = False

    def began(self, now: int, took_ns: int = 0) -> None:
        """Count a success: the first real event of the reply is there, so long after it was asked for."""
        if self._ended or self._successes is not None:
            return
        breaker = self._target.breaker
        was = self._generation
        current = was == breaker.generation
        breaker.succeed(was, now, took_ns)
        if current and breaker.state is _CLOSED:
            self._generation = breaker.generation  # it may have closed the breaker: what becomes of it counts there
        self._successes = breaker.successes
        self._began_ns = now
        credential = self._target.credential
        if credential.level and self._credential == credential.generation:
            credential.restore()
            self._credential = credential.generation

    def failed(
        self,
        verdict: Verdict,
        *,
        now: int,
        took_ns: int = 0,
        retry_after_ns: int | None = None,
        again: bool = False,
    ) -> None:
        """Count a failure, so long after the reply was asked for, and keep away what the verdict says.

        `again`: this call has failed at the same deployment before, with another credential. That says more about the
        call than about the credential, so it is not counted twice.
        """
        if self._ended:
            return
        self._ended = True
        target = self._target
        if verdict.counts and not again:
            anew = self._successes is None or now - self._began_ns >= target.breaker.window_ns
            target.breaker.fail(
                self._generation,
                now,
                took_ns if self._successes is None else 0,
                retry_after_ns=retry_after_ns,
                successes=self._successes,
                anew=anew,
            )
        elif self._successes is None:
            target.breaker.release(self._generation)
        if verdict.park is not Park.NOTHING:
            target.well.clear()
        if verdict.park is Park.CREDENTIAL:
            target.credential.park(now, verdict.fault, retry_after_ns, self._credential)
        elif self._successes is None:
            self._stop_trying()
        if verdict.park is Park.RATE:
            said_ns = RATE_NS if retry_after_ns is None else min(retry_after_ns, SAID_MAX_NS)
            target.keep_away(now + said_ns, Park.RATE)
        elif verdict.park is Park.MODEL:
            target.keep_away(now + MODEL_NS, Park.MODEL)

    def left(self) -> None:
        """Give back what the attempt took if it ended without an outcome. Any number of times."""
        if self._ended:
            return
        self._ended = True
        if self._successes is None:
            self._target.breaker.release(self._generation)
            self._stop_trying()

    def _stop_trying(self) -> None:
        if self._credential == self._target.credential.generation:
            self._target.credential.trying = False


class Breakers:
    """All targets of a process. `uniform` draws from [0, 1); `changed` hears of every transition."""

    def __init__(self, *, uniform: Callable[[], float], changed: Callable[[Transition], None]) -> None:
        self._uniform = uniform
        self._changed = changed
        self._terms = BreakerTerms()
        # Bounded by the targets of the configuration in force, and of those that calls still under way keep.
        self._targets: dict[TargetId, _Target] = {}
        self._credentials: dict[tuple[ProviderId, str], _Credential] = {}
        self._well: set[frozenset[TargetId]] = set()
        """Groups of targets against none of which anything is held. Empty once that may be otherwise for anybody.

        Bounded by the models of the configuration in force and the parts of them that hold what is stored.
        """

    def follow(self, terms: BreakerTerms, deployments: Iterable[Deployment]) -> None:
        """Go on with these targets under these terms. What is known of them stays, all others are forgotten."""
        self._terms = terms
        self._well.clear()
        targets, credentials = self._targets, self._credentials
        self._targets, self._credentials = {}, {}
        for deployment in deployments:
            key = (deployment.provider, deployment.credential)
            if key in credentials:
                self._credentials[key] = credentials[key]
            if (known := targets.get(deployment.target)) is None:
                self._find(deployment)
                continue
            known.deployment = deployment
            known.breaker.adopt(terms)
            known.credential = self._credentials.setdefault(key, _Credential())
            self._targets[deployment.target] = known

    def peek(self, target: TargetId, now: int) -> int | None:
        """Say until when a target is to be left alone; None: it may be asked. Takes nothing."""
        known = self._targets.get(target)
        return None if known is None else known.away_until(now)

    def is_ejected(self, target: TargetId, now: int) -> bool:
        """Tell whether only its breaker keeps a target away, though it answers at least sometimes."""
        known = self._targets.get(target)
        return known is not None and known.is_ejected(now)

    def is_out(self, target: TargetId, now: int) -> bool:
        """Tell whether calls cannot count on a target now: it is left alone, or only being tried."""
        known = self._targets.get(target)
        return known is not None and (known.breaker.state is not _CLOSED or known.away_until(now) is not None)

    def are_well(self, targets: frozenset[TargetId], now: int) -> bool:
        """Tell whether nothing is held against any of these, so that `peek` has nothing to say of them.

        Nobody is looked at again before something happens to one of all: time alone makes nothing worse.
        """
        if targets in self._well:
            return True
        known = [self._targets[one] for one in targets if one in self._targets]
        well = all(one.is_well(now) for one in known)
        if well:
            self._well.add(targets)
        return well

    def enter(self, deployment: Deployment, now: int) -> Passage | int:
        """Let an attempt through, or say until when to leave the target alone.

        An ejected target is asked all the same: whoever chose it had nobody better. Such a call is no probe, so it
        neither closes the breaker nor opens it for longer.
        """
        target = self._targets.get(deployment.target) or self._find(deployment)
        credential, breaker = target.credential, target.breaker
        if now < target.until_ns or credential.level or breaker.state is not _CLOSED:
            until_ns = target.away_until(now)
            if until_ns is not None and not target.is_ejected(now):
                return until_ns
            if until_ns is None:
                breaker.enter()
            credential.trying = credential.level > 0
            if until_ns is not None:
                return Passage(target, SPARED)
        return Passage(target, breaker.generation)

    def open(self, target: TargetId) -> bool:
        """Open a breaker by hand; False: there is no such target."""
        return self._by_hand(target, Breaker.hold)

    def close(self, target: TargetId) -> bool:
        """Close a breaker by hand; what parks the target or its credential stays."""
        return self._by_hand(target, Breaker.close)

    def reset(self, target: TargetId) -> bool:
        """Forget all that is held against a target and its credential."""
        if not self._by_hand(target, Breaker.close):
            return False
        known = self._targets[target]
        known.until_ns = 0
        known.credential.restore()
        return True

    def states(self, now: int) -> list[TargetState]:
        """Return how every target stands, by target."""
        return [_state(target, known, now) for target, known in sorted(self._targets.items())]

    def _by_hand(self, target: TargetId, change: Callable[[Breaker], None]) -> bool:
        known = self._targets.get(target)
        if known is not None:
            change(known.breaker)
        return known is not None

    def _find(self, deployment: Deployment) -> _Target:
        target = deployment.target
        if target not in self._targets:
            breaker = Breaker(self._terms, self._uniform, partial(self._tell, deployment))
            credential = self._credentials.setdefault((deployment.provider, deployment.credential), _Credential())
            self._targets[target] = _Target(deployment, breaker, credential, self._well)
            self._well.clear()
        return self._targets[target]

    def _tell(self, deployment: Deployment, to: BreakerState) -> None:
        self._well.clear()
        self._changed(
            Transition(target=deployment.target, deployment=deployment.id, credential=deployment.credential, to=to)
        )


def _state(target: TargetId, known: _Target, now: int) -> TargetState:
    deployment, breaker, credential = known.deployment, known.breaker, known.credential
    calls, failures, slow, row = breaker.standing(now)
    is_open = breaker.state is BreakerState.OPEN and not breaker.held
    away = now < known.until_ns
    return TargetState(
        target=target,
        deployment=deployment.id,
        provider=deployment.provider,
        credential=deployment.credential,
        state=breaker.state,
        opened_by=breaker.opened_by,
        calls=calls,
        failures=failures,
        slow=slow,
        failures_in_a_row=row,
        opens_until_ns=breaker.until_ns if is_open else None,
        not_before_ns=known.until_ns if away else None,
        not_before_why=known.why if away else Park.NOTHING,
        credential_parked_until_ns=credential.until_ns if now < credential.until_ns else None,
        credential_parked_why=credential.why,
    )
