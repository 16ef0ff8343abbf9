"""Draw what a run begins with: budgets, limits, keys, deployments and terms; and the calls that its keys make."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, timedelta, timezone
from random import Random  # noqa: TID251 - a run is a function of its seed

from router.domain.catalog import Deployment, Model, Snapshot, Strategy, Timeouts
from router.domain.dispatch.breaker import BreakerTerms
from router.domain.dispatch.retry import RetryTerms
from router.domain.governance.budget import (
    EACH,
    Budget,
    BudgetId,
    BudgetMode,
    Scope,
    ScopeKind,
    Threshold,
    ThresholdAction,
    Unit,
)
from router.domain.governance.permits import ConcurrencyLimit
from router.domain.governance.rate import RateLimit
from router.domain.governance.rate import Unit as RateUnit
from router.domain.governance.windows import Calendar, CalendarUnit, Lifetime, Rolling
from router.domain.ids import DeploymentId, KeyId, ModelName
from router.domain.principal import Mode, Principal
from router.domain.settlement import Labels
from tests.simulation.model import Account
from tests.support import fakes

KEYS = ("k0", "k1", "k2")
TEAM = "acme/red"
AGENTS = ("crawler", "writer")
WORKFLOWS = ("w1", "w2")
FOREVER_NS = 30 * 86_400 * fakes.SECOND
WINDOWS = (
    Calendar(unit=CalendarUnit.HOUR, zone=UTC),
    Calendar(unit=CalendarUnit.DAY, zone=UTC),
    Calendar(unit=CalendarUnit.DAY, zone=timezone(timedelta(hours=5, minutes=30))),
    Rolling(span_ns=3_600 * fakes.SECOND),
    Lifetime(),
)
LIMITS = {Unit.USD: (2_000_000, 200_000_000), Unit.TOKENS: (400, 20_000), Unit.REQUESTS: (2, 25)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call as its caller makes it, and what is true of it."""

    name: str
    who: Principal
    labels: Labels
    body: str
    input: int
    """Tokens that its provider will count."""
    stream: bool
    accounts: tuple[Account, ...]
    """Whose money it is, by the rules of the page on budgets."""


@dataclass(slots=True)
class Scenario:
    snapshot: Snapshot
    principals: list[Principal]
    seed: int
    """Of what the router draws."""
    learned: int | None
    """What replies of every kind took so far; None: nothing is learned, so each call holds its worst case."""


