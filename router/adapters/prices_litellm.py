"""Read prices, windows and capabilities of models from litellm's data file, and from files of its format.

It must not import litellm, which takes seconds: the file is found through the import system and read as data.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Raw

from router.adapters.prices_by_unit import UNITS, Entry, image_rates, owner_of, rate_of, read_usd, unit_rates
from router.domain.money import NanoUsd, nano_usd
from router.domain.pricing import (
    Catalogue,
    Catalogues,
    ModelFacts,
    PriceCard,
    PriceRefused,
    Rates,
    UnitRates,
)

_FILE: Final = "model_prices_and_context_window_backup.json"
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

_TOKENS_OF_KIND: Final = {
    "input_cost_per_image_token": "input",
    "input_cost_per_audio_token": "input",
    "cache_read_input_image_token_cost": "cached_input",
    "output_cost_per_image_token": "output",
    "output_cost_per_audio_token": "output",
}
"""Of models for images and sound, whose tokens are of that kind."""
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
FILE_BYTES_MAX: Final = 64 << 20
"""Of a price file; litellm's own has 2 MB."""
_TALKING: Final = ("chat", "completion", "responses", "")
"""Modes in which a model without a price of its output has none."""
_VERSION_DIGITS: Final = 12

_Prices = dict[str, Decimal]


class _PricedRange(msgspec.Struct, gc=False):
    """An element of `tiered_pricing`: prices for prompts within a range of input tokens."""

    range: tuple[Decimal, Decimal]
    input_cost_per_token: Decimal
    output_cost_per_token: Decimal
    output_cost_per_reasoning_token: Decimal | None = None
    cache_read_input_token_cost: Decimal | None = None


_entries: Final = msgspec.json.Decoder(dict[str, Raw])
_fields: Final = msgspec.json.Decoder(Entry)
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
        try:
            return _known(self._load(), name, self.version)
        except (msgspec.DecodeError, PriceRefused):
            return None  # an entry that is no longer what we know says nothing; no price is better than a wrong one

    def names(self) -> list[str]:
        """Name the models that have an entry."""
        return [name for name in self._load() if name != _EXAMPLE]

    def problem(self) -> str | None:
        """Say why no model is known, for whoever starts the router to print; None when all is well."""
        self._load()
        return self._problem

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


class PriceFile:
    """A `Catalogue` of one file of litellm's format that an operator chose: what cannot be a price is an error."""

    def __init__(self, content: bytes, name: str) -> None:
        """Raises `PriceRefused`. The version of its prices is the digest of the whole file."""
        self.name = name
        self._content = content
        self.version = f"prices:{hashlib.sha256(content).hexdigest()[:_VERSION_DIGITS]}"
        try:
            self._entries = _entries.decode(content)
        except msgspec.DecodeError as exc:
            raise PriceRefused(f"{name}{_line_of(content, exc)}: not a JSON object of models ({exc})") from None

    def __call__(self, name: str) -> ModelFacts | None:
        key, _ = self.entry(name) or (name, None)
        try:
            return _known(self._entries, name, self.version, strict=True)
        except (msgspec.DecodeError, PriceRefused) as exc:
            raise PriceRefused(f"{self.name}:{self.line(key)}: {key}: {exc}") from None

    def names(self) -> list[str]:
        """Name the models that have an entry."""
        return [name for name in self._entries if name != _EXAMPLE]

    def entry(self, name: str) -> tuple[str, Raw] | None:
        """Return the entry that tells of a model, and its own name."""
        return _find(self._entries, name)

    def line(self, key: str) -> int:
        """Return the line on which an entry begins."""
        opening = re.search(re.escape(msgspec.json.encode(key)) + rb"\s*:", self._content)
        return _line_at(self._content, opening.start()) if opening else 1

    def with_entries(self, more: dict[str, Raw]) -> bytes:
        """Write the file as it is with these entries put in, one a line."""
        entries = self._entries | more
        lines = [b"  %b: %b" % (msgspec.json.encode(name), _on_one_line(raw)) for name, raw in sorted(entries.items())]
        return b"{\n" + b",\n".join(lines) + b"\n}\n"


def read_price_file(file: Path) -> PriceFile:
    """Read a price file. Raises `PriceRefused` and OSError."""
    with file.open("rb") as opened:
        content = opened.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise PriceRefused(f"{file.name}: more than {FILE_BYTES_MAX >> 20} MiB")
    return PriceFile(content, file.name)


def catalogues() -> Catalogues:
    """Make what puts price files over the installed litellm's."""
    pinned = litellm_catalogue()

    def over(files: Sequence[str]) -> Catalogue:
        layers = [read_price_file(Path(file)) for file in reversed(files)]
        return _layered([*layers, pinned]) if layers else pinned

    return over


