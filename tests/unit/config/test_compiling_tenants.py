import hashlib
from collections.abc import Mapping

import pytest

from router.config.compiling_tenants import Tenants, all_budgets, compile_key, compile_tenants, tenants_of
from router.config.schema_budgets import ScopedBudgetSettings
from router.config.schema_controls import WorkflowSettings
from router.config.schema_tenants import KeySettings, OrganizationSettings, TeamSettings, UserSettings
from router.domain.governance.budget import BudgetMode
from router.domain.ids import ModelName
from router.domain.principal import KeyEntry, Mode, Permission
from tests.unit.config.conftest import Load

DIGEST = hashlib.sha256(b"sk-of-a-service").hexdigest()
DAY = {"window": "day"}


def organization(**given: object) -> OrganizationSettings:
    return OrganizationSettings.model_validate({"name": "acme", **given})


def team(**given: object) -> TeamSettings:
    return TeamSettings.model_validate({"name": "platform", **given})


def user(**given: object) -> UserSettings:
    return UserSettings.model_validate({"name": "ann", **given})


def scoped(name: str, scope: Mapping[str, str], **given: object) -> ScopedBudgetSettings:
    return ScopedBudgetSettings.model_validate({"name": name, "scope": scope, "limit_usd": 1, **DAY, **given})


def key(tenants: Tenants | None = None, router: Mode = Mode.ENFORCE, **given: object) -> KeyEntry:
    settings = KeySettings.model_validate({"name": "ci", "key_sha256": DIGEST, **given})
    return compile_key(settings, tenants or compile_tenants(), mode=router)


EVERYBODY = compile_tenants(
    organizations=[
        organization(
            budget={"limit_usd": 9, **DAY, "mode": "quantile"},
            limits={"rpm": 4, "concurrency": 4},
            teams=[team(budget={"limit_usd": 8, **DAY, "clamp": True}, limits={"rpm": 3, "concurrency": 3})],
        )
    ],
    users=[user(budget={"limit_tokens": 7, **DAY}, limits={"rpm": 2, "concurrency": 2})],
)
MEMBER = {"team": "acme/platform", "user": "ann"}


def test_a_key_keeps_to_its_own_bounds_and_to_those_it_spends_for_narrowest_first() -> None:
    own = {"budget": {"limit_usd": 1, **DAY}, "limits": {"rpm": 1, "concurrency": 1}}
    principal = key(EVERYBODY, **MEMBER, **own).principal

    assert (
        ("key/ci/usd/day@UTC", "ci"),
        ("user/ann/tokens/day@UTC", "ann"),
        ("team/acme/platform/usd/day@UTC", "acme/platform"),
        ("organization/acme/usd/day@UTC", "acme"),
    ) == principal.accounts
    assert ["key/ci/rpm", "user/ann/rpm", "team/acme/platform/rpm", "organization/acme/rpm"] == [
        limit.id for limit in principal.rate_limits
    ]
    assert [1, 2, 3, 4] == [limit.limit for limit in principal.concurrency_limits]


def test_who_has_no_budget_has_no_account() -> None:
    tenants = compile_tenants(organizations=[organization(teams=[team(budget={"limit_usd": 8, **DAY})])])

    assert [("team/acme/platform/usd/day@UTC", "acme/platform")] == list(key(tenants, **MEMBER).principal.accounts)


def test_a_team_or_a_user_that_nobody_configured_gives_its_name_and_nothing_else() -> None:
    principal = key(EVERYBODY, team="acme/gone", user="bob").principal
    elsewhere = key(EVERYBODY, team="else/platform").principal

    assert ("acme", "gone", "bob") == (principal.organization, principal.team, principal.user)
    assert ("organization/acme/usd/day@UTC",) == tuple(budget for budget, _ in principal.accounts)
    assert ("else", "platform", (), (), ()) == (
        elsewhere.organization,
        elsewhere.team,
        elsewhere.accounts,
        elsewhere.rate_limits,
        elsewhere.concurrency_limits,
    )


