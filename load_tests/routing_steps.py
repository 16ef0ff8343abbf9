"""Make what is measured of the choice of a deployment: the ranking, the machine, the breaker (see `steps.py`)."""

from typing import Final

from msgspec.structs import replace

from router.domain.catalog import Deployment, Strategy
from router.domain.dialects.dialect import CHAT
from router.domain.dialects.request import Request, read_request
from router.domain.dispatch.breakers import Breakers, Passage
from router.domain.dispatch.machine import Dispatch
from router.domain.dispatch.retry import RetryBudget, RetryTerms
from router.domain.ids import DeploymentId, ProviderId
from router.domain.planning.adaptive import AdaptiveLimit
from router.domain.planning.affinity import Affinities, conversation_of
from router.domain.planning.load import Loads
from router.domain.planning.prefix import BLOCK_BYTES, Chain, Prefixes, chain_of
from router.domain.planning.ranking import Ask, Known, rank
from router.domain.pricing import PriceCard, Rates

RATES: Final = Rates(input=2_000_000_000, cached_input=200_000_000, cache_write=2_000_000_000, output=10_000_000_000)


class Draw:
    @staticmethod
    def uniform() -> float:
        return 0.3

    @staticmethod
    def token() -> str:
        return "0" * 32


class Dispatched:
    """What takes a call to its deployment and back when nothing fails."""

    def __init__(self, deployment: Deployment) -> None:
        self._candidates = (deployment,)
        self._terms, self._saved = RetryTerms(), RetryBudget()
        self.breakers = Breakers(uniform=Draw.uniform, changed=lambda _: None)

    def begin(self) -> None:
        Dispatch(self._candidates, terms=self._terms, saved=self._saved, deadline=10**18).begin(1)

    def enter(self) -> Passage:
        passage = self.breakers.enter(self._candidates[0], 1)
        assert isinstance(passage, Passage)
        return passage

    def pass_through(self) -> None:
        passage = self.enter()
        passage.began(2)
        passage.left()


class Balanced:
    """A model of 8 deployments, a prompt of 24 blocks of which each has seen another part, and conversations."""

    def __init__(self) -> None:
        self.deployments = [
            Deployment(
                id=DeploymentId(f"mock/{number}"),
                provider=ProviderId("mock"),
                upstream_model="m",
                price=PriceCard(version="bench", base=RATES),
            )
            for number in range(8)
        ]
        turns = b",".join(
            b'{"role":"%s","content":"%s"}' % (role, b"Summarise the notes. " * 56)
            for role in (b"user", b"assistant") * 20
        )
        request = read_request(CHAT, b'{"model":"bench","messages":[' + turns + b"]}")
        assert isinstance(request, Request)
        self._request = request
        self._prompt = turns[: 24 * BLOCK_BYTES]
        self._known, self._affinities, self._limit = Known(Loads(), Prefixes()), Affinities(), AdaptiveLimit()
        self._chain = self.chain()
        for number, each in enumerate(self.deployments):
            self._known.prefixes.sent(each.target, self._chain[: 3 * number], 1)
        conversation = conversation_of("key", "bench", self._request)
        assert conversation is not None
        self._conversation = conversation
        self._affinities.pin(conversation, self.deployments[5].target, now=1, ttl_ns=10**12)

    def turn_20(self, model: str) -> Request:
        return replace(self._request, model=model)

    def chain(self) -> Chain:
        return chain_of((self._prompt,))

    def rank(self, strategy: Strategy) -> None:
        rank(strategy, self.deployments, Ask(2, 0.3, 12_000, 300, self._chain), self._known)

    def load(self) -> None:
        call = self._known.loads.started(self.deployments[0].target, 500, 1)
        call.began(2)
        call.ended(3)

    def remember(self) -> None:
        self._known.prefixes.sent(self.deployments[7].target, self._chain, 2)

    def converse(self) -> None:
        conversation_of("key", "bench", self._request)

    def stay(self) -> None:
        conversation, known = self._conversation, self._known
        self._affinities.prefer(Strategy.WEIGHTED, self.deployments, conversation, known.loads, now=2, ttl_ns=10**12)
        self._affinities.pin(conversation, self.deployments[5].target, now=2, ttl_ns=10**12)

    def adapt(self) -> None:
        self._limit.answered(1, 500, 900, 2)
