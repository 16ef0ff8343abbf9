"""Read figures of litellm's entries exactly, and the prices by other units than tokens among them."""

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.pricing import ImageRate, PriceRefused, UnitRates

Entry = dict[str, Raw]
_NANO_USD_PER_MILLION: Final = 10**15
_USD_MAX: Final = 1_000
_KIND: Final = re.compile(r"(?:([a-z]+)/)?(\d{1,5})-x-(\d{1,5})")
"""How the entry of images of one quality and size is called, before the model."""
_BY_PIXEL: Final = ("input_cost_per_pixel", "output_cost_per_pixel")
UNITS: Final = {
    "image_generation": {"output_cost_per_image": "image", "input_cost_per_image": "image"},
    "image_edit": {"output_cost_per_image": "image", "input_cost_per_image": "image"},
    "audio_speech": {"input_cost_per_character": "character"},
    "audio_transcription": {"input_cost_per_second": "audio_ms", "output_cost_per_second": "audio_ms"},
    "rerank": {"input_cost_per_query": "query"},
}
"""Prices by other units than tokens, by the mode of the entry. Of two for one unit the higher counts."""
_OF_IMAGES: Final = "image_edit"


class _Owner(msgspec.Struct, gc=False):
    litellm_provider: str = ""


_fields: Final = msgspec.json.Decoder(Entry)
_decimal: Final = msgspec.json.Decoder(Decimal)
_owner: Final = msgspec.json.Decoder(_Owner)


def owner_of(raw: Raw) -> str:
    """Return the provider of an entry. Raises DecodeError."""
    return _owner.decode(raw).litellm_provider


def read_usd(entry: Entry, key: str) -> Decimal:
    """Read one price. Raises DecodeError, and `PriceRefused` for a number that is none."""
    try:
        return _checked(_decimal.decode(entry[key]))
    except (msgspec.DecodeError, PriceRefused) as exc:
        raise PriceRefused(f"{key}: {exc}") from None


def rate_of(usd: Decimal) -> int:
    """Return nano-USD per million, rounded up. Raises `PriceRefused`."""
    return int((_checked(usd) * _NANO_USD_PER_MILLION).to_integral_value(ROUND_CEILING))


def unit_rates(entry: Entry, mode: str) -> UnitRates:
    """Read what an entry of this mode charges beside tokens. Raises `PriceRefused`."""
    rates: dict[str, int] = {}
    for key, unit in UNITS.get(mode, {}).items():
        if key in entry:
            usd = read_usd(entry, key)
            rates[unit] = max(rates.get(unit, 0), rate_of(usd / 1_000 if unit == "audio_ms" else usd))
    return UnitRates(**rates)  # type: ignore[arg-type]  # none of them is of several images


def image_rates(entries: Mapping[str, Raw], name: str) -> tuple[ImageRate, ...]:
    """Read what images of `provider/model` cost by quality and size: of those each has an entry of its own.

    Raises DecodeError, and `PriceRefused`.
    """
    provider, _, model = name.partition("/")
    tail = f"/{model}"
    found = []
    for key in entries:
        kind = _KIND.fullmatch(key[: -len(tail)].removeprefix(f"{provider}/")) if key.endswith(tail) else None
        if kind is None or owner_of(entries[key]) != provider:
            continue
        entry, width, height = _fields.decode(entries[key]), kind[2], kind[3]
        by_pixel = sum([read_usd(entry, price) for price in _BY_PIXEL if price in entry], Decimal(0))
        rate = unit_rates(entry, _OF_IMAGES).image or rate_of(by_pixel * int(width) * int(height))
        found.append(ImageRate(quality=kind[1], size=f"{width}x{height}", rate=rate))
    return tuple(found)


def _checked(usd: Decimal) -> Decimal:
    if not usd.is_finite() or not 0 <= usd <= _USD_MAX:
        raise PriceRefused(f"{usd} USD is not a price")
    return usd
