"""Put the deployments of one tier in the order in which to try them, by the strategy of their model.

Chance enters as one draw a call. A deployment's ticket is the draw times a large number of its own, of which the
fraction is as good as drawn anew for each (Weyl 1916), made an exponential variate of its weight: the lowest ticket
wins with a probability of its share, and so on among the rest (Efraimidis and Spirakis 2006). With a conversation's own
draw it is weighted rendezvous hashing (Thaler and Ravishankar 1998): all processes agree, and what a deployment loses
goes to the others by weight.

Two choices (Mitzenmacher 1996) are the first two by ticket: processes that know the same do not choose the same.
"""

from collections.abc import Callable, Sequence
from math import inf, log
from typing import Final, NamedTuple

import msgspec

from router.domain.catalog import Deployment, Strategy
from router.domain.ids import TargetId
from router.domain.instants import NS_PER_S
from router.domain.planning.load import FAILURE_NS, Loads, TargetLoad
from router.domain.planning.prefix import Chain, Prefixes
from router.domain.pricing import bill
from router.domain.usage import TokenUsage

ALIKE: Final = 1.05
"""Expected first tokens within 5 % of the soonest are as good as it."""
STAY_NS: Final = NS_PER_S // 4
"""How much later a conversation's first token may be where it is: what is cached there also costs less."""


class Ask(msgspec.Struct, frozen=True):
    """What a ranking knows of a call."""

    now: int
    """Monotonic nanoseconds."""
    draw: float
    """A number in [0, 1), drawn for this call or made from its conversation."""
    input_tokens: int = 0
    output_tokens: int = 0
    """Expected, not the most."""
    chain: Chain = ()
    """Only `expected_ttft` looks at it, and at `home`."""
    home: TargetId | None = None
    """Where its conversation is."""


class Known(NamedTuple):
    """What is known of the targets."""

    loads: Loads
    prefixes: Prefixes


def rank(strategy: Strategy, candidates: Sequence[Deployment], ask: Ask, known: Known) -> Sequence[Deployment]:
    """Return the candidates, best first. Those of weight 0 come last, whatever the strategy says of them."""
    if len(candidates) < 2:
        return candidates
    draw = ask.draw
    if strategy is Strategy.WEIGHTED:
        return _by_weight(candidates, draw)
    drawn: list[_Drawn] = []
    loads = known.loads
    for number, deployment in enumerate(candidates):
        load, weight = loads[deployment.target], deployment.weight
        ticket = -log(1.0 - draw * deployment.salt % 1.0) / weight if weight else inf
        drawn.append((ticket, number, deployment, load))
    drawn.sort()  # numbers differ, so deployments are never compared
    order = _ORDERS[strategy]
    if drawn[-1][0] != inf or drawn[0][0] == inf:
        return order(drawn, ask, known)
    wanted = [each for each in drawn if each[0] != inf]
    return [*order(wanted, ask, known), *(each[2] for each in drawn[len(wanted) :])]


def by_variate(candidates: Sequence[Deployment], draw: float) -> list[Deployment]:
    """Return candidates in the order of their weights, where these are all the same."""
    return sorted(candidates, key=lambda each: draw * each.salt % 1.0)


def _by_weight(candidates: Sequence[Deployment], draw: float) -> list[Deployment]:
    if len({each.weight for each in candidates}) == 1:
        return by_variate(candidates, draw)
    return sorted(candidates, key=lambda each: -log(1.0 - draw * each.salt % 1.0) / each.weight if each.weight else inf)


_Drawn = tuple[float, int, Deployment, TargetLoad]
"""Ticket, place among the candidates, and what it is the ticket of."""
_Order = Callable[[list[_Drawn], Ask, Known], list[Deployment]]


def busyness(load: TargetLoad, weight: float) -> float:
    """Return the calls under way for each unit of weight."""
    return load.outstanding / weight if weight else inf


def slowness_ns(load: TargetLoad, now: int) -> float:
    """Return the peak-EWMA of its first token (Finagle), times the cube of the calls that would wait for one (C3).

    A target of which nothing is known is tried by one call, and by more once that was answered.
    """
    return (load.peak_ns(now) or (FAILURE_NS if load.waiting else 0)) * (load.waiting + 1) ** 3


