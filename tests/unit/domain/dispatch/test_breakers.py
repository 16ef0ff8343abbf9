"""Scripts of outages on a standing clock: who is let through, who is not, and what is forgotten."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from router.domain.catalog import Deployment
from router.domain.dispatch.breaker import SAID_MAX_NS, TRYING_NS, BreakerState, BreakerTerms, OpenedBy
from router.domain.dispatch.breakers import (
    CREDENTIAL_MAX_NS,
    CREDENTIAL_NS,
    CREDENTIAL_SAID_MAX_NS,
    MODEL_NS,
    RATE_NS,
    Breakers,
    Passage,
    TargetState,
    Transition,
)
from router.domain.dispatch.failure import Failure, FailureKind, Park, Verdict, verdict_of
from router.domain.faults import Fault
from router.domain.ids import DeploymentId, ProviderId
from tests.support.fakes import SECOND

HOUR = 3_600 * SECOND
A = Deployment(id=DeploymentId("up/model"), provider=ProviderId("up"), upstream_model="model", credential="a")
B = replace(A, credential="b")
A_LARGE = replace(A, id=DeploymentId("up/large"))
ELSEWHERE = replace(A, id=DeploymentId("other/model"), provider=ProviderId("other"))
ALL = (A, B, A_LARGE, ELSEWHERE)


def status(http: int, **members: str) -> Verdict:
    return verdict_of(Failure(kind=FailureKind.STATUS, status=http, message="m", **members))  # type: ignore[arg-type]  # text


BROKEN = status(500)
RATE = status(429)
QUOTA = status(429, code="insufficient_quota")
BAD_KEY = status(401)
NO_MODEL = status(404, code="model_not_found")
WRONG = status(400)


class Fleet:
    def __init__(self, terms: BreakerTerms | None = None, deployments: Iterable[Deployment] = ALL) -> None:
        self.now = 1_000 * SECOND
        self.told: list[Transition] = []
        self.breakers = Breakers(uniform=lambda: 0.5, changed=self.told.append)
        self.breakers.follow(terms or BreakerTerms(), deployments)

    def enter(self, one: Deployment = A) -> Passage:
        passage = self.breakers.enter(one, self.now)
        assert isinstance(passage, Passage)
        return passage

    def fail(self, verdict: Verdict = BROKEN, one: Deployment = A, times: int = 1, said_ns: int | None = None) -> None:
        for _ in range(times):
            self.enter(one).failed(verdict, now=self.now, retry_after_ns=said_ns)

    def away_s(self, one: Deployment = A) -> float | None:
        until_ns = self.breakers.peek(one.target, self.now)
        assert until_ns is None or until_ns > self.now
        entered = self.breakers.enter(one, self.now)
        if isinstance(entered, Passage):
            entered.left()
        assert until_ns == (None if isinstance(entered, Passage) else entered)
        return None if until_ns is None else (until_ns - self.now) / SECOND

    def state(self, one: Deployment = A) -> TargetState:
        return next(state for state in self.breakers.states(self.now) if state.target == one.target)


def test_a_dead_target_is_hit_five_times_and_then_once_in_fifteen_seconds() -> None:
    """T7a: a thousand calls in ten seconds, then one a second for a minute."""
    fleet = Fleet()
    hits = []
    for step_ns, calls in ((10 * SECOND // 1_000, 1_000), (SECOND, 60)):
        for _ in range(calls):
            passage = fleet.breakers.enter(A, fleet.now)
            if isinstance(passage, Passage):
                passage.failed(BROKEN, now=fleet.now)
                hits.append(fleet.now)
            fleet.now += step_ns
    opened = hits[4]

    assert [] == [hit for hit in hits[5:] if hit < opened + 15 * SECOND]
    probes = hits[5:]
    assert 1 <= len(probes) <= 4
    assert all(later - earlier >= 15 * SECOND for earlier, later in zip([opened, *probes], probes, strict=False))


@pytest.mark.parametrize(
    "verdict",
    [
        WRONG,
        status(404),
        status(413),
        status(422),
        status(400, code="context_length_exceeded"),
        status(400, code="content_filter"),
        verdict_of(Failure(kind=FailureKind.ABORTED, message="m")),
    ],
)
def test_what_callers_bring_about_opens_nothing(verdict: Verdict) -> None:
    """T7b: a hundred of each."""
    fleet = Fleet()
    fleet.fail(verdict, times=100)

    assert ([], None, False) == (fleet.told, fleet.away_s(), verdict.retry)


@pytest.mark.parametrize(
    "verdict",
    [BROKEN, status(529), *(verdict_of(Failure(kind=kind, message="m")) for kind in FailureKind if kind != "aborted")],
)
def test_what_a_provider_does_to_us_counts(verdict: Verdict) -> None:
    """T7b: refused, reset, 5xx, late, empty, cut."""
    fleet = Fleet()
    fleet.fail(verdict, times=5)

    assert [BreakerState.OPEN] == [one.to for one in fleet.told]


@pytest.mark.parametrize("verdict", [QUOTA, BAD_KEY, status(402), status(403, type="permission_error")])
def test_a_bad_credential_is_left_alone_for_all_models_of_its_provider_and_nobody_else(verdict: Verdict) -> None:
    """T7b: that credential only."""
    fleet = Fleet()
    fleet.fail(verdict)

    assert [60, None, 60, None] == [fleet.away_s(one) for one in ALL]
    assert [] == fleet.told


def test_the_same_body_on_two_credentials_counts_once() -> None:
    """T7b: the second failure says more of the call than of the credential."""
    fleet = Fleet()
    for _ in range(5):
        fleet.enter(A).failed(BROKEN, now=fleet.now)
        fleet.enter(B).failed(BROKEN, now=fleet.now, again=True)

    assert [A.target] == [one.target for one in fleet.told]
    assert 0 == fleet.state(B).calls


def test_a_hundred_that_wait_for_a_breaker_send_one_probe() -> None:
    """T7c: it fails, and the next deadline is later; a longer Retry-After moves it on."""
    fleet = Fleet()
    fleet.fail(times=5)
    first = fleet.now = fleet.breakers.states(fleet.now)[2].opens_until_ns or 0
    entered = [fleet.breakers.enter(A, fleet.now) for _ in range(100)]
    probes = [one for one in entered if isinstance(one, Passage)]
    assert 1 == len(probes)
    assert {fleet.now + TRYING_NS} == {one for one in entered if not isinstance(one, Passage)}
    probes[0].failed(BROKEN, now=fleet.now, retry_after_ns=100 * SECOND)

    assert 100 == fleet.away_s()
    assert fleet.now + 100 * SECOND > first


@pytest.mark.parametrize("callers", [1, 50])
def test_an_empty_purse_is_tried_at_most_24_times_in_a_day(callers: int) -> None:
    """T7c: on a standing clock, whoever waits."""
    fleet = Fleet()
    fleet.fail(QUOTA)
    end, probes = fleet.now + 24 * HOUR, 0
    while fleet.now <= end:
        entered = [fleet.breakers.enter(one, fleet.now) for one in (A, A_LARGE) for _ in range(callers)]
        tries = [one for one in entered if isinstance(one, Passage)]
        assert 1 >= len(tries)
        for one in tries:
            one.failed(QUOTA, now=fleet.now)
            probes += 1
        fleet.now += 10 * SECOND

    assert 17 == probes


def test_a_purse_that_says_when_it_fills_is_believed_within_bounds() -> None:
    fleet = Fleet()
    fleet.fail(QUOTA, said_ns=1)
    assert CREDENTIAL_NS / SECOND == fleet.away_s()
    fleet.now += CREDENTIAL_NS
    fleet.fail(QUOTA, said_ns=5 * HOUR)
    assert 5 * HOUR / SECOND == fleet.away_s()
    fleet.now += 5 * HOUR
    fleet.fail(QUOTA, said_ns=10**9 * SECOND)

    assert CREDENTIAL_SAID_MAX_NS / SECOND == fleet.away_s()


def test_a_hundred_calls_under_way_that_find_a_purse_empty_are_one_piece_of_news() -> None:
    fleet = Fleet()
    passages = [fleet.enter(one) for one in (A, A_LARGE) for _ in range(50)]
    for passage in passages:
        passage.failed(QUOTA, now=fleet.now)

    assert CREDENTIAL_NS / SECOND == fleet.away_s()


def test_late_news_of_an_empty_purse_shortens_no_wait() -> None:
    fleet = Fleet()
    late = fleet.enter()
    fleet.fail(QUOTA)
    fleet.now += CREDENTIAL_NS
    fleet.fail(QUOTA)
    late.failed(QUOTA, now=fleet.now)

    assert 2 * CREDENTIAL_NS / SECOND == fleet.away_s()


def test_a_trial_from_before_a_reset_gives_back_nobodys_place() -> None:
    fleet = Fleet()
    fleet.fail(BAD_KEY)
    fleet.now += CREDENTIAL_NS
    trial = fleet.enter()
    fleet.breakers.reset(A.target)
    fleet.fail(BAD_KEY)
    fleet.now += CREDENTIAL_NS
    fleet.enter(A_LARGE)
    trial.left()

    assert TRYING_NS / SECOND == fleet.away_s()


def test_a_credential_that_works_again_is_good_again() -> None:
    fleet = Fleet()
    for _ in range(10):
        fleet.fail(BAD_KEY)
        fleet.now = fleet.state().credential_parked_until_ns or 0
    assert CREDENTIAL_MAX_NS == (fleet.state().credential_parked_until_ns or fleet.now + CREDENTIAL_MAX_NS) - fleet.now
    trial = fleet.enter()
    assert TRYING_NS / SECOND == fleet.away_s(A_LARGE)
    trial.began(fleet.now)
    assert (None, None) == (fleet.away_s(), fleet.away_s(A_LARGE))
    fleet.fail(BAD_KEY)

    assert CREDENTIAL_NS / SECOND == fleet.away_s()


@pytest.mark.parametrize("verdict", [WRONG, BROKEN, RATE])
def test_a_trial_of_a_credential_that_says_nothing_about_it_gives_back_its_place(verdict: Verdict) -> None:
    fleet = Fleet()
    fleet.fail(BAD_KEY)
    fleet.now += CREDENTIAL_NS
    fleet.enter().failed(verdict, now=fleet.now)

    assert fleet.away_s(A_LARGE) is None


@pytest.mark.parametrize(
    ("said_ns", "away_s"),
    [(None, RATE_NS / SECOND), (4 * SECOND, 4), (0, None), (10**9 * SECOND, SAID_MAX_NS / SECOND)],
)
def test_a_rate_limit_keeps_its_target_away_and_opens_nothing(said_ns: int | None, away_s: float | None) -> None:
    fleet = Fleet()
    fleet.fail(RATE, said_ns=said_ns)

    assert [away_s, None, None, None] == [fleet.away_s(one) for one in ALL]
    assert (BreakerState.CLOSED, 0, []) == (fleet.state().state, fleet.state().failures, fleet.told)


def test_of_two_waits_the_longer_holds() -> None:
    fleet = Fleet()
    first, second = fleet.enter(), fleet.enter()
    first.failed(RATE, now=fleet.now, retry_after_ns=9 * SECOND)
    second.failed(RATE, now=fleet.now, retry_after_ns=2 * SECOND)

    assert 9 == fleet.away_s()


def test_a_model_that_is_not_there_is_left_alone_for_ten_minutes() -> None:
    fleet = Fleet()
    fleet.fail(NO_MODEL)

    assert [MODEL_NS / SECOND, None, None, None] == [fleet.away_s(one) for one in ALL]
    assert Park.MODEL is fleet.state().not_before_why


def test_with_all_open_the_shortest_wait_is_known() -> None:
    """T7d, its pure part."""
    fleet = Fleet()
    for at, one in enumerate((A, B, A_LARGE)):
        fleet.now += at * SECOND
        fleet.fail(one=one, times=5)

    assert [12.0, 13.0, 15.0] == [fleet.away_s(one) for one in (A, B, A_LARGE)]


def test_a_probe_whose_caller_left_gives_back_its_place_once() -> None:
    fleet = Fleet()
    fleet.fail(times=5)
    fleet.now += 15 * SECOND
    probe = fleet.enter()
    for _ in range(3):
        probe.left()
    other = fleet.enter()
    probe.failed(BROKEN, now=fleet.now)
    probe.began(fleet.now)
    assert BreakerState.HALF_OPEN is fleet.state().state
    other.began(fleet.now)
    other.left()

    assert BreakerState.CLOSED is fleet.state().state


@pytest.mark.parametrize("verdict", [WRONG, RATE, NO_MODEL])
def test_a_probe_whose_outcome_says_nothing_gives_back_its_place(verdict: Verdict) -> None:
    fleet = Fleet()
    fleet.fail(times=5)
    fleet.now += 15 * SECOND
    fleet.fail(verdict)
    fleet.now += MODEL_NS

    assert (BreakerState.HALF_OPEN, None) == (fleet.state().state, fleet.away_s())


def test_a_reply_that_breaks_off_is_counted_as_one_call() -> None:
    fleet = Fleet()
    passage = fleet.enter()
    passage.began(fleet.now)
    passage.began(fleet.now)
    fleet.now += SECOND
    passage.failed(BROKEN, now=fleet.now)
    passage.failed(BROKEN, now=fleet.now)
    assert (1, 1, 1) == (fleet.state().calls, fleet.state().failures, fleet.state().failures_in_a_row)
    late = fleet.enter()
    late.began(fleet.now)
    fleet.now += HOUR
    late.failed(BROKEN, now=fleet.now)

    assert (1, 1) == (fleet.state().calls, fleet.state().failures)


def test_five_replies_in_a_row_that_break_off_open_it() -> None:
    fleet = Fleet()
    for _ in range(5):
        passage = fleet.enter()
        passage.began(fleet.now)
        passage.failed(BROKEN, now=fleet.now)

    assert [BreakerState.OPEN] == [one.to for one in fleet.told]


def test_a_probe_whose_reply_breaks_off_opens_it_again() -> None:
    fleet = Fleet()
    fleet.fail(times=5)
    fleet.now += 15 * SECOND
    probe = fleet.enter()
    probe.began(fleet.now)
    assert BreakerState.CLOSED is fleet.state().state
    probe.failed(BROKEN, now=fleet.now)

    assert BreakerState.OPEN is fleet.state().state


def test_a_reload_changes_the_terms_of_those_that_stay() -> None:
    fleet = Fleet()
    fleet.breakers.follow(BreakerTerms(consecutive_failures=1), ALL)
    fleet.fail()

    assert [BreakerState.OPEN] == [one.to for one in fleet.told]


def test_a_reload_keeps_what_is_known_and_forgets_what_is_gone() -> None:
    fleet = Fleet()
    fleet.fail(times=5)
    fleet.fail(QUOTA, B)
    under_way = fleet.enter(ELSEWHERE)
    fleet.breakers.follow(BreakerTerms(consecutive_failures=1), [A, replace(B, weight=2.0), A])
    assert ["up/model#a", "up/model#b"] == [state.target for state in fleet.breakers.states(fleet.now)]
    assert [15, 60] == [fleet.away_s(A), fleet.away_s(B)]
    assert fleet.breakers.peek(ELSEWHERE.target, fleet.now) is None
    under_way.failed(BROKEN, now=fleet.now)
    fleet.breakers.follow(BreakerTerms(consecutive_failures=1), ALL)
    fleet.fail(one=ELSEWHERE)

    assert [ELSEWHERE.target] == [one.target for one in fleet.told[1:]]


def test_a_call_that_keeps_a_configuration_that_is_gone_is_let_through() -> None:
    fleet = Fleet(deployments=[])
    fleet.fail(times=5)

    assert 15 == fleet.away_s()
    fleet.breakers.follow(BreakerTerms(), [])
    assert [] == fleet.breakers.states(fleet.now)


def test_hands_open_close_and_reset() -> None:
    fleet = Fleet()
    fleet.fail(QUOTA)
    fleet.now += CREDENTIAL_NS
    fleet.fail(RATE, said_ns=HOUR)
    assert fleet.breakers.open(A.target)
    assert (OpenedBy.HAND, None) == (fleet.state().opened_by, fleet.state().opens_until_ns)
    assert fleet.breakers.close(A.target)
    assert HOUR / SECOND == fleet.away_s()
    assert fleet.breakers.reset(A.target)
    assert fleet.away_s() is None
    assert fleet.state().credential_parked_why is None
    nobody = replace(A, id=DeploymentId("no/one")).target

    assert [False] * 3 == [hand(nobody) for hand in (fleet.breakers.open, fleet.breakers.close, fleet.breakers.reset)]


SLOW = BreakerTerms(slow_call_ns=10 * SECOND)


def slowed(terms: BreakerTerms = SLOW) -> Fleet:
    """Ten calls have waited for too long at one of the targets."""
    fleet = Fleet(terms)
    for _ in range(10):
        fleet.enter().began(fleet.now, 11 * SECOND)
    return fleet


def test_a_slow_target_is_ejected_and_asked_all_the_same_by_whoever_has_nobody_better() -> None:
    fleet = slowed()
    state = fleet.state()
    assert (15 * SECOND, OpenedBy.SLOW_CALLS, 10) == (
        (state.opens_until_ns or 0) - fleet.now,
        state.opened_by,
        state.slow,
    )
    assert fleet.now + 15 * SECOND == fleet.breakers.peek(A.target, fleet.now)
    assert [True, False] == [fleet.breakers.is_ejected(one.target, fleet.now) for one in (A, B)]
    for took_s in (0, 11):
        fleet.enter().began(fleet.now, took_s * SECOND)

    assert [BreakerState.OPEN] == [one.to for one in fleet.told]
    assert fleet.state() == state


def test_a_spared_target_that_dies_is_asked_no_more() -> None:
    fleet = slowed()
    fleet.fail(times=5)

    assert 15 == fleet.away_s()
    assert not fleet.breakers.is_ejected(A.target, fleet.now)


def test_calls_that_are_spared_take_no_probes_place() -> None:
    fleet = slowed()
    spared = fleet.enter()
    fleet.now += 15 * SECOND
    assert not fleet.breakers.is_ejected(A.target, fleet.now)
    assert fleet.breakers.is_out(A.target, fleet.now)
    probe = fleet.enter()
    beside = fleet.enter()
    spared.left()
    beside.failed(BROKEN, now=fleet.now)
    assert BreakerState.HALF_OPEN is fleet.state().state
    assert fleet.now + TRYING_NS == fleet.breakers.peek(A.target, fleet.now)
    probe.began(fleet.now, SECOND)

    assert BreakerState.CLOSED is fleet.state().state


def test_a_slow_probe_that_breaks_off_as_well_is_judged_once() -> None:
    fleet = slowed()
    fleet.now += 15 * SECOND
    probe = fleet.enter()
    probe.began(fleet.now, 11 * SECOND)
    until_ns = fleet.state().opens_until_ns
    probe.failed(BROKEN, now=fleet.now)

    assert fleet.now + 30 * SECOND == until_ns == fleet.state().opens_until_ns


def test_a_call_that_fails_late_is_slow_and_one_that_breaks_off_late_is_not() -> None:
    fleet = Fleet(SLOW)
    fleet.enter().failed(BROKEN, now=fleet.now, took_ns=11 * SECOND)
    began = fleet.enter()
    began.began(fleet.now, SECOND)
    fleet.now += HOUR
    began.failed(BROKEN, now=fleet.now, took_ns=HOUR)

    assert (1, 0) == (fleet.state().calls, fleet.state().slow)


@pytest.mark.parametrize("verdict", [RATE, NO_MODEL, QUOTA])
def test_nobody_is_spared_whom_its_provider_asked_to_leave_alone(verdict: Verdict) -> None:
    fleet = slowed()
    fleet.enter().failed(verdict, now=fleet.now, retry_after_ns=5 * SECOND)

    assert isinstance(fleet.breakers.enter(A, fleet.now), int)
    assert (False, True) == (
        fleet.breakers.is_ejected(A.target, fleet.now),
        fleet.breakers.is_out(A.target, fleet.now),
    )


def test_one_call_at_a_time_tries_the_credential_of_a_spared_target() -> None:
    fleet = slowed(replace(SLOW, open_ns=HOUR, open_max_ns=HOUR))
    fleet.fail(BAD_KEY)
    fleet.now += CREDENTIAL_NS
    trial = fleet.enter()
    assert TRYING_NS / SECOND == fleet.away_s(A_LARGE)
    trial.began(fleet.now)

    assert fleet.away_s(A_LARGE) is None
    assert fleet.breakers.is_ejected(A.target, fleet.now)


def test_a_transition_says_whose_it_is() -> None:
    fleet = Fleet()
    fleet.fail(times=5)

    expected = Transition(target=A.target, deployment=A.id, credential="a", to=BreakerState.OPEN)
    assert [expected] == fleet.told
    assert Fault.UPSTREAM_ERROR is BROKEN.fault


GROUP = frozenset((A.target, B.target, A_LARGE.target))


@pytest.mark.parametrize(
    ("verdict", "times", "one"),
    [(BROKEN, 5, A), (RATE, 1, B), (NO_MODEL, 1, A_LARGE), (BAD_KEY, 1, A), (BAD_KEY, 1, replace(A, id=A.id + "2"))],  # type: ignore[arg-type]  # any name
    ids=["breaker", "rate", "model", "credential", "another's credential"],
)
def test_a_group_is_well_until_something_is_held_against_one(verdict: Verdict, times: int, one: Deployment) -> None:
    fleet = Fleet(deployments=[*ALL, one])
    assert fleet.breakers.are_well(GROUP, fleet.now)
    fleet.fail(WRONG, one)
    assert fleet.breakers.are_well(GROUP, fleet.now)

    fleet.fail(verdict, one, times)

    assert not fleet.breakers.are_well(GROUP, fleet.now)
    assert fleet.breakers.are_well(frozenset((ELSEWHERE.target,)), fleet.now)


def test_a_target_that_a_call_tries_is_not_well_before_it_has_answered() -> None:
    fleet = Fleet()
    fleet.fail(BAD_KEY)
    fleet.now += CREDENTIAL_NS

    assert fleet.away_s() is None
    assert not fleet.breakers.are_well(GROUP, fleet.now)
    fleet.enter().began(fleet.now)
    assert fleet.breakers.are_well(GROUP, fleet.now)


def test_a_hand_and_a_reload_are_news_of_who_is_well() -> None:
    fleet = Fleet()
    assert fleet.breakers.are_well(GROUP, fleet.now)
    fleet.breakers.open(B.target)
    assert not fleet.breakers.are_well(GROUP, fleet.now)
    fleet.breakers.close(B.target)
    fleet.fail(BAD_KEY, ELSEWHERE)
    assert fleet.breakers.are_well(GROUP, fleet.now)

    fleet.breakers.follow(BreakerTerms(), [A, B, replace(A_LARGE, provider=ELSEWHERE.provider), ELSEWHERE])

    assert not fleet.breakers.are_well(GROUP, fleet.now)


def test_a_target_that_comes_to_be_known_may_have_a_credential_that_is_left_alone() -> None:
    fleet = Fleet(deployments=[A])
    new = replace(A, id=DeploymentId("up/new"))
    fleet.fail(BAD_KEY)
    assert fleet.breakers.are_well(frozenset((new.target,)), fleet.now)

    assert not isinstance(fleet.breakers.enter(new, fleet.now), Passage)

    assert not fleet.breakers.are_well(frozenset((new.target,)), fleet.now)


def test_late_news_of_a_credential_that_is_good_again_say_nothing() -> None:
    fleet = Fleet()
    early, late = fleet.enter(), fleet.enter()
    early.failed(BAD_KEY, now=fleet.now)
    assert fleet.breakers.reset(A.target)

    late.failed(BAD_KEY, now=fleet.now, retry_after_ns=100 * SECOND)

    assert fleet.away_s() is None
    assert {None} == {one.credential_parked_until_ns for one in fleet.breakers.states(fleet.now)}
