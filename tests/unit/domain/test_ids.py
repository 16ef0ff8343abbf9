"""Call ids sort by time, never repeat, and read back from what people paste."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.ids import CallId, CallIds, Epoch, first_call_id, format_call_id, parse_call_id

ORIGIN_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
WALL_NS = st.integers(min_value=0, max_value=ORIGIN_NS + 60 * 366 * 86_400 * 10**9)


@given(st.lists(WALL_NS, min_size=2), st.integers(min_value=1, max_value=10**9))
def test_ids_strictly_increase_under_any_clock(walls: list[int], epoch: int) -> None:
    ids = CallIds(Epoch(epoch))
    taken = [ids.take(wall) for wall in walls]

    assert sorted(set(taken)) == taken
    assert 0 < taken[0]
    assert taken[-1] < 1 << 63


def test_ids_of_one_millisecond_overflow_into_the_next() -> None:
    ids = CallIds(Epoch(3))
    taken = [ids.take(ORIGIN_NS + 5_000_000) for _ in range((1 << 14) + 1)]

    assert (5 << 22) | (3 << 14) == taken[0]
    assert (6 << 22) | (3 << 14) == taken[-1]
    assert sorted(set(taken)) == taken


@given(st.lists(WALL_NS, min_size=1, max_size=20), st.integers(1, 10**6), st.integers(1, 255))
def test_ids_of_processes_with_near_epochs_never_collide(walls: list[int], epoch: int, distance: int) -> None:
    one, other = CallIds(Epoch(epoch)), CallIds(Epoch(epoch + distance))

    assert set() == {one.take(wall) for wall in walls} & {other.take(wall) for wall in walls}


def test_an_id_says_when_it_was_taken() -> None:
    earlier, later = CallIds(Epoch(255)), CallIds(Epoch(0))

    assert earlier.take(ORIGIN_NS + 7_000_000) < later.take(ORIGIN_NS + 8_000_000)


@given(st.integers(min_value=0, max_value=(1 << 63) - 1))
def test_a_written_id_reads_back(value: int) -> None:
    assert value == parse_call_id(format_call_id(CallId(value)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "call_",
        "0000000000000001",
        "call_000000000000001",
        "call_00000000000000001",
        "call_0x00000000000001",
        "call_00000000000000_1",
        "call_000000000000000A",
        "call_000000000000000g",
        "call_8000000000000000",
        "call_000000000000000\u0661",
        "call_0000000000000001\n",
        " call_0000000000000001",
        "CALL_0000000000000001",
    ],
)
def test_anything_else_is_no_id(text: str) -> None:
    assert parse_call_id(text) is None


@given(WALL_NS, WALL_NS, st.integers(1, 10**6))
def test_the_first_id_of_a_moment_is_at_most_any_that_is_taken_then(wall: int, later: int, epoch: int) -> None:
    assert first_call_id(wall) <= CallIds(Epoch(epoch)).take(max(wall, later))
    assert first_call_id(wall) <= first_call_id(max(wall, later))


def test_the_first_id_of_a_moment_is_above_all_that_were_taken_before() -> None:
    ids = CallIds(Epoch(255))
    taken = [ids.take(ORIGIN_NS + 4_999_999) for _ in range(3)]

    assert taken[-1] < first_call_id(ORIGIN_NS + 5_000_000)
    assert 0 == first_call_id(0)
