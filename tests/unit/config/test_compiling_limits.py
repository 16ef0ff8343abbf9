from datetime import UTC
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from router.config.compiling_limits import (
    compile_bounds,
    compile_concurrency_limits,
    compile_rate_limits,
    compile_scoped,
    compile_workflow_budget,
)
from router.config.schema_budgets import BudgetSettings, ScopedBudgetSettings
from router.config.schema_models import LimitSettings
from router.domain.governance.budget import Budget, BudgetMode, Scope, ScopeKind, Threshold, ThresholdAction, Unit
from router.domain.governance.permits import ConcurrencyLimit
from router.domain.governance.rate import RateLimit, Smoothing
from router.domain.governance.rate import Unit as RateUnit
from router.domain.governance.windows import Calendar, CalendarUnit, Lifetime, Rolling, Window
from router.domain.principal import Bounds

MINUTE = 60 * 10**9
DAY = 86_400 * 10**9


def budget(**given: object) -> Budget:
    compiled = compile_bounds(ScopeKind.KEY, "ci", BudgetSettings.model_validate(given), LimitSettings()).budget
    assert compiled is not None
    return compiled


def scoped(**given: object) -> Budget:
    return compile_scoped(ScopedBudgetSettings.model_validate({"name": "b", **given}))


@pytest.mark.parametrize(
    ("given", "unit", "limit"),
    [
        ({"limit_usd": "0.0000000011"}, Unit.USD, 2),
        ({"limit_usd": 1_000}, Unit.USD, 1_000_000_000_000),
        ({"limit_usd": 0}, Unit.USD, 0),
        ({"limit_tokens": 5}, Unit.TOKENS, 5),
        ({"limit_requests": 6}, Unit.REQUESTS, 6),
        ({"limit_seconds": 7}, Unit.SECONDS, 7),
    ],
)
def test_a_limit_is_in_nano_usd_or_in_whole_ones_of_its_unit(given: dict[str, object], unit: Unit, limit: int) -> None:
    assert (unit, limit) == (budget(**given).unit, budget(**given).limit)


@pytest.mark.parametrize(
    ("window", "timezone", "compiled", "name"),
    [
        ("hour", "UTC", Calendar(unit=CalendarUnit.HOUR, zone=UTC), "hour@UTC"),
        ("day", "UTC", Calendar(unit=CalendarUnit.DAY, zone=UTC), "day@UTC"),
        (
            "week",
            "Europe/Berlin",
            Calendar(unit=CalendarUnit.WEEK, zone=ZoneInfo("Europe/Berlin")),
            "week@Europe/Berlin",
        ),
        ("month", "UTC", Calendar(unit=CalendarUnit.MONTH, zone=UTC), "month@UTC"),
        ("1d", "Europe/Berlin", Rolling(span_ns=DAY), "rolling-1d"),
        ("24h", "UTC", Rolling(span_ns=DAY), "rolling-1d"),
        ("lifetime", "Europe/Berlin", Lifetime(), "lifetime"),
    ],
)
def test_a_word_is_a_calendar_window_a_duration_a_rolling_one(
    window: str, timezone: str, compiled: Window, name: str
) -> None:
    found = budget(limit_usd=1, window=window, timezone=timezone)

    assert (compiled, f"key/ci/usd/{name}") == (found.window, found.id)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (ScopeKind.KEY, "ci"),
        (ScopeKind.USER, "ann@example.com"),
        (ScopeKind.TEAM, "acme/platform"),
        (ScopeKind.ORGANIZATION, "acme"),
    ],
)
def test_what_one_must_keep_to_is_kept_under_its_kind_and_name(kind: ScopeKind, name: str) -> None:
    limits = LimitSettings(rpm=1, concurrency=2)
    bounds = compile_bounds(kind, name, BudgetSettings(limit_tokens=1, window="day"), limits)

    assert bounds.budget is not None
    assert (f"{kind}/{name}/tokens/day@UTC", Scope(kind=kind, value=name)) == (bounds.budget.id, bounds.budget.scope)
    assert [f"{kind}/{name}/rpm"] == [limit.id for limit in bounds.rate_limits]
    assert [f"{kind}/{name}/concurrency"] == [limit.id for limit in bounds.concurrency_limits]


