"""A call spends from the accounts that what it says, and whose it is, name."""

from dataclasses import replace

import pytest

from router.domain.governance.budget import Budget, BudgetId, Scope, ScopeKind, Unit
from router.domain.governance.windows import Lifetime
from router.domain.settlement import Labels
from router.pipeline.path import path_of
from tests.support.fakes import principal, snapshot
from tests.support.pipeline import Rig

OWN = (BudgetId("own"), "ci")
WHO = replace(principal("*"), user="u", team="t", organization="o", accounts=(OWN,))


def across(*scopes: Scope) -> Rig:
    tree = tuple(
        Budget(id=BudgetId(f"tree {number}"), scope=scope, unit=Unit.USD, limit=1, window=Lifetime())
        for number, scope in enumerate(scopes)
    )
    own = Budget(id=OWN[0], scope=Scope(kind=ScopeKind.KEY), unit=Unit.USD, limit=1, window=Lifetime())
    return Rig(replace(snapshot(), budgets={one.id: one for one in (own, *tree)}, tree_budgets=tree))


@pytest.mark.parametrize(
    ("scope", "labels", "values"),
    [
        (Scope(kind=ScopeKind.AGENT), Labels(agent="a"), ["a"]),
        (Scope(kind=ScopeKind.AGENT, value="b"), Labels(agent="a"), []),
        (Scope(kind=ScopeKind.TAG), Labels(tags="x, y,x"), ["x", "y"]),
        (Scope(kind=ScopeKind.WORKFLOW), Labels(), []),
        (Scope(kind=ScopeKind.MODEL, value="small"), Labels(), ["small"]),
        (Scope(kind=ScopeKind.USER), Labels(), ["u"]),
        (Scope(kind=ScopeKind.KEY), Labels(), ["ci"]),
        (Scope(kind=ScopeKind.TEAM), Labels(), ["o/t"]),
        (Scope(kind=ScopeKind.ORGANIZATION), Labels(), ["o"]),
    ],
)
def test_accounts_across_the_tree_follow_what_the_call_says(scope: Scope, labels: Labels, values: list[str]) -> None:
    call = across(scope).call(who=WHO)
    call.labels = labels

    assert (OWN, *[("tree 0", value) for value in values]) == path_of(call)


def test_the_narrowest_account_comes_first() -> None:
    call = across(Scope(kind=ScopeKind.WORKFLOW), Scope(kind=ScopeKind.MODEL)).call(who=WHO)
    call.labels = Labels(workflow_id="w")

    assert (("tree 0", "w"), OWN, ("tree 1", "small")) == path_of(call)


def test_without_budgets_across_the_tree_the_keys_own_are_all() -> None:
    assert (OWN,) == path_of(across().call(who=WHO))
