"""Price how a call ended and tell everybody who keeps a record. The one path by which any call is settled."""

from router.domain.faults import Fault
from router.domain.governance.budget import NOTHING, Amounts
from router.domain.instants import NS_PER_S
from router.domain.money import NanoUsd
from router.domain.planning.directives import NO_DIRECTIVES
from router.domain.planning.explanation import explain, substituted_by
from router.domain.settlement import AttemptRow, Outcome, Settlement, StoredReply
from router.domain.usage import NO_USAGE, TokenUsage
from router.pipeline.admit import Gate
from router.pipeline.attempt import Attempt
from router.pipeline.call import Call
from router.pipeline.recall import Recall
from router.pipeline.upstream_limit_book import UpstreamLimitBook
from router.ports.clock import Clock
from router.ports.ledger import Ledger
from router.ports.telemetry import Anomaly, Telemetry


class Settler:
    """Called once by every call as it closes; all it does is hand values over."""

    __slots__ = ("_book", "_clock", "_gate", "_ledger", "_recall", "_telemetry")

    def __init__(
        self,
        *,
        clock: Clock,
        ledger: Ledger,
        gate: Gate,
        telemetry: Telemetry,
        book: UpstreamLimitBook,
        recall: Recall,
    ) -> None:
        self._recall = recall
        self._book = book
        self._clock = clock
        self._gate = gate
        self._ledger = ledger
        self._telemetry = telemetry

    def __call__(self, call: Call) -> Settlement:
        settlement = settlement_of(call, self._clock.monotonic_ns())
        self._gate.leave(call, settlement)  # first: whatever the sinks do, no place stays taken
        for crossed in self._ledger.settle(settlement):
            self._telemetry.budget_crossed(crossed)
        if settlement.stored is not None:
            self._recall.remember(settlement, settlement.stored)
        self._telemetry.call_settled(settlement)
        self._notice(call, settlement)
        return settlement

    def _notice(self, call: Call, settlement: Settlement) -> None:
        if settlement.attempts and settlement.cost_nano_usd is None:
            self._telemetry.noticed(Anomaly.UNPRICED_CALL)
        admission = call.admission
        if admission is not None and (overshoot := admission.overshoot(settlement.spent.usd)) > 0:
            self._telemetry.noticed(Anomaly.BUDGET_OVERSHOOT_NANO_USD, overshoot)
        if settlement.usage.clamped:
            self._telemetry.noticed(Anomaly.USAGE_CLAMPED)
        for attempt in call.attempts:
            if attempt.first_token is None:  # else it was heard as it came
                self._book.learn(attempt)
            if attempt.flight is not None and attempt.flight.meter.malformed:
                self._telemetry.noticed(Anomaly.MALFORMED_EVENT, attempt.flight.meter.malformed)


def settlement_of(call: Call, now: int) -> Settlement:
    """Add up what the attempts of a closed call used and cost. Pure."""
    outcome = call.outcome
    assert outcome is not None, "only a closed call is settled"
    input_bytes = call.input_bytes
    attempts = tuple([attempt.row(now, input_bytes) for attempt in call.attempts])
    last = call.attempts[-1] if call.attempts else None
    flight = None if last is None else last.flight
    served = last is not None and flight is not None and flight.meter.started
    first_token = None if last is None else last.first_token
    if len(attempts) == 1:
        usage, cost = attempts[0].usage, attempts[0].cost_nano_usd
    else:
        usage, cost = _total_usage(attempts), _total_cost(attempts)
    plan, decision, substituted = call.plan, None, None
    if plan is not None and last is not None and served and last.deployment.model != plan.asked.name:
        substituted = substituted_by(plan, last.deployment)
    # The usual call had no choice, and pays nothing for having none.
    if plan is not None and not (
        len(attempts) == 1 == len(plan.candidates)
        and last is not None
        and last.deployment is plan.candidates[0]
        and plan.stands_in is None
        and not plan.dropped
        and plan.directives is NO_DIRECTIVES
    ):
        decision = explain(plan, [one.deployment for one in call.attempts], call.arrived_ns - call.arrived)
    return Settlement(
        id=call.id,
        request_id=call.request_id,
        key_id=call.principal.key_id,
        organization=call.principal.organization,
        team=call.principal.team,
        user=call.principal.user,
        labels=call.labels,
        route=call.route,
        mode=call.request.mode,
        asked_model=call.request.model,
        served_deployment=last.deployment.id if last is not None and served else None,
        served_model=None if flight is None else flight.meter.served_model,
        started_ns=call.arrived_ns,
        duration_ns=now - call.arrived,
        first_token_ns=None if first_token is None else first_token - call.arrived,
        outcome=outcome,
        fault=None if outcome is Outcome.COMPLETED else _fault(call),
        usage=usage,
        cost_nano_usd=cost,
        price_version=attempts[-1].price_version if attempts else None,
        attempts=attempts,
        spent=_spent(attempts, usage, cost),
        would_refuse=call.would_refuse[0] if call.would_refuse else None,
        priority=None if call.priority is None else call.priority.name,
        decision=decision,
        substituted=substituted,
        stored=None if last is None or flight is None or flight.meter.reply_id is None else _stored(call, last),
    )


def _stored(call: Call, last: Attempt) -> StoredReply | None:
    """Say where the reply is kept whose id the caller has; None: its id is ours, or the caller wanted none kept."""
    reply_id = None if last.flight is None else last.flight.meter.reply_id
    if reply_id is None or last.translator is not None or bytes(call.request.fields.get("store", b"")) == b"false":
        return None
    at = last.deployment
    return StoredReply(reply_id, at.id, at.provider, at.credential)


def _spent(attempts: tuple[AttemptRow, ...], usage: TokenUsage, cost: NanoUsd | None) -> Amounts:
    """Say what is posted to the accounts: nothing where nothing was dispatched."""
    if not attempts:
        return NOTHING
    duration_ns = 0
    for attempt in attempts:
        duration_ns += attempt.duration_ns
    return Amounts(cost or 0, usage.input + usage.output, 1, -(-duration_ns // NS_PER_S))


def _fault(call: Call) -> Fault | None:
    if call.refusal is not None:
        return call.refusal.fault
    return Fault.CLIENT_CLOSED if call.outcome is Outcome.CLIENT_CANCELLED else None


def _total_cost(attempts: tuple[AttemptRow, ...]) -> NanoUsd | None:
    """Sum the attempts; unknown as soon as one is, and nothing where nothing was dispatched."""
    total = 0
    for attempt in attempts:
        if attempt.cost_nano_usd is None:
            return None
        total += attempt.cost_nano_usd
    return NanoUsd(total)


def _total_usage(attempts: tuple[AttemptRow, ...]) -> TokenUsage:
    used = [attempt.usage for attempt in attempts]
    if not used:
        return NO_USAGE
    return TokenUsage(
        input=sum(usage.input for usage in used),
        cached_input=sum(usage.cached_input for usage in used),
        cache_write=sum(usage.cache_write for usage in used),
        output=sum(usage.output for usage in used),
        reasoning=sum(usage.reasoning for usage in used),
        estimated=any(usage.estimated for usage in used),
        clamped=any(usage.clamped for usage in used),
    )
