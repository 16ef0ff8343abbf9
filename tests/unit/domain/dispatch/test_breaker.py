"""A breaker opens on what is bad enough, stays open as long as it must, and lets the right number try."""

import pytest

from router.domain.dispatch.breaker import (
    SAID_MAX_NS,
    SPARED,
    TRYING_NS,
    Breaker,
    BreakerState,
    BreakerTerms,
    OpenedBy,
    Window,
)
from tests.support.fakes import SECOND

OPEN, HALF_OPEN, CLOSED = BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED
NEVER_IN_A_ROW = 10**6
SLOW = BreakerTerms(slow_call_ns=10 * SECOND)
LATE = 11 * SECOND


class Bench:
    """A breaker, its clock, and what it told."""

    def __init__(self, terms: BreakerTerms | None = None, draw: float = 0.5) -> None:
        self.told: list[BreakerState] = []
        self.draw = draw
        self.breaker = Breaker(terms or BreakerTerms(), lambda: self.draw, self.told.append)
        self.now = 1_000 * SECOND

    def let_in(self) -> int:
        assert self.breaker.away_until(self.now) is None
        self.breaker.enter()
        return self.breaker.generation

    def fail(self, times: int = 1, retry_after_ns: int | None = None, *, took_ns: int = 0) -> None:
        for _ in range(times):
            generation = self.let_in()
            self.fail_in(generation, retry_after_ns, took_ns=took_ns)

    def fail_in(self, generation: int, retry_after_ns: int | None = None, *, took_ns: int = 0) -> None:
        self.breaker.fail(generation, self.now, took_ns, retry_after_ns=retry_after_ns, successes=None, anew=True)

    def succeed(self, times: int = 1, took_ns: int = 0) -> None:
        for _ in range(times):
            self.breaker.succeed(self.let_in(), self.now, took_ns)

    def break_off(self, generation: int) -> None:
        """End a reply so that has begun; nobody has succeeded since."""
        successes = self.breaker.successes
        self.breaker.fail(generation, self.now, 0, retry_after_ns=None, successes=successes, anew=False)

    @property
    def open_for_s(self) -> float:
        return (self.breaker.until_ns - self.now) / SECOND

    def wait(self) -> None:
        self.now = self.breaker.until_ns


def test_five_failures_in_a_row_open_it_and_four_do_not() -> None:
    bench = Bench()
    bench.fail(4)
    bench.succeed()
    bench.fail(4)
    assert CLOSED is bench.breaker.state
    bench.fail()

    assert [OPEN] == bench.told
    assert bench.breaker.until_ns == bench.breaker.away_until(bench.now)


@pytest.mark.parametrize(
    ("successes", "failures", "state"), [(5, 5, OPEN), (6, 5, CLOSED), (4, 5, CLOSED), (6, 6, OPEN)]
)
def test_half_of_ten_calls_open_it_and_of_nine_do_not(successes: int, failures: int, state: BreakerState) -> None:
    bench = Bench(BreakerTerms(consecutive_failures=NEVER_IN_A_ROW))
    bench.succeed(successes)
    bench.fail(failures)

    assert state is bench.breaker.state


def test_what_left_the_window_says_nothing() -> None:
    bench = Bench(BreakerTerms(consecutive_failures=NEVER_IN_A_ROW))
    bench.fail(9)
    bench.now += 31 * SECOND
    bench.fail(9)
    assert (9, 9) == bench.breaker.standing(bench.now)[:2]
    bench.fail()

    assert OPEN is bench.breaker.state


def test_the_window_slides_by_tenths() -> None:
    window = Window(10 * SECOND)
    seen = []
    for second in range(25):
        if second * SECOND >= window.end_ns:
            window.roll(second * SECOND)
        if second < 15:
            window.fail(1)
        seen.append((window.calls + window.fresh_calls, window.failures))

    assert [(min(second + 1, 10, max(24 - second, 0)),) * 2 for second in range(25)] == seen


@pytest.mark.parametrize(("draw", "seconds"), [(0.0, 12.0), (0.5, 15.0), (0.999999, 18.0)])
def test_it_stays_open_a_fifth_more_or_less(draw: float, seconds: float) -> None:
    bench = Bench(draw=draw)
    bench.fail(5)

    assert pytest.approx(seconds, rel=1e-5) == bench.open_for_s


