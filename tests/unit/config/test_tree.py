from decimal import Decimal

from router.config.tree import (
    Branch,
    Leaf,
    Node,
    Origin,
    flatten,
    follow,
    format_path,
    grow,
    leaves,
    put,
    select,
    text_at,
)

HERE = Origin(source="here", line=1)
THERE = Origin(source="there", line=2)
TREE = grow({"models": [{"name": "a", "deployments": [{"provider": "x"}, {"provider": "y"}]}], "n": 1}, HERE)


def test_a_tree_flattens_to_what_it_grew_from() -> None:
    plain = {"a": [1, "two", {"three": None}], "b": Decimal("2.10"), "c": True}

    assert plain == flatten(grow(plain, HERE))


def test_a_pattern_selects_every_item_with_its_path() -> None:
    found = [
        (format_path(path), node.value)
        for path, node in select(TREE, "models[].deployments[].provider")
        if isinstance(node, Leaf)
    ]

    assert [("models[0].deployments[0].provider", "x"), ("models[0].deployments[1].provider", "y")] == found


def test_a_pattern_over_a_mapping_selects_its_values() -> None:
    roles: Node = grow({"roles": {"big": "a", "small": "b"}}, HERE)

    assert [("roles", "big"), ("roles", "small")] == [path for path, _ in select(roles, "roles[]")]


def test_a_path_that_ends_early_leads_to_the_nearest_place_above() -> None:
    reached, node = follow(TREE, ("models", 0, "strategy"))

    assert ("models", 0) == reached
    assert isinstance(node, Branch)


def test_an_index_beyond_the_list_leads_nowhere() -> None:
    assert ("models",) == follow(TREE, ("models", 5))[0]
    assert ("models",) == follow(TREE, ("models", -1))[0]


def test_putting_a_value_changes_only_its_place() -> None:
    changed = put(TREE, ("models", 0, "deployments", 1, "provider"), Leaf(value="z", origin=THERE))

    assert ["x", "z"] == [leaf.value for path, leaf in leaves(changed) if path[-1] == "provider"]
    assert ["x", "y"] == [leaf.value for path, leaf in leaves(TREE) if path[-1] == "provider"]


def test_putting_a_value_makes_the_branches_on_the_way() -> None:
    made = put(Branch(entries={}, origin=HERE), ("a", "b", "c"), Leaf(value=1, origin=THERE))

    assert {"a": {"b": {"c": 1}}} == flatten(made)


def test_a_number_is_text_where_a_name_is_meant_and_a_boolean_is_not() -> None:
    tree = grow({"a": Decimal("1.10"), "b": True, "c": None}, HERE)

    assert ("1.10", None, None) == (text_at(tree, "a"), text_at(tree, "b"), text_at(tree, "c"))