def _layered(layers: Sequence[Catalogue]) -> Catalogue:
    """Take each fact of a model from the first layer that knows it."""

    def look_up(name: str) -> ModelFacts | None:
        found = [facts for layer in layers if (facts := layer(name)) is not None]
        if not found:
            return None
        return ModelFacts(
            price=next((facts.price for facts in found if facts.price), None),
            context_window=next((facts.context_window for facts in found if facts.context_window), None),
            max_output_tokens=next((facts.max_output_tokens for facts in found if facts.max_output_tokens), None),
            capabilities=next((facts.capabilities for facts in found if facts.capabilities), frozenset()),
        )

    return look_up


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


def _find(entries: Mapping[str, Raw], name: str) -> tuple[str, Raw] | None:
    """Find the entry of `provider/model`: by that name, or by the model's if it is the provider's."""
    raw = entries.get(name)
    if raw is not None:
        return None if name == _EXAMPLE else (name, raw)
    provider, _, model = name.partition("/")
    raw = entries.get(model)
    if raw is None or model == _EXAMPLE:
        return None
    owner = owner_of(raw)
    ours = owner in _FAMILIES.get(provider, (provider,)) or owner.startswith(f"{provider}-")
    return (model, raw) if ours else None


def _known(entries: Mapping[str, Raw], name: str, release: str, *, strict: bool = False) -> ModelFacts | None:
    found = _find(entries, name)
    facts = None if found is None else _facts(_fields.decode(found[1]), release, strict=strict)
    price = None if facts is None else facts.price
    if price is not None and (price.units is None or not price.units.image):
        return facts
    images = image_rates(entries, name)
    if not images:
        return facts
    free = Rates(input=0, cached_input=0, cache_write=0, output=0)
    price = price or PriceCard(version=release, base=free, units=UnitRates())
    return replace(
        facts or ModelFacts(), price=replace(price, units=replace(price.units or UnitRates(), images=images))
    )


def _facts(entry: Entry, release: str, *, strict: bool = False) -> ModelFacts:
    return ModelFacts(
        price=_price(entry, release, strict=strict),
        context_window=_tokens(entry, "max_input_tokens"),
        max_output_tokens=_tokens(entry, "max_output_tokens"),
        capabilities=frozenset(_CAPABILITIES[key] for key in _CAPABILITIES if entry.get(key) == _TRUE),
    )


def _line_of(content: bytes, exc: msgspec.DecodeError) -> str:
    """Find the line that a decoder complains of."""
    at = re.search(r"\(byte (\d+)\)", str(exc))
    return "" if at is None else f":{_line_at(content, int(at[1]))}"


def _line_at(content: bytes, offset: int) -> int:
    return content.count(b"\n", 0, offset) + 1


def _on_one_line(raw: Raw) -> bytes:
    return msgspec.json.format(bytes(raw), indent=0)


def _tokens(entry: Entry, key: str) -> int | None:
    return _count.decode(entry[key]) if key in entry else None


def _price(entry: Entry, release: str, *, strict: bool) -> PriceCard | None:
    mode = _text.decode(entry.get("mode", _NO_TEXT))
    units = unit_rates(entry, mode)
    base, tiers = _listed_prices(entry, _METERS | _TOKENS_OF_KIND if mode in UNITS else _METERS)
    if "tiered_pricing" in entry:
        base, tiers = _ranged_prices(entry["tiered_pricing"])
    if "output" not in base and mode == "embedding":
        base["output"] = Decimal(0)
    if mode in UNITS and "input" in base and base.get("output"):
        units = UnitRates() if mode != "rerank" else units  # what is counted in tokens is not paid for twice
    elif units != UnitRates():
        base = {"input": Decimal(0), "output": Decimal(0)} | base
    if strict and "input" in base and "output" not in base and mode in _TALKING:
        raise PriceRefused("no output price")
    if "input" not in base or "output" not in base:
        return None
    per_request = read_usd(entry, "input_cost_per_request") if "input_cost_per_request" in entry else Decimal(0)
    return PriceCard(
        version=release,
        base=_rates(base),
        above=tuple((threshold, _rates(base | tiers[threshold])) for threshold in sorted(tiers)),
        per_request=nano_usd(per_request) if per_request else NanoUsd(0),
        units=None if units == UnitRates() else units,
    )


def _listed_prices(entry: Entry, meters: Mapping[str, str]) -> tuple[_Prices, dict[int, _Prices]]:
    """Collect prices by meter, and those above so many input tokens; batch and priority are other services."""
    base: _Prices = {}
    tiers: dict[int, _Prices] = {}
    for key in entry:
        name, above, _ = key.partition("_above_")
        meter = meters.get(name)
        if meter is None:
            continue
        if not above:
            base[meter] = max(base.get(meter, Decimal(0)), read_usd(entry, key))
        elif match := _TIER.fullmatch(key, len(name)):
            prices = tiers.setdefault(int(match[1]) * 1_000, {})
            prices[meter] = max(prices.get(meter, Decimal(0)), read_usd(entry, key))
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
        input=rate_of(prices["input"]),
        cached_input=rate_of(prices.get("cached_input", prices["input"])),
        cache_write=rate_of(max(prices.get("cache_write", prices["input"]), prices["input"])),
        output=rate_of(prices["output"]),
    )
