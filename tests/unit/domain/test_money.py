"""Amounts are exact: what an operator writes comes back, and nothing is ever rounded down."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.money import NanoUsd, format_usd, nano_usd


@pytest.mark.parametrize(
    ("expected", "usd"),
    [
        (1_000_000_000, "1"),
        (3_556_000, "0.003556"),
        (1, "0.000000001"),
        (1, "0.0000000001"),
        (0, "0"),
        (-1_500_000_000, "-1.5"),
        (9_007_199_254_740_993_000_000_000, "9007199254740993"),
        (1_000_000_001, "1.00000000000000000000000000000000000001"),
    ],
)
def test_an_amount_in_usd_is_rounded_up_to_the_next_nano_usd(expected: int, usd: str) -> None:
    assert expected == nano_usd(Decimal(usd))


@pytest.mark.parametrize("usd", ["NaN", "Infinity"])
def test_what_is_no_amount_is_refused(usd: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        nano_usd(Decimal(usd))


@pytest.mark.parametrize(
    ("expected", "amount"),
    [
        ("1.00", 1_000_000_000),
        ("0.003556", 3_556_000),
        ("0.000000001", 1),
        ("0.00", 0),
        ("12.50", 12_500_000_000),
        ("-0.10", -100_000_000),
    ],
)
def test_an_amount_is_written_exactly_and_with_cents(expected: str, amount: int) -> None:
    assert expected == format_usd(NanoUsd(amount))


@given(st.integers(min_value=-(10**24), max_value=10**24))
def test_a_written_amount_reads_back_as_itself(amount: int) -> None:
    assert amount == nano_usd(Decimal(format_usd(NanoUsd(amount))))


@given(st.decimals(min_value=0, max_value=10**12, allow_nan=False, allow_infinity=False))
def test_an_amount_is_never_rounded_down_nor_up_by_a_whole_nano_usd(usd: Decimal) -> None:
    numerator, denominator = usd.as_integer_ratio()
    excess = nano_usd(usd) * denominator - numerator * 10**9

    assert 0 <= excess < denominator


def test_an_amount_below_all_counting_is_the_least_there_is_at_once() -> None:
    """As an exact fraction it would have a billion digits, which no memory holds."""
    assert 1 == nano_usd(Decimal("1e-999999999"))
    assert 0 == nano_usd(Decimal("0e-999999999"))
