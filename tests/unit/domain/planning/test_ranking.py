"""Each strategy puts first what it is for, shares follow the weights, and every candidate keeps a place."""

from collections import Counter
from itertools import permutations
from random import Random  # noqa: TID251 - seeded, so every run is the same

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.catalog import Deployment, Strategy
from router.domain.ids import DeploymentId, ProviderId
from router.domain.instants import NS_PER_S
from router.domain.money import NanoUsd
from router.domain.planning.load import FAILURE_NS, Loads, Started
from router.domain.planning.prefix import Prefixes
from router.domain.planning.ranking import Ask, Known, figure, first_token_ns, price_nano_usd, rank, slowness_ns
from router.domain.pricing import PriceCard, Rates

NOW = 1_000 * NS_PER_S


def deployment(name: str, weight: float = 1.0, price: int | None = 1) -> Deployment:
    rates = None if price is None else Rates(input=price * 10**6, cached_input=0, cache_write=0, output=price * 10**7)
    card = None if rates is None else PriceCard(version="t", base=rates, per_request=NanoUsd(0))
    return Deployment(
        id=DeploymentId(f"mock/{name}"), provider=ProviderId("mock"), upstream_model=name, weight=weight, price=card
    )


FOUR = tuple(deployment(name) for name in "abcd")


def known() -> Known:
    return Known(Loads(), Prefixes())


def busy(at: Known, which: Deployment, calls: int, tokens: int = 0) -> list[Started]:
    return [at.loads.started(which.target, tokens, NOW) for _ in range(calls)]


def answered(at: Known, which: Deployment, took_ns: int) -> None:
    call = at.loads.started(which.target, 0, NOW - took_ns)
    call.began(NOW)
    call.ended(NOW)


def firsts(strategy: Strategy, candidates: tuple[Deployment, ...], at: Known, turns: int = 2_000) -> Counter[str]:
    draw = Random(9)
    asks = (Ask(NOW, draw.random(), 1_000_000, 100_000) for _ in range(turns))
    return Counter(rank(strategy, candidates, ask, at)[0].upstream_model for ask in asks)


@pytest.mark.parametrize("strategy", Strategy)
def test_of_one_nothing_is_asked(strategy: Strategy) -> None:
    at = known()

    assert () == rank(strategy, (), Ask(NOW, 0.5), at)
    assert FOUR[:1] == rank(strategy, FOUR[:1], Ask(NOW, 0.5), at)
    assert {} == at.loads


@pytest.mark.parametrize("strategy", Strategy)
@given(seed=st.integers(), count=st.integers(2, 6))
def test_every_candidate_keeps_one_place_and_a_draw_decides_once(strategy: Strategy, seed: int, count: int) -> None:
    draw, at = Random(seed), known()
    candidates = [
        deployment(str(number), weight=draw.choice([0, 0.5, 1, 3]), price=draw.choice([None, 1, 5]))
        for number in range(count)
    ]
    for each in candidates:
        busy(at, each, draw.randint(0, 3), draw.randint(0, 9_000))
        if draw.random() < 0.5:
            answered(at, each, draw.randint(1, NS_PER_S))
        at.prefixes.sent(each.target, range(draw.randint(0, 9)), NOW)
    ask = Ask(NOW, draw.random(), 5_000, 100, range(9))
    ranked = rank(strategy, candidates, ask, at)

    assert sorted(each.id for each in candidates) == sorted(each.id for each in ranked)
    assert ranked == rank(strategy, candidates, ask, at)
    weights = [bool(each.weight) for each in ranked]
    assert sorted(weights, reverse=True) == weights


@pytest.mark.slow
def test_calls_are_shared_by_weight_to_within_1_percent_and_what_fails_goes_to_the_others_by_weight() -> None:
    weights, turns = {"a": 5.0, "b": 3.0, "c": 2.0, "d": 0.0}, 60_000
    candidates = tuple(deployment(name, weight) for name, weight in weights.items())
    draw, at, orders = Random(1), known(), Counter[str]()
    for _ in range(turns):
        ranked = rank(Strategy.WEIGHTED, candidates, Ask(NOW, draw.random()), at)
        orders["".join(each.upstream_model for each in ranked)] += 1

    assert {"".join((*order, "d")) for order in permutations("abc")} == set(orders)
    for order, count in orders.items():
        first, second = weights[order[0]] / 10, weights[order[1]]
        expected = first * second / (10 - weights[order[0]])
        assert abs(count / turns - expected) < 0.01, order
    for name in "abc":
        assert (
            abs(sum(count for order, count in orders.items() if order[0] == name) / turns - weights[name] / 10) < 0.01
        )


