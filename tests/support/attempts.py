"""Make attempts without a pipeline."""

from router.domain.catalog import Deployment
from router.domain.dispatch.breakers import Breakers, Passage
from router.domain.planning.load import Loads
from router.domain.pricing import PriceCard
from router.pipeline.attempt import Attempt
from tests.support.fakes import PRICE, breakers, deployment


def attempt(
    number: int = 1,
    at: Deployment | None = None,
    *,
    card: PriceCard | None = PRICE,
    started_ns: int = 1,
    begun: int = 1,
    hurried: bool = False,
    fleet: Breakers | None = None,
) -> Attempt:
    """Begin an attempt at a deployment that nothing is known of, but for what `fleet` knows."""
    at = at or deployment()
    passage = (fleet or breakers()).enter(at, begun)
    assert isinstance(passage, Passage)
    load = Loads().started(at.target, 0, begun)
    return Attempt(
        number, at, passage=passage, load=load, card=card, started_ns=started_ns, begun=begun, hurried=hurried
    )
