"""Estimates exceed what they promise seldom enough, follow the last replies, and keep to their bounds."""

from collections import deque
from random import Random  # noqa: TID251 - seeded, so every run is the same

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.governance.output_estimate import (
    CLASSES_MAX,
    OUTPUT_TOKENS_MAX,
    SAMPLES_MAX,
    OutputClass,
    OutputEstimates,
    class_of,
    top_up,
)

CLASS = class_of("small", "key", 500)


def taught(outputs: list[int] | range, percent: int = 99) -> OutputEstimates:
    estimates = OutputEstimates(percent)
    for output in outputs:
        estimates.learn(CLASS, output)
    return estimates


@pytest.mark.parametrize(("tokens", "magnitude"), [(0, 0), (1, 0), (2, 1), (1_023, 9), (1_024, 10), (1_025, 10)])
def test_calls_of_like_input_are_of_one_class(tokens: int, magnitude: int) -> None:
    assert OutputClass("m", "k", magnitude) == class_of("m", "k", tokens)


def test_fewer_than_100_replies_teach_nothing() -> None:
    assert OutputEstimates().estimate(CLASS) is None
    assert taught(range(99)).estimate(CLASS) is None
    assert 99 == taught(range(100)).estimate(CLASS)


@pytest.mark.parametrize(
    ("count", "percent", "rank"), [(100, 99, 100), (199, 99, 198), (200, 99, 199), (1_000, 99, 991), (1_000, 95, 951)]
)
def test_the_estimate_is_the_reply_at_the_conformal_rank(count: int, percent: int, rank: int) -> None:
    assert 99 + rank == taught(range(100, 100 + count), percent).estimate(CLASS)


def test_an_estimate_is_at_least_16() -> None:
    assert 16 == taught([1] * 100).estimate(CLASS)
    assert 17 == taught([17] * 100).estimate(CLASS)


@given(st.integers(), st.integers(0, 300), st.integers(1, 99))
def test_only_the_last_1000_replies_count(seed: int, forgotten: int, percent: int) -> None:
    draw = Random(seed)
    outputs = [draw.randint(0, 40) for _ in range(SAMPLES_MAX + forgotten)]
    last = sorted(deque(outputs, SAMPLES_MAX))

    assert max(16, last[-(-1_001 * percent // 100) - 1]) == taught(outputs, percent).estimate(CLASS)


def test_of_100_000_replies_about_one_in_a_hundred_exceeds_its_estimate() -> None:
    draw, estimates, exceeded = Random(5), OutputEstimates(), 0
    for _ in range(100_000):
        output = int(draw.lognormvariate(5, 1))
        exceeded += output > (estimates.estimate(CLASS) or 1 << 20)
        estimates.learn(CLASS, output)

    assert 800 <= exceeded <= 1_100


def test_models_and_subjects_learn_apart() -> None:
    estimates = taught([300] * 100)

    assert estimates.estimate(class_of("small", "other", 500)) is None
    assert estimates.estimate(class_of("large", "key", 500)) is None


def test_a_size_that_knows_too_little_borrows_from_all_sizes_of_its_subject_until_it_knows_enough() -> None:
    estimates, rare = taught([300] * 100), class_of("small", "key", 5_000)

    assert 300 == estimates.estimate(rare)
    for _ in range(99):
        estimates.learn(rare, 7_000)
    assert 7_000 == estimates.estimate(rare)  # of all 199: what a size teaches counts for all at once
    estimates.learn(CLASS, 9_000)
    for _ in range(99):
        estimates.learn(CLASS, 300)
    assert 7_000 == estimates.estimate(rare)
    estimates.learn(rare, 6_000)
    for _ in range(1_000):
        estimates.learn(CLASS, 300)
    assert 7_000 == estimates.estimate(rare)
    assert 300 == estimates.estimate(CLASS)


def test_a_size_that_is_new_needs_no_hundred_replies_of_its_own() -> None:
    estimates = OutputEstimates()
    for number in range(100):
        estimates.learn(class_of("small", "key", 1 << number % 10), 200 + number)

    assert 299 == estimates.estimate(class_of("small", "key", 1 << 20))


def test_the_class_that_learned_nothing_for_longest_is_forgotten_first() -> None:
    estimates = taught([300] * 100)
    for number in range(CLASSES_MAX // 2 - 1):
        estimates.learn(class_of("small", f"{number}", 1), 5)
    assert CLASSES_MAX == len(estimates)
    estimates.learn(CLASS, 300)
    estimates.learn(class_of("small", "one more", 1), 5)

    assert CLASSES_MAX == len(estimates)
    assert 300 == estimates.estimate(CLASS)
    estimates = taught([300] * 100)
    for number in range(CLASSES_MAX // 2):
        estimates.learn(class_of("small", f"{number}", 1), 5)
    assert estimates.estimate(CLASS) is None


def test_no_size_outlives_what_it_borrows_from() -> None:
    estimates = taught([300] * 100)
    for number in range(CLASSES_MAX // 2 - 1):
        estimates.learn(class_of("small", f"{number}", 1), 5)
    estimates.learn(class_of("small", "0", 5_000), 5)

    assert CLASSES_MAX == len(estimates)
    assert 300 == estimates.estimate(class_of("small", "key", 5_000))


def test_an_absurd_output_is_remembered_as_the_largest_there_is() -> None:
    assert OUTPUT_TOKENS_MAX == taught([1 << 70] * 100).estimate(CLASS)


@pytest.mark.parametrize(
    ("used", "reserved", "expected"),
    [
        (0, 64, 0),
        (1, 64, 256),
        (36, 100, 0),
        (37, 100, 256),
        (1_000, 100, 1_024),
        (3_990, 4_000, 96),
        (9_999, 4_096, 0),
        (9_999, 5_000, 0),
    ],
)
def test_a_stream_is_extended_in_blocks_when_it_comes_near_its_reservation(
    used: int, reserved: int, expected: int
) -> None:
    assert expected == top_up(used, reserved, 4_096)


@given(st.integers(0, 5_000), st.integers(1, 4_096))
def test_after_a_top_up_the_margin_is_there_or_all_that_is_allowed_is_reserved(used: int, reserved: int) -> None:
    extended = reserved + top_up(used, reserved, 4_096)

    assert extended == 4_096 or used + 64 <= extended < 4_096
    assert 0 == top_up(used, extended, 4_096)
