"""A limit falls when its target objects or grows slow, rises when it is felt and all is well, and keeps its bounds."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.governance.permits import ConcurrencyLimit
from router.domain.ids import TargetId
from router.domain.instants import NS_PER_MS, NS_PER_S
from router.domain.planning.adaptive import (
    BASE_NS,
    LIMIT_MAX,
    LIMIT_START,
    REFUSAL_CUT,
    SLOW_MIN,
    TOKEN_NS,
    AdaptiveLimit,
    Felt,
    own_limit_of,
)
from router.domain.planning.load import Loads
from tests.support.fakes import deployment


def test_it_starts_high_and_never_above_the_operators_own() -> None:
    assert LIMIT_START == AdaptiveLimit().limit
    assert 12 == AdaptiveLimit(12).limit
    assert LIMIT_MAX == AdaptiveLimit(10**9).limit
    assert 1 == AdaptiveLimit(0).limit


def test_the_operators_own_is_the_lowest_that_is_enforced() -> None:
    watched, high, low = (
        ConcurrencyLimit(id=f"c{limit}", scope_kind="deployment", scope_value="d", limit=limit, observe=limit == 1)
        for limit in (1, 9, 5)
    )

    assert 5 == own_limit_of(replace(deployment(), concurrency_limits=(watched, high, low)))
    assert own_limit_of(replace(deployment(), concurrency_limits=(watched,))) is None


def test_another_limit_of_the_operators_leaves_what_is_learned() -> None:
    limit = AdaptiveLimit(100)
    limit.refused(0, 0)
    learned = limit.limit
    limit.keep_to(None)
    raised = limit.limit
    limit.keep_to(7)

    assert (80, 80, 7) == (learned, raised, limit.limit)


def test_a_refusal_cuts_by_a_fifth_once_for_all_that_were_on_their_way() -> None:
    limit = AdaptiveLimit()
    for started in range(50):
        limit.refused(started, 100 + started)
    assert LIMIT_START * REFUSAL_CUT == limit.limit

    limit.refused(100, 200)
    assert 640 == limit.limit


def test_refusals_lead_to_1_and_no_further() -> None:
    limit = AdaptiveLimit()
    for now in range(100):
        limit.refused(now, now)

    assert 1 == limit.limit


def answer(limit: AdaptiveLimit, took_ns: int, now: int, *, in_flight: int, tokens: int = 0) -> None:
    limit.answered(now - took_ns, tokens, in_flight, now)


def test_good_answers_raise_it_by_one_for_each_limits_worth_and_only_when_it_is_felt() -> None:
    limit = AdaptiveLimit()
    for now in range(25):
        limit.refused(now, now)
    before = limit.limit
    for now in range(before + 1):
        answer(limit, BASE_NS, NS_PER_S + now, in_flight=before)
    assert before + 1 == limit.limit

    for now in range(1_000):
        answer(limit, BASE_NS, 2 * NS_PER_S + now, in_flight=1)
    assert before + 1 == limit.limit


def test_a_target_that_grows_slow_is_given_less_until_20_are_left() -> None:
    limit, limits = AdaptiveLimit(), list[int]()
    for number in range(200):
        answer(limit, BASE_NS, number * NS_PER_S, in_flight=60)
    assert LIMIT_START == limit.limit

    for number in range(200, 240):
        answer(limit, 4 * BASE_NS, number * NS_PER_S, in_flight=min(limit.limit, 60))
        limits.append(limit.limit)
    assert limits == sorted(limits, reverse=True)
    assert limits[10] < 120
    assert SLOW_MIN == limits[-1]


def test_long_prompts_are_no_sign_of_load() -> None:
    limit = AdaptiveLimit()
    for number in range(500):
        tokens = 40_000 if number > 250 else 100
        answer(limit, BASE_NS + tokens * TOKEN_NS, number * 60 * NS_PER_S, in_flight=600, tokens=tokens)

    assert LIMIT_START == limit.limit


def test_a_slow_target_that_was_always_slow_is_left_alone() -> None:
    limit = AdaptiveLimit()
    for number in range(500):
        answer(limit, 20 * BASE_NS, number * 60 * NS_PER_S, in_flight=600)

    assert LIMIT_START == limit.limit


def test_an_old_crowd_does_not_excuse_a_new_one() -> None:
    limit = AdaptiveLimit()
    for number, slower in enumerate([10] * 600 + [1] * 100 + [5] * 20):
        answer(limit, slower * BASE_NS, number * 60 * NS_PER_S, in_flight=600)
        assert LIMIT_START == limit.limit or slower == 5

    assert LIMIT_START > limit.limit


def test_it_settles_near_what_a_target_takes_that_refuses_more() -> None:
    limit, now, limits = AdaptiveLimit(), 0, list[int]()
    for _ in range(4_000):
        now += 100 * NS_PER_MS
        under_way = limit.limit
        if under_way > 50:
            limit.refused(now, now + 1)
        for _ in range(min(under_way, 50)):
            answer(limit, BASE_NS, now + BASE_NS, in_flight=under_way)
        limits.append(limit.limit)

    assert 38 <= min(limits[100:]) <= max(limits[100:]) <= 52


@given(
    st.integers(1, 2_000),
    st.lists(
        st.tuples(
            st.sampled_from(["refused", "answered"]),
            st.integers(0, 10**11),
            st.integers(0, 10**6),
            st.integers(0, 5_000),
        ),
        max_size=100,
    ),
)
def test_whatever_happens_it_keeps_its_bounds(most: int, steps: list[tuple[str, int, int, int]]) -> None:
    limit, now = AdaptiveLimit(most), 0
    for what, took, tokens, in_flight in steps:
        now += took
        before = limit._limit
        if what == "refused":
            limit.refused(now - took // 2, now)
            assert limit._limit in {before, max(before * REFUSAL_CUT, 1.0)}
        else:
            limit.answered(now - took, tokens, in_flight, now)
            assert limit._limit <= before + 1
        assert 1 <= limit.limit <= min(most, LIMIT_MAX)


@pytest.mark.parametrize("took", [0, -5])
def test_a_clock_that_stands_still_does_no_harm(took: int) -> None:
    limit = AdaptiveLimit()
    for _ in range(10):
        answer(limit, took, 1, in_flight=999)

    assert LIMIT_START == limit.limit


def test_a_limit_learns_from_the_calls_under_way_at_its_target() -> None:
    limit, load = AdaptiveLimit(), Loads()[TargetId("t")]
    felt = Felt(limit, load, 0, started=0)
    felt.began(NS_PER_S // 10)
    before = limit.limit
    felt.refused(NS_PER_S)

    assert int(before * REFUSAL_CUT) == limit.limit


def test_the_time_in_which_a_request_was_still_coming_makes_nobody_slow() -> None:
    limit, load = AdaptiveLimit(), Loads()[TargetId("t")]
    felt = Felt(limit, load, 0, started=0)
    felt.asked(60 * NS_PER_S)
    felt.began(60 * NS_PER_S + BASE_NS)

    assert 1.0 == limit._long
