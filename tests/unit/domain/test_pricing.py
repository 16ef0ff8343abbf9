"""A bill is exact to the nano-USD: amounts that other gateways got wrong, and what must hold for every bill."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.money import NanoUsd
from router.domain.pricing import FREE, Ceiling, ImageRate, PriceCard, Rates, UnitRates, bill, ceiling_of
from router.domain.units import NO_UNITS, Units
from router.domain.usage import TokenUsage, read_usage

MILLION = 1_000_000


def rates(input: int, cached_input: int, cache_write: int, output: int) -> Rates:  # noqa: A002 - the meter's name
    """Nano-USD per token, as prices are spoken of in the tests below."""
    return Rates(
        input=input * MILLION,
        cached_input=cached_input * MILLION,
        cache_write=cache_write * MILLION,
        output=output * MILLION,
    )


TIERED = PriceCard(
    version="test", base=rates(2_000, 200, 2_500, 10_000), above=((200_000, rates(4_000, 400, 5_000, 15_000)),)
)
GEMINI = PriceCard(version="test", base=rates(1_250, 625, 1_250, 10_000))


@pytest.mark.parametrize(
    ("expected", "usage"),
    [
        (3_556_000, TokenUsage(input=2_006, cached_input=1_920, output=300)),
        (
            305_000_000,
            TokenUsage(input=250_000, cached_input=200_000, cache_write=10_000, output=1_000, reasoning=200),
        ),
        (410_000_000, TokenUsage(input=200_000, output=1_000)),
        (815_004_000, TokenUsage(input=200_001, output=1_000)),
        (0, TokenUsage()),
    ],
)
def test_the_golden_amounts(expected: int, usage: TokenUsage) -> None:
    assert expected == bill(usage, TIERED)


def test_cached_tokens_are_not_billed_twice() -> None:
    """BerriAI/litellm#14849: this usage was charged $0.7642."""
    usage = read_usage(
        b'{"total_tokens":264704,"prompt_tokens":262960,"completion_tokens":1744,'
        b'"prompt_tokens_details":{"text_tokens":262960,"cached_tokens":257955},'
        b'"completion_tokens_details":{"reasoning_tokens":0}}'
    )

    assert usage is not None
    assert 184_918_125 == bill(usage, GEMINI)


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        (3_556_000, {"input_tokens": 86, "cache_read_input_tokens": 1_920, "output_tokens": 300}),
        (
            305_000_000,
            {
                "input_tokens": 40_000,
                "cache_read_input_tokens": 200_000,
                "cache_creation_input_tokens": 10_000,
                "output_tokens": 1_000,
            },
        ),
    ],
)
def test_usage_with_cached_tokens_beside_the_input_costs_the_same(expected: int, said: dict[str, int]) -> None:
    usage = read_usage(json.dumps(said).encode())

    assert usage is not None
    assert expected == bill(usage, TIERED)


def test_more_cached_than_input_is_cut_to_the_input_and_never_negative() -> None:
    usage = read_usage(b'{"prompt_tokens":10,"prompt_tokens_details":{"cached_tokens":1000000}}')

    assert usage is not None
    assert usage.clamped
    assert 2_000 == bill(usage, TIERED)


def test_a_bill_is_rounded_once_and_upward() -> None:
    card = PriceCard(version="test", base=Rates(input=1, cached_input=1, cache_write=1, output=1))

    assert 1 == bill(TokenUsage(input=1), card)
    assert 1 == bill(TokenUsage(input=3, cached_input=1, cache_write=1, output=1), card)
    assert 2 == bill(TokenUsage(input=MILLION, output=1), card)


def test_a_request_and_a_second_have_their_price() -> None:
    free = rates(0, 0, 0, 0)

    assert 7 == bill(TokenUsage(input=5), PriceCard(version="test", base=free, per_request=NanoUsd(7)))
    assert 6 == bill(TokenUsage(), PriceCard(version="test", base=free, per_second=NanoUsd(4)), 1_250_000_001)


def test_the_highest_tier_that_is_exceeded_counts() -> None:
    card = PriceCard(version="test", base=rates(1, 1, 1, 1), above=((10, rates(2, 2, 2, 2)), (20, rates(3, 3, 3, 3))))

    assert [10, 22, 40, 63] == [bill(TokenUsage(input=tokens), card) for tokens in (10, 11, 20, 21)]


RATE = st.integers(min_value=0, max_value=10**12)
COUNT = st.integers(min_value=0, max_value=10**9)
RATES = st.builds(Rates, input=RATE, cached_input=RATE, cache_write=RATE, output=RATE)
CARDS = st.builds(PriceCard, version=st.just("test"), base=RATES, per_request=st.integers(0, 10**12).map(NanoUsd))


@st.composite
def usages(draw: st.DrawFn) -> TokenUsage:
    cached, written, plain = draw(COUNT), draw(COUNT), draw(COUNT)
    return TokenUsage(input=cached + written + plain, cached_input=cached, cache_write=written, output=draw(COUNT))


