"""Say how long a deployment has no room for a call: by the rates its operator set, and by its provider's last word.

Both are held against an estimate and not the most that the call may take: it has no room only where that is certain.
"""

from router.domain.catalog import Deployment, Model
from router.domain.dialects.request import Request
from router.domain.governance.rate import Costs, RateLimited, costs_of
from router.domain.planning.needs import needs_of
from router.pipeline.admit import Gate
from router.pipeline.upstream_limit_book import UpstreamLimitBook, payer_of


class Headroom:
    """What is left at the deployments of a process."""

    __slots__ = ("_book", "_gate")

    def __init__(self, gate: Gate, book: UpstreamLimitBook) -> None:
        self._gate = gate
        self._book = book

    def matters(self, model: Model) -> bool:
        """Tell whether there is anything to ask about a model's deployments: mostly there is not."""
        return model.rated or not self._book.is_empty

    def wait_ns(self, deployment: Deployment, costs: Costs, now: int) -> int:
        """Return how long a call must wait for room there, 0 if it may have some now. `now`: monotonic."""
        wait_ns = self._book.wait_ns(payer_of(deployment), costs, now)
        if deployment.rate_limits:
            refused = self._gate.rates.peek(deployment.rate_limits, costs, now)
            if isinstance(refused, RateLimited):
                return max(wait_ns, refused.retry_after_ns)
        return wait_ns

    def sent(self, request: Request, deployment: Deployment) -> None:
        """Count a call against what its provider said was left, until it says so again."""
        payer = payer_of(deployment)
        if self._book.knows(payer):
            self._book.sent(payer, likely_costs(request))


def likely_costs(request: Request) -> Costs:
    """Estimate what a call takes of a limit. A reply for which its caller says no maximum may be short."""
    needs = needs_of(request, frozenset())
    return costs_of(requests=1, input_tokens=needs.input_tokens, output_tokens=needs.output_tokens or 0)