@pytest.mark.slow
def test_the_tickets_of_targets_know_nothing_of_each_other() -> None:
    draw, at, turns, pairs = Random(2), known(), 40_000, Counter[tuple[str, str]]()
    eight = tuple(deployment(str(number)) for number in range(8))
    for _ in range(turns):
        first, second, *_ = rank(Strategy.WEIGHTED, eight, Ask(NOW, draw.random()), at)
        pairs[first.upstream_model, second.upstream_model] += 1
    expected = turns / 56

    assert (
        sum((pairs[pair] - expected) ** 2 / expected for pair in permutations(map(str, range(8)), 2)) < 94
    )  # p = 0.001


def test_an_equal_draw_gives_an_equal_order_in_every_process() -> None:
    orders = [
        "".join(each.upstream_model for each in rank(Strategy.WEIGHTED, FOUR, Ask(NOW, draw), known()))
        for draw in (0.0, 0.25, 0.5, 0.75, 0.999)
    ]

    assert ["abcd", "abdc", "adcb", "dacb", "acdb"] == orders


def test_least_busy_takes_the_fewest_calls_for_its_weight_and_draws_among_equals() -> None:
    at = known()
    heavy, *light = deployment("a", 4.0), deployment("b"), deployment("c")
    busy(at, heavy, 3)
    busy(at, light[0], 1)
    busy(at, light[1], 1)
    assert heavy == rank(Strategy.LEAST_BUSY, (*light, heavy), Ask(NOW, 0.1), at)[0]

    busy(at, heavy, 2)
    assert {"b", "c"} == set(firsts(Strategy.LEAST_BUSY, (heavy, *light), at))
    assert heavy == rank(Strategy.LEAST_BUSY, (heavy, *light), Ask(NOW, 0.1), at)[-1]


def test_latency_takes_the_quicker_of_two_that_were_drawn_and_the_rest_by_speed() -> None:
    at = known()
    for each, took in zip(FOUR, (4, 3, 2, 1), strict=True):
        answered(at, each, took * NS_PER_S)
    seen = firsts(Strategy.LATENCY, FOUR, at, 6_000)

    # The slowest is never the better of two; the quickest is whenever it was drawn.
    assert {"b": 1 / 6, "c": 2 / 6, "d": 3 / 6} == {
        name: pytest.approx(count / 6_000, abs=0.03) for name, count in seen.items()
    }
    for draw in (0.1, 0.4, 0.8):
        others = rank(Strategy.LATENCY, FOUR, Ask(NOW, draw), at)[1:]
        assert sorted(others, key=lambda each: each.id, reverse=True) == list(others)


def test_latency_weighs_the_calls_that_wait_with_it() -> None:
    at, (quick, slow) = known(), FOUR[:2]
    answered(at, quick, NS_PER_S)
    answered(at, slow, 6 * NS_PER_S)
    waiting = busy(at, quick, 1)
    assert slow == rank(Strategy.LATENCY, (quick, slow), Ask(NOW, 0.1), at)[0]

    waiting[0].began(NOW)
    assert quick == rank(Strategy.LATENCY, (quick, slow), Ask(NOW, 0.1), at)[0]


def test_latency_tries_the_unknown_with_one_call_until_that_was_answered() -> None:
    at, (seen, unseen) = known(), FOUR[:2]
    answered(at, seen, NS_PER_S)
    assert unseen == rank(Strategy.LATENCY, (seen, unseen), Ask(NOW, 0.1), at)[0]

    busy(at, unseen, 1)
    assert seen == rank(Strategy.LATENCY, (seen, unseen), Ask(NOW, 0.1), at)[0]
    assert slowness_ns(at.loads[unseen.target], NOW) > slowness_ns(at.loads[seen.target], NOW)


def test_cost_takes_the_cheapest_for_this_call_and_the_unknown_last() -> None:
    dear, cheap, unknown = deployment("dear", price=9), deployment("cheap", price=2), deployment("unknown", price=None)
    at = known()
    busy(at, cheap, 50)

    assert [cheap, dear, unknown] == rank(Strategy.COST, (unknown, dear, cheap), Ask(NOW, 0.1, 10**6, 0), at)


def test_cost_knows_that_a_long_reply_and_a_long_prompt_have_other_prices() -> None:
    at, rates = (
        known(),
        {
            "in": Rates(input=9, cached_input=9, cache_write=9, output=10),
            "out": Rates(input=1, cached_input=1, cache_write=1, output=90),
        },
    )
    talk, listen = (
        Deployment(
            id=DeploymentId(name),
            provider=ProviderId("m"),
            upstream_model=name,
            price=PriceCard(version="t", base=rate),
        )
        for name, rate in rates.items()
    )

    assert talk == rank(Strategy.COST, (listen, talk), Ask(NOW, 0.1, 10**6, 10**6), at)[0]
    assert listen == rank(Strategy.COST, (listen, talk), Ask(NOW, 0.1, 10**7, 10**5), at)[0]
    assert 19 == price_nano_usd(talk, Ask(NOW, 0.1, 10**6, 10**6))


