"""Two prices of a model are compared figure by figure; what changes more than ten times is doubted."""

import pytest

from router.domain.money import NanoUsd
from router.domain.price_changes import ChangeKind, Figure, compare, figures_of
from router.domain.pricing import ImageRate, PriceCard, Rates, UnitRates


def card(input_: int, output: int, *, version: str = "a", request: int = 0, above: int | None = None) -> PriceCard:
    dearer = () if above is None else ((above, Rates(input=9, cached_input=9, cache_write=9, output=9)),)
    rates = Rates(input=input_, cached_input=input_, cache_write=input_, output=output)
    return PriceCard(version=version, base=rates, above=dearer, per_request=NanoUsd(request))


def test_only_figures_that_differ_are_told() -> None:
    change = compare("m", card(100, 400), card(100, 300, request=7))

    assert change is not None
    assert (ChangeKind.CHANGED, ()) == (change.kind, change.doubts)
    assert (Figure(name="output", was=400, now=300), Figure(name="request", was=None, now=7)) == change.figures
    assert [-25.0, None] == [figure.percent for figure in change.figures]


def test_the_name_of_a_list_is_no_change() -> None:
    assert compare("m", card(1, 2, version="a"), card(1, 2, version="b")) is None
    assert compare("m", None, None) is None


def test_models_come_and_go() -> None:
    added, removed = compare("m", None, card(1, 2)), compare("m", card(1, 2), None)

    assert added is not None
    assert removed is not None
    assert (ChangeKind.ADDED, ChangeKind.REMOVED) == (added.kind, removed.kind)
    assert (4, 4) == (len(added.figures), len(removed.figures))
    assert () == added.doubts + removed.doubts


def test_steps_of_long_inputs_are_figures_of_their_own() -> None:
    assert ["input above 200", "cached_input above 200", "cache_write above 200", "output above 200"] == [
        *figures_of(card(1, 2, above=200))
    ][4:]


@pytest.mark.parametrize(
    ("was", "now", "doubtful"), [(10, 100, False), (10, 101, True), (100, 10, False), (101, 10, True), (5, 0, True)]
)
def test_more_than_ten_times_is_doubted(was: int, now: int, *, doubtful: bool) -> None:
    change = compare("m", card(1, was), card(1, now))

    assert change is not None
    assert (("output changes more than 10 times",) if doubtful else ()) == change.doubts
    assert Figure(name="x", was=0, now=0).percent is None


def test_prices_of_other_units_are_figures_too() -> None:
    free = Rates(input=0, cached_input=0, cache_write=0, output=0)
    images = (ImageRate(quality="hd", size="1024x1024", rate=8), ImageRate(quality=None, size=None, rate=7))
    units = UnitRates(image=2, images=images, character=3, audio_ms=4, query=5)
    change = compare("m", PriceCard(version="a", base=free), PriceCard(version="a", base=free, units=units))

    assert change is not None
    assert {
        "million images hd 1024x1024": 8,
        "million images": 2,
        "million characters": 3,
        "1000 seconds of sound": 4,
        "million searches": 5,
    } == {figure.name: figure.now for figure in change.figures}
