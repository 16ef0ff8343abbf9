"""Let an attempt start: charge its limits and hold its money in one step without a wait, or refuse and keep nothing.

What is taken here is given back by `Gate.leave`, which every call passes as it closes, however it ends.
"""

from typing import Final

from router.domain.catalog import Deployment, UnknownPrices
from router.domain.faults import Fault, Refusal, RouterError
from router.domain.governance.account import AccountKey
from router.domain.governance.budget import EACH, Amounts, Budget, Crossed, Exhausted, ScopeKind
from router.domain.governance.output_estimate import TOP_UP_TOKENS, OutputClass, OutputEstimates, class_of, top_up
from router.domain.governance.permits import ConcurrencyLimit, Permit, Permits, Saturated
from router.domain.governance.rate import NOTHING, Costs, CostTooLarge, RateLimit, RateLimited, Rates, Standing
from router.domain.governance.refusals import refuse_exhausted, refuse_limited, refuse_saturated, refuse_too_large
from router.domain.governance.sizing import NO_ACCOUNT, Room, Sized, Terms, size_call
from router.domain.ids import CallId
from router.domain.pricing import PriceCard
from router.domain.principal import Mode
from router.domain.settlement import Outcome, Reservation, Settlement, tag_values
from router.domain.usage import BYTES_PER_TOKEN
from router.pipeline.call import Call
from router.ports.clock import Clock
from router.ports.ledger import Ledger, LedgerUnavailable
from router.ports.telemetry import Telemetry

_STORE_RETRY_MS: Final = 1_000
NOTHING_HELD: Final = Amounts()
"""Where no account counts, a crash must not invent a cost."""


class Admission:
    """What one attempt has taken, and how far its reply may go."""

    __slots__ = (
        "_beyond_tokens",
        "_call_id",
        "_gate",
        "_shown",
        "costs",
        "kind",
        "limits",
        "output_held",
        "permit",
        "price",
        "sized",
        "truncated",
        "usd_held",
    )

    def __init__(
        self,
        gate: "Gate",
        call_id: CallId,
        sized: Sized,
        *,
        kind: OutputClass,
        limits: tuple[RateLimit, ...],
        shown: tuple[RateLimit, ...],
        price: PriceCard | None,
    ) -> None:
        """`shown`: those of the limits that are the caller's own."""
        self._gate = gate
        self._beyond_tokens: int | None = None
        # Its id only: a call holds its admission, and a circle of the two would wait for the collector.
        self._call_id = call_id
        self._shown = shown
        self.sized = sized
        self.kind = kind
        self.limits = limits
        self.costs = NOTHING
        self.permit: Permit | None = None
        self.price = price
        """What the deployment is taken to cost; None: nobody counts it."""
        self.output_held = sized.output_tokens
        self.usd_held = sized.amounts.usd
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
        return spent_usd - self.usd_held

    def standings(self) -> list[Standing]:
        """Say how the caller's limits stand, for `x-ratelimit-*`."""
        return self._gate.standings(self._shown)

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