def test_equal_prices_go_to_the_less_busy() -> None:
    at = known()
    busy(at, FOUR[0], 1)
    busy(at, FOUR[1], 2)
    busy(at, FOUR[3], 1)

    assert {"c"} == set(firsts(Strategy.COST, FOUR, at, 50))


def test_the_first_token_is_expected_after_the_queue_and_what_of_the_prompt_is_not_cached() -> None:
    at = known()
    busy(at, FOUR[0], 1, tokens=8_000)

    assert 1.5 * NS_PER_S == first_token_ns(at.loads[FOUR[0].target], 4_000, NOW)
    assert 0.5 * NS_PER_S == first_token_ns(at.loads[FOUR[1].target], 4_000, NOW)


def test_expected_ttft_goes_where_the_prompt_is_cached_until_the_wait_costs_more() -> None:
    at, ask, warm = known(), Ask(NOW, 0.3, 6_000, 100, range(10)), FOUR[2]
    at.prefixes.sent(warm.target, range(10), NOW)
    assert warm == rank(Strategy.EXPECTED_TTFT, FOUR, ask, at)[0]

    busy(at, warm, 1, tokens=4_000)
    assert warm == rank(Strategy.EXPECTED_TTFT, FOUR, ask, at)[0]

    busy(at, warm, 1, tokens=2_000)
    assert warm == rank(Strategy.EXPECTED_TTFT, FOUR, ask, at)[-1]


@pytest.mark.parametrize(("tokens", "stays"), [(1_950, True), (2_100, False)])
def test_expected_ttft_lets_a_conversation_stay_for_a_quarter_of_a_second(tokens: int, stays: bool) -> None:
    at, home = known(), FOUR[3]
    busy(at, home, 1, tokens=tokens)
    ranked = rank(Strategy.EXPECTED_TTFT, FOUR, Ask(NOW, 0.3, 0, home=home.target), at)

    assert stays == (ranked[0] == home)
    assert {"mock/a", "mock/b", "mock/c", "mock/d"} == {each.id for each in ranked}


def test_first_tokens_within_5_percent_go_to_the_cheapest_then_to_the_less_busy_of_two() -> None:
    at, ask = known(), Ask(NOW, 0.3, 80_000, 100)
    dear, cheap = deployment("dear", price=9), deployment("cheap", price=1)
    busy(at, cheap, 1, tokens=3_999)
    assert [cheap, dear] == rank(Strategy.EXPECTED_TTFT, (dear, cheap), ask, at)

    busy(at, cheap, 1, tokens=2)
    assert [dear, cheap] == rank(Strategy.EXPECTED_TTFT, (dear, cheap), ask, at)

    idle = known()
    for number, each in enumerate(FOUR):
        for call in busy(idle, each, number):
            call.began(NOW)
    shares = firsts(Strategy.EXPECTED_TTFT, FOUR, idle, 6_000)
    assert {"a": 3 / 6, "b": 2 / 6, "c": 1 / 6} == {
        name: pytest.approx(count / 6_000, abs=0.03) for name, count in shares.items()
    }


def test_the_order_after_the_first_is_that_of_the_expected_first_token() -> None:
    at = known()
    for number, each in enumerate(FOUR):
        busy(at, each, 1, tokens=10_000 - 2_000 * number)

    assert list(reversed(FOUR)) == rank(Strategy.EXPECTED_TTFT, FOUR, Ask(NOW, 0.3, 100), at)


def test_a_target_that_hangs_or_fails_at_once_gets_no_further_calls() -> None:
    at, (hangs, fails, well) = known(), FOUR[:3]
    busy(at, hangs, 1, tokens=8_000)
    busy(at, fails, 1)[0].ended(NOW, failed=True)
    later = NOW + 3 * NS_PER_S
    busy(at, well, 1, tokens=8_000)[0].began(NOW + NS_PER_S)

    assert [well, hangs, fails] == rank(Strategy.EXPECTED_TTFT, (hangs, fails, well), Ask(later, 0.2, 100), at)


@pytest.mark.parametrize(
    ("strategy", "name", "value"),
    [
        (Strategy.WEIGHTED, "weight", 2.0),
        (Strategy.LEAST_BUSY, "busyness", 0.5),
        (Strategy.LATENCY, "slowness_ns", FAILURE_NS * 8),
        (Strategy.COST, "price_nano_usd", 1_000),
        (Strategy.EXPECTED_TTFT, "first_token_ns", 125_000_000.0),
    ],
)
def test_a_figure_is_what_the_strategy_goes_by(strategy: Strategy, name: str, value: float) -> None:
    one, at = deployment("a", weight=2.0), known()
    busy(at, one, 1)

    assert (name, value) == figure(strategy, one, Ask(NOW, 0.5, 1_000), at)
