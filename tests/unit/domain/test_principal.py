"""A key may use the models that its patterns name, and no others; for a user it keeps to the user's bounds as well."""

from dataclasses import replace

import pytest

from router.domain.governance.budget import BudgetId, BudgetMode, ScopeKind, Unit
from router.domain.governance.permits import ConcurrencyLimit
from router.domain.governance.rate import RateLimit
from router.domain.governance.rate import Unit as RateUnit
from router.domain.ids import KeyId, ModelName
from router.domain.principal import Bounds, Mode, Permission, Principal
from tests.support.fakes import principal
from tests.support.ledger_facts import budget


@pytest.mark.parametrize(
    ("patterns", "model"),
    [
        (("*",), "small"),
        (("*",), "vendor/deep/model"),
        (("small",), "small"),
        (("large", "small"), "small"),
        (("gpt-*",), "gpt-5-mini"),
        (("gpt-*",), "gpt-"),
        (("vendor/*",), "vendor/deep/model"),
        (("*-mini",), "gpt-5-mini"),
        (("gpt-?",), "gpt-5"),
        (("gpt-[45]",), "gpt-4"),
        (("odd[name]",), "odd[name]"),
    ],
)
def test_a_model_that_a_pattern_matches_may_be_used(patterns: tuple[str, ...], model: str) -> None:
    assert principal(*patterns).may_use(ModelName(model))


@pytest.mark.parametrize(
    ("patterns", "model"),
    [
        (("small",), "smaller"),
        (("small",), "not-small"),
        (("small",), "Small"),
        (("SMALL*",), "small"),
        (("gpt-*",), "my-gpt-5"),
        (("vendor/*",), "vendor"),
        (("gpt-?",), "gpt-41"),
        (("gpt-[45]",), "gpt-6"),
        (("large", "gpt-*"), "small"),
        (("",), "small"),
    ],
)
def test_a_model_that_no_pattern_matches_may_not(patterns: tuple[str, ...], model: str) -> None:
    assert not principal(*patterns).may_use(ModelName(model))


def test_a_key_without_patterns_may_use_nothing() -> None:
    assert not Principal(key_id=KeyId("ci")).may_use(ModelName("small"))


def test_a_key_infers_and_administers_nothing_unless_it_is_said() -> None:
    assert frozenset({Permission.INFERENCE}) == Principal(key_id=KeyId("ci")).permissions


def test_a_key_keeps_to_nothing_and_is_held_to_what_is_decided_unless_it_is_said() -> None:
    bare = Principal(key_id=KeyId("ci"))

    assert ((), (), (), Mode.ENFORCE) == (bare.accounts, bare.rate_limits, bare.concurrency_limits, bare.mode)
    assert (True, True, BudgetMode.STRICT, False) == (
        bare.may_set_attribution,
        bare.may_substitute,
        bare.budget_mode,
        bare.clamp,
    )
    assert (None, (), ()) == (Bounds().budget, Bounds().rate_limits, Bounds().concurrency_limits)


def rpm(kind: str) -> RateLimit:
    return RateLimit(id=f"{kind}/x/rpm", scope_kind=kind, scope_value="x", unit=RateUnit.REQUESTS, limit=1, period_ns=1)


def places(kind: str) -> ConcurrencyLimit:
    return ConcurrencyLimit(id=f"{kind}/x/concurrency", scope_kind=kind, scope_value="x", limit=1)


def account(kind: str) -> tuple[BudgetId, str]:
    return BudgetId(kind), "x"


def test_bounds_of_a_user_come_between_those_of_the_key_and_its_team() -> None:
    kinds = [ScopeKind.KEY, ScopeKind.TEAM, ScopeKind.ORGANIZATION]
    in_force = {BudgetId(kind): budget(kind, 9, kind=kind) for kind in ScopeKind}
    key = replace(
        principal(),
        accounts=tuple(account(kind) for kind in ("gone", *kinds)),
        rate_limits=tuple(map(rpm, kinds)),
        concurrency_limits=tuple(map(places, kinds)),
    )
    bounds = Bounds(
        budget=budget("user", 9, kind=ScopeKind.USER, value="x"),
        rate_limits=(rpm("user"),),
        concurrency_limits=(places("user"),),
    )
    path = ["key", "user", "team", "organization"]

    assert replace(
        key,
        user="ann",
        accounts=tuple(account(kind) for kind in ("gone", *path)),
        rate_limits=tuple(map(rpm, path)),
        concurrency_limits=tuple(map(places, path)),
        budget_mode=in_force[BudgetId("key")].mode,
    ) == key.for_user("ann", bounds, in_force)


@pytest.mark.parametrize(
    ("unit", "mode", "clamp"), [(Unit.USD, BudgetMode.QUANTILE, True), (Unit.TOKENS, BudgetMode.STRICT, False)]
)
def test_a_users_budget_in_usd_says_how_calls_are_sized_where_the_key_has_none(
    unit: Unit, mode: BudgetMode, clamp: bool
) -> None:
    users = replace(budget("user", 9, kind=ScopeKind.USER, unit=unit), mode=BudgetMode.QUANTILE, clamp=True)
    keys = replace(budget("key", 9), mode=BudgetMode.STRICT, clamp=False)
    in_force = {one.id: one for one in (users, keys)}
    called = principal().for_user("ann", Bounds(budget=users), in_force)
    budgeted = replace(principal(), accounts=(account("key"),)).for_user("ann", Bounds(budget=users), in_force)

    watched = replace(principal(), accounts=(account("key"),)).for_user(
        "ann", Bounds(budget=users), {one.id: one for one in (users, replace(keys, observe=True))}
    )

    assert (mode, clamp) == (called.budget_mode, called.clamp)
    assert (BudgetMode.STRICT, False) == (budgeted.budget_mode, budgeted.clamp)
    assert (mode, clamp) == (watched.budget_mode, watched.clamp)
