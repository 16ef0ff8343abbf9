"""Read prices, windows and capabilities of models from the data file that the litellm package carries.

It must not import litellm, which takes seconds: the file is found through the import system and read as data.
"""

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.money import NanoUsd, nano_usd
from router.domain.pricing import ModelFacts, PriceCard, Rates

_FILE: Final = "model_prices_and_context_window_backup.json"
_NANO_USD_PER_MILLION: Final = 10**15
_TIER: Final = re.compile(r"_above_(\d{1,6})k_tokens")

_METERS: Final = {
    "input_cost_per_token": "input",
    "cache_read_input_token_cost": "cached_input",
    "input_cost_per_token_cache_hit": "cached_input",
    "cache_creation_input_token_cost": "cache_write",
    "output_cost_per_token": "output",
    "output_cost_per_reasoning_token": "output",
}
"""Which meter a price belongs to. Of two prices for one meter the higher counts: a bill is never too low."""

_CAPABILITIES: Final = {
    "supports_audio_input": "audio_input",
    "supports_audio_output": "audio_output",
    "supports_function_calling": "tools",
    "supports_parallel_function_calling": "parallel_tools",
    "supports_pdf_input": "pdf_input",
    "supports_prompt_caching": "prompt_caching",
    "supports_reasoning": "reasoning",
    "supports_response_schema": "json_schema",
    "supports_video_input": "video_input",
    "supports_vision": "vision",
    "supports_web_search": "web_search",
}
_FAMILIES: Final = {"bedrock": ("bedrock", "bedrock_converse")}
"""Where litellm's provider of a model without a prefix has another name than the prefix."""

_EXAMPLE: Final = "sample_spec"

_Prices = dict[str, Decimal]
_Entry = dict[str, Raw]


class _PricedRange(msgspec.Struct, gc=False):
    """An element of `tiered_pricing`: prices for prompts within a range of input tokens."""

    range: tuple[Decimal, Decimal]
    input_cost_per_token: Decimal
    output_cost_per_token: Decimal
    output_cost_per_reasoning_token: Decimal | None = None
    cache_read_input_token_cost: Decimal | None = None


_entries: Final = msgspec.json.Decoder(dict[str, Raw])
_fields: Final = msgspec.json.Decoder(_Entry)
_decimal: Final = msgspec.json.Decoder(Decimal)
_text: Final = msgspec.json.Decoder(str)
_count: Final = msgspec.json.Decoder(int)
_ranges: Final = msgspec.json.Decoder(list[_PricedRange])


class LitellmCatalogue:
    """A `Catalogue`. The file is read at the first look-up; a look-up decodes only its own entry."""

    def __init__(self, file: Path | None, release: str) -> None:
        self._file = file
        self._entries: Mapping[str, Raw] | None = None
        self._problem: str | None = None
        self.version = f"litellm-{release}"

    def __call__(self, name: str) -> ModelFacts | None:
        entry = self._find(name)
        if entry is None:
            return None
        try:
            return ModelFacts(
                price=_price(entry, self.version),
                context_window=_tokens(entry, "max_input_tokens"),
                max_output_tokens=_tokens(entry, "max_output_tokens"),
                capabilities=frozenset(_CAPABILITIES[key] for key in _CAPABILITIES if entry.get(key) == _TRUE),
            )
        except msgspec.DecodeError:
            return None  # an entry that is no longer what we know says nothing; no price is better than a wrong one

    def problem(self) -> str | None:
        """Say why no model is known, for whoever starts the router to print; None when all is well."""
        self._load()
        return self._problem

    def _find(self, name: str) -> _Entry | None:
        entries = self._load()
        raw = entries.get(name)
        if raw is not None:
            return None if name == _EXAMPLE else _fields.decode(raw)
        provider, _, model = name.partition("/")
        raw = entries.get(model)
        if raw is None or model == _EXAMPLE:
            return None
        entry = _fields.decode(raw)
        owner = _text.decode(entry.get("litellm_provider", _NO_TEXT))
        ours = owner in _FAMILIES.get(provider, (provider,)) or owner.startswith(f"{provider}-")
        return entry if ours else None

    def _load(self) -> Mapping[str, Raw]:
        if self._entries is None:
            self._entries = self._read()
        return self._entries

    def _read(self) -> Mapping[str, Raw]:
        if self._file is None:
            self._problem = "litellm is not installed, so no model has a price: give each deployment its `price`"
            return {}
        try:
            return _entries.decode(self._file.read_bytes())
        except (OSError, msgspec.DecodeError) as exc:
            self._problem = f"litellm's price file cannot be read ({exc}): give each deployment its `price`"
            return {}


