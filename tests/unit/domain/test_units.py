"""What somebody says of units stays in a range that sums can bear."""

import pytest

from router.domain.units import PIECES_MAX, UNITS_MAX, at_most


@pytest.mark.parametrize(
    ("said", "most", "kept"), [(-1, UNITS_MAX, 0), (7, UNITS_MAX, 7), (10**30, UNITS_MAX, UNITS_MAX), (10**30, 5, 5)]
)
def test_what_is_said_is_kept_within_its_range(said: int, most: int, kept: int) -> None:
    assert kept == at_most(said, most)


def test_the_dearest_price_of_the_most_units_is_a_number_that_sql_has() -> None:
    usd = 10**9

    assert 1_000 * usd * PIECES_MAX + usd * UNITS_MAX < 2**63
