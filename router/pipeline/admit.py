"""Let an attempt start: charge its limits and hold its money in one step without a wait, or refuse and keep nothing.

The caller's own limits are charged once a call, those of a deployment once an attempt. Each attempt holds its worst
case beside what the attempts before it have spent. What is taken here is given back by `Gate.vacate` as an attempt
ends, and by `Gate.leave`, which every call passes as it closes, however it ends.
"""

from functools import partial
from typing import Final

from router.domain.catalog import Deployment, UnknownPrices
from router.domain.dialects.request import Request
from router.domain.faults import Fault, Refusal, RouterError
from router.domain.governance.account import AccountKey
from router.domain.governance.budget import NOTHING, Amounts, Crossed, Exhausted, Stale
from router.domain.governance.ledger import is_held
from router.domain.governance.output_estimate import OutputEstimates, class_of
from router.domain.governance.permits import ConcurrencyLimit, Permits, Saturated
from router.domain.governance.rate import NOTHING as NO_COSTS
from router.domain.governance.rate import Costs, RateLimit, RateLimited, Rates, Standing, enforced
from router.domain.governance.refusals import refuse_exhausted, refuse_limited, refuse_saturated, refuse_too_large
from router.domain.governance.sizing import NO_ACCOUNT, Terms, size_call
from router.domain.governance.unit_sizing import size_metered
from router.domain.ids import CallId
from router.domain.pricing import PriceCard
from router.domain.principal import Mode
from router.domain.settlement import Outcome, Reservation, Settlement
from router.domain.usage import TokenUsage
from router.pipeline.admission import Admission, Declined, Taken
from router.pipeline.call import Call
from router.pipeline.path import path_of
from router.ports.clock import Clock
from router.ports.ledger import Ledger, LedgerUnavailable
from router.ports.telemetry import Telemetry

_STORE_RETRY_MS: Final = 1_000
_DEPLOYMENT: Final = "deployment"
"""The kind of scope whose limits keep a call from one deployment and not from all."""
NOTHING_HELD: Final = Amounts()
"""Where no account counts, a crash must not invent a cost."""


