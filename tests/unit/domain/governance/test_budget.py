"""A budget is a value: its levels are whole numbers, its scopes have an order, amounts never mix."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.domain.governance.budget import (
    NOTHING,
    Amounts,
    Budget,
    BudgetId,
    Scope,
    ScopeKind,
    Threshold,
    ThresholdAction,
    Unit,
)
from router.domain.governance.windows import Lifetime

AMOUNT = st.integers(min_value=0, max_value=10**18)
AMOUNTS = st.builds(Amounts, AMOUNT, AMOUNT, AMOUNT, AMOUNT)
NOTICE = Threshold(at_pct=80, action=ThresholdAction.NOTIFY)
BLOCK = Threshold(at_pct=100, action=ThresholdAction.BLOCK)


def budget(limit: int, *thresholds: Threshold) -> Budget:
    return Budget(
        id=BudgetId("b"),
        scope=Scope(kind=ScopeKind.KEY, value="k"),
        unit=Unit.USD,
        limit=limit,
        window=Lifetime(),
        thresholds=thresholds,
    )


def test_every_unit_has_its_column_in_an_amount() -> None:
    assert list(Amounts._fields) == [unit.value for unit in Unit]


def test_scopes_are_ranked_from_the_narrowest() -> None:
    kinds = [ScopeKind.MODEL, ScopeKind.ORGANIZATION, ScopeKind.KEY, ScopeKind.TEAM, ScopeKind.WORKFLOW, ScopeKind.USER]

    assert ["workflow", "key", "user", "team", "organization", "model"] == sorted(kinds, key=lambda kind: kind.rank)


@settings(derandomize=True)
@given(AMOUNTS, AMOUNTS)
def test_what_is_added_is_what_goes_beyond(held: Amounts, more: Amounts) -> None:
    assert more == held.plus(more).beyond(held)
    assert NOTHING == held.beyond(held.plus(more))


@settings(derandomize=True)
@given(AMOUNT, st.integers(min_value=1, max_value=200))
def test_a_level_is_the_least_amount_that_is_so_many_percent(limit: int, at_pct: int) -> None:
    level = Threshold(at_pct=at_pct, action=ThresholdAction.BLOCK).level(limit)

    assert level * 100 >= limit * at_pct
    assert (level - 1) * 100 < limit * at_pct


def test_a_notice_counts_what_is_spent_and_the_rest_counts_holds_too() -> None:
    one = budget(100, NOTICE, BLOCK)

    assert [] == one.reached(100, posted=79, pending=20)
    assert [BLOCK] == one.reached(100, posted=79, pending=21)
    assert [NOTICE] == one.reached(100, posted=80, pending=19)
    assert [NOTICE, BLOCK] == one.reached(100, posted=80, pending=20)


def test_a_limit_below_zero_is_no_budget() -> None:
    with pytest.raises(AssertionError):
        budget(-1)
