"""Count money in whole nano-USD (1e-9 USD), so that no sum is ever rounded by a float."""

from decimal import Decimal
from typing import Final, NewType

NanoUsd = NewType("NanoUsd", int)

NANO_PER_USD: Final = 1_000_000_000
_LEAST: Final = Decimal("1e-9")


def nano_usd(usd: Decimal) -> NanoUsd:
    """Convert an amount that an operator wrote in USD, rounded up to the next nano-USD."""
    if usd.is_finite() and abs(usd) < _LEAST:  # an exponent of a few digits would be counted out
        return NanoUsd(1 if usd > 0 else 0)
    numerator, denominator = usd.as_integer_ratio()  # exact, where decimal arithmetic keeps 28 digits
    return NanoUsd(-(-numerator * NANO_PER_USD // denominator))


def format_usd(amount: NanoUsd) -> str:
    """Write an amount exactly, without trailing zeros beyond cents: `0.003556`, `1.00`."""
    sign, digits = ("-", -amount) if amount < 0 else ("", int(amount))
    whole, nano = divmod(digits, NANO_PER_USD)
    fraction = f"{nano:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{fraction}"
