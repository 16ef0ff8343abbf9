"""Choose where a call may go: whom its name means, who can serve it now, and in which order to ask them.

The decisions are in `domain/planning`; this is where they meet what is known of the deployments at the moment.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from router.domain.catalog import Deployment, Model, Snapshot, Strategy
from router.domain.dialects.authors import Authors
from router.domain.dispatch.breakers import Breakers
from router.domain.dispatch.failure import Fallback
from router.domain.dispatch.machine import Dispatch
from router.domain.dispatch.retry import RetryBudget
from router.domain.faults import Fault, Refusal
from router.domain.governance.budget import ThresholdAction
from router.domain.ids import ModelName, ProviderId, TargetId
from router.domain.planning.adaptive import AdaptiveLimit, Felt, own_limit_of
from router.domain.planning.affinity import Affinities, Conversation, conversation_of
from router.domain.planning.directives import FIELDS, NO_DIRECTIVES, Directives, read_directives
from router.domain.planning.eligibility import NOBODY, DropReason, Sifted, free_at, set_back, sift, suits
from router.domain.planning.load import Loads, Started, watched
from router.domain.planning.needs import NO_NEEDS, Needs, needs_of
from router.domain.planning.plan import RoutePlan, nobody, resolve_model
from router.domain.planning.prefix import Chain, Prefixes, chain_of
from router.domain.planning.ranking import Ask, Known, by_variate, figure, rank
from router.domain.planning.stored import Basis, who_stores
from router.domain.planning.substitution import Circumstances, Reason, may_change, stand_in
from router.domain.settlement import tag_values
from router.domain.usage import estimate_tokens
from router.pipeline.admit import Gate
from router.pipeline.call import Call
from router.pipeline.headroom import Headroom, likely_costs
from router.pipeline.path import path_of
from router.pipeline.upstream_limit_book import UpstreamLimitBook
from router.ports.clock import Clock, Draw
from router.ports.ledger import Ledger

_BY_SIZE: Final = (Strategy.COST, Strategy.EXPECTED_TTFT)
"""Strategies that look at how long a call is."""
_EXPECTED_TTFT: Final = Strategy.EXPECTED_TTFT
_WEIGHTED: Final = Strategy.WEIGHTED
_DIRECTIVES: Final = frozenset(FIELDS)
_OUTPUT_TOKENS: Final = 512
"""What a reply is taken to have where prices are compared and the caller says no maximum."""


class Planner:
    """Plans of all calls of a process, over what it has learned of its deployments."""

    def __init__(
        self, *, clock: Clock, draw: Draw, ledger: Ledger, gate: Gate, breakers: Breakers, book: UpstreamLimitBook
    ) -> None:
        self._clock = clock
        self._draw = draw
        self._ledger = ledger
        self._gate = gate
        self._breakers = breakers
        self._headroom = Headroom(gate, book)
        self.loads = Loads()
        self.authors = Authors()
        self._prefixes = Prefixes()
        self._known = Known(self.loads, self._prefixes)
        self._affinities = Affinities()
        self._limits: dict[TargetId, AdaptiveLimit] = {}
        """Of targets whose limit is found out."""
        self._saved: dict[ModelName, RetryBudget] = {}
        """Bounded by the models of the configurations that were in force."""
        self._revision = 0
        """Of the latest snapshot whose deployments are known."""
        self._watched: frozenset[TargetId] = frozenset()
        """Targets of which the load decides something."""

    def plan(self, call: Call, basis: Basis | None = None) -> RoutePlan | Refusal:
        """Decide before anything is sent. Changes nothing but what the plan says. `basis`: what the call builds on."""
        request, snapshot = call.request, call.snapshot
        asked = resolve_model(request.model, call.principal, snapshot)
        if isinstance(asked, Refusal):
            return asked
        directives = NO_DIRECTIVES
        if not _DIRECTIVES.isdisjoint(request.fields):
            read = read_directives(request.fields, request.model, snapshot)
            if isinstance(read, Refusal):
                return read
            directives = read
        if basis is not None:
            return self._where_stored(call, asked, basis, directives)
        model, reason = self._stand_in(call, asked) if asked.substitutes else (asked, None)
        keep_one = not model.context_window_fallbacks
        takes_all = not model.lacks and request.grammar.dialect in model.dialects
        if keep_one and takes_all and len(model.deployments) == 1:
            return RoutePlan(
                asked=asked,
                model=model,
                stands_in=reason,
                candidates=model.deployments,
                home=model.deployments[0].provider,
                directives=directives,
            )
        now, ttl_ns = self._clock.monotonic_ns(), snapshot.affinity_ttl_ns
        conversation, home = None, None
        if ttl_ns is not None and len(model.deployments) > 1:
            conversation = conversation_of(call.principal.key_id, model.name, request, call.labels.workflow_id)
            if conversation is not None:
                home = self._affinities.find(conversation, now, ttl_ns)
        chain = self._chain(call, model)
        sifted = self._order(call, model, now, conversation, home, chain, keep_one=keep_one)
        return RoutePlan(
            asked=asked,
            model=model,
            stands_in=reason,
            candidates=sifted.kept,
            dropped=sifted.dropped,
            spared=sifted.spared,
            home=_provider_at(home, model, sifted.kept),
            pinned=home,
            directives=directives,
            conversation=conversation,
            chain=chain,
        )

    def _where_stored(self, call: Call, model: Model, basis: Basis, directives: Directives) -> RoutePlan | Refusal:
        """Send the call where that is on which it builds, and nowhere else."""
        holders = who_stores(basis, model)
        if isinstance(holders, Refusal):
            return holders
        held = replace(model, deployments=tuple(holders))
        sifted = self._order(call, held, self._clock.monotonic_ns(), None, None, (), keep_one=True)
        return RoutePlan(
            asked=model,
            model=model,
            candidates=sifted.kept,
            dropped=sifted.dropped,
            spared=sifted.spared,
            home=holders[0].provider,
            pinned=holders[0].target if len(holders) == 1 else None,
            stored=True,
            directives=directives,
        )

    def dispatch_of(self, call: Call, plan: RoutePlan) -> Dispatch:
        """Set the machine up that takes the call through its plan."""
        terms, name = call.snapshot.retry, plan.model.name
        saved = self._saved.get(name)
        if saved is None:
            saved = self._saved[name] = RetryBudget()
        saved.called(terms.ratio_pct)
        otherwise = None if plan.candidates else nobody(plan)
        too_long = otherwise is not None and otherwise.fault is Fault.CONTEXT_LENGTH_EXCEEDED
        return Dispatch(
            plan.candidates,
            terms=terms,
            saved=saved,
            deadline=call.deadline,
            attempts_before=call.retries,
            otherwise=otherwise,
            free_at=free_at(plan.dropped) if plan.dropped else None,
            kind=Fallback.CONTEXT if too_long else Fallback.ANY,
        )

    def widen(self, call: Call, kind: Fallback) -> Sequence[Deployment]:
        """Return the deployments of the models that may take the place of the one asked for, in the order to ask."""
        plan = call.plan
        assert plan is not None, "planned before it is sent"
        found: list[Deployment] = []
        for name in self.fallbacks(call, plan, kind):
            model = call.snapshot.find_model(name)
            if model is None or not call.principal.may_use(model.name):
                continue
            chain, now = self._chain(call, model), self._clock.monotonic_ns()
            found += self._order(call, model, now, None, None, chain, keep_one=False).kept
        return found

    def figures(self, call: Call, plan: RoutePlan) -> Sequence[tuple[str, float]]:
        """Say for each candidate what its model's strategy goes by, and how that stands now."""
        needs, now = needs_of(call.request), self._clock.monotonic_ns()
        output_tokens = _OUTPUT_TOKENS if needs.output_tokens is None else needs.output_tokens
        ask = Ask(now, 0.0, needs.input_tokens, output_tokens, plan.chain)
        return [figure(plan.model.strategy, one, ask, self._known) for one in plan.candidates]

    def is_full(self, deployment: Deployment) -> bool:
        """Tell whether a deployment has as many calls as it may, or as it seems to take."""
        return self.is_crowded(deployment) or self._gate.is_full(deployment)

    def is_crowded(self, deployment: Deployment) -> bool:
        """Tell whether an adaptive deployment has as many calls as it seems to take."""
        if not deployment.adaptive:
            return False
        return self.loads[deployment.target].outstanding >= self._adaptive_limit(deployment).limit

    def felt(self, deployment: Deployment, uncached_tokens: int, now: int) -> Felt:
        """Let the limit of an adaptive deployment learn from a call that goes there now."""
        return Felt(self._adaptive_limit(deployment), self.loads[deployment.target], uncached_tokens, now)

    def _adaptive_limit(self, deployment: Deployment) -> AdaptiveLimit:
        limit = self._limits.get(deployment.target)
        if limit is None:
            limit = self._limits[deployment.target] = AdaptiveLimit(own_limit_of(deployment))
        return limit

    def sent(self, call: Call, deployment: Deployment, now: int) -> int:
        """Remember where a call goes now; return how much of its prompt has yet to be read there."""
        plan, tokens = call.plan, estimate_tokens(call.request.size)
        assert plan is not None, "planned before it is sent"
        if call.snapshot.revision > self._revision:
            self._follow(call.snapshot)
        ttl_ns, own = call.snapshot.affinity_ttl_ns, plan.model.deployments
        # Where another model answers, its own conversation does not move there.
        if plan.conversation is not None and ttl_ns is not None and any(one.target == deployment.target for one in own):
            self._affinities.pin(plan.conversation, deployment.target, now=now, ttl_ns=ttl_ns)
        if plan.chain:
            tokens = self._prefixes.uncached_tokens(deployment.target, plan.chain, tokens, now)
            self._prefixes.sent(deployment.target, plan.chain, now)
        if len(own) > 1 or own[0].target != deployment.target:
            self._headroom.sent(call.request, deployment)
        return tokens

    def started(self, deployment: Deployment, uncached_tokens: int, now: int) -> Started | None:
        """Count a call in the load of a deployment; None where that decides nothing, as for most that are alone."""
        if deployment.target not in self._watched:
            return None
        return self.loads.started(deployment.target, uncached_tokens, now)

    def _follow(self, snapshot: Snapshot) -> None:
        """Forget what is known of deployments that a reload removed."""
        self._revision = snapshot.revision
        self._watched = watched(snapshot.models.values())
        targets = {one.target: one for model in snapshot.models.values() for one in model.deployments}
        self.loads.keep(targets)
        self._limits = {target: limit for target, limit in self._limits.items() if target in targets}
        for target, limit in self._limits.items():
            limit.keep_to(own_limit_of(targets[target]))
        self._prefixes.keep(targets)
        self._affinities.keep(targets)

    def _order(
        self,
        call: Call,
        model: Model,
        now: int,
        conversation: Conversation | None,
        home: TargetId | None,
        chain: Chain,
        *,
        keep_one: bool,
    ) -> Sifted:
        """Drop who cannot serve, and put the others in order: tier by tier, in each by the model's strategy.

        Who is spared comes after all that are well, and who has no room for the call after all that have some.
        """
        if call.snapshot.revision > self._revision:
            self._follow(call.snapshot)
        needs, deployments = _needs(call, model), model.deployments
        if suits(model, needs) and self._breakers.are_well(model.targets, now):
            sifted = Sifted(deployments, (), NOBODY)
        else:
            sifted = sift(deployments, needs, health=self._breakers, now=now, is_full=self.is_full, keep_one=keep_one)
        if len(sifted.kept) < 2:
            return sifted
        behind: Sequence[Deployment] = ()
        if self._headroom.matters(model):
            sifted = self._set_back(call, sifted, now)
            behind = [one.deployment for one in sifted.dropped if one.reason is DropReason.NO_ROOM]
        kept: Sequence[Deployment] = sifted.kept
        last: Sequence[Deployment] = ()
        if sifted.spared:
            kept, last = _spared_last(sifted)
        draw = self._draw.uniform()
        if conversation is not None:
            draw = self._affinities.draw(conversation, draw)
        output_tokens = _OUTPUT_TOKENS if needs.output_tokens is None else needs.output_tokens
        ask = Ask(now, draw, needs.input_tokens, output_tokens, chain, home)
        ranked = _ranked(model, kept, ask, self._known)
        ttl_ns = call.snapshot.affinity_ttl_ns
        if conversation is not None and ttl_ns is not None:
            prefer = self._affinities.prefer
            ranked = prefer(model.strategy, ranked, conversation, self.loads, now=now, ttl_ns=ttl_ns)
        if last:
            ranked = [*ranked, *_ranked(model, last, ask, self._known)]
        return Sifted([*ranked, *behind] if behind else ranked, sifted.dropped, sifted.spared)

    def _set_back(self, call: Call, sifted: Sifted, now: int) -> Sifted:
        costs = likely_costs(call.request)
        return set_back(sifted, lambda one: self._headroom.wait_ns(one, costs, now), now)

    def _chain(self, call: Call, model: Model) -> Chain:
        if model.strategy is not _EXPECTED_TTFT or len(model.deployments) < 2:
            return ()
        fields = call.request.fields
        parts = [bytes(fields[name]) for name in call.request.grammar.prompt if name in fields] or [b""]
        return chain_of([model.name.encode(), *parts[:-1], parts[-1].rstrip(b"] \t\r\n")])

    def fallbacks(self, call: Call, plan: RoutePlan, kind: Fallback) -> Sequence[ModelName]:
        """Name the models to try: the caller's own, which it wants, or the operator's, where its key lets them."""
        if plan.directives.disabled or plan.stored:
            return ()
        if plan.directives.fallbacks is not None:
            return plan.directives.fallbacks
        if not call.principal.may_substitute:
            return ()
        match kind:
            case Fallback.CONTEXT:
                return plan.model.context_window_fallbacks
            case Fallback.POLICY:
                return plan.model.content_policy_fallbacks
            case _:
                return plan.model.fallbacks

    def _stand_in(self, call: Call, model: Model) -> tuple[Model, Reason | None]:
        if not call.principal.may_substitute or not may_change(call.request):
            return model, None
        snapshot = call.snapshot
        granted = [one.model for one in model.substitutes if call.principal.may_use(one.model)]
        found = stand_in(model, snapshot.models, self._circumstances(call, model), granted)
        return found or (model, None)

    def _is_down(self, target: TargetId, now: int) -> bool:
        return self._breakers.peek(target, now) is not None and not self._breakers.is_ejected(target, now)

    def _circumstances(self, call: Call, model: Model) -> Circumstances:
        now, wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        standings = [self._ledger.standing(key, wall_ns) for key in path_of(call)]
        used_pcts = [one.used_pct for one in standings if not one.observed]
        p95s = [p95 for one in model.deployments if (p95 := self.loads[one.target].p95_ns()) is not None]
        left_ns = call.deadline - now
        return Circumstances(
            budget_used_pct=max(used_pcts, default=0),
            budget_low=any(ThresholdAction.SUBSTITUTE in one.actions for one in standings),
            priority="" if call.priority is None else call.priority.name,
            tags=frozenset(tag_values(call.labels.tags)),
            down=all(self._is_down(one.target, now) for one in model.deployments),
            late=bool(p95s) and left_ns < min(p95s),
        )