def draw_scenario(random: Random) -> Scenario:
    quantile = random.random() < 0.6
    mode = BudgetMode.QUANTILE if quantile else BudgetMode.STRICT
    key_budgets = [_budget(random, ScopeKind.KEY, key, mode) for key in KEYS if random.random() < 0.6]
    team = [_budget(random, ScopeKind.TEAM, TEAM, mode)] if random.random() < 0.6 else []
    tree = [_budget(random, ScopeKind.WORKFLOW, EACH, mode)] if random.random() < 0.4 else []
    if random.random() < 0.5:
        tree.append(_budget(random, ScopeKind.AGENT, random.choice((EACH, "crawler")), mode))
    budgets = {budget.id: budget for budget in (*key_budgets, *team, *tree)}
    base = fakes.snapshot()
    timeouts = Timeouts(
        connect_ns=FOREVER_NS, stream_first_event_ns=FOREVER_NS, stream_idle_ns=FOREVER_NS, total_ns=FOREVER_NS
    )
    snapshot = replace(
        base,
        providers={name: replace(one, timeouts=timeouts) for name, one in base.providers.items()},
        models={model.name: model for model in _models(random)},
        budgets=budgets,
        tree_budgets=tuple(tree),
        retry=RetryTerms(
            attempts_per_deployment=random.randint(1, 3),
            attempts_total=random.randint(1, 4),
            ratio_pct=random.choice((0, 20, 100)),
            backoff_base_ns=random.choice((0, fakes.SECOND // 2, 2 * fakes.SECOND)),
            backoff_cap_ns=2 * fakes.SECOND,
        ),
        breaker=BreakerTerms(
            window_ns=random.choice((1, 30)) * fakes.SECOND,
            min_calls=random.choice((2, 10)),
            consecutive_failures=random.randint(1, 5),
            open_ns=random.choice((1, 15)) * fakes.SECOND,
            probes=random.choice((1, 1, 2)),
        ),
    )
    observed = random.choice(KEYS) if random.random() < 0.3 else ""
    principals = [_principal(random, key, budgets, mode, is_observed=key == observed) for key in KEYS]
    learned = random.choice((16, 16, 40, 120)) if quantile else None
    seed = random.getrandbits(32)
    if seed % 2:  # no draw of its own: what seeds have found before stays as it was
        snapshot = replace(snapshot, breaker=replace(snapshot.breaker, slow_call_ns=fakes.SECOND // 2))
    return Scenario(snapshot, principals, seed, learned)


def _models(random: Random) -> list[Model]:
    """One model of 1 to 3 deployments, and another that may take its place."""
    names = ModelName("small"), ModelName("other")
    fallbacks = names[1:] if random.random() < 0.7 else ()
    asked = [_deployment(random, names[0], number) for number in range(random.randint(1, 3))]
    if random.random() < 0.3:  # the first is reached with two credentials
        asked = [replace(asked[0], credential="a"), replace(asked[0], credential="b"), *asked[1:]]
    asked.sort(key=lambda one: one.tier)
    return [
        Model(
            name=names[0],
            deployments=tuple(asked),
            strategy=random.choice(tuple(Strategy)),
            fallbacks=fallbacks,
            context_window_fallbacks=fallbacks if random.random() < 0.5 else (),
            content_policy_fallbacks=fallbacks,
        ),
        Model(name=names[1], deployments=(_deployment(random, names[1], 0),)),
    ]


def _deployment(random: Random, model: ModelName, number: int) -> Deployment:
    name = f"up/{model}-{number}"
    times = random.choice((1, 1, 3))
    rates_of = fakes.PRICE.base
    base = replace(rates_of, input=rates_of.input * times, output=rates_of.output * times)
    rates: tuple[RateLimit, ...] = ()
    if random.random() < 0.2:
        rates = (_rate("deployment", name, RateUnit.REQUESTS, random.randint(1, 6)),)
    places: tuple[ConcurrencyLimit, ...] = ()
    if random.random() < 0.3:
        places = (_places("deployment", name, random.randint(1, 3)),)
    return replace(
        fakes.deployment(),
        id=DeploymentId(name),
        model=model,
        tier=random.choice((1, 1, 2)),
        price=replace(fakes.PRICE, base=base, per_request=random.choice((0, 0, 1_500))),  # type: ignore[arg-type] # nano-USD
        context_window=random.choice((None, None, 8_000, 32_000)),
        max_output_tokens=random.choice((None, None, 400)),
        max_tokens_field=random.choice((None, "max_tokens", "max_completion_tokens")),
        rate_limits=rates,
        concurrency_limits=places,
    )


def _rate(kind: str, whose: str, unit: RateUnit, limit: int) -> RateLimit:
    return RateLimit(
        id=f"{kind}/{whose}/{unit.name}",
        scope_kind=kind,
        scope_value=whose,
        unit=unit,
        limit=limit,
        period_ns=60 * fakes.SECOND,
    )


def _places(kind: str, whose: str, limit: int) -> ConcurrencyLimit:
    return ConcurrencyLimit(id=f"{kind}/{whose}/concurrency", scope_kind=kind, scope_value=whose, limit=limit)


def draw_limit(random: Random, unit: Unit) -> int:
    least, most = LIMITS[unit]
    return int(least * (most / least) ** random.random())


def draw_call(random: Random, scenario: Scenario, number: int) -> Asked:
    who = random.choice(scenario.principals)
    labels = Labels(agent=random.choice((None, *AGENTS)), workflow_id=random.choice((None, *WORKFLOWS)))
    messages = f'[{{"role":"user","content":"{"a" * random.choice((2, 40, 300))}"}}]'
    stream = random.random() < 0.75
    members = [f'"model":"small","messages":{messages}']
    if random.random() < 0.7:
        name = random.choice(("max_tokens", "max_completion_tokens"))
        members.append(f'"{name}":{random.choice((10, 60, 200, 600, 600))}')
    if stream:
        members.append('"stream":true')
    if random.random() < 0.1:
        members.append(f'"metadata":{{"note":"{"m" * 120}"}}')
    path: list[Account] = []
    for budget in scenario.snapshot.budgets.values():
        value = _value(budget, who, labels)
        if value is not None:
            path.append((budget.id, value))
    return Asked(
        name=f"call-{number}",
        who=who,
        labels=labels,
        body="{" + ",".join(members) + "}",
        input=random.randint(1, len(messages) // 4),
        stream=stream,
        accounts=tuple(path),
    )


def _value(budget: Budget, who: Principal, labels: Labels) -> str | None:
    values: dict[ScopeKind, str | None] = {
        ScopeKind.KEY: who.key_id,
        ScopeKind.TEAM: TEAM,
        ScopeKind.AGENT: labels.agent,
        ScopeKind.WORKFLOW: labels.workflow_id,
    }
    value = values[budget.scope.kind]
    return value if budget.scope.value in (EACH, value) else None


def _budget(random: Random, kind: ScopeKind, value: str, mode: BudgetMode) -> Budget:
    unit = random.choices(tuple(LIMITS), weights=(8, 1, 1))[0]
    levels = random.sample((50, 80, 100), random.randint(0, 2))
    return Budget(
        id=BudgetId(f"{kind}/{value}/{unit}"),
        scope=Scope(kind=kind, value=value),
        unit=unit,
        limit=draw_limit(random, unit),
        window=random.choice(WINDOWS),
        thresholds=tuple(Threshold(at_pct=level, action=ThresholdAction.NOTIFY) for level in sorted(levels)),
        mode=mode,
    )


def _principal(
    random: Random, key: str, budgets: dict[BudgetId, Budget], mode: BudgetMode, *, is_observed: bool
) -> Principal:
    mine: Callable[[Budget], bool] = lambda budget: budget.scope.value == key or budget.scope.kind is ScopeKind.TEAM  # noqa: E731
    accounts = tuple((name, budget.scope.value) for name, budget in budgets.items() if mine(budget))
    rates: tuple[RateLimit, ...] = ()
    if random.random() < 0.3:
        unit, limit = random.choice(((RateUnit.REQUESTS, 6), (RateUnit.TOKENS, 3_000)))
        rates = (_rate("key", key, unit, limit),)
    places: tuple[ConcurrencyLimit, ...] = ()
    if random.random() < 0.4:
        places = (_places("key", key, random.randint(1, 3)),)
    return Principal(
        key_id=KeyId(key),
        organization="acme",
        team="red",
        models=("*",),
        accounts=accounts,
        rate_limits=rates,
        concurrency_limits=places,
        mode=Mode.OBSERVE if is_observed else Mode.ENFORCE,
        budget_mode=mode,
        clamp=random.random() < 0.5,
    )
