"""Compile budgets and limits: amounts become integers, and each gets the id under which its state outlives a reload.

An id says all that may not change about what is kept under it: another unit, scope, window or time zone is another
budget, and begins at nothing. Amounts, thresholds and modes are no part of it.
"""

from datetime import UTC
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from router.config.schema_budgets import BudgetSettings, ScopedBudgetSettings
from router.config.schema_models import LimitSettings
from router.config.units import LIFETIME
from router.domain.governance.budget import EACH, Budget, BudgetId, Scope, ScopeKind, Threshold, Unit
from router.domain.governance.permits import ConcurrencyLimit
from router.domain.governance.rate import RateLimit, Smoothing
from router.domain.governance.rate import Unit as RateUnit
from router.domain.governance.windows import Calendar, CalendarUnit, Lifetime, Rolling, Window
from router.domain.instants import NS_PER_S, format_duration, parse_duration_ns
from router.domain.money import nano_usd
from router.domain.principal import Bounds

MINUTE_NS: Final = 60 * NS_PER_S

_RATES: Final = (
    ("rpm", RateUnit.REQUESTS),
    ("tpm", RateUnit.TOKENS),
    ("input_tpm", RateUnit.INPUT_TOKENS),
    ("output_tpm", RateUnit.OUTPUT_TOKENS),
)


def compile_bounds(kind: ScopeKind, name: str, budget: BudgetSettings | None, limits: LimitSettings) -> Bounds:
    """Compile what one key, user, team or organization must keep to."""
    return Bounds(
        budget=compile_budget(budget, f"{kind}/{name}", Scope(kind=kind, value=name)) if budget else None,
        rate_limits=compile_rate_limits(kind, name, limits),
        concurrency_limits=compile_concurrency_limits(kind, name, limits),
    )


def compile_scoped(budget: ScopedBudgetSettings) -> Budget:
    """Compile a budget across the tree."""
    (kind, value) = next((kind, value) for kind in ScopeKind if (value := getattr(budget.scope, kind)) is not None)
    return compile_budget(budget, f"budget/{budget.name}/{kind}={value}", Scope(kind=kind, value=value))


def compile_workflow_budget(limit_usd: Decimal) -> Budget:
    """Compile the budget that each workflow has for its whole life."""
    settings = BudgetSettings(limit_usd=limit_usd, window=LIFETIME)
    return compile_budget(settings, f"{ScopeKind.WORKFLOW}/{EACH}", Scope(kind=ScopeKind.WORKFLOW, value=EACH))


def compile_budget(budget: BudgetSettings, owner: str, scope: Scope) -> Budget:
    """Compile one budget under `owner/unit/window`. Its limit is in nano-USD, or in whole ones of its unit."""
    unit, limit = _limit(budget)
    window, named = _window(budget)
    thresholds = (Threshold(at_pct=one.at_pct, action=one.action) for one in budget.thresholds or ())
    return Budget(
        id=BudgetId(f"{owner}/{unit}/{named}"),
        scope=scope,
        unit=unit,
        limit=limit,
        window=window,
        thresholds=tuple(dict.fromkeys(thresholds)),
        mode=budget.mode,
        clamp=budget.clamp,
        observe=budget.observe,
    )


def compile_rate_limits(kind: str, name: str, limits: LimitSettings) -> tuple[RateLimit, ...]:
    """Compile the limits a minute that are set, under `kind/name/rpm` and the like."""
    return tuple(
        RateLimit(
            id=f"{kind}/{name}/{what}",
            scope_kind=kind,
            scope_value=name,
            unit=unit,
            limit=limit,
            period_ns=MINUTE_NS,
            smoothing=Smoothing.LEAKY if limits.smooth else Smoothing.BURST,
            observe=limits.observe,
        )
        for what, unit in _RATES
        if (limit := getattr(limits, what)) is not None
    )


def compile_concurrency_limits(kind: str, name: str, limits: LimitSettings) -> tuple[ConcurrencyLimit, ...]:
    """Compile the limit on calls at the same time, if there is one, under `kind/name/concurrency`."""
    if limits.concurrency is None:
        return ()
    named = f"{kind}/{name}/concurrency"
    limit = ConcurrencyLimit(
        id=named, scope_kind=kind, scope_value=name, limit=limits.concurrency, observe=limits.observe
    )
    return (limit,)


def _limit(budget: BudgetSettings) -> tuple[Unit, int]:
    if budget.limit_usd is not None:
        return Unit.USD, nano_usd(budget.limit_usd)
    if budget.limit_tokens is not None:
        return Unit.TOKENS, budget.limit_tokens
    if budget.limit_requests is not None:
        return Unit.REQUESTS, budget.limit_requests
    assert budget.limit_seconds is not None, "a budget without a limit does not load"
    return Unit.SECONDS, budget.limit_seconds


def _window(budget: BudgetSettings) -> tuple[Window, str]:
    """Return the window and its name; a span has one name however it was written, and no time zone."""
    if budget.window == LIFETIME:
        return Lifetime(), LIFETIME
    if budget.window in set(CalendarUnit):
        zone = UTC if budget.timezone == "UTC" else ZoneInfo(budget.timezone)
        return Calendar(unit=CalendarUnit(budget.window), zone=zone), f"{budget.window}@{budget.timezone}"
    span_ns = parse_duration_ns(budget.window)
    return Rolling(span_ns=span_ns), f"rolling-{format_duration(span_ns)}"
