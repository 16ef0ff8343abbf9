"""Whatever happens in whatever order: never too many probes, no place lost, no deadline moved forward."""

from dataclasses import dataclass
from typing import Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from router.domain.catalog import Deployment
from router.domain.dispatch.breaker import BUCKETS, BreakerState, BreakerTerms
from router.domain.dispatch.breakers import Breakers, Passage, Transition
from router.domain.dispatch.failure import Park, Verdict
from router.domain.ids import TargetId
from tests.support.fakes import SECOND
from tests.unit.domain.dispatch.test_breakers import (
    ALL,
    BAD_KEY,
    BROKEN,
    NO_MODEL,
    QUOTA,
    RATE,
    WRONG,
)

TARGETS: Final = st.sampled_from(ALL)
VERDICTS: Final = st.sampled_from([*[BROKEN] * 9, WRONG, RATE, QUOTA, BAD_KEY, NO_MODEL])
WAITS: Final = st.sampled_from([1, SECOND, 20 * SECOND, 16 * SECOND, 61 * SECOND, 700 * SECOND, 8_000 * SECOND])
TOOK: Final = st.sampled_from([0, 2 * SECOND])
GROUP: Final = frozenset(one.target for one in ALL)
SAID: Final = st.sampled_from([None, None, None, 0, SECOND, 100 * SECOND, 10**9 * SECOND])


@dataclass
class Under:
    """An attempt under way, and what it holds as far as this test knows."""

    target: TargetId
    credential: tuple[str, str]
    passage: Passage
    probe_of: int | None
    trial_of: int | None
    began: bool = False