@pytest.mark.parametrize(
    ("given", "mode", "clamp"),
    [
        ({}, BudgetMode.STRICT, False),
        ({"team": "acme/none"}, BudgetMode.QUANTILE, False),
        (MEMBER, BudgetMode.STRICT, True),
        ({**MEMBER, "budget": {"limit_usd": 1, "mode": "quantile"}}, BudgetMode.QUANTILE, False),
        ({**MEMBER, "budget": {"limit_tokens": 1, "mode": "quantile"}}, BudgetMode.STRICT, True),
    ],
)
def test_the_narrowest_budget_in_usd_says_how_output_is_held(
    given: dict[str, object], mode: BudgetMode, clamp: bool
) -> None:
    principal = key(EVERYBODY, **given).principal

    assert (mode, clamp) == (principal.budget_mode, principal.clamp)


def test_a_key_has_the_accounts_of_budgets_across_the_tree_that_it_decides_on() -> None:
    tenants = compile_tenants(
        organizations=[organization(budget={"limit_usd": 1, **DAY})],
        budgets=[
            scoped("o", {"organization": "*"}),
            scoped("t", {"team": "acme/platform"}),
            scoped("not-t", {"team": "acme/other"}),
            scoped("each", {"key": "*"}),
            scoped("this", {"key": "ci"}),
            scoped("not-k", {"key": "cd"}),
            scoped("a", {"agent": "*"}),
        ],
    )

    assert [
        ("key/ci/usd/day@UTC", "ci"),
        ("budget/each/key=*/usd/day@UTC", "ci"),
        ("budget/this/key=ci/usd/day@UTC", "ci"),
        ("budget/t/team=acme/platform/usd/day@UTC", "acme/platform"),
        ("organization/acme/usd/day@UTC", "acme"),
        ("budget/o/organization=*/usd/day@UTC", "acme"),
    ] == list(key(tenants, **MEMBER, budget={"limit_usd": 1, **DAY}).principal.accounts)
    assert ["budget/each/key=*/usd/day@UTC", "budget/this/key=ci/usd/day@UTC"] == [
        budget for budget, _ in key(tenants).principal.accounts
    ]


def test_budgets_that_a_call_decides_on_stand_by_their_kind_the_workflows_first() -> None:
    kinds = ("model", "tag", "agent", "user", "workflow", "key")
    tenants = compile_tenants(
        budgets=[scoped(kind, {kind: "*"}) for kind in kinds],
        workflows=WorkflowSettings.model_validate({"budget_usd": 3}),
    )

    assert ["workflow/*/usd/lifetime", *(f"budget/{kind}/{kind}=*/usd/day@UTC" for kind in reversed(kinds[:-1]))] == [
        budget.id for budget in tenants.tree_budgets
    ]
    assert ["budget/key/key=*/usd/day@UTC"] == [budget.id for budget in tenants.key_budgets]


def test_workflows_without_a_budget_have_none() -> None:
    assert () == compile_tenants(workflows=WorkflowSettings()).tree_budgets


def test_of_two_of_one_name_the_first_holds() -> None:
    tenants = compile_tenants(
        organizations=[organization(limits={"rpm": 1}, teams=[team(limits={"rpm": 1})]), organization()],
        teams=[("acme", team(limits={"rpm": 2})), ("acme", team(name="late", limits={"rpm": 2}))],
        users=[user(limits={"rpm": 1}), user()],
        budgets=[scoped("b", {"agent": "first"}), scoped("b", {"agent": "second"})],
    )

    assert [1, 1, 2, 1] == [
        tenant.rate_limits[0].limit
        for tenant in (
            tenants.organizations["acme"],
            tenants.teams["acme/platform"],
            tenants.teams["acme/late"],
            tenants.users["ann"],
        )
    ]
    assert ["first"] == [budget.scope.value for budget in tenants.tree_budgets]


@pytest.mark.parametrize(
    ("own", "router", "found"),
    [
        (None, Mode.ENFORCE, Mode.ENFORCE),
        (None, Mode.OBSERVE, Mode.OBSERVE),
        ("enforce", Mode.OBSERVE, Mode.ENFORCE),
        ("observe", Mode.ENFORCE, Mode.OBSERVE),
    ],
)
def test_the_mode_of_a_key_wins_over_the_routers(own: str | None, router: Mode, found: Mode) -> None:
    assert found is key(router=router, mode=own).principal.mode


