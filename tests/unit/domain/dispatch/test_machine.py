"""Scripts of events and commands: what a call does next, told by what it says and not by how it works."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.catalog import Deployment
from router.domain.dispatch.failure import Failure, FailureKind, Fallback, Park, Verdict, refusal_of
from router.domain.dispatch.machine import SPREAD_NS, Command, Dispatch, Give, Start, Wait, Widen
from router.domain.dispatch.retry import RESERVE_MAX, RetryBudget, RetryTerms
from router.domain.faults import Fault, Refusal
from router.domain.ids import DeploymentId, ProviderId, TargetId
from router.domain.instants import NS_PER_MS, NS_PER_S

TERMS = RetryTerms()
DEADLINE = 600 * NS_PER_S
NO_MONEY = Refusal(fault=Fault.PRICE_UNKNOWN, message="no price")


def deployment(name: str, window: int | None = None) -> Deployment:
    return Deployment(id=DeploymentId(name), provider=ProviderId(name), upstream_model=name, context_window=window)


A, B, C, D = (deployment(name) for name in "ABCD")
DOWN = Failure(kind=FailureKind.STATUS, status=500, message="down")
BUSY = Failure(kind=FailureKind.STATUS, status=429, message="busy", code="rate_limit_exceeded")
WRONG = Failure(kind=FailureKind.STATUS, status=400, message="wrong")
SILENT = Failure(kind=FailureKind.FIRST_EVENT_TIMEOUT, message="silent")
LONG = Failure(kind=FailureKind.STATUS, status=400, message="too long", code="context_length_exceeded")
RUDE = Failure(kind=FailureKind.STATUS, status=400, message="filtered", code="content_filter")


def verdict(fallback: Fallback = Fallback.ANY, *, retry: bool = False, fault: Fault = Fault.UPSTREAM_ERROR) -> Verdict:
    return Verdict(fault=fault, retry=retry, fallback=fallback, counts=True, park=Park.NOTHING)


VERDICTS = {
    DOWN: verdict(retry=True),
    BUSY: verdict(retry=True),
    SILENT: verdict(),
    WRONG: verdict(Fallback.NONE),
    LONG: verdict(Fallback.CONTEXT),
    RUDE: verdict(Fallback.POLICY),
}


class Play:
    """Plays events to a machine, a millisecond after each other unless told otherwise."""

    def __init__(
        self, *candidates: Deployment, terms: RetryTerms = TERMS, before: int = 0, deadline: int = DEADLINE
    ) -> None:
        self.now = 0
        self.machine = Dispatch(candidates, terms=terms, saved=RetryBudget(), deadline=deadline, attempts_before=before)
        self.said = self.machine.begin(self.now)
        self.draw = 0.5

    def fails(self, failure: Failure) -> Command:
        self.now += NS_PER_MS
        self.said = self.machine.failed(failure, VERDICTS[replace_after(failure)], self.now, self.draw)
        return self.said

    def declines(self, refusal: Refusal | None = None, until: int | None = None) -> Command:
        self.said = self.machine.declined(refusal, until, self.now)
        return self.said

    def wakes(self) -> Command:
        assert isinstance(self.said, Wait)
        self.now = self.said.until
        self.said = self.machine.woke(self.now)
        return self.said

    def widens(self, *candidates: Deployment) -> Command:
        self.said = self.machine.widened(candidates, self.now)
        return self.said


def replace_after(failure: Failure) -> Failure:
    """Return the failure as the table of verdicts has it: without the time that it asks for."""
    return next(one for one in VERDICTS if (one.kind, one.message) == (failure.kind, failure.message))


def busy(after_s: float) -> Failure:
    return Failure(
        kind=BUSY.kind, status=429, message=BUSY.message, code=BUSY.code, retry_after_ms=int(after_s * 1_000)
    )


def test_the_best_candidate_is_asked_first() -> None:
    assert Start(A) == Play(A, B).said


def test_another_deployment_is_asked_at_once_and_the_same_one_again_after_a_pause() -> None:
    play = Play(A, B)

    assert Start(B) == play.fails(DOWN)
    pause = play.fails(DOWN)
    assert Wait(NS_PER_MS + 250 * NS_PER_MS) == pause
    assert Start(A) == play.wakes()
    assert Start(B) == play.fails(DOWN)  # whose pause is over


def test_another_model_is_asked_when_the_deployments_of_this_one_have_had_their_turns() -> None:
    play = Play(A)
    play.fails(DOWN)
    play.wakes()

    assert Widen(Fallback.ANY) == play.fails(DOWN)
    assert Start(C) == play.widens(A, C)


def test_who_was_too_slow_is_not_asked_again() -> None:
    play = Play(A)

    assert Widen(Fallback.ANY) == play.fails(SILENT)
    assert Give(refusal_of(SILENT)) == play.widens()


def test_a_request_that_is_wrong_is_asked_of_nobody_else() -> None:
    assert Give(refusal_of(WRONG)) == Play(A, B).fails(WRONG)


def test_a_prompt_that_is_too_long_is_tried_where_more_fits() -> None:
    small, same, unknown, large = (
        deployment(name, window) for name, window in zip("stul", (10, 10, None, 30), strict=True)
    )
    play = Play(small, same, unknown, large)

    assert Start(large) == play.fails(LONG)
    assert Widen(Fallback.CONTEXT) == play.fails(LONG)


def test_of_the_models_that_stand_in_those_that_are_known_to_be_too_small_are_not_asked() -> None:
    half, same, larger, largest = (deployment(name, size) for name, size in zip("hslx", (5, 10, 20, 30), strict=True))
    unknown = deployment("u", None)
    play = Play(deployment("first", 10))
    play.fails(LONG)

    assert Start(unknown) == play.widens(half, same, unknown, larger, largest)
    assert Start(larger) == play.fails(LONG)
    assert Start(largest) == play.fails(LONG)
    assert Give(replace(refusal_of(LONG), final=True)) == play.fails(DOWN)


def test_after_a_larger_one_has_failed_too_no_smaller_one_is_asked() -> None:
    play = Play(deployment("first", 10))
    play.fails(LONG)
    play.widens(deployment("l", 30), deployment("u", None), deployment("s", 20))

    assert Start(deployment("u", None)) == play.fails(LONG)
    assert Give(replace(refusal_of(LONG), final=True)) == play.fails(LONG)


def test_nobody_guesses_what_is_larger_than_a_window_that_is_not_known() -> None:
    play = Play(A, deployment("l", 30))

    assert Widen(Fallback.CONTEXT) == play.fails(LONG)
    assert Start(C) == play.widens(C)


def test_a_call_that_gives_up_says_why_its_first_attempt_failed_and_asks_no_model_that_cannot_help() -> None:
    play = Play(deployment("s", 10))
    play.fails(LONG)
    assert Start(A) == play.widens(A)

    assert Give(replace(refusal_of(LONG), final=True)) == play.fails(DOWN)


def test_what_a_policy_refuses_is_tried_only_where_the_operator_says() -> None:
    play = Play(A, B)

    assert Widen(Fallback.POLICY) == play.fails(RUDE)
    assert Start(C) == play.widens(C)


def test_what_waits_for_another_turn_is_forgotten_when_the_request_itself_is_to_blame() -> None:
    play = Play(A, B)
    play.fails(DOWN)

    assert Widen(Fallback.POLICY) == play.fails(RUDE)


@pytest.mark.parametrize("seconds", [1, 2, 4])
def test_a_provider_that_names_a_time_is_asked_again_then(seconds: int) -> None:
    play = Play(A)
    play.draw = 0.999
    waits = play.fails(busy(seconds))

    assert isinstance(waits, Wait)
    asked_for = NS_PER_MS + seconds * NS_PER_S
    assert asked_for <= waits.until < asked_for + SPREAD_NS


@pytest.mark.parametrize(("after_s", "deadline"), [(60, DEADLINE), (2, NS_PER_S)])
def test_a_time_that_does_not_fit_is_not_waited_for(after_s: int, deadline: int) -> None:
    assert Widen(Fallback.ANY) == Play(A, deadline=deadline).fails(busy(after_s))


def test_a_time_of_nothing_is_now() -> None:
    play = Play(A)
    play.draw = 0.0

    assert Start(A) == play.fails(busy(0))


def test_nobody_is_asked_more_often_than_allowed_and_the_callers_sdk_is_told_to_stop() -> None:
    play = Play(A, B, C, D, deployment("E"))
    for _ in range(3):
        assert isinstance(play.fails(DOWN), Start)

    assert Give(replace(refusal_of(DOWN), final=True)) == play.fails(BUSY)


@pytest.mark.parametrize(("before", "attempts"), [(0, 4), (1, 3), (3, 1), (4, 1), (9, 1)])
def test_attempts_of_the_callers_sdk_count(before: int, attempts: int) -> None:
    play = Play(A, B, C, D, before=before)
    made = 1
    while isinstance(play.fails(DOWN), Start):
        made += 1

    assert attempts == made


def test_other_models_serve_though_the_one_asked_for_has_nothing_saved_up() -> None:
    saved = RetryBudget()
    while saved.take(0):
        pass
    machine = Dispatch([A, B], terms=TERMS, saved=saved, deadline=DEADLINE)
    machine.begin(0)

    assert Widen(Fallback.ANY) == machine.failed(DOWN, VERDICTS[DOWN], 0, 0.5)
    assert Start(C) == machine.widened([C, D], 0)
    assert Start(D) == machine.failed(DOWN, VERDICTS[DOWN], 0, 0.5)


def test_who_stands_in_is_asked_once() -> None:
    play = Play(A)
    play.fails(SILENT)
    play.widens(C)

    assert Give(replace(refusal_of(SILENT), final=True)) == play.fails(DOWN)


def test_a_model_that_fails_for_everybody_is_not_asked_more_often_than_it_has_saved_up_for() -> None:
    saved, attempts = RetryBudget(), 0
    for _ in range(1_000):
        saved.called(20)
        machine = Dispatch([A, B, C], terms=TERMS, saved=saved, deadline=DEADLINE)
        command = machine.begin(0)
        while isinstance(command, Start):
            attempts += 1
            command = machine.failed(DOWN, VERDICTS[DOWN], 0, 0.5)

    assert attempts <= 1_000 * 1.2 + RESERVE_MAX + 1


def test_one_that_declines_is_no_attempt() -> None:
    play = Play(A, B, C, D, terms=replace(TERMS, attempts_total=1))
    play.declines(until=5)

    assert Start(C) == play.declines()


def test_when_nobody_is_free_the_caller_hears_when_the_first_one_is() -> None:
    play = Play(A, B)
    play.declines(until=3 * NS_PER_S)
    play.declines(until=2 * NS_PER_S)
    gives = play.widens()

    assert isinstance(gives, Give)
    assert (Fault.OVERLOADED, 2_000) == (gives.refusal.fault, gives.refusal.retry_after_ms)


def test_when_the_call_itself_fits_nowhere_the_caller_hears_why() -> None:
    play = Play(A, B)
    play.declines(until=3 * NS_PER_S)
    play.declines(NO_MONEY)

    assert Give(NO_MONEY) == play.widens()


def test_a_failure_is_told_rather_than_who_declined_after_it() -> None:
    play = Play(A, B)
    play.fails(SILENT)
    play.declines(NO_MONEY)

    assert Give(refusal_of(SILENT)) == play.widens()


def test_after_the_deadline_nobody_is_asked() -> None:
    play = Play(A, B, deadline=NS_PER_MS)

    assert Give(refusal_of(SILENT)) == play.fails(SILENT)


def test_who_comes_after_its_deadline_hears_that_it_was_too_late_and_not_that_nobody_is_free() -> None:
    late = Play(A, B, deadline=0).said
    poor = Play(A, B, deadline=0)
    no_money = Refusal(fault=Fault.BUDGET_EXHAUSTED, message="no money")

    assert isinstance(late, Give)
    assert (Fault.TIMEOUT, None) == (late.refusal.fault, late.refusal.retry_after_ms)
    assert Give(no_money) == poor.declines(no_money), "what it met before is why"


EVENTS = st.lists(st.tuples(st.sampled_from([*VERDICTS, None]), st.floats(0, 0.99)), max_size=40)


@given(events=EVENTS, count=st.integers(1, 6), before=st.integers(0, 5), wider=st.integers(0, 3))
def test_every_call_ends_within_its_bounds(
    events: Sequence[tuple[Failure | None, float]], count: int, before: int, wider: int
) -> None:
    candidates = [deployment(f"d{number}", 10 * number) for number in range(count)]
    fallbacks = [deployment(f"f{number}", 100) for number in range(wider)]
    machine = Dispatch(candidates, terms=TERMS, saved=RetryBudget(), deadline=DEADLINE, attempts_before=before)
    now, attempts, asked, started = 0, 0, set(), Counter[TargetId]()
    command, script = machine.begin(now), iter(events)
    while not isinstance(command, Give):
        match command:
            case Start(one):
                failure, draw = next(script, (WRONG, 0.0))
                if failure is None:
                    command = machine.declined(None, None, now)
                    continue
                attempts += 1
                started[one.target] += 1
                command = machine.failed(failure, VERDICTS[failure], now, draw)
            case Wait(until):
                assert until > now
                now = until
                command = machine.woke(now)
            case Widen(kind):
                assert kind not in asked
                asked.add(kind)
                command = machine.widened(fallbacks, now)

    assert attempts <= max(1, TERMS.attempts_total - before)
    assert max(started.values(), default=0) <= TERMS.attempts_per_deployment
    assert now < DEADLINE


def test_what_cannot_be_sent_again_is_sent_to_nobody_else_and_that_is_said() -> None:
    play = Play(A, B)
    given = play.machine.failed(DOWN, VERDICTS[DOWN], NS_PER_MS, 0.5, repeatable=False)

    assert isinstance(given, Give)
    assert given.refusal.message.startswith("down. Nobody else was asked")
    assert not given.refusal.final, "the caller still may"


def test_where_nobody_would_have_been_asked_nothing_is_said_of_it() -> None:
    given = Play(A, B).machine.failed(WRONG, VERDICTS[WRONG], NS_PER_MS, 0.5, repeatable=False)

    assert isinstance(given, Give)
    assert "Nobody" not in given.refusal.message