class Gate:
    """The limits, permits and learned sizes of this process, in front of its ledger."""

    def __init__(self, *, clock: Clock, ledger: Ledger, telemetry: Telemetry) -> None:
        self._clock = clock
        self._ledger = ledger
        self._telemetry = telemetry
        self.rates = Rates()
        self.permits = Permits()
        self._estimates = OutputEstimates()

    async def admit(self, call: Call, deployment: Deployment) -> PriceCard | None:
        """Return when the call is on record with everything it may use; and what it is taken to cost.

        Raises `RouterError`.
        """
        principal = call.principal
        wall_ns = self._clock.wall_ns()
        path = path_of(call)
        limits = principal.rate_limits + deployment.rate_limits
        places = principal.concurrency_limits + deployment.concurrency_limits
        if path or limits or places:
            admission = self._size(call, deployment, path, limits, wall_ns)
            self._take(call, admission, places)
            await self._reserve(call, path, admission.sized.amounts if path else NOTHING_HELD, wall_ns)
            return admission.price
        await self._reserve(call, path, NOTHING_HELD, wall_ns)
        return deployment.price

    def _size(
        self,
        call: Call,
        deployment: Deployment,
        path: tuple[AccountKey, ...],
        limits: tuple[RateLimit, ...],
        wall_ns: int,
    ) -> Admission:
        principal = call.principal
        assumed = _assumed(call, deployment)
        kind = class_of(call.request.model, call.labels.agent or principal.key_id, call.request.size)
        estimate = self._estimates.estimate(kind)

        def size_for(room: Room) -> Sized | Refusal:
            return size_call(
                call.request.fields,
                call.request.mode,
                deployment,
                room=room,
                terms=Terms(mode=principal.budget_mode, clamp=principal.clamp),
                estimate=estimate,
                duration_ns_max=self._duration_ns_max(call, deployment),
                assumed_price=assumed,
            )

        sized = size_for(self._ledger.room(path, wall_ns) if path else NO_ACCOUNT)
        if principal.mode is Mode.OBSERVE:
            if isinstance(sized, Refusal):
                _refuse(call, sized)
            # It is sent as it came, with no maximum from us, and so holds all that it may become.
            sized = size_for(NO_ACCOUNT)
        if isinstance(sized, Refusal):
            raise RouterError(sized)
        call.admission = admission = Admission(
            self,
            call.id,
            sized,
            kind=kind,
            limits=limits,
            shown=principal.rate_limits,
            price=deployment.price or assumed,
        )
        return admission

    def extend(self, admission: Admission, call_id: CallId, more: int) -> bool:
        """Hold `more` output tokens for a stream; False if an account has no room for them."""
        amounts = admission.sized.extension(admission.output_held, more)
        try:
            answer = self._ledger.extend(call_id, amounts, self._clock.wall_ns())
        except LedgerUnavailable:
            return False
        if not isinstance(answer, tuple):
            return False
        self._tell(answer)
        admission.output_held += more
        admission.usd_held += amounts.usd
        return True

    def _tell(self, crossings: tuple[Crossed, ...]) -> None:
        for crossed in crossings:
            self._telemetry.budget_crossed(crossed)

    def leave(self, call: Call, settlement: Settlement) -> None:
        """Give back what a call took and did not use, and learn what it did."""
        admission = call.admission
        if admission is None:
            return
        if admission.permit is not None:
            admission.permit.release()
        usage = settlement.usage
        actual = NOTHING
        if settlement.attempts:
            actual = Costs(1, usage.input, usage.output, usage.input + usage.output)
        if admission.costs is not NOTHING:
            self.rates.correct(admission.limits, admission.costs, actual, self._clock.monotonic_ns())
        if not (usage.estimated or admission.truncated) and settlement.outcome is Outcome.COMPLETED:
            self._estimates.learn(admission.kind, usage.output)

    def standings(self, limits: tuple[RateLimit, ...]) -> list[Standing]:
        return self.rates.standings(limits, self._clock.monotonic_ns()) if limits else []

    def _take(self, call: Call, admission: Admission, places: tuple[ConcurrencyLimit, ...]) -> None:
        """Take permits and charge limits, those of the deployment too."""
        if places:
            permit = self.permits.acquire(places)
            if isinstance(permit, Saturated):
                _refuse(call, refuse_saturated(permit))
            else:
                admission.permit = permit
        if not admission.limits:
            return
        costs = admission.sized.costs
        match self.rates.charge(admission.limits, costs, self._clock.monotonic_ns()):
            case RateLimited() as limited:
                _refuse(call, refuse_limited(limited, self._clock.wall_ns()))
            case CostTooLarge() as too_large:
                _refuse(call, refuse_too_large(too_large))
            case None:
                admission.costs = costs

    async def _reserve(self, call: Call, path: tuple[AccountKey, ...], amounts: Amounts, wall_ns: int) -> None:
        reservation = Reservation(
            id=call.id,
            request_id=call.request_id,
            key_id=call.principal.key_id,
            asked_model=call.request.model,
            started_ns=call.arrived_ns,
            labels=call.labels,
            path=path,
            amounts=amounts,
            observed=call.principal.mode is Mode.OBSERVE,
        )
        try:
            answer = await self._ledger.reserve(reservation, wall_ns)
        except LedgerUnavailable as exc:
            refusal = Refusal(
                fault=Fault.OVERLOADED,
                message="The router cannot record this call now, so it is not sent. Try again shortly.",
                retry_after_ms=_STORE_RETRY_MS,
            )
            raise RouterError(refusal) from exc
        if isinstance(answer, Exhausted):
            _refuse(call, refuse_exhausted(answer, wall_ns, call.snapshot.budget_status))
            self._tell(answer.crossed)
        else:
            self._tell(answer)

    def _duration_ns_max(self, call: Call, deployment: Deployment) -> int:
        total_ns = call.snapshot.providers[deployment.provider].timeouts.total_ns
        return total_ns if call.timeout_ns is None else min(total_ns, call.timeout_ns)


def path_of(call: Call) -> tuple[AccountKey, ...]:
    """Return the accounts of a call, narrowest first: its workflow's, those of its key, those across the tree."""
    tree = call.snapshot.tree_budgets
    if not tree:
        return call.principal.accounts
    first = [key for budget in tree if budget.scope.kind is ScopeKind.WORKFLOW for key in _keys(budget, call)]
    last = [key for budget in tree if budget.scope.kind is not ScopeKind.WORKFLOW for key in _keys(budget, call)]
    return (*first, *call.principal.accounts, *last)


def _keys(budget: Budget, call: Call) -> list[AccountKey]:
    labels, wanted = call.labels, budget.scope.value
    values: list[str]
    match budget.scope.kind:
        case ScopeKind.WORKFLOW:
            values = [labels.workflow_id] if labels.workflow_id else []
        case ScopeKind.AGENT:
            values = [labels.agent] if labels.agent else []
        case ScopeKind.TAG:
            values = tag_values(labels.tags)
        case ScopeKind.MODEL:
            values = [call.request.model]
        case ScopeKind.USER:
            values = [call.principal.user] if call.principal.user else []
        case ScopeKind.KEY:
            values = [call.principal.key_id]
        case ScopeKind.TEAM:
            team = call.principal.team
            values = [f"{call.principal.organization}/{team}"] if team else []
        case ScopeKind.ORGANIZATION:
            values = [call.principal.organization] if call.principal.organization else []
    return [(budget.id, value) for value in values if wanted in (EACH, value)]


def _assumed(call: Call, deployment: Deployment) -> PriceCard | None:
    """Return what a model without a price is taken to cost: the dearest of its provider, if the operator wants that."""
    if deployment.price is not None or call.snapshot.unknown_prices is UnknownPrices.REFUSE:
        return None
    cards = [
        other.price
        for model in call.snapshot.models.values()
        for other in model.deployments
        if other.provider == deployment.provider and other.price is not None
    ]
    return max(cards, key=lambda card: (card.base.output, card.base.input), default=None)


def _refuse(call: Call, refusal: Refusal) -> None:
    """Refuse, or, for a key that is only observed, put on record that it would have been refused."""
    if call.principal.mode is Mode.OBSERVE:
        call.would_refuse.append(refusal.fault)
        return
    raise RouterError(refusal)