@pytest.mark.parametrize("granted", [True, False])
def test_a_key_may_what_it_is_allowed(granted: bool) -> None:
    principal = key(allow={"set_attribution": granted, "substitution": not granted}).principal

    assert (granted, not granted) == (principal.may_set_attribution, principal.may_substitute)


def test_a_profile_is_compiled_into_limits_and_thresholds() -> None:
    entry = key(profile="experimental", limits={"rpm": 5}, budget={"limit_usd": 1})

    assert {"key/ci/rpm": 5, "key/ci/tpm": 200_000} == {limit.id: limit.limit for limit in entry.principal.rate_limits}
    assert entry.budget is not None
    assert [50, 80] == [one.at_pct for one in entry.budget.thresholds]
    assert (("batch", "batch"), ("standard", "critical")) == (entry.principal.priority, key().principal.priority)


def test_all_budgets_are_those_of_tenants_and_of_keys() -> None:
    entry = key(EVERYBODY, budget={"limit_usd": 1, **DAY})
    budgets = all_budgets(EVERYBODY, [entry, key()])

    assert {
        "key/ci/usd/day@UTC",
        "user/ann/tokens/day@UTC",
        "team/acme/platform/usd/day@UTC",
        "organization/acme/usd/day@UTC",
    } == set(budgets)
    assert all(name == budget.id for name, budget in budgets.items())


def test_every_account_of_a_key_is_of_a_known_budget_and_fits_its_scope() -> None:
    tenants = compile_tenants(
        organizations=[organization(budget={"limit_usd": 1})], budgets=[scoped("k", {"key": "*"})]
    )
    entry = key(tenants, **MEMBER, budget={"limit_usd": 1})
    budgets = all_budgets(tenants, [entry])

    assert 3 == len(entry.principal.accounts)
    assert all(budgets[budget].scope.value in ("*", value) for budget, value in entry.principal.accounts)


def test_tenants_that_were_stored_compile_as_those_of_the_file(load_text: Load) -> None:
    text = f"""
organizations: [{{ name: acme, budget: {{ limit_usd: 9.10 }}, teams: [{{ name: platform, limits: {{ tpm: 5 }} }}] }}]
users: [{{ name: ann, budget: {{ limit_seconds: 5, window: 90m }} }}]
budgets: [{{ name: b, scope: {{ tag: t }}, limit_requests: 5 }}]
keys: [{{ name: ci, key_sha256: {DIGEST}, team: acme/platform, expires: 2027-01-31, profile: standard, mode: observe }}]
"""
    settings = load_text(text).settings
    stored = settings.model_dump(mode="json")
    read = type(settings).model_validate(stored)

    assert tenants_of(settings) == tenants_of(read)
    assert compile_key(settings.keys[0], tenants_of(settings), mode=Mode.ENFORCE) == compile_key(
        read.keys[0], tenants_of(read), mode=Mode.ENFORCE
    )


def test_an_observed_budget_does_not_say_how_calls_are_sized() -> None:
    own = {"limit_usd": 1, **DAY, "mode": "quantile", "clamp": True}

    assert (BudgetMode.QUANTILE, False) == (
        key(EVERYBODY, team="acme/platform", budget={**own, "clamp": False}).principal.budget_mode,
        key(EVERYBODY, team="acme/platform", budget={**own, "clamp": False}).principal.clamp,
    )
    watched = key(EVERYBODY, team="acme/platform", budget={**own, "clamp": False, "observe": True}).principal
    assert (BudgetMode.STRICT, True) == (watched.budget_mode, watched.clamp)


@pytest.mark.parametrize(
    ("permissions", "may"),
    [(None, True), (["inference"], True), (["admin"], True), (["admin", "inference"], True), ([], False)],
)
def test_who_administers_calls_models_too_and_who_may_nothing_calls_none(
    permissions: list[str] | None, may: bool
) -> None:
    said = {} if permissions is None else {"permissions": permissions}
    principal = key(**said).principal

    assert may is principal.may_use(ModelName("small"))
    assert may is (Permission.INFERENCE in principal.permissions)
    assert not key(**said, models=[]).principal.may_use(ModelName("small"))


def test_an_administrator_of_a_team_calls_models_too() -> None:
    assert key(permissions=["team_admin"], team="acme/platform").principal.may_use(ModelName("small"))