def test_each_time_that_it_opens_again_it_stays_open_for_twice_as_long_up_to_a_limit() -> None:
    bench = Bench()
    bench.fail(5)
    spans = [bench.open_for_s]
    for _ in range(40):
        bench.wait()
        bench.fail()
        spans.append(bench.open_for_s)

    assert [15, 30, 60, 120, 240, 300, 300] == spans[:7]
    assert {300} == set(spans[6:])


def test_a_success_closes_it_and_the_past_is_forgotten() -> None:
    bench = Bench()
    bench.fail(5)
    bench.wait()
    bench.fail()
    bench.wait()
    bench.succeed()
    bench.fail(4)
    assert [OPEN, HALF_OPEN, OPEN, HALF_OPEN, CLOSED] == bench.told
    bench.fail()

    assert 15 == bench.open_for_s


@pytest.mark.parametrize(("said_s", "seconds"), [(3, 15), (90, 90), (10**9, SAID_MAX_NS / SECOND)])
def test_a_longer_retry_after_extends_the_time_within_bounds(said_s: int, seconds: float) -> None:
    bench = Bench()
    bench.fail(4)
    bench.fail(retry_after_ns=said_s * SECOND)

    assert seconds == bench.open_for_s


def test_a_try_before_its_time_that_fails_shortens_no_wait() -> None:
    bench = Bench()
    bench.fail(4)
    bench.fail(retry_after_ns=90 * SECOND)
    bench.breaker.enter()
    bench.fail_in(bench.breaker.generation)

    assert 90 == bench.open_for_s


def test_failures_from_before_it_closed_are_in_no_window() -> None:
    bench = Bench(BreakerTerms(consecutive_failures=NEVER_IN_A_ROW))
    bench.fail(10)
    bench.wait()
    bench.succeed(2)
    bench.fail(7)
    assert (9, 7, 0, 7) == bench.breaker.standing(bench.now)

    assert CLOSED is bench.breaker.state


def test_late_news_of_an_outage_only_extends_it() -> None:
    bench = Bench()
    late = [bench.let_in() for _ in range(3)]
    bench.fail(5)
    bench.fail_in(late[0], 90 * SECOND)
    bench.fail_in(late[1], 60 * SECOND)
    assert 90 == bench.open_for_s
    bench.wait()
    bench.let_in()
    bench.fail_in(late[2])
    bench.breaker.succeed(late[2], bench.now, 0)
    bench.breaker.release(late[2])
    assert bench.breaker.away_until(bench.now) is not None

    assert [OPEN, HALF_OPEN] == bench.told  # news from before the outage is no probe's outcome


@pytest.mark.parametrize("probes", [1, 3])
def test_only_so_many_probes_try_at_a_time(probes: int) -> None:
    bench = Bench(BreakerTerms(probes=probes))
    bench.fail(5)
    bench.wait()
    generations = [bench.let_in() for _ in range(probes)]
    assert bench.now + TRYING_NS == bench.breaker.away_until(bench.now)
    bench.breaker.release(generations[0])
    generations[0] = bench.let_in()
    assert bench.now + TRYING_NS == bench.breaker.away_until(bench.now)
    bench.fail_in(generations[0])
    for generation in generations[1:]:
        bench.fail_in(generation)

    assert [OPEN, HALF_OPEN, OPEN] == bench.told
    assert 30 == bench.open_for_s


def test_a_reply_that_breaks_off_is_no_success() -> None:
    bench = Bench()
    for _ in range(5):
        generation = bench.let_in()
        bench.breaker.succeed(generation, bench.now, 0)
        bench.break_off(generation)

    assert [OPEN] == bench.told


def test_a_reply_that_breaks_off_among_good_ones_is_one_failure() -> None:
    bench = Bench()
    for _ in range(20):
        generation = bench.let_in()
        bench.breaker.succeed(generation, bench.now, 0)
        successes = bench.breaker.successes
        bench.succeed(2)
        bench.breaker.fail(generation, bench.now, 0, retry_after_ns=None, successes=successes, anew=False)

    assert (60, 20, 0, 1) == bench.breaker.standing(bench.now)
    assert [] == bench.told


