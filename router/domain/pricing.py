"""Turn tokens and other units into money exactly: integer prices, tiers by input size, one rounding, upward."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from router.domain.money import NanoUsd
from router.domain.units import NO_UNITS, Units
from router.domain.usage import TokenUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Prices in nano-USD per million tokens. $2.00 per million tokens is 2_000_000_000."""

    input: int
    cached_input: int
    cache_write: int
    output: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRate:
    """What images of one quality and size cost; None stands for any."""

    quality: str | None
    size: str | None
    rate: int
    """Nano-USD per million images."""

    def may_be(self, quality: str | None, size: str | None) -> bool:
        """Tell whether such an image may cost this, as far as its quality and size are known."""
        return (None in (self.quality, quality) or self.quality == quality) and (
            None in (self.size, size) or self.size == size
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRates:
    """Prices of units beside tokens, in nano-USD per million of them."""

    image: int = 0
    """Of an image that none of `images` is about; 0: as the dearest of them."""
    images: tuple[ImageRate, ...] = ()
    character: int = 0
    audio_ms: int = 0
    """Of milliseconds, so that prices by the second and by the minute are whole numbers."""
    query: int = 0

    def parts(self, units: Units) -> int:
        """Price units, in millionths of a nano-USD. Never less for more of them, nor where less is known of images."""
        return (
            (units.images and units.images * self._image(units.image_quality, units.image_size))
            + units.characters * self.character
            + units.audio_ms * self.audio_ms
            + units.queries * self.query
        )

    def _image(self, quality: str | None, size: str | None) -> int:
        otherwise = self.image or max([one.rate for one in self.images], default=0)
        found = [one.rate for one in self.images if one.may_be(quality, size)]
        return max([*found, otherwise] if None in (quality, size) else found or [otherwise])


_ONE_OF_EACH: Final = Units(images=1, characters=1, audio_ms=1, queries=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceCard:
    """What one deployment costs. `version` names where the prices came from and is kept in every row."""

    version: str
    base: Rates
    above: tuple[tuple[int, Rates], ...] = ()
    """(input tokens, rates): with more input than that, all tokens cost these rates. Ascending."""
    per_request: NanoUsd = NanoUsd(0)
    per_second: NanoUsd = NanoUsd(0)
    units: UnitRates | None = None
    """None: only tokens, requests and seconds have a price."""

    @property
    def charges_tokens(self) -> bool:
        return any(max(*_dearest(rates)) for rates in (self.base, *(rates for _, rates in self.above)))

    def covers(self, units: Units) -> bool:
        """Tell whether a call that uses these has a price: not where only other units have one."""
        rates = self.units
        if rates is None or self.charges_tokens or self.per_request or self.per_second:
            return True
        asked = units.images or units.characters or units.audio_ms or units.queries
        return not asked or rates.parts(units) > 0 or rates.parts(_ONE_OF_EACH) == 0

    def rates_for(self, input_tokens: int) -> Rates:
        chosen = self.base
        for threshold, rates in self.above:
            if input_tokens > threshold:
                chosen = rates
        return chosen


def bill(usage: TokenUsage, card: PriceCard, duration_ns: int = 0, units: Units | None = None) -> NanoUsd:
    """Price one attempt. `duration_ns` is how long the upstream worked, for deployments priced by the second."""
    rates = card.rates_for(usage.input) if card.above else card.base
    per_million = (
        (usage.input - usage.cached_input - usage.cache_write) * rates.input
        + usage.cached_input * rates.cached_input
        + usage.cache_write * rates.cache_write
        + usage.output * rates.output
    )
    if units is not None and card.units is not None:
        per_million += card.units.parts(units)
    total = -(-per_million // 1_000_000) + card.per_request
    if card.per_second:
        total += -(-duration_ns * card.per_second // 1_000_000_000)
    return NanoUsd(total)


class Ceiling(msgspec.Struct, frozen=True, gc=False):
    """What a call of a bounded input can cost at most, for each length of its output."""

    input_parts: int
    """Of a nano-USD, a million of them: the input, and units beside tokens."""
    output_rate: int
    """Nano-USD per million tokens."""
    fixed: int
    """Nano-USD: the price of the request and of its seconds."""

    def usd(self, output_tokens: int) -> int:
        """Return nano-USD: at least `bill` of any usage that keeps to the bounds."""
        return -(-(self.input_parts + output_tokens * self.output_rate) // 1_000_000) + self.fixed

    def affords(self, usd: int) -> int | None:
        """Return the longest output that fits in an amount; below 0 if nothing does, None if any does."""
        left = (usd - self.fixed) * 1_000_000 - self.input_parts
        return left // self.output_rate if self.output_rate else (None if left >= 0 else -1)


FREE: Final = Ceiling(0, 0, 0)


def ceiling_of(card: PriceCard, input_tokens_max: int, duration_ns_max: int, units_max: Units = NO_UNITS) -> Ceiling:
    """Bound what `bill` can say: all input at the dearest rate, of all tiers that it can reach, and all units.

    A higher tier need not be dearer, and the input may end in a lower one, so each rate is the highest of them all.
    """
    input_rate, output_rate = _dearest(card.base)
    for threshold, rates in card.above:
        if input_tokens_max > threshold:
            input_rate, output_rate = map(max, (input_rate, output_rate), _dearest(rates))
    fixed: int = card.per_request
    if card.per_second:
        fixed += -(-duration_ns_max * card.per_second // 1_000_000_000)
    unit_parts = 0 if card.units is None else card.units.parts(units_max)
    return Ceiling(input_tokens_max * input_rate + unit_parts, output_rate, fixed)


def _dearest(rates: Rates) -> tuple[int, int]:
    """Return the highest rate of input, and that of output. Cards are written by hand: cached input may be dearest."""
    dearest = rates.input
    if rates.cached_input > dearest:
        dearest = rates.cached_input
    if rates.cache_write > dearest:
        dearest = rates.cache_write
    return dearest, rates.output


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What a price catalogue knows about one upstream model."""

    price: PriceCard | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    capabilities: frozenset[str] = frozenset()


Catalogue = Callable[[str], ModelFacts | None]
"""Look a model up by `provider/model`, such as `openai/gpt-5`; None when it is not known."""

Catalogues = Callable[[Sequence[str]], Catalogue]
"""Put price files over the catalogue of this release, the last one on top. Raises `PriceRefused` and OSError, and so
does the catalogue for a model of which a file says what is no price."""


class PriceRefused(ValueError):
    """A price file says something that cannot be a price; the message says where and what."""
