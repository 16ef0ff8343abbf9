import pytest

from router.domain.dispatch.retry import FLOOR_NS, RESERVE_MAX, RetryBudget, RetryTerms, backoff_ns

TERMS = RetryTerms(backoff_base_ns=500, backoff_cap_ns=8_000)


@pytest.mark.parametrize(("failures", "most"), [(1, 500), (2, 1_000), (5, 8_000), (6, 8_000), (1_000, 8_000)])
def test_a_pause_is_anything_up_to_a_bound_that_doubles(failures: int, most: int) -> None:
    assert [0, most // 2, most] == [backoff_ns(TERMS, failures, draw) for draw in (0.0, 0.5, 1.0)]


def test_a_model_makes_further_attempts_in_proportion_to_its_calls() -> None:
    saved, taken = RetryBudget(), 0
    for now in range(1_000):  # all within one span of the floor
        saved.called(20)
        taken += saved.take(now)

    assert 1_000 * 20 // 100 + RESERVE_MAX == taken


def test_a_model_without_calls_has_one_further_attempt_each_second() -> None:
    saved = RetryBudget()
    for _ in range(RESERVE_MAX):
        assert saved.take(0)

    assert [True, False, False, True] == [saved.take(now) for now in (1, 2, FLOOR_NS, FLOOR_NS + 1)]


def test_nobody_saves_up_more_than_the_reserve() -> None:
    saved = RetryBudget()
    for _ in range(1_000):
        saved.called(20)

    assert RESERVE_MAX + 1 == sum(saved.take(0) for _ in range(100))
