"""A bill is exact to the nano-USD: amounts that other gateways got wrong, and what must hold for every bill."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.money import NanoUsd
from router.domain.pricing import FREE, Ceiling, PriceCard, Rates, bill, ceiling_of
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