class Outages(RuleBasedStateMachine):
    @initialize(probes=st.integers(1, 3), draw=st.floats(0, 1, exclude_max=True))
    def begin(self, probes: int, draw: float) -> None:
        self.now = 1_000 * SECOND
        self.terms = BreakerTerms(probes=probes, consecutive_failures=3, min_calls=4, slow_call_ns=SECOND)
        self.told: list[Transition] = []
        self.breakers = Breakers(uniform=lambda: draw, changed=self.told.append)
        self.breakers.follow(self.terms, ALL)
        self.under: list[Under] = []
        self.deadlines = dict.fromkeys((one.target for one in ALL), 0)

    @rule(one=TARGETS)
    def enter(self, one: Deployment) -> None:
        peeked = self.breakers.peek(one.target, self.now)
        ejected = self.breakers.is_ejected(one.target, self.now)
        known = self.breakers._targets[one.target]
        breaker, was = known.breaker, known.breaker.state
        passage = self.breakers.enter(one, self.now)
        assert self.breakers.is_out(one.target, self.now) == (
            not isinstance(passage, Passage) or was is not BreakerState.CLOSED or known.credential.trying
        )
        if not isinstance(passage, Passage):
            assert passage == peeked
            assert passage > self.now
            assert not ejected
            return
        assert ejected == (peeked is not None)
        assert not breaker.held
        assert self.now >= known.until_ns
        assert self.now >= known.credential.until_ns
        assert was is not BreakerState.OPEN or ejected or self.now >= self.deadlines[one.target]
        self.under.append(
            Under(
                target=one.target,
                credential=(one.provider, one.credential),
                passage=passage,
                probe_of=None if ejected or breaker.state is BreakerState.CLOSED else breaker.generation,
                trial_of=known.credential.generation if known.credential.level else None,
            )
        )

    @precondition(lambda self: self.under)
    @rule(data=st.data(), took_ns=TOOK)
    def begin_reply(self, data: st.DataObject, took_ns: int) -> None:
        one = data.draw(st.sampled_from(self.under))
        breaker = self.breakers._targets[one.target].breaker
        probing = not one.began and one.probe_of == breaker.generation
        one.passage.began(self.now, took_ns)
        one.began = True
        assert not probing or breaker.state is (BreakerState.OPEN if took_ns else BreakerState.CLOSED)

    @precondition(lambda self: self.under)
    @rule(data=st.data(), verdict=VERDICTS, said_ns=SAID, took_ns=TOOK, again=st.booleans())
    def fail(self, data: st.DataObject, verdict: Verdict, said_ns: int | None, took_ns: int, again: bool) -> None:
        one = self.under.pop(data.draw(st.integers(0, len(self.under) - 1)))
        breaker = self.breakers._targets[one.target].breaker
        counts = verdict.counts and not again
        reopens = counts and not one.began and one.probe_of == breaker.generation
        one.passage.failed(verdict, now=self.now, took_ns=took_ns, retry_after_ns=said_ns, again=again)
        assert not reopens or (breaker.state is BreakerState.OPEN and breaker.until_ns > self.now)

    @precondition(lambda self: self.under)
    @rule(data=st.data(), times=st.integers(1, 3))
    def leave(self, data: st.DataObject, times: int) -> None:
        one = self.under.pop(data.draw(st.integers(0, len(self.under) - 1)))
        for _ in range(times):
            one.passage.left()

    @rule(span_ns=WAITS)
    def wait(self, span_ns: int) -> None:
        self.now += span_ns

    @rule(one=TARGETS, hand=st.sampled_from(["open", "close", "reset"]))
    def by_hand(self, one: Deployment, hand: str) -> None:
        assert getattr(self.breakers, hand)(one.target)
        if hand != "open":
            self.deadlines[one.target] = 0

    @rule()
    def reload(self) -> None:
        self.breakers.follow(self.terms, ALL)

    @invariant()
    def places_are_taken_by_those_who_try_and_by_nobody_else(self) -> None:
        for target, known in self.breakers._targets.items():
            breaker = known.breaker
            trying = [
                one
                for one in self.under
                if one.target == target and not one.began and one.probe_of == breaker.generation
            ]
            assert len(trying) <= self.terms.probes
            assert (len(trying) if breaker.state is BreakerState.HALF_OPEN else 0) == breaker._trying
        for key, credential in self.breakers._credentials.items():
            trials = [
                one
                for one in self.under
                if one.credential == key and not one.began and one.trial_of == credential.generation
            ]
            assert len(trials) <= 1
            assert credential.trying == bool(trials)

    @invariant()
    def who_is_well_is_known_until_it_is_otherwise(self) -> None:
        for group in (GROUP, GROUP - {ALL[0].target}):
            well = self.breakers.are_well(group, self.now)
            known = [self.breakers._targets[target] for target in group]
            assert well == all(
                one.breaker.state is BreakerState.CLOSED
                and one.away_until(self.now) is None
                and not one.credential.level
                for one in known
            )

    @invariant()
    def deadlines_only_move_on_until_it_closes(self) -> None:
        for target, known in self.breakers._targets.items():
            breaker = known.breaker
            if breaker.state is BreakerState.CLOSED:
                self.deadlines[target] = 0
            assert breaker.until_ns >= self.deadlines[target]
            self.deadlines[target] = breaker.until_ns

    @invariant()
    def sums_are_sums_and_nothing_grows(self) -> None:
        assert len(ALL) == len(self.breakers._targets) == len(self.breakers.states(self.now))
        assert {(one.provider, one.credential) for one in ALL} == self.breakers._credentials.keys()
        for known in self.breakers._targets.values():
            window = known.breaker._window
            assert BUCKETS == len(window._calls) == len(window._failures) == len(window._slow)
            assert sum(window._calls) == window.calls
            assert sum(window._failures) == window.failures
            assert sum(window._slow) == window.slow
            assert window.slow <= window.calls + window.fresh_calls
            assert min(window._slow) >= 0
            assert min(window._calls) >= 0
            assert min(window._failures) >= 0
            assert known.why in (Park.NOTHING, Park.RATE, Park.MODEL)

    def teardown(self) -> None:
        for one in getattr(self, "under", []):
            one.passage.left()
        if hasattr(self, "breakers"):
            assert {0} == {known.breaker._trying for known in self.breakers._targets.values()}
            assert not any(credential.trying for credential in self.breakers._credentials.values())


class TestOutages(Outages.TestCase):  # type: ignore[misc, name-defined]
    settings = settings(
        derandomize=True,
        max_examples=150,
        stateful_step_count=60,
        deadline=None,
        phases=[Phase.generate],  # shrinking can outlast the time limit of a test: add Phase.shrink when it is wanted
        suppress_health_check=[HealthCheck.too_slow],
    )
