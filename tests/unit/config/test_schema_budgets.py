import pytest
from pydantic import ValidationError

from router.config.schema_budgets import BudgetSettings, ScopedBudgetSettings, ScopeSettings

LIMITS = ("limit_usd", "limit_tokens", "limit_requests", "limit_seconds")
SCOPES = ("workflow", "key", "user", "team", "organization", "agent", "tag", "model")


@pytest.mark.parametrize("limit", LIMITS)
def test_a_budget_has_a_limit_in_one_unit_and_it_may_be_nothing(limit: str) -> None:
    assert 0 == getattr(BudgetSettings.model_validate({limit: 0}), limit)


@pytest.mark.parametrize("given", [(), LIMITS[:2], LIMITS[2:], LIMITS])
def test_a_budget_without_a_limit_or_with_several_is_refused(given: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        BudgetSettings.model_validate(dict.fromkeys(given, 1))


@pytest.mark.parametrize("limit", LIMITS[1:])
@pytest.mark.parametrize("amount", [-1, 1.5, 10**15 + 1])
def test_a_limit_is_a_whole_number_within_its_bounds(limit: str, amount: float) -> None:
    with pytest.raises(ValidationError):
        BudgetSettings.model_validate({limit: amount})


def test_no_thresholds_are_another_thing_than_none_that_are_said() -> None:
    assert BudgetSettings.model_validate({"limit_usd": 1}).thresholds is None
    assert () == BudgetSettings.model_validate({"limit_usd": 1, "thresholds": []}).thresholds


@pytest.mark.parametrize("scope", SCOPES)
def test_a_budget_across_the_tree_is_for_one_kind(scope: str) -> None:
    given = {"name": "b", "limit_usd": 1, "scope": {scope: "*"}}

    assert "*" == getattr(ScopedBudgetSettings.model_validate(given).scope, scope)


@pytest.mark.parametrize("given", [(), SCOPES[:2], SCOPES])
def test_a_scope_of_nothing_or_of_several_is_refused(given: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        ScopeSettings.model_validate(dict.fromkeys(given, "x"))


def test_a_budget_reads_what_it_wrote() -> None:
    given = {"limit_usd": "0.000000001", "window": "90m", "thresholds": [{"at_pct": 80, "action": "lower_priority"}]}
    budget = BudgetSettings.model_validate(given)

    assert budget == BudgetSettings.model_validate(budget.model_dump(mode="json"))