class Gate:
    """The limits, permits and learned sizes of this process, in front of its ledger."""

    def __init__(self, *, clock: Clock, ledger: Ledger, telemetry: Telemetry) -> None:
        self._clock = clock
        self._ledger = ledger
        self._telemetry = telemetry
        self.rates = Rates()
        self.permits = Permits()
        self._estimates = OutputEstimates()

    def is_full(self, deployment: Deployment) -> bool:
        """Tell whether a deployment has as many calls as it may."""
        return any(
            self.permits.in_use(limit.id) >= limit.limit and not limit.observe
            for limit in deployment.concurrency_limits
        )

    async def admit(self, call: Call, deployment: Deployment, asked: Request) -> PriceCard | None:
        """Return when the call is on record with everything that this attempt may use; and what it is taken to cost.

        `asked`: the request as the deployment is to receive it. Raises `RouterError`, or `Declined` where another
        deployment may do.
        """
        principal = call.principal
        path = path_of(call)
        admission = call.admission
        if admission is None:
            limited = principal.rate_limits or principal.concurrency_limits
            if not (path or limited or deployment.rate_limits or deployment.concurrency_limits):
                await self._hold(call, path, NOTHING_HELD, self._clock.wall_ns())
                return deployment.price
            kind = class_of(call.request.model, call.labels.agent or principal.key_id, call.request.size)
            admission = Admission(self, call.id, kind=kind, limits=principal.rate_limits)
        wall_ns = self._clock.wall_ns()
        self.size(call, admission, deployment, asked, path, wall_ns)
        if call.admission is None:
            call.admission = admission  # from here on what it takes is given back
            self._take(call, admission.of_caller, principal.concurrency_limits, admission.sized.costs)
        try:
            if deployment.rate_limits or deployment.concurrency_limits:
                admission.at_deployment = Taken(deployment.rate_limits)
                self._take(call, admission.at_deployment, deployment.concurrency_limits, admission.sized.costs)
            await self._hold(call, path, admission.sized.amounts if path else NOTHING_HELD, wall_ns)
        except (Declined, RouterError):
            self.vacate(call, None)
            raise
        return admission.price

    def extend(self, admission: Admission, call_id: CallId, more: int) -> bool:
        """Hold `more` output tokens for a stream; False if an account has no room for them."""
        amounts = admission.sized.extension(admission.output_held, more)
        try:
            answer = self._ledger.extend(call_id, amounts, self._clock.wall_ns())
        except LedgerUnavailable:
            return False
        if isinstance(answer, Stale) or not is_held(answer):
            return False
        self._tell(answer.crossed if isinstance(answer, Exhausted) else answer)
        admission.output_held += more
        admission.held = admission.held.plus(amounts)
        return True

    def vacate(self, call: Call, usage: TokenUsage | None) -> None:
        """Give back what the call's present attempt took at its deployment. `usage`: None if it was not dispatched."""
        admission = call.admission
        if admission is not None and admission.at_deployment is not None:
            self._give_back(admission.at_deployment, NO_COSTS if usage is None else _costs_of(usage))
            admission.at_deployment = None

    def leave(self, call: Call, settlement: Settlement) -> None:
        """Give back what a call took and did not use, and learn what it did."""
        admission = call.admission
        if admission is None:
            return
        attempts, usage = settlement.attempts, settlement.usage
        self._give_back(admission.of_caller, _costs_of(usage) if attempts else NO_COSTS)
        if admission.at_deployment is not None:
            self.vacate(call, attempts[-1].usage if attempts else None)  # no row: it ended before its dispatch
        if not (usage.estimated or admission.truncated) and settlement.outcome is Outcome.COMPLETED:
            self._estimates.learn(admission.kind, attempts[-1].usage.output)

    def standings(self, limits: tuple[RateLimit, ...]) -> list[Standing]:
        return self.rates.standings(limits, self._clock.monotonic_ns()) if limits else []

    def size(
        self,
        call: Call,
        admission: Admission,
        deployment: Deployment,
        asked: Request,
        path: tuple[AccountKey, ...],
        wall_ns: int,
    ) -> None:
        """Size the attempt with what its accounts have left, for which the call's own hold is as good as room."""
        principal = call.principal
        assumed = None if deployment.price is not None else _assumed(call, deployment)
        duration_ns_max = self._duration_ns_max(call, deployment)
        if asked.grammar.metered:
            size_for = partial(size_metered, asked, deployment, duration_ns_max=duration_ns_max, assumed_price=assumed)
        else:
            size_for = partial(
                size_call,
                asked,
                deployment,
                terms=Terms(mode=principal.budget_mode, clamp=principal.clamp),
                estimate=self._estimates.estimate(admission.kind),
                duration_ns_max=duration_ns_max,
                assumed_price=assumed,
            )
        room = self._ledger.room(path, wall_ns) if path else NO_ACCOUNT
        if room.passed_over:
            would = size_for(room=self._ledger.room(path, wall_ns, observed=True))
            if isinstance(would, Refusal):
                _refuse(call, would, observed=True)
        if call.attempts:
            room = room.beside(admission.held, call.spent)
        sized = size_for(room=room)
        if principal.mode is Mode.OBSERVE:
            if isinstance(sized, Refusal):
                _refuse(call, sized)
            # It is sent as it came, with no maximum from us, and so holds all that it may become.
            sized = size_for(room=NO_ACCOUNT)
        if isinstance(sized, Refusal):
            raise Declined(sized)
        admission.sized = sized
        admission.price = deployment.price or assumed
        admission.output_held = sized.output_tokens

    def _take(self, call: Call, taken: Taken, places: tuple[ConcurrencyLimit, ...], costs: Costs) -> None:
        """Take permits and charge limits."""
        if places:
            permit = self.permits.acquire(places)
            if isinstance(permit, Saturated):
                _refuse(call, refuse_saturated(permit), of_deployment=permit.scope_kind == _DEPLOYMENT)
            else:
                taken.permit = permit
                if permit.passed is not None:
                    _refuse(call, refuse_saturated(permit.passed), observed=True)
        if not taken.limits:
            return
        limited = self.rates.charge(taken.limits, costs, self._clock.monotonic_ns())
        if limited is not None:
            if isinstance(limited, RateLimited):
                refusal = refuse_limited(limited, self._clock.wall_ns())
            else:
                refusal = refuse_too_large(limited)
            _refuse(call, refusal, of_deployment=limited.scope_kind == _DEPLOYMENT, observed=limited.observed)
            if not limited.observed:
                return
            taken.limits = enforced(taken.limits)  # the others took nothing, and get nothing back
        taken.costs = costs

    def _give_back(self, taken: Taken, used: Costs) -> None:
        if taken.permit is not None:
            taken.permit.release()
        if taken.costs is not NO_COSTS:
            self.rates.correct(taken.limits, taken.costs, used, self._clock.monotonic_ns())

    async def _hold(self, call: Call, path: tuple[AccountKey, ...], amounts: Amounts, wall_ns: int) -> None:
        """Have the ledger hold what this attempt may use, beside what those before it have spent."""
        admission = call.admission
        held = NOTHING if admission is None else admission.held
        again = call.on_record
        try:
            if again:
                amounts = call.spent.plus(amounts).beyond(held)
                answer = self._ledger.extend(call.id, amounts, wall_ns) if path and any(amounts) else ()
            else:
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
                answer = await self._ledger.reserve(reservation, wall_ns)
        except LedgerUnavailable as exc:
            refusal = Refusal(
                fault=Fault.OVERLOADED,
                message="The router cannot record this call now, so it is not sent. Try again shortly.",
                retry_after_ms=_STORE_RETRY_MS,
            )
            raise RouterError(refusal) from exc
        if isinstance(answer, Exhausted):
            refusal = refuse_exhausted(answer, wall_ns, call.snapshot.budget_status)
            _refuse(call, refusal, of_deployment=again, observed=answer.held)
            self._tell(answer.crossed)
        elif isinstance(answer, tuple) and answer:
            self._tell(answer)
        call.on_record = True
        if admission is not None and (not answer or is_held(answer)):
            admission.held = held.plus(amounts) if again else amounts

    def _tell(self, crossings: tuple[Crossed, ...]) -> None:
        for crossed in crossings:
            self._telemetry.budget_crossed(crossed)

    def _duration_ns_max(self, call: Call, deployment: Deployment) -> int:
        total_ns = call.snapshot.providers[deployment.provider].timeouts.total_ns
        return total_ns if call.timeout_ns is None else min(total_ns, call.timeout_ns)


def _assumed(call: Call, deployment: Deployment) -> PriceCard | None:
    """Return what a model without a price is taken to cost: the dearest of its provider, if the operator wants that."""
    if call.snapshot.unknown_prices is UnknownPrices.REFUSE:
        return None
    cards = [
        other.price
        for model in call.snapshot.models.values()
        for other in model.deployments
        if other.provider == deployment.provider and other.price is not None
    ]
    return max(cards, key=lambda card: (card.base.output, card.base.input), default=None)


def _costs_of(usage: TokenUsage) -> Costs:
    return Costs(1, usage.input, usage.output, usage.input + usage.output)


def _refuse(call: Call, refusal: Refusal, *, of_deployment: bool = False, observed: bool = False) -> None:
    """Refuse, or put on record that the call would have been refused, if its key or what refuses is only observed."""
    if observed or call.principal.mode is Mode.OBSERVE:
        if refusal.fault not in call.would_refuse:
            call.would_refuse.append(refusal.fault)
        return
    if of_deployment:
        raise Declined(refusal)
    raise RouterError(refusal)