def test_another_unit_window_zone_or_scope_is_another_budget_and_another_amount_is_not() -> None:
    one = scoped(scope={"agent": "a"}, limit_usd=1, window="day")
    others = [
        scoped(scope={"agent": "a"}, limit_tokens=1, window="day"),
        scoped(scope={"agent": "a"}, limit_usd=1, window="1d"),
        scoped(scope={"agent": "a"}, limit_usd=1, window="day", timezone="Europe/Berlin"),
        scoped(scope={"agent": "*"}, limit_usd=1, window="day"),
        scoped(scope={"tag": "a"}, limit_usd=1, window="day"),
    ]
    same = scoped(scope={"agent": "a"}, limit_usd=2, window="day", mode="quantile", thresholds=[])

    assert "budget/b/agent=a/usd/day@UTC" == one.id == same.id
    assert 6 == len({one.id, *(other.id for other in others)})


def test_a_budget_keeps_its_mode_its_clamp_and_each_threshold_once() -> None:
    notify = {"at_pct": 80, "action": "notify"}
    found = budget(
        limit_usd=1, mode="quantile", clamp=True, thresholds=[notify, {"at_pct": 90, "action": "block"}, notify]
    )

    assert (BudgetMode.QUANTILE, True) == (found.mode, found.clamp)
    assert found.thresholds == (
        Threshold(at_pct=80, action=ThresholdAction.NOTIFY),
        Threshold(at_pct=90, action=ThresholdAction.BLOCK),
    )


def test_each_workflow_has_a_budget_for_its_whole_life() -> None:
    assert compile_workflow_budget(Decimal("2.5")) == Budget(
        id=compile_workflow_budget(Decimal(1)).id,
        scope=Scope(kind=ScopeKind.WORKFLOW, value="*"),
        unit=Unit.USD,
        limit=2_500_000_000,
        window=Lifetime(),
        mode=BudgetMode.STRICT,
    )
    assert "workflow/*/usd/lifetime" == compile_workflow_budget(Decimal(0)).id


def test_each_rate_that_is_set_is_a_limit_a_minute() -> None:
    found = compile_rate_limits("team", "acme/platform", LimitSettings(rpm=1, tpm=2, input_tpm=3, output_tpm=4))

    assert [
        ("rpm", RateUnit.REQUESTS, 1),
        ("tpm", RateUnit.TOKENS, 2),
        ("input_tpm", RateUnit.INPUT_TOKENS, 3),
        ("output_tpm", RateUnit.OUTPUT_TOKENS, 4),
    ] == [(limit.id.removeprefix("team/acme/platform/"), limit.unit, limit.limit) for limit in found]
    assert found[0] == RateLimit(
        id="team/acme/platform/rpm",
        scope_kind="team",
        scope_value="acme/platform",
        unit=RateUnit.REQUESTS,
        limit=1,
        period_ns=MINUTE,
    )


def test_smooth_limits_leak() -> None:
    assert [Smoothing.LEAKY] == [
        one.smoothing for one in compile_rate_limits("key", "ci", LimitSettings(rpm=1, smooth=True))
    ]


def test_a_limit_on_calls_at_once_is_a_concurrency_limit() -> None:
    expected = ConcurrencyLimit(id="key/ci/concurrency", scope_kind="key", scope_value="ci", limit=3)

    assert (expected,) == compile_concurrency_limits("key", "ci", LimitSettings(concurrency=3))


def test_nothing_set_is_nothing_to_keep_to() -> None:
    assert Bounds() == compile_bounds(ScopeKind.KEY, "ci", None, LimitSettings(smooth=True))


def test_what_is_only_observed_is_the_same_budget_and_the_same_limits() -> None:
    enforced, watched = budget(limit_usd=1), budget(limit_usd=1, observe=True)
    limits = LimitSettings(rpm=1, concurrency=1, observe=True)

    assert (False, True) == (enforced.observe, watched.observe)
    assert enforced.id == watched.id
    assert [True] == [one.observe for one in compile_rate_limits("key", "ci", limits)]
    assert [True] == [one.observe for one in compile_concurrency_limits("key", "ci", limits)]