@given(usages(), CARDS, COUNT, COUNT, COUNT, COUNT)
def test_more_tokens_never_cost_less(
    usage: TokenUsage, card: PriceCard, plain: int, cached: int, written: int, output: int
) -> None:
    more = TokenUsage(
        input=usage.input + plain + cached + written,
        cached_input=usage.cached_input + cached,
        cache_write=usage.cache_write + written,
        output=usage.output + output,
    )

    assert 0 <= bill(usage, card) <= bill(more, card)


@given(usages(), CARDS)
def test_a_bill_is_the_sum_of_its_parts_but_for_one_rounding_each(usage: TokenUsage, card: PriceCard) -> None:
    parts = [
        TokenUsage(input=usage.input - usage.cached_input - usage.cache_write),
        TokenUsage(input=usage.cached_input, cached_input=usage.cached_input),
        TokenUsage(input=usage.cache_write, cache_write=usage.cache_write),
        TokenUsage(output=usage.output),
    ]
    apart = sum(bill(part, card) for part in parts) - 3 * card.per_request

    assert 0 <= apart - bill(usage, card) <= 3


@given(usages(), RATES)
def test_reasoning_is_part_of_the_output_and_costs_nothing_more(usage: TokenUsage, base: Rates) -> None:
    card = PriceCard(version="test", base=base)
    reasoned = TokenUsage(
        input=usage.input,
        cached_input=usage.cached_input,
        cache_write=usage.cache_write,
        output=usage.output,
        reasoning=usage.output,
    )

    assert bill(usage, card) == bill(reasoned, card)


def test_a_ceiling_takes_the_tier_that_the_input_can_reach() -> None:
    assert Ceiling(200_000 * 2_500 * MILLION, 10_000 * MILLION, 0) == ceiling_of(TIERED, 200_000, 0)
    assert Ceiling(200_001 * 5_000 * MILLION, 15_000 * MILLION, 0) == ceiling_of(TIERED, 200_001, 0)


def test_a_ceiling_takes_the_lower_tier_where_that_is_dearer() -> None:
    card = PriceCard(version="test", base=rates(9, 1, 1, 2), above=((10, rates(2, 3, 1, 8)),))

    assert Ceiling(11 * 9 * MILLION, 8 * MILLION, 0) == ceiling_of(card, 11, 0)


@pytest.mark.parametrize("dearest", [(9, 1, 1), (1, 9, 1), (1, 1, 9)])
def test_a_ceiling_takes_the_dearest_way_to_read_the_input(dearest: tuple[int, int, int]) -> None:
    assert 9 == ceiling_of(PriceCard(version="test", base=rates(*dearest, 0)), 1, 0).usd(0)


def test_a_ceiling_holds_every_second_that_has_begun_to_cost() -> None:
    card = PriceCard(version="test", base=rates(0, 0, 0, 0), per_second=NanoUsd(4))

    assert 6 == ceiling_of(card, 0, 1_250_000_001).usd(0) == bill(TokenUsage(), card, 1_250_000_001)


def test_a_ceiling_says_how_long_an_output_an_amount_affords() -> None:
    card = PriceCard(version="test", base=rates(2_000, 200, 2_000, 10_000), per_request=NanoUsd(7))
    ceiling = ceiling_of(card, 1_000, 0)

    assert 4_800 == ceiling.affords(50_000_007)
    assert 4_799 == ceiling.affords(50_000_006)
    assert 0 == ceiling.affords(2_000_007)
    assert -1 == ceiling.affords(2_000_006)


def test_what_costs_nothing_is_afforded_without_end_if_the_rest_is() -> None:
    fixed = ceiling_of(PriceCard(version="test", base=rates(1, 1, 1, 0), per_request=NanoUsd(7)), 5, 0)

    assert FREE.affords(0) is None
    assert fixed.affords(12) is None
    assert -1 == fixed.affords(11)


@given(usages(), CARDS, st.lists(st.tuples(COUNT, RATES), max_size=3), COUNT, COUNT, COUNT)
def test_no_bill_passes_its_ceiling(
    usage: TokenUsage, card: PriceCard, above: list[tuple[int, Rates]], input_more: int, output_more: int, ns: int
) -> None:
    tiers = tuple(sorted(above, key=lambda tier: tier[0]))
    tiered = PriceCard(version="test", base=card.base, above=tiers, per_request=card.per_request, per_second=NanoUsd(3))
    ceiling = ceiling_of(tiered, usage.input + input_more, 10**9)

    assert bill(usage, tiered, ns) <= ceiling.usd(usage.output + output_more)


@given(RATES, COUNT, st.integers(-(10**12), 10**15))
def test_what_is_afforded_costs_no_more_and_a_token_longer_would(base: Rates, input_max: int, usd: int) -> None:
    ceiling = ceiling_of(PriceCard(version="test", base=base), input_max, 0)
    longest = ceiling.affords(usd)

    assert longest is not None or ceiling.usd(10**9) <= usd
    assert longest is None or longest < 0 or ceiling.usd(longest) <= usd
    assert longest is None or ceiling.usd(max(longest + 1, 0)) > usd


