import pytest

from router.config.references import find_dangling, find_duplicates, find_wrong_keys
from router.config.tree import Node, Origin, Plain, grow

HERE = Origin(source="f", line=1)


def tree(plain: Plain) -> Node:
    return grow(plain, HERE)


@pytest.mark.parametrize(
    "plain",
    [
        {"providers": [{"name": "a"}, {"name": "a"}]},
        {"models": [{"name": "a"}, {"name": "b"}, {"name": "a"}]},
        {"keys": [{"name": "a"}, {"name": "a"}]},
        {"organizations": [{"name": "o", "teams": [{"name": "a"}, {"name": "a"}]}]},
        {"users": [{"name": "a"}, {"name": "a"}]},
        {"budgets": [{"name": "a"}, {"name": "a"}]},
        {"priority": {"classes": [{"name": "a"}, {"name": "a"}]}},
    ],
)
def test_a_name_twice_in_one_list_is_a_problem(plain: Plain) -> None:
    assert ["'a' is there already on line 1"] == [problem.message for problem in find_duplicates(tree(plain))]


def test_two_organizations_may_have_teams_of_one_name() -> None:
    teams: Plain = [{"name": "a"}]

    assert [] == list(
        find_duplicates(tree({"organizations": [{"name": "o", "teams": teams}, {"name": "p", "teams": teams}]}))
    )


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"models": [{"name": "m", "deployments": [{"provider": "x"}]}]}, "'x' is not a provider"),
        ({"models": [{"name": "m", "fallbacks": ["x"]}]}, "'x' is not a model"),
        ({"models": [{"name": "m", "context_window_fallbacks": ["x"]}]}, "'x' is not a model"),
        ({"models": [{"name": "m", "content_policy_fallbacks": ["x"]}]}, "'x' is not a model"),
        ({"models": [{"name": "m", "substitutes": [{"model": "x"}]}]}, "'x' is not a model"),
        ({"models": [{"name": "m", "substitutes": [{"when": {"priority": "x"}}]}]}, "'x' is not a priority class"),
        ({"roles": {"big": "x"}}, "'x' is not a model"),
        ({"keys": [{"priority": {"default": "x"}}]}, "'x' is not a priority class"),
        ({"keys": [{"priority": {"max": "x"}}]}, "'x' is not a priority class"),
        ({"keys": [{"team": "acme/x"}]}, "'acme/x' is not a team"),
        ({"priority": {"classes": [{"name": "a", "preempts": ["x"]}]}}, "'x' is not a priority class"),
        ({"budgets": [{"scope": {"key": "x"}}]}, "'x' is not a key"),
        ({"budgets": [{"scope": {"team": "x"}}]}, "'x' is not a team"),
        ({"budgets": [{"scope": {"organization": "x"}}]}, "'x' is not an organization"),
        ({"budgets": [{"scope": {"model": "x"}}]}, "'x' is not a model"),
    ],
)
def test_a_reference_to_nothing_is_a_problem(plain: Plain, message: str) -> None:
    assert [message] == [problem.message for problem in find_dangling(tree(plain))]


def test_references_to_what_is_there_are_none() -> None:
    plain: Plain = {
        "providers": [{"name": "p"}],
        "models": [{"name": "m", "deployments": [{"provider": "p"}], "fallbacks": ["m"]}],
        "organizations": [{"name": "o", "teams": [{"name": "t"}]}],
        "keys": [{"name": "k", "team": "o/t", "profile": "critical", "priority": {"default": "batch"}}],
        "budgets": [
            {"scope": {"key": "k"}},
            {"scope": {"team": "o/t"}},
            {"scope": {"organization": "o"}},
            {"scope": {"model": "m"}},
        ],
    }

    assert [] == list(find_dangling(tree(plain)))


def test_classes_of_ones_own_replace_the_usual_ones() -> None:
    plain: Plain = {"priority": {"classes": [{"name": "gold"}]}, "keys": [{"priority": {"default": "batch"}}]}

    assert ["use one of gold"] == [problem.fix for problem in find_dangling(tree(plain))]


@pytest.mark.parametrize("kind", ["key", "team", "organization", "model", "user", "agent", "tag", "workflow"])
def test_a_budget_may_be_for_each_of_a_kind(kind: str) -> None:
    assert [] == list(find_dangling(tree({"budgets": [{"scope": {kind: "*"}}]})))


@pytest.mark.parametrize("kind", ["user", "agent", "tag", "workflow"])
def test_what_callers_name_themselves_need_not_be_configured(kind: str) -> None:
    assert [] == list(find_dangling(tree({"budgets": [{"scope": {kind: "anything"}}]})))


@pytest.mark.parametrize("name", ["p/x", "p:x"])
def test_a_budget_may_be_for_a_deployment_that_is_named_directly(name: str) -> None:
    plain: Plain = {
        "providers": [{"name": "p"}],
        "models": [{"name": "m", "deployments": [{"provider": "p", "model": "x"}]}],
        "budgets": [{"scope": {"model": name}}],
    }

    assert [] == list(find_dangling(tree(plain)))


def test_a_profile_needs_its_priority_classes_unless_the_key_says_its_own() -> None:
    classes: Plain = {"classes": [{"name": "gold"}, {"name": "critical"}]}
    keys: Plain = [{"profile": "standard", "priority": {"max": "gold"}}, {"profile": "critical"}, {"profile": "none"}]
    found = list(find_dangling(tree({"priority": classes, "keys": keys})))

    assert [
        (
            "keys[0].profile",
            "'standard' needs the priority class 'standard'",
            "add the class, or write the key's own priority.default",
        )
    ] == [(problem.path, problem.message, problem.fix) for problem in found]


def test_a_near_miss_is_suggested() -> None:
    plain: Plain = {"models": [{"name": "small"}], "roles": {"big": "smal"}}

    assert ["did you mean 'small'?"] == [problem.fix for problem in find_dangling(tree(plain))]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ({}, ["has no secret"]),
        ({"key": ""}, ["has no secret"]),
        ({"key": "a", "key_sha256": "b"}, ["has key and key_sha256"]),
        ({"key": "a"}, []),
        ({"key_sha256": "b"}, []),
        ({"key": "read from the file", "key_file": "f"}, []),
    ],
)
def test_a_key_has_exactly_one_secret(key: dict[str, Plain], message: list[str]) -> None:
    assert message == [problem.message for problem in find_wrong_keys(tree({"keys": [key]}))]
