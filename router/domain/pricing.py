"""Turn tokens into money exactly: integer prices, tiers by input size, one rounding, upward."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from router.domain.money import NanoUsd
from router.domain.usage import TokenUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Prices in nano-USD per million tokens. $2.00 per million tokens is 2_000_000_000."""

    input: int
    cached_input: int
    cache_write: int
    output: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceCard:
    """What one deployment costs. `version` names where the prices came from and is kept in every row."""

    version: str
    base: Rates
    above: tuple[tuple[int, Rates], ...] = ()
    """(input tokens, rates): with more input than that, all tokens cost these rates. Ascending."""
    per_request: NanoUsd = NanoUsd(0)
    per_second: NanoUsd = NanoUsd(0)

    def rates_for(self, input_tokens: int) -> Rates:
        chosen = self.base
        for threshold, rates in self.above:
            if input_tokens > threshold:
                chosen = rates
        return chosen


def bill(usage: TokenUsage, card: PriceCard, duration_ns: int = 0) -> NanoUsd:
    """Price one attempt. `duration_ns` is how long the upstream worked, for deployments priced by the second."""
    rates = card.rates_for(usage.input)
    per_million = (
        (usage.input - usage.cached_input - usage.cache_write) * rates.input
        + usage.cached_input * rates.cached_input
        + usage.cache_write * rates.cache_write
        + usage.output * rates.output
    )
    total = -(-per_million // 1_000_000) + card.per_request
    if card.per_second:
        total += -(-duration_ns * card.per_second // 1_000_000_000)
    return NanoUsd(total)


class Ceiling(msgspec.Struct, frozen=True, gc=False):
    """What a call of a bounded input can cost at most, for each length of its output."""

    input_parts: int
    """Of a nano-USD, a million of them."""
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


def ceiling_of(card: PriceCard, input_tokens_max: int, duration_ns_max: int) -> Ceiling:
    """Bound what `bill` can say: all input at the dearest rate, of all tiers that it can reach.

    A higher tier need not be dearer, and the input may end in a lower one, so each rate is the highest of them all.
    """
    input_rate, output_rate = _dearest(card.base)
    for threshold, rates in card.above:
        if input_tokens_max > threshold:
            input_rate, output_rate = map(max, (input_rate, output_rate), _dearest(rates))
    fixed: int = card.per_request
    if card.per_second:
        fixed += -(-duration_ns_max * card.per_second // 1_000_000_000)
    return Ceiling(input_tokens_max * input_rate, output_rate, fixed)


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
