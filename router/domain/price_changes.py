"""Compare what models cost by two price lists: which figures differ, and which differences nobody should believe."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from router.domain.pricing import PriceCard, Rates, UnitRates

FACTOR_MAX: Final = 10
"""A price that becomes so many times dearer or cheaper is more likely a slip of units than news."""


class ChangeKind(StrEnum):
    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One price that differs, in nano-USD per million tokens or other units, request or second. None: there is none."""

    name: str
    was: int | None
    now: int | None

    @property
    def percent(self) -> float | None:
        """The change in percent; None where nothing can be told."""
        if not self.was or self.now is None:
            return None
        return (self.now - self.was) / self.was * 100

    @property
    def is_doubtful(self) -> bool:
        if self.was is None or self.now is None:
            return False
        return max(self.was, self.now) > FACTOR_MAX * min(self.was, self.now)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceChange:
    """What becomes of the price of one model."""

    model: str
    kind: ChangeKind
    figures: tuple[Figure, ...]

    @property
    def doubts(self) -> tuple[str, ...]:
        """Say which figures changed more than `FACTOR_MAX` times."""
        return tuple(
            f"{figure.name} changes more than {FACTOR_MAX} times" for figure in self.figures if figure.is_doubtful
        )


def compare(model: str, was: PriceCard | None, now: PriceCard | None) -> PriceChange | None:
    """Return what changes for a model; None when nothing does, whatever the lists are called."""
    before, after = figures_of(was), figures_of(now)
    if before == after:
        return None
    kind = ChangeKind.ADDED if was is None else ChangeKind.REMOVED if now is None else ChangeKind.CHANGED
    figures = (
        Figure(name=name, was=before.get(name), now=after.get(name)) for name in dict.fromkeys((*before, *after))
    )
    return PriceChange(model=model, kind=kind, figures=tuple(figure for figure in figures if figure.was != figure.now))


def figures_of(card: PriceCard | None) -> dict[str, int]:
    """Name all that a card charges; a price of a request or a second that is 0 is none."""
    if card is None:
        return {}
    figures = _named(card.base, "")
    for threshold, rates in card.above:
        figures |= _named(rates, f" above {threshold}")
    by_piece = {"request": int(card.per_request), "second": int(card.per_second)}
    by_piece |= {} if card.units is None else _by_unit(card.units)
    return figures | {name: price for name, price in by_piece.items() if price}


def _by_unit(rates: UnitRates) -> dict[str, int]:
    """Name prices of other units, of a million each; sound by the thousand seconds, which are as many milliseconds."""
    kinds = {" ".join(["million images", *filter(None, (one.quality, one.size))]): one.rate for one in rates.images}
    return kinds | {
        "million images": rates.image or kinds.get("million images", 0),
        "million characters": rates.character,
        "1000 seconds of sound": rates.audio_ms,
        "million searches": rates.query,
    }


def _named(rates: Rates, where: str) -> dict[str, int]:
    return {
        f"input{where}": rates.input,
        f"cached_input{where}": rates.cached_input,
        f"cache_write{where}": rates.cache_write,
        f"output{where}": rates.output,
    }