FREE_RATES = rates(0, 0, 0, 0)


def by_unit(**prices: int) -> PriceCard:
    """Prices of one unit each, in nano-USD per million."""
    return PriceCard(version="test", base=FREE_RATES, units=UnitRates(**prices))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expected", "units", "card"),
    [
        (80_000_000, Units(images=2), by_unit(image=40_000_000 * MILLION)),
        (75_000, Units(characters=5), by_unit(character=15_000 * MILLION)),
        (1_250_000, Units(audio_ms=12_500), by_unit(audio_ms=100 * MILLION)),
        (31, Units(audio_ms=1), by_unit(audio_ms=30_830_000)),
        (4_000_000, Units(queries=2), by_unit(query=2_000_000 * MILLION)),
        (0, Units(queries=2), by_unit(image=7)),
    ],
)
def test_each_unit_has_its_price(expected: int, units: Units, card: PriceCard) -> None:
    assert expected == bill(TokenUsage(), card, 0, units)


def test_tokens_and_units_are_rounded_together() -> None:
    card = PriceCard(
        version="test", base=Rates(input=1, cached_input=1, cache_write=1, output=1), units=UnitRates(character=1)
    )

    assert 1 == bill(TokenUsage(input=1), card, 0, Units(characters=MILLION - 1))
    assert 2 == bill(TokenUsage(input=2), card, 0, Units(characters=MILLION - 1))


HD = ImageRate(quality="hd", size=None, rate=8)
LARGE = ImageRate(quality=None, size="large", rate=9)


@pytest.mark.parametrize(
    ("parts", "quality", "size"),
    [(2, "", ""), (2, "standard", "small"), (8, "hd", "small"), (9, "hd", "large"), (8, None, ""), (9, None, None)],
)
def test_an_image_costs_what_its_kind_does_and_the_dearest_where_it_may_be_any(
    parts: int, quality: str | None, size: str | None
) -> None:
    units = Units(images=1, image_quality=quality, image_size=size)

    assert parts == UnitRates(image=2, images=(HD, LARGE)).parts(units)
    assert 3 * parts == UnitRates(image=2, images=(HD, LARGE)).parts(
        Units(images=3, image_quality=quality, image_size=size)
    )


@pytest.mark.parametrize(("quality", "size"), [(None, "small"), ("low", None), (None, None)])
def test_an_image_that_may_be_of_a_kind_without_a_price_of_its_own_costs_as_much_as_that(
    quality: str | None, size: str | None
) -> None:
    assert 9 == UnitRates(image=9, images=(HD,)).parts(Units(images=1, image_quality=quality, image_size=size))


def test_an_image_of_a_kind_without_a_price_costs_as_much_as_the_dearest() -> None:
    assert 9 == UnitRates(images=(HD, LARGE)).parts(Units(images=1, image_quality="low", image_size="small"))


def test_who_charges_for_other_units_alone_has_no_price_for_these() -> None:
    speech = by_unit(character=1)

    assert [True, False, True] == [speech.covers(one) for one in (Units(characters=1), Units(images=1), NO_UNITS)]
    assert by_unit().covers(Units(images=1)), "what is free is free"
    assert PriceCard(version="test", base=rates(0, 0, 0, 1), units=UnitRates(character=1)).covers(Units(images=1))


KINDS = st.sampled_from([None, "", "a", "b"])
SAID = st.sampled_from(["", "a", "b"])
IMAGE_RATES = st.builds(ImageRate, quality=KINDS, size=KINDS, rate=RATE)
UNIT_RATES = st.builds(
    UnitRates,
    image=RATE,
    images=st.lists(IMAGE_RATES, max_size=3).map(tuple),
    character=RATE,
    audio_ms=RATE,
    query=RATE,
)
SMALL = st.integers(0, 10**6)


@given(UNIT_RATES, CARDS, usages(), SAID, SAID, st.booleans(), st.booleans(), *[SMALL] * 4, SMALL, SMALL)
def test_what_is_held_for_units_is_never_less_than_what_is_billed(
    unit_rates: UnitRates,
    card: PriceCard,
    usage: TokenUsage,
    quality: str,
    size: str,
    any_quality: bool,
    any_size: bool,
    images: int,
    characters: int,
    audio_ms: int,
    queries: int,
    more: int,
    duration: int,
) -> None:
    card = PriceCard(version="test", base=card.base, per_request=card.per_request, units=unit_rates)
    used = Units(
        images=images,
        image_quality=quality,
        image_size=size,
        characters=characters,
        audio_ms=audio_ms,
        queries=queries,
    )
    most = Units(
        images=images + more,
        image_quality=None if any_quality else quality,
        image_size=None if any_size else size,
        characters=characters + more,
        audio_ms=audio_ms + more,
        queries=queries + more,
    )
    ceiling = ceiling_of(card, usage.input + more, duration, most)

    assert bill(usage, card, duration, used) <= ceiling.usd(usage.output)