def _needs(call: Call, model: Model) -> Needs:
    """Say what a call needs, as far as that can matter for the choice between a model's deployments."""
    request, window = call.request, model.window
    grammar = request.grammar
    if not model.lacks and model.strategy not in _BY_SIZE:
        if window is None:
            return NO_NEEDS[grammar.dialect]
        # What a body has at most is enough to know, unless its caller also says how much it wants back.
        if estimate_tokens(request.size) <= window and request.fields.keys().isdisjoint(grammar.max_tokens):
            return NO_NEEDS[grammar.dialect]
    return needs_of(request, model.lacks)


def _provider_at(home: TargetId | None, model: Model, candidates: Sequence[Deployment]) -> ProviderId | None:
    """Return whose a conversation is: of the deployment where it was, else of the one that is asked first."""
    if home is not None:
        for one in model.deployments:
            if one.target == home:
                return one.provider
    return candidates[0].provider if candidates else None


def _spared_last(sifted: Sifted) -> tuple[Sequence[Deployment], Sequence[Deployment]]:
    """Tell the spared from those that are well; where none is well, there is only one kind."""
    kept, spared = sifted.kept, sifted.spared
    well = [one for one in kept if one.target not in spared]
    return (well, [one for one in kept if one.target in spared]) if well else (kept, ())


def _ranked(model: Model, deployments: Sequence[Deployment], ask: Ask, known: Known) -> Sequence[Deployment]:
    strategy, tiers = model.strategy, model.tiers
    if len(tiers) == 1:
        if model.even and strategy is _WEIGHTED:
            return by_variate(deployments, ask.draw)
        return rank(strategy, deployments, ask, known)
    ranked: list[Deployment] = []
    for tier in tiers:
        ranked += rank(strategy, [one for one in deployments if one.tier == tier], ask, known)
    return ranked
