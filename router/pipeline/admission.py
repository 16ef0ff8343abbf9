"""Keep what a call has taken under its limits and holds in its accounts, and say how far its reply may go.

Only the gate (`admit.py`) gives and takes; whoever relays a reply asks here.
"""

from typing import Protocol

from router.domain.faults import Refusal
from router.domain.governance.budget import NOTHING
from router.domain.governance.output_estimate import TOP_UP_TOKENS, OutputClass, top_up
from router.domain.governance.permits import Permit
from router.domain.governance.rate import NOTHING as NO_COSTS
from router.domain.governance.rate import RateLimit, Standing, enforced
from router.domain.governance.sizing import Sized
from router.domain.ids import CallId
from router.domain.pricing import PriceCard
from router.domain.usage import BYTES_PER_TOKEN


class Purse(Protocol):
    """What an admission asks of the gate that made it."""

    def extend(self, admission: "Admission", call_id: CallId, more: int) -> bool:
        """Hold `more` output tokens for a stream; False if an account has no room for them."""
        ...

    def standings(self, limits: tuple[RateLimit, ...]) -> list[Standing]:
        """Say how limits stand."""
        ...


class Declined(Exception):
    """This deployment cannot take the call now, or the call cannot pay for it. Another one may."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Taken:
    """Places and charges under some limits, until they are given back."""

    __slots__ = ("costs", "limits", "permit")

    def __init__(self, limits: tuple[RateLimit, ...]) -> None:
        self.limits = limits
        self.costs = NO_COSTS
        self.permit: Permit | None = None


class Admission:
    """What a call has taken, and how far the reply of its present attempt may go."""

    __slots__ = (
        "_beyond_tokens",
        "_call_id",
        "_gate",
        "at_deployment",
        "held",
        "kind",
        "of_caller",
        "output_held",
        "price",
        "sized",
        "truncated",
    )

    def __init__(self, gate: Purse, call_id: CallId, *, kind: OutputClass, limits: tuple[RateLimit, ...]) -> None:
        """`limits`: the caller's own."""
        self._gate = gate
        self._beyond_tokens: int | None = None
        # Its id only: a call holds its admission, and a circle of the two would wait for the collector.
        self._call_id = call_id
        self.kind = kind
        self.of_caller = Taken(limits)
        self.at_deployment: Taken | None = None
        self.sized: Sized
        self.price: PriceCard | None = None
        """What the deployment is taken to cost; None: nobody counts it."""
        self.output_held = 0
        """Output tokens that are held for the present attempt."""
        self.held = NOTHING
        """In the accounts, for the whole call."""
        self.truncated = False
        """The reply was ended by us: what it took says nothing of others of its kind."""

    @property
    def overrun(self) -> bool:
        """The upstream went beyond the maximum that it was given."""
        return self._beyond_tokens is not None

    @property
    def input_bytes_max(self) -> int:
        """The largest size from which an estimate stays within what is held for the input."""
        return (self.sized.amounts.tokens - self.sized.output_tokens) * BYTES_PER_TOKEN

    def overshoot(self, spent_usd: int) -> int:
        """Return by how much a call cost more than was held; at worst, where its provider did not say."""
        if self._beyond_tokens is not None:
            spent_usd = max(spent_usd, self.sized.ceiling.usd(self._beyond_tokens))
        return spent_usd - self.held.usd

    def standings(self) -> list[Standing]:
        """Say how the caller's limits stand, for `x-ratelimit-*`."""
        return self._gate.standings(enforced(self.of_caller.limits))

    def has_enough(self, output_tokens: int) -> bool:
        """Tell whether a reply that ends here has ended within what is held for it."""
        return output_tokens <= self.output_held

    def may_go_on(self, output_tokens: int) -> bool:
        """Tell whether a stream that has come so far may go on, holding more for it if that takes more.

        One that has passed its maximum may be one whose provider ignores it, or counts otherwise than we do: it goes on
        while its accounts have room for it.
        """
        sized = self.sized
        most = sized.output_tokens_max
        if most is None:
            return True
        more = top_up(output_tokens, self.output_held, most) if sized.top_up else 0
        if output_tokens > self.output_held + more:
            more = -(-(output_tokens - self.output_held) // TOP_UP_TOKENS) * TOP_UP_TOKENS
        if not more or self._gate.extend(self, self._call_id, more):
            return True
        if output_tokens > most:
            self._beyond_tokens = output_tokens
        return False

    def allow(self, output_tokens: int) -> int:
        """Return how many tokens of a stream the caller may see, after asking for as many as have come."""
        self.may_go_on(output_tokens)
        return self.output_held
