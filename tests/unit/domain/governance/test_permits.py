"""A place is taken under every limit or none, and comes back once, whatever ends a call."""

from hypothesis import given
from hypothesis import strategies as st

from router.domain.governance.permits import ConcurrencyLimit, Permit, Permits, Saturated


def parallel(limit: int, name: str = "a") -> ConcurrencyLimit:
    return ConcurrencyLimit(id=name, scope_kind="key", scope_value="k", limit=limit)


def test_a_place_is_taken_under_every_limit_or_under_none() -> None:
    permits, wide, narrow = Permits(), parallel(5, "wide"), parallel(1, "narrow")
    first = permits.acquire([wide, narrow])

    assert isinstance(first, Permit)
    assert Saturated(limit_id="narrow", scope_kind="key", limit_value=1) == permits.acquire([wide, narrow])
    assert {"wide": 1, "narrow": 1} == permits.gauges()
    assert (1, 0) == (permits.in_use("wide"), permits.in_use("unknown"))


def test_a_second_release_does_nothing() -> None:
    permits, limit = Permits(), parallel(2)
    first, second = permits.acquire([limit]), permits.acquire([limit])
    assert isinstance(first, Permit)
    assert isinstance(second, Permit)
    first.release()
    first.release()

    assert 1 == permits.in_use("a")
    second.release()
    assert {} == permits.gauges()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(0, 9)), max_size=60))
def test_places_in_use_are_those_of_the_calls_under_way_and_never_too_many(steps: list[tuple[str, str, int]]) -> None:
    permits, open_calls = Permits(), []
    for key, team, choice in steps:
        if choice < 4 and open_calls:
            open_calls.pop(choice % len(open_calls))[0].release()
            continue
        permit = permits.acquire([parallel(2, key), parallel(3, team)])
        if isinstance(permit, Permit):
            open_calls.append((permit, key, team))

        for name, limit in (("a", 2), ("b", 2), ("c", 2), ("x", 3), ("y", 3), ("z", 3)):
            in_use = sum(name in call for call in open_calls)
            assert in_use == permits.in_use(name) <= limit
    for call in open_calls:
        call[0].release()
    assert {} == permits.gauges()


def test_a_full_limit_that_is_only_observed_says_so_and_leaves_the_others_as_they_are() -> None:
    permits, mine = Permits(), parallel(2)
    watched = ConcurrencyLimit(id="watched", scope_kind="key", scope_value="k", limit=1, observe=True)
    first, second = permits.acquire([watched, mine]), permits.acquire([watched, mine])

    assert isinstance(first, Permit)
    assert isinstance(second, Permit)
    assert first.passed is None
    assert Saturated(limit_id="watched", scope_kind="key", limit_value=1, observed=True) == second.passed
    assert {"watched": 1, "a": 2} == permits.gauges()
    assert Saturated(limit_id="a", scope_kind="key", limit_value=2) == permits.acquire([watched, mine])
    second.release()
    assert {"watched": 1, "a": 1} == permits.gauges()
    first.release()
    assert {} == permits.gauges()