def price_nano_usd(deployment: Deployment, ask: Ask) -> float:
    """Return what the call is expected to cost there; infinite when the deployment has no price."""
    card = deployment.price
    return inf if card is None else bill(TokenUsage(input=ask.input_tokens, output=ask.output_tokens), card)


def first_token_ns(load: TargetLoad, uncached_tokens: int, now: int) -> float:
    """Return when its first token is expected: after the prompts before it, and what of its own is not cached."""
    return load.wait_ns(now) + uncached_tokens * NS_PER_S / load.rate


def figure(strategy: Strategy, deployment: Deployment, ask: Ask, known: Known) -> tuple[str, float]:
    """Name what a strategy goes by, and say how it stands at a deployment: less is better, but for a weight."""
    load = known.loads[deployment.target]
    match strategy:
        case Strategy.LEAST_BUSY:
            return "busyness", busyness(load, deployment.weight)
        case Strategy.LATENCY:
            return "slowness_ns", slowness_ns(load, ask.now)
        case Strategy.COST:
            return "price_nano_usd", price_nano_usd(deployment, ask)
        case Strategy.EXPECTED_TTFT:
            uncached = known.prefixes.uncached_tokens(deployment.target, ask.chain, ask.input_tokens, ask.now)
            return "first_token_ns", first_token_ns(load, uncached, ask.now)
        case _:
            return "weight", deployment.weight


def _by_busyness(drawn: list[_Drawn], _ask: Ask, _known: Known) -> list[Deployment]:
    drawn.sort(key=lambda each: busyness(each[3], each[2].weight))  # stable: equals stay as drawn
    return [each[2] for each in drawn]


def _by_slowness(drawn: list[_Drawn], ask: Ask, _known: Known) -> list[Deployment]:
    scored = [(slowness_ns(each[3], ask.now), each[2]) for each in drawn]
    chosen = scored.pop(1 if len(scored) > 1 and scored[1][0] < scored[0][0] else 0)
    scored.sort(key=_score)
    return [chosen[1], *(deployment for _, deployment in scored)]


def _by_price(drawn: list[_Drawn], ask: Ask, _known: Known) -> list[Deployment]:
    drawn.sort(key=lambda each: (price_nano_usd(each[2], ask), busyness(each[3], each[2].weight)))
    return [each[2] for each in drawn]


def _by_first_token(drawn: list[_Drawn], ask: Ask, known: Known) -> list[Deployment]:
    now, prefixes = ask.now, known.prefixes
    scored: list[tuple[float, Deployment, TargetLoad]] = []
    for _, _, deployment, load in drawn:
        uncached = prefixes.uncached_tokens(deployment.target, ask.chain, ask.input_tokens, now)
        scored.append((first_token_ns(load, uncached, now), deployment, load))
    scored.sort(key=_score)
    limit = scored[0][0] * ALIKE
    alike = [(deployment, load) for score, deployment, load in scored if score <= limit]
    best = scored[0][1]
    if ask.home is not None and (home := _within(scored, ask.home, limit + STAY_NS)):
        best = home
    elif len(alike) > 1:
        best = _best_of_alike(alike, ask)
    return [best, *(deployment for _, deployment, _ in scored if deployment is not best)]


def _within(scored: list[tuple[float, Deployment, TargetLoad]], target: TargetId, limit: float) -> Deployment | None:
    return next((each for score, each, _ in scored if score <= limit and each.target == target), None)


def _best_of_alike(alike: list[tuple[Deployment, TargetLoad]], ask: Ask) -> Deployment:
    """Return the cheapest; of several, the less busy of the first two by ticket."""
    priced = [(price_nano_usd(deployment, ask), deployment, load) for deployment, load in alike]
    lowest = min(price for price, _, _ in priced)
    (first, load), *others = [(deployment, load) for price, deployment, load in priced if price == lowest]
    return others[0][0] if others and others[0][1].outstanding < load.outstanding else first


def _score(scored: tuple[float, *tuple[object, ...]]) -> float:
    return scored[0]


_ORDERS: Final[dict[Strategy, _Order]] = {
    Strategy.LEAST_BUSY: _by_busyness,
    Strategy.LATENCY: _by_slowness,
    Strategy.COST: _by_price,
    Strategy.EXPECTED_TTFT: _by_first_token,
}
