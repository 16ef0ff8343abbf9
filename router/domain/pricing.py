"""Turn tokens into money exactly: integer prices, tiers by input size, one rounding, upward."""

from collections.abc import Callable
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What a price catalogue knows about one upstream model."""

    price: PriceCard | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    capabilities: frozenset[str] = frozenset()


Catalogue = Callable[[str], ModelFacts | None]
"""Look a model up by `provider/model`, such as `openai/gpt-5`; None when it is not known."""