def litellm_catalogue() -> LitellmCatalogue:
    """Make the catalogue of the installed litellm; without one it knows no model, and `problem` says so."""
    spec = find_spec("litellm")
    folders = None if spec is None else spec.submodule_search_locations
    try:
        release = version("litellm")
    except PackageNotFoundError:
        release = "none"
    return LitellmCatalogue(Path(folders[0]) / _FILE if folders else None, release)


_TRUE: Final = Raw(b"true")
_NO_TEXT: Final = Raw(b'""')


def _tokens(entry: _Entry, key: str) -> int | None:
    return _count.decode(entry[key]) if key in entry else None


def _price(entry: _Entry, release: str) -> PriceCard | None:
    base, tiers = _listed_prices(entry)
    if "tiered_pricing" in entry:
        base, tiers = _ranged_prices(entry["tiered_pricing"])
    if "output" not in base and _text.decode(entry.get("mode", _NO_TEXT)) == "embedding":
        base["output"] = Decimal(0)
    if "input" not in base or "output" not in base:
        return None
    per_request = _decimal.decode(entry["input_cost_per_request"]) if "input_cost_per_request" in entry else Decimal(0)
    return PriceCard(
        version=release,
        base=_rates(base),
        above=tuple((threshold, _rates(base | tiers[threshold])) for threshold in sorted(tiers)),
        per_request=nano_usd(per_request) if per_request else NanoUsd(0),
    )


def _listed_prices(entry: _Entry) -> tuple[_Prices, dict[int, _Prices]]:
    """Collect prices by meter, and those above so many input tokens; batch and priority are other services."""
    base: _Prices = {}
    tiers: dict[int, _Prices] = {}
    for key, raw in entry.items():
        name, above, _ = key.partition("_above_")
        meter = _METERS.get(name)
        if meter is None:
            continue
        if not above:
            base[meter] = max(base.get(meter, Decimal(0)), _decimal.decode(raw))
        elif match := _TIER.fullmatch(key, len(name)):
            prices = tiers.setdefault(int(match[1]) * 1_000, {})
            prices[meter] = max(prices.get(meter, Decimal(0)), _decimal.decode(raw))
    return base, tiers


def _ranged_prices(raw: Raw) -> tuple[_Prices, dict[int, _Prices]]:
    base: _Prices = {}
    tiers: dict[int, _Prices] = {}
    for priced in _ranges.decode(raw):
        start = int(priced.range[0])
        prices = base if start == 0 else tiers.setdefault(start, {})
        prices["input"] = priced.input_cost_per_token
        prices["output"] = max(priced.output_cost_per_token, priced.output_cost_per_reasoning_token or Decimal(0))
        if priced.cache_read_input_token_cost is not None:
            prices["cached_input"] = priced.cache_read_input_token_cost
    return base, tiers


def _rates(prices: _Prices) -> Rates:
    """Fill in cache prices. Not listed is no discount; a write is never cheaper than reading the same tokens."""
    return Rates(
        input=_rate(prices["input"]),
        cached_input=_rate(prices.get("cached_input", prices["input"])),
        cache_write=_rate(max(prices.get("cache_write", prices["input"]), prices["input"])),
        output=_rate(prices["output"]),
    )


def _rate(usd_per_token: Decimal) -> int:
    return int((usd_per_token * _NANO_USD_PER_MILLION).to_integral_value(ROUND_CEILING))