def test_a_probe_that_breaks_off_opens_it_again() -> None:
    bench = Bench()
    bench.fail(5)
    bench.wait()
    bench.succeed()
    bench.break_off(bench.breaker.generation)

    assert [OPEN, HALF_OPEN, CLOSED, OPEN] == bench.told


def test_opened_by_hand_it_stays_open_until_it_is_closed_by_hand() -> None:
    bench = Bench()
    generation = bench.let_in()
    bench.breaker.hold()
    bench.now += 10**6 * SECOND
    bench.breaker.succeed(generation, bench.now, 0)
    assert bench.now + 300 * SECOND == bench.breaker.away_until(bench.now)
    bench.breaker.hold()
    bench.breaker.close()
    bench.succeed()

    assert [OPEN, CLOSED] == bench.told


def test_other_terms_hold_from_now_on() -> None:
    bench = Bench()
    bench.fail(2)
    bench.breaker.adopt(BreakerTerms(consecutive_failures=3))
    assert (2, 2, 0, 2) == bench.breaker.standing(bench.now)
    bench.fail()
    assert [OPEN] == bench.told
    bench.breaker.adopt(BreakerTerms(window_ns=SECOND))

    assert 0 == bench.breaker.standing(bench.now)[0]
    assert SECOND == bench.breaker.window_ns


@pytest.mark.parametrize(("quick", "slow", "state"), [(2, 8, OPEN), (3, 8, CLOSED), (0, 9, CLOSED), (0, 10, OPEN)])
def test_eight_of_ten_slow_calls_open_it_and_of_eleven_do_not(quick: int, slow: int, state: BreakerState) -> None:
    bench = Bench(SLOW)
    bench.succeed(quick)
    bench.succeed(slow, LATE)

    assert state is bench.breaker.state
    assert (OpenedBy.SLOW_CALLS if state is OPEN else None) is bench.breaker.opened_by


def test_no_call_is_slow_unless_somebody_says_how_slow() -> None:
    bench = Bench()
    bench.succeed(100, 3_600 * SECOND)
    other = Bench(SLOW)
    other.succeed(100, 10 * SECOND)

    assert ([], [], 0) == (bench.told, other.told, other.breaker.standing(other.now)[2])


def test_a_call_that_fails_late_is_slow_too() -> None:
    bench = Bench(SLOW)
    bench.succeed(5, LATE)
    bench.fail(4, took_ns=LATE)
    assert (9, 4, 9, 4) == bench.breaker.standing(bench.now)
    bench.succeed()

    assert [] == bench.told
    bench.succeed(took_ns=LATE)
    assert OpenedBy.SLOW_CALLS is bench.breaker.opened_by


def test_a_reply_that_began_late_and_breaks_off_is_slow_once() -> None:
    bench = Bench(SLOW)
    bench.succeed(took_ns=LATE)
    bench.breaker.fail(
        bench.breaker.generation, bench.now, LATE, retry_after_ns=None, successes=bench.breaker.successes, anew=False
    )

    assert (1, 1, 1, 1) == bench.breaker.standing(bench.now)


def test_slow_calls_that_left_the_window_say_nothing() -> None:
    bench = Bench(SLOW)
    bench.succeed(9, LATE)
    bench.now += 31 * SECOND
    bench.succeed(9, LATE)

    assert ([], (9, 0, 9, 0)) == (bench.told, bench.breaker.standing(bench.now))


def test_a_slow_probe_opens_it_again_for_longer_and_a_quick_one_closes_it() -> None:
    bench = Bench(SLOW)
    bench.succeed(10, LATE)
    spans = [bench.open_for_s]
    for _ in range(2):
        bench.wait()
        bench.succeed(took_ns=LATE)
        spans.append(bench.open_for_s)
    bench.wait()
    bench.succeed()

    assert [15, 30, 60] == spans
    assert [OPEN, *[HALF_OPEN, OPEN] * 2, HALF_OPEN, CLOSED] == bench.told
    assert (1, 0, 0, 0) == bench.breaker.standing(bench.now)


