"""Rates are exact in every window, and the limits of a call are charged as one."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from random import Random  # noqa: TID251 - seeded, so every run is the same
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.governance.rate import (
    NOTHING,
    Costs,
    CostTooLarge,
    RateLimit,
    RateLimited,
    Rates,
    Smoothing,
    Standing,
    Unit,
    costs_of,
)

SECOND: Final = 10**9
MINUTE: Final = 60 * SECOND
ONE: Final = costs_of(requests=1, input_tokens=0, output_tokens=0)


def per_minute(
    limit: int, unit: Unit = Unit.REQUESTS, *, name: str = "a", smoothing: Smoothing = Smoothing.BURST
) -> RateLimit:
    return RateLimit(
        id=name, scope_kind="key", scope_value="k", unit=unit, limit=limit, period_ns=MINUTE, smoothing=smoothing
    )


def output(tokens: int) -> Costs:
    return costs_of(requests=1, input_tokens=0, output_tokens=tokens)


def refused(rates: Rates, limits: Sequence[RateLimit], costs: Costs, now: int) -> RateLimited:
    refusal = rates.charge(limits, costs, now)
    assert isinstance(refusal, RateLimited), refusal
    return refusal


class ExactModel:
    """A bucket of tokens that refills continuously, in fractions and without any trick."""

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self.rate = Fraction(limit.limit, limit.period_ns)
        self.burst = Fraction(1 if limit.smoothing is Smoothing.LEAKY else limit.limit)
        self.level = Fraction(0)
        self.at = 0

    def drain(self, now: int) -> None:
        self.level = max(Fraction(0), self.level - (now - self.at) * self.rate)
        self.at = now

    def charge(self, cost: int, now: int) -> bool:
        self.drain(now)
        leaky = self.limit.smoothing is Smoothing.LEAKY
        passes = self.level == 0 if leaky else self.level + cost <= self.burst
        self.level += cost if passes else 0
        return passes

    def correct(self, delta: int, now: int) -> None:
        self.drain(now)
        self.level = min(max(Fraction(0), self.level + delta), self.burst + self.limit.limit)


STEPS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 9), st.none() | st.integers(0, 30)), min_size=1, max_size=60
)


@given(STEPS, st.integers(9, 23), st.integers(1, 97), st.sampled_from(Smoothing))
def test_every_decision_is_that_of_an_exact_model(
    steps: list[tuple[int, int, int | None]], limit: int, period_ns: int, smoothing: Smoothing
) -> None:
    tokens = RateLimit(
        id="a",
        scope_kind="key",
        scope_value="k",
        unit=Unit.OUTPUT_TOKENS,
        limit=limit,
        period_ns=period_ns,
        smoothing=smoothing,
    )
    rates, model, now = Rates(), ExactModel(tokens), 7
    for pause, cost, actual in steps:
        now += pause
        refusal = rates.charge([tokens], output(cost), now)

        assert model.charge(cost, now) == (refusal is None)
        if actual is not None and refusal is None:
            rates.correct([tokens], output(cost), output(actual), now + 1)
            model.correct(actual - cost, now + 1)
            now += 1
        if cost % 3 == 0:
            rates.sweep(now)


@pytest.mark.slow
@pytest.mark.parametrize("smoothing", Smoothing)
def test_no_window_of_100_000_random_arrivals_holds_more_than_burst_and_rate_allow(smoothing: Smoothing) -> None:
    limit = RateLimit(
        id="a",
        scope_kind="key",
        scope_value="k",
        unit=Unit.OUTPUT_TOKENS,
        limit=7_001,
        period_ns=1_000_003,
        smoothing=smoothing,
    )
    draw, rates, now = Random(20_240_229), Rates(), 10**15
    # Over all windows [s, t]: admitted(s..t) * period <= burst * period + (t - s) * limit, as one running minimum.
    total, lowest, admitted = 0, 10**30, 0
    burst = 7_001 if smoothing is Smoothing.BURST else 90
    for _ in range(100_000):
        now += draw.choice((0, 0, 1, 40, 3_000, 9_000, 30_000))
        cost = draw.randint(1, 90)
        lowest = min(lowest, total * limit.period_ns - now * limit.limit)
        if rates.charge([limit], output(cost), now) is None:
            total += cost
            admitted += 1

            assert total * limit.period_ns - now * limit.limit - lowest <= burst * limit.period_ns
    assert 100_000 > admitted > 20_000


def test_500k_tokens_a_minute_admit_99_percent_of_what_is_due() -> None:
    limit, draw, rates, admitted = per_minute(500_000, Unit.TOKENS), Random(3), Rates(), 0
    for step in range(60_000):  # two minutes, twice as much offered as is allowed
        cost = costs_of(requests=1, input_tokens=draw.randint(1, 60), output_tokens=draw.randint(1, 9))
        if rates.charge([limit], cost, step * 2_000_000) is None:
            admitted += cost.tokens

    assert 0.99 * 1_500_000 <= admitted <= 1_500_000  # the burst and two minutes


def test_of_1022_requests_on_a_standing_clock_100_a_minute_let_exactly_100_pass() -> None:
    rates, limit = Rates(), per_minute(100)

    assert 100 == sum(rates.charge([limit], ONE, 5) is None for _ in range(1_022))


def test_a_refused_call_takes_nothing_of_any_limit() -> None:
    rates = Rates()
    narrow, wide = per_minute(2, name="narrow"), per_minute(100, name="wide")
    assert rates.charge([wide, narrow], ONE, 0) is None
    assert rates.charge([wide, narrow], ONE, 0) is None
    for _ in range(50):
        assert refused(rates, [wide, narrow], ONE, 0).limit_id == "narrow"

    assert [Standing(Unit.REQUESTS, 100, 98, 1_200_000_000)] == rates.standings([wide], 0)
    assert refused(rates, [narrow], ONE, 30 * SECOND - 1)
    assert rates.charge([narrow], ONE, 30 * SECOND) is None


def test_the_wait_is_exact_to_the_nanosecond() -> None:
    rates, limit = Rates(), per_minute(7)
    for _ in range(7):
        assert rates.charge([limit], ONE, 11) is None
    wait_ns = refused(rates, [limit], ONE, 11).retry_after_ns

    assert -(-MINUTE // 7) == wait_ns
    assert 1 == refused(rates, [limit], ONE, 11 + wait_ns - 1).retry_after_ns
    assert rates.charge([limit], ONE, 11 + wait_ns) is None


def test_the_refusal_names_the_limit_that_refuses_longest_with_its_figures() -> None:
    rates = Rates()
    requests, tokens = per_minute(60, name="requests"), per_minute(600, Unit.OUTPUT_TOKENS, name="tokens")
    for _ in range(60):
        rates.charge([requests], ONE, 0)
    rates.charge([tokens], output(550), 0)

    assert RateLimited(
        limit_id="tokens",
        scope_kind="key",
        unit=Unit.OUTPUT_TOKENS,
        limit_value=600,
        remaining=50,
        retry_after_ns=5 * SECOND,
    ) == rates.charge([requests, tokens], output(100), 0)
    assert "requests" == refused(rates, [requests, tokens], output(60), 0).limit_id


def test_a_cost_above_the_burst_is_the_callers_error_and_no_wait() -> None:
    rates, limit, other = Rates(), per_minute(100, Unit.OUTPUT_TOKENS, name="tokens"), per_minute(1, name="requests")

    assert rates.charge([other], ONE, 0) is None
    assert CostTooLarge(
        limit_id="tokens", scope_kind="key", unit=Unit.OUTPUT_TOKENS, limit_value=100, cost=101, cost_max=100
    ) == rates.charge([limit], output(101), 0)
    assert isinstance(rates.charge([other, limit], output(101), 0), CostTooLarge)
    assert rates.charge([limit], output(100), 0) is None


def test_what_costs_nothing_is_not_held_up_by_an_exhausted_limit() -> None:
    rates, tokens = Rates(), per_minute(10, Unit.TOKENS)
    rates.charge([tokens], output(10), 0)

    rates.correct([tokens], output(10), output(15), 0)
    requests = per_minute(1, name="requests")

    assert rates.peek([tokens, requests], ONE, 0) is None
    assert rates.charge([tokens, requests], ONE, 0) is None
    assert refused(rates, [tokens, requests], ONE, 0)


def test_a_peek_says_what_a_charge_would_and_takes_nothing() -> None:
    rates, limit = Rates(), per_minute(1)
    for _ in range(3):
        assert rates.peek([limit], ONE, 0) is None
    assert 0 == len(rates)
    assert rates.charge([limit], ONE, 0) is None

    assert rates.peek([limit], ONE, 0) == refused(rates, [limit], ONE, 0)


def test_smoothing_lets_one_call_pass_whenever_the_last_has_drained() -> None:
    rates = Rates()
    requests = per_minute(60, name="requests", smoothing=Smoothing.LEAKY)
    tokens = per_minute(600, Unit.OUTPUT_TOKENS, name="tokens", smoothing=Smoothing.LEAKY)

    assert rates.charge([requests, tokens], output(50), 0) is None
    assert RateLimited(
        limit_id="tokens",
        scope_kind="key",
        unit=Unit.OUTPUT_TOKENS,
        limit_value=600,
        remaining=0,
        retry_after_ns=5 * SECOND,
    ) == rates.charge([requests, tokens], output(50), 0)
    assert 1 == refused(rates, [requests, tokens], output(600), 5 * SECOND - 1).retry_after_ns
    assert rates.charge([requests, tokens], output(600), 5 * SECOND) is None
    assert isinstance(rates.charge([tokens], output(601), 0), CostTooLarge)


def test_an_estimate_is_given_back_and_what_was_used_beyond_it_is_owed() -> None:
    rates, limit = Rates(), per_minute(600, Unit.OUTPUT_TOKENS)
    rates.charge([limit], output(500), 0)
    rates.correct([limit], output(500), output(100), 0)
    assert [Standing(Unit.OUTPUT_TOKENS, 600, 500, 10 * SECOND)] == rates.standings([limit], 0)

    rates.correct([limit], output(100), output(700), 0)

    assert [Standing(Unit.OUTPUT_TOKENS, 600, 0, 70 * SECOND)] == rates.standings([limit], 0)
    assert 10 * SECOND + SECOND // 10 == refused(rates, [limit], output(1), 0).retry_after_ns


def test_a_debt_is_at_most_one_period_beyond_the_burst() -> None:
    rates, limit = Rates(), per_minute(600, Unit.OUTPUT_TOKENS)
    rates.charge([limit], output(500), 0)
    rates.correct([limit], output(500), output(10**9), 0)

    assert MINUTE + SECOND // 10 == refused(rates, [limit], output(1), 0).retry_after_ns


def test_nothing_given_back_late_lets_more_than_a_full_burst_pass() -> None:
    rates, limit = Rates(), per_minute(600, Unit.OUTPUT_TOKENS)
    rates.charge([limit], output(500), 0)
    rates.correct([limit], output(500), NOTHING, 10 * MINUTE)

    assert rates.charge([limit], output(600), 10 * MINUTE) is None
    assert refused(rates, [limit], output(1), 10 * MINUTE)


def test_a_call_that_was_never_dispatched_gets_everything_back() -> None:
    rates, limits = Rates(), [per_minute(2, name="r"), per_minute(90, Unit.TOKENS, name="t")]
    before = [Standing(Unit.REQUESTS, 2, 2, 0), Standing(Unit.TOKENS, 90, 90, 0)]
    rates.charge(limits, output(70), 3)
    assert before != rates.standings(limits, 3)
    rates.correct(limits, output(70), NOTHING, 3)

    assert before == rates.standings(limits, 3)


def test_a_debt_of_a_limit_that_was_forgotten_is_remembered() -> None:
    rates, limit = Rates(), per_minute(600, Unit.OUTPUT_TOKENS)
    rates.correct([limit], output(0), output(60), 0)
    rates.correct([per_minute(5, name="other")], ONE, NOTHING, 0)

    assert [Standing(Unit.OUTPUT_TOKENS, 600, 540, 6 * SECOND)] == rates.standings([limit], 0)
    assert 1 == len(rates)


def test_what_is_owed_counts_from_the_time_it_is_known() -> None:
    rates, limit = Rates(), per_minute(600, Unit.OUTPUT_TOKENS)
    rates.charge([limit], output(1), 0)
    rates.correct([limit], output(1), output(61), 10 * MINUTE)

    assert [Standing(Unit.OUTPUT_TOKENS, 600, 540, 6 * SECOND)] == rates.standings([limit], 10 * MINUTE)


def test_of_two_limits_as_tight_the_one_that_resets_last_is_reported() -> None:
    quick, slow = per_minute(10, name="quick"), per_minute(5, name="slow")
    rates = Rates()
    for _ in range(5):
        rates.charge([quick], ONE, 0)
    expected = [Standing(Unit.REQUESTS, 10, 5, 30 * SECOND)]

    assert expected == rates.standings([quick, slow], 0) == rates.standings([slow, quick], 0)


def test_a_smoothed_limit_on_requests_has_one_to_give() -> None:
    rates, limit = Rates(), per_minute(60, smoothing=Smoothing.LEAKY)

    assert [Standing(Unit.REQUESTS, 60, 1, 0)] == rates.standings([limit], 0)
    rates.charge([limit], ONE, 0)
    assert [Standing(Unit.REQUESTS, 60, 0, SECOND)] == rates.standings([limit], 0)


def test_the_tightest_limit_of_each_unit_is_reported() -> None:
    rates = Rates()
    limits = [
        per_minute(10, name="key"),
        per_minute(6, name="team"),
        per_minute(6, name="slow"),
        per_minute(900, Unit.TOKENS, name="all"),
    ]
    rates.charge([limits[0]], ONE, 0)
    for _ in range(5):
        rates.charge([limits[0]], ONE, 0)

    assert [Standing(Unit.REQUESTS, 10, 4, 36 * SECOND), Standing(Unit.TOKENS, 900, 900, 0)] == rates.standings(
        limits, 0
    )
    rates.charge([limits[1]], ONE, 0)
    rates.charge([limits[1]], ONE, 0)
    assert Standing(Unit.REQUESTS, 10, 4, 36 * SECOND) == rates.standings(limits, 0)[0]
    rates.charge([limits[1]], ONE, 0)
    assert Standing(Unit.REQUESTS, 6, 3, 30 * SECOND) == rates.standings(limits, 0)[0]


def test_what_was_taken_stays_taken_when_a_reload_changes_the_limit() -> None:
    rates = Rates()
    for _ in range(6):
        rates.charge([per_minute(10)], ONE, 0)
    hourly = RateLimit(id="a", scope_kind="key", scope_value="k", unit=Unit.REQUESTS, limit=120, period_ns=60 * MINUTE)

    assert 4 == rates.standings([per_minute(10)], 0)[0].remaining
    assert 14 == rates.standings([per_minute(20)], 0)[0].remaining
    assert 114 == rates.standings([hourly], 0)[0].remaining
    assert rates.charge([per_minute(7)], ONE, 0) is None
    assert refused(rates, [per_minute(7)], ONE, 0)
    assert 2 * MINUTE == refused(rates, [per_minute(1)], ONE, 0).retry_after_ns  # and a lowered limit is no prison


def test_limits_that_are_idle_are_forgotten_and_busy_ones_are_not() -> None:
    rates, busy = Rates(), [per_minute(1, name=f"busy {number}") for number in range(5)]
    rates.charge(busy, ONE, 0)
    for number in range(10_000):
        rates.charge([per_minute(60_000, name=f"{number}")], ONE, number * 1_000_000)

    assert 6 <= len(rates) <= 16
    assert all(refused(rates, [limit], ONE, 10 * SECOND) for limit in busy)


def test_limits_met_together_are_all_charged_however_the_idle_are_forgotten() -> None:
    rates, limits = Rates(), [per_minute(1, name=f"{number}") for number in range(8)]
    for limit in limits[:4]:
        rates.charge([limit], ONE, 0)
    assert rates.charge(limits, ONE, 2 * MINUTE) is None

    assert 8 == len(rates)
    assert all(refused(rates, [limit], ONE, 2 * MINUTE) for limit in limits)


def test_a_sweep_looks_at_so_many_limits_and_no_more() -> None:
    rates = Rates()
    for number in range(1_000):
        rates.charge([per_minute(1, name=f"{number}")], ONE, 0)
    rates.sweep(MINUTE - 1)
    assert 1_000 == len(rates)
    rates.sweep(MINUTE, 10)

    assert 990 == len(rates)


def test_a_limit_of_nothing_is_no_rate() -> None:
    with pytest.raises(AssertionError, match="lets nothing pass"):
        per_minute(0)


def observed(limit: RateLimit) -> RateLimit:
    return replace(limit, observe=True)


def test_an_observed_limit_says_what_it_would_refuse_and_the_enforced_ones_are_charged() -> None:
    rates, mine, watched = Rates(), per_minute(10), observed(per_minute(1, name="watched"))
    first = rates.charge([mine, watched], ONE, 0)
    second = rates.charge([mine, watched], ONE, 0)

    assert first is None
    assert isinstance(second, RateLimited)
    assert (True, "watched", 0) == (second.observed, second.limit_id, second.remaining)
    assert [8] == [one.remaining for one in rates.standings([mine], 0)]
    assert [0] == [one.remaining for one in rates.standings([watched], 0)]


def test_an_observed_limit_refuses_as_often_as_it_would_if_it_were_enforced() -> None:
    limit = per_minute(6)
    enforced_rates, watched_rates = Rates(), Rates()
    moments = range(0, 3 * MINUTE, 3 * SECOND)
    refusals = [enforced_rates.charge([limit], ONE, now) is not None for now in moments]

    assert refusals == [watched_rates.charge([observed(limit)], ONE, now) is not None for now in moments]
    assert any(refusals)


def test_an_enforced_limit_refuses_beside_an_observed_one_that_would_as_well() -> None:
    rates, mine, watched = Rates(), per_minute(1), observed(per_minute(1, name="watched"))
    rates.charge([watched, mine], ONE, 0)
    refusal = refused(rates, [watched, mine], ONE, 0)

    assert (False, "a") == (refusal.observed, refusal.limit_id)
    assert [0, 0] == [rates.standings([one], 0)[0].remaining for one in (mine, watched)]


def test_a_call_too_large_for_an_observed_limit_passes_and_says_so() -> None:
    rates = Rates()
    refusal = rates.charge([observed(per_minute(5, Unit.OUTPUT_TOKENS))], output(6), 0)

    assert isinstance(refusal, CostTooLarge)
    assert refusal.observed
