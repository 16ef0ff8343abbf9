"""Figures of entries are read exactly, rounded up, and refused when they are none."""

from decimal import Decimal

import pytest
from msgspec import Raw

from router.adapters.prices_by_unit import image_rates, owner_of, rate_of, read_usd, unit_rates
from router.domain.pricing import ImageRate, PriceRefused, UnitRates


@pytest.mark.parametrize(("usd", "rate"), [("0", 0), ("0.04", 40_000_000 * 10**6), ("1e-16", 1), ("1.1e-15", 2)])
def test_a_price_of_one_becomes_that_of_a_million_rounded_up(usd: str, rate: int) -> None:
    assert rate == rate_of(Decimal(usd))


@pytest.mark.parametrize("said", [b"-1", b"1001", b'"much"', b"null"])
def test_a_number_that_is_no_price_is_refused_by_its_name(said: bytes) -> None:
    with pytest.raises(PriceRefused, match=r"^per_hat: "):
        read_usd({"per_hat": Raw(said)}, "per_hat")


def test_of_two_prices_of_one_unit_the_higher_counts() -> None:
    entry = {"input_cost_per_image": Raw(b"0.5"), "output_cost_per_image": Raw(b"0.25")}

    assert UnitRates(image=500_000_000 * 10**6) == unit_rates(entry, "image_generation")
    assert UnitRates() == unit_rates(entry, "chat")


def test_images_are_priced_by_the_piece_or_by_their_pixels() -> None:
    owned = b'{"litellm_provider":"p",'
    entries = {
        "p/hd/10-x-20/m": Raw(owned + b'"input_cost_per_pixel":1e-06,"output_cost_per_pixel":1e-06}'),
        "10-x-20/m": Raw(owned + b'"output_cost_per_image":0.5,"input_cost_per_pixel":1}'),
        "m": Raw(owned + b'"output_cost_per_image":1}'),
        "10-x-20/other": Raw(owned + b'"output_cost_per_image":2}'),
        "q/10-x-20/m": Raw(b'{"litellm_provider":"q","output_cost_per_image":3}'),
        "10-x-20/50-steps/m": Raw(owned + b'"output_cost_per_image":4}'),
    }

    assert (
        ImageRate(quality="hd", size="10x20", rate=400_000 * 10**6),
        ImageRate(quality=None, size="10x20", rate=500_000_000 * 10**6),
    ) == image_rates(entries, "p/m")
    assert "p" == owner_of(entries["m"])
