"""Durations as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.instants import format_duration, parse_duration_ns, parse_moment_ns


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (500_000_000, "500ms"),
        (30_000_000_000, "30s"),
        (300_000_000_000, "5m"),
        (3_600_000_000_000, "1h"),
        (86_400_000_000_000, "1d"),
        (1_500_000_000, "1.5s"),
        (0, "0s"),
        (30_000_000_000, " 30s "),
        (100_000_000, "0.1s"),
    ],
)
def test_a_duration_is_a_number_and_a_unit(expected: int, text: str) -> None:
    assert expected == parse_duration_ns(text)


@pytest.mark.parametrize(
    "text", ["", "30", "s", "-1s", "1 s", "1e3s", "1.s", ".5s", "1w", "1S", "1s1m", "٣s", "9" * 13 + "s"]
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 30s"):
        parse_duration_ns(text)


@pytest.mark.parametrize(
    ("expected", "span_ns"),
    [
        ("0s", 0),
        ("30s", 30_000_000_000),
        ("1500ms", 1_500_000_000),
        ("2h", 7_200_000_000_000),
        ("1d", 86_400_000_000_000),
        ("1000001ms", 1_000_001_000_000),
        ("0.25ms", 250_000),
        ("0.000001ms", 1),
    ],
)
def test_a_span_is_written_in_its_largest_whole_unit(expected: str, span_ns: int) -> None:
    assert expected == format_duration(span_ns)


@given(st.integers(min_value=0, max_value=10**17))
def test_a_written_span_reads_back(span_ns: int) -> None:
    assert span_ns == parse_duration_ns(format_duration(span_ns))


@pytest.mark.parametrize(
    ("text", "instant_ns"),
    [
        ("1800000000", 1_800_000_000 * 10**9),
        ("1800000000.5", 1_800_000_000 * 10**9 + 500_000_000),
        ("2027-01-15T08:00:00Z", 1_800_000_000 * 10**9),
        ("2027-01-15T09:00:00 01:00", 1_800_000_000 * 10**9),
        ("1960-01-01T00:00:00Z", 0),
        ("0001-01-01T00:00:00+05:00", 0),
        ("9999-12-31T00:00:00-05:00", (1 << 63) - 1),
    ],
)
def test_a_moment_is_unix_nanoseconds_within_what_a_store_holds(text: str, instant_ns: int) -> None:
    assert instant_ns == parse_moment_ns(text)


@pytest.mark.parametrize("text", ["", "soon", "2027-01-15T08:00:00", "2027-13-01T00:00:00Z"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_moment_ns(text)
