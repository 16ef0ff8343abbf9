"""Say what would become of a call now: who is asked, why not the others, what it may cost, which limits let it pass.

Nothing is sent, charged, held or pinned. By the time the call comes, all of it may be otherwise.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from router.domain.catalog import Deployment
from router.domain.dialects.authors import Authors
from router.domain.dispatch.failure import Fallback
from router.domain.faults import Refusal, RouterError
from router.domain.governance.account import AccountKey
from router.domain.governance.budget import Amounts, Exhausted, Scope
from router.domain.governance.output_estimate import class_of
from router.domain.governance.permits import Saturated
from router.domain.governance.priority import Classed
from router.domain.governance.rate import CostTooLarge
from router.domain.governance.refusals import refuse_exhausted, refuse_limited, refuse_saturated, refuse_too_large
from router.domain.governance.sizing import Sized
from router.domain.ids import ModelName
from router.domain.planning.explanation import substituted_by
from router.domain.planning.plan import RoutePlan, nobody
from router.domain.principal import Mode
from router.domain.settlement import Substituted
from router.pipeline.admission import Admission, Declined
from router.pipeline.admit import Gate
from router.pipeline.call import Call
from router.pipeline.path import path_of
from router.pipeline.plan import Planner
from router.pipeline.wording import worded_for
from router.ports.clock import Clock
from router.ports.ledger import Ledger

_KINDS: Final = (Fallback.ANY, Fallback.CONTEXT, Fallback.POLICY)


class Said(NamedTuple):
    """What one policy says of the call."""

    policy: str
    """`wording`, `sizing`, `concurrency`, `rate` or `budget`."""
    id: str
    refusal: Refusal | None
    """None: it lets the call pass."""
    observed: bool = False
    """It is only observed: it lets the call pass whatever it says."""


class Weighed(NamedTuple):
    """One deployment that may be asked."""

    deployment: Deployment
    figure: tuple[str, float]
    """What its model's strategy goes by."""
    ceiling_nano_usd: int | None
    """The most that the call may cost there; None: there is no price."""
    sized: Sized | None
    """None: nobody can say what it may cost, and a budget applies."""
    said: tuple[Said, ...]

    @property
    def refusal(self) -> Refusal | None:
        said = (one.refusal for one in self.said if not one.observed)
        return next((refusal for refusal in said if refusal is not None), None)


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    plan: RoutePlan
    priority: Classed | None
    substituted: Substituted | None
    candidates: Sequence[Weighed]
    """Best first."""
    fallbacks: Mapping[Fallback, Sequence[ModelName]]
    """By what failed: any reason, a prompt that is too long, refused content."""
    observed: bool
    """The key is only observed: what refuses it lets it pass."""
    wall_offset_ns: int
    """Added to a monotonic time it makes Unix time."""

    @property
    def admitted(self) -> bool:
        return any(self.observed or one.refusal is None for one in self.candidates)


def explain(call: Call, *, planner: Planner, gate: Gate, ledger: Ledger, clock: Clock) -> Explanation:
    """Plan a call that has passed `screen`, and ask every limit. Raises `RouterError` if it could never be planned."""
    plan = planner.plan(call)
    if isinstance(plan, Refusal):
        raise RouterError(plan)
    fallbacks = {kind: planner.fallbacks(call, plan, kind) for kind in _KINDS}
    never = None if any(fallbacks.values()) else nobody(plan)
    if never is not None:
        raise RouterError(never)
    desk = _Desk(call, plan, gate, ledger, clock, planner.authors)
    figures = planner.figures(call, plan)
    return Explanation(
        plan=plan,
        priority=call.priority,
        substituted=substituted_by(plan, plan.candidates[0]) if plan.candidates else None,
        candidates=tuple([desk.weigh(*pair) for pair in zip(plan.candidates, figures, strict=True)]),
        fallbacks=fallbacks,
        observed=call.principal.mode is Mode.OBSERVE,
        wall_offset_ns=clock.wall_ns() - clock.monotonic_ns(),
    )


class _Desk:
    """Asks the limits of one call, and takes nothing of them."""

    def __init__(self, call: Call, plan: RoutePlan, gate: Gate, ledger: Ledger, clock: Clock, authors: Authors) -> None:
        self._call = call
        self._plan = plan
        self._authors = authors
        self._gate = gate
        self._ledger = ledger
        self._now, self._wall_ns = clock.monotonic_ns(), clock.wall_ns()
        self._path = path_of(call)

    def weigh(self, deployment: Deployment, figure: tuple[str, float]) -> Weighed:
        call = self._call
        provider = call.snapshot.providers[deployment.provider]
        asked = worded_for(deployment, provider, call.request, self._plan, self._authors)
        if isinstance(asked, Refusal):
            return Weighed(deployment, figure, None, None, (Said("wording", "", asked),))
        kind = class_of(call.request.model, call.labels.agent or call.principal.key_id, call.request.size)
        admission = Admission(self._gate, call.id, kind=kind, limits=())
        try:
            self._gate.size(call, admission, deployment, asked, self._path, self._wall_ns)
        except Declined as exc:
            return Weighed(deployment, figure, None, None, (Said("sizing", "", exc.refusal),))
        sized = admission.sized
        most = sized.output_tokens if sized.output_tokens_max is None else sized.output_tokens_max
        ceiling = None if admission.price is None else sized.ceiling.usd(most)
        said = (
            *self._places(deployment),
            *self._rates(deployment, sized),
            *[self._budget(key, sized.amounts) for key in self._path],
        )
        return Weighed(deployment, figure, ceiling, sized, said)

    def _places(self, deployment: Deployment) -> Iterator[Said]:
        for limit in (*self._call.principal.concurrency_limits, *deployment.concurrency_limits):
            full = self._gate.permits.in_use(limit.id) >= limit.limit
            by = Saturated(limit_id=limit.id, scope_kind=limit.scope_kind, limit_value=limit.limit)
            yield Said("concurrency", limit.id, refuse_saturated(by) if full else None, limit.observe)

    def _rates(self, deployment: Deployment, sized: Sized) -> Iterator[Said]:
        for limit in (*self._call.principal.rate_limits, *deployment.rate_limits):
            by = self._gate.rates.peek((limit,), sized.costs, self._now)
            if by is None:
                yield Said("rate", limit.id, None, limit.observe)
            elif isinstance(by, CostTooLarge):
                yield Said("rate", limit.id, refuse_too_large(by), limit.observe)
            else:
                yield Said("rate", limit.id, refuse_limited(by, self._wall_ns), limit.observe)

    def _budget(self, key: AccountKey, amounts: Amounts) -> Said:
        budget, value = self._call.snapshot.budgets[key[0]], key[1]
        standing = self._ledger.standing(key, self._wall_ns)
        wanted = getattr(amounts, budget.unit)
        if wanted <= standing.room:
            return Said("budget", budget.id, None, budget.observe)
        by = Exhausted(
            budget=budget.id,
            scope=Scope(kind=budget.scope.kind, value=value),
            unit=budget.unit,
            limit_value=standing.used + standing.reserved + standing.room,
            used=standing.used,
            reserved=standing.reserved,
            wanted=wanted,
            resets_at_ns=standing.resets_at_ns,
        )
        refusal = refuse_exhausted(by, self._wall_ns, self._call.snapshot.budget_status)
        return Said("budget", budget.id, refusal, budget.observe)