def test_what_is_slow_may_change_while_it_runs() -> None:
    bench = Bench()
    bench.succeed(100, LATE)
    bench.breaker.adopt(SLOW)
    bench.now += 31 * SECOND
    bench.succeed(10, LATE)

    assert [OPEN] == bench.told
    bench.breaker.adopt(BreakerTerms())
    bench.wait()
    bench.succeed(took_ns=LATE)
    assert CLOSED is bench.breaker.state


def test_why_it_opened_is_known_until_it_closes() -> None:
    bench = Bench()
    seen = []
    bench.fail(5)
    seen.append(bench.breaker.opened_by)
    bench.wait()
    bench.fail()
    seen.append(bench.breaker.opened_by)
    bench.wait()
    bench.succeed()
    seen.append(bench.breaker.opened_by)
    for _ in range(4):
        bench.succeed()
        bench.fail()
    bench.fail()
    seen.append(bench.breaker.opened_by)
    bench.breaker.hold()
    seen.append(bench.breaker.opened_by)

    by = OpenedBy
    assert [by.FAILURES_IN_A_ROW, by.PROBE, None, by.FAILURE_RATE, by.HAND] == seen


def test_only_what_has_brought_a_good_reply_answers() -> None:
    """Ten failures are a rate too, and say that nobody is there."""
    in_a_row, never = Bench(), Bench(BreakerTerms(consecutive_failures=NEVER_IN_A_ROW))
    at_times, slowly, by_hand = Bench(), Bench(SLOW), Bench(SLOW)
    in_a_row.succeed(5)
    in_a_row.fail(5)
    never.fail(10)
    for _ in range(5):
        at_times.succeed()
        at_times.fail()
    slowly.succeed(10, LATE)
    by_hand.succeed(10, LATE)
    by_hand.breaker.hold()
    benches = [in_a_row, never, at_times, slowly, by_hand]

    assert {OPEN} == {bench.breaker.state for bench in benches}
    assert [False, False, True, True, False] == [bench.breaker.answers for bench in benches]


def test_calls_that_are_spared_say_whether_it_still_answers_and_nothing_else() -> None:
    bench = Bench(SLOW)
    bench.succeed(10, LATE)
    bench.fail_in(SPARED)
    until_ns, answers = bench.breaker.until_ns, []
    for _ in range(4):
        answers.append(bench.breaker.answers)
        bench.fail_in(SPARED, took_ns=LATE)
    answers.append(bench.breaker.answers)
    bench.breaker.succeed(SPARED, bench.now, 0)
    answers.append(bench.breaker.answers)
    bench.break_off(SPARED)
    answers.append(bench.breaker.answers)
    bench.breaker.release(SPARED)

    assert [True, True, True, True, False, True, False] == answers
    assert ([OPEN], until_ns) == (bench.told, bench.breaker.until_ns)


def test_probes_that_fail_say_that_it_answers_no_more() -> None:
    bench = Bench(SLOW)
    bench.succeed(10, LATE)
    answers = []
    for _ in range(5):
        bench.wait()
        bench.fail()
        answers.append(bench.breaker.answers)

    assert [True, True, True, True, False] == answers
    bench.wait()
    bench.succeed(took_ns=LATE)
    assert (OPEN, True) == (bench.breaker.state, bench.breaker.answers)


def test_calls_that_were_spared_before_it_closed_say_nothing_after() -> None:
    bench = Bench(SLOW)
    bench.succeed(10, LATE)
    bench.wait()
    bench.succeed()
    for _ in range(5):
        bench.fail_in(SPARED)
    bench.fail(4)
    bench.breaker.succeed(SPARED, bench.now, 0)
    bench.fail()

    assert (OPEN, OpenedBy.FAILURES_IN_A_ROW) == (bench.breaker.state, bench.breaker.opened_by)


def test_a_spared_call_whose_provider_says_when_extends_the_wait() -> None:
    bench = Bench(SLOW)
    bench.succeed(10, LATE)
    bench.fail_in(SPARED, 90 * SECOND)

    assert 90 == bench.open_for_s
