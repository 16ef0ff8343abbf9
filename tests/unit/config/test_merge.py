from hypothesis import given
from hypothesis import strategies as st

from router.config.merge import merge, merge_all
from router.config.tree import Branch, Origin, Plain, flatten, follow, grow

NAMES = st.sampled_from(["a", "b", "c"])
ITEM = st.fixed_dictionaries({"name": NAMES}, optional={"x": st.integers(0, 9), "y": st.integers(0, 9)})
LAYER = st.fixed_dictionaries(
    {},
    optional={
        "number": st.integers(0, 9),
        "section": st.fixed_dictionaries({}, optional={"p": st.integers(0, 9), "q": st.text(max_size=2)}),
        "words": st.lists(st.sampled_from(["u", "v"]), max_size=2),
        "items": st.lists(ITEM, max_size=3, unique_by=lambda item: item["name"]),
        "api_key": st.just("k"),
        "api_key_file": st.just("f"),
    },
)


def lay(*layers: Plain) -> Plain:
    nodes = [grow(layer, Origin(source=str(number))) for number, layer in enumerate(layers)]
    return flatten(merge_all(Branch(entries={}, origin=Origin(source="none")), nodes))


@given(LAYER, LAYER, LAYER)
def test_merging_is_associative(low: Plain, middle: Plain, high: Plain) -> None:
    first, second, third = (grow(layer, Origin(source="x")) for layer in (low, middle, high))

    assert flatten(merge(merge(first, second), third)) == flatten(merge(first, merge(second, third)))


@given(LAYER, LAYER)
def test_the_later_layer_wins_wherever_it_says_something(low: dict[str, Plain], high: dict[str, Plain]) -> None:
    merged = lay(low, high)

    assert isinstance(merged, dict)
    for key, value in high.items():
        if key == "section" and isinstance(value, dict):
            assert value.items() <= merged["section"].items()
        elif key == "items" and isinstance(value, list):
            found = {item["name"]: item for item in merged["items"]}
            assert all(item.items() <= found[item["name"]].items() for item in value)
        else:
            assert value == merged[key]


@given(LAYER)
def test_an_empty_layer_changes_nothing(layer: Plain) -> None:
    assert layer == lay({}, layer) == lay(layer, {})


def test_named_items_merge_where_they_stand_and_new_ones_follow() -> None:
    merged = lay({"p": [{"name": "a", "x": 1}, {"name": "b"}]}, {"p": [{"name": "c"}, {"name": "a", "y": 2}]})

    assert {"p": [{"name": "a", "x": 1, "y": 2}, {"name": "b"}, {"name": "c"}]} == merged


def test_lists_without_names_are_replaced() -> None:
    assert {"p": ["b"]} == lay({"p": ["a"]}, {"p": ["b"]})
    assert {"p": []} == lay({"p": ["a"]}, {"p": []})


def test_an_empty_list_takes_no_named_item_away() -> None:
    assert {"p": [{"name": "a"}]} == lay({"p": [{"name": "a"}]}, {"p": []})


def test_another_way_to_give_a_secret_takes_the_earlier_one_back() -> None:
    low: Plain = {"keys": [{"name": "a", "key": "secret", "team": "t"}]}

    assert {"keys": [{"name": "a", "key_sha256": "00", "team": "t"}]} == lay(
        low, {"keys": [{"name": "a", "key_sha256": "00"}]}
    )


def test_a_limit_in_another_unit_takes_the_earlier_one_back() -> None:
    low: Plain = {"budget": {"limit_usd": 5, "window": "day"}}

    assert {"budget": {"limit_tokens": 9, "window": "day"}} == lay(low, {"budget": {"limit_tokens": 9}})


def test_a_value_keeps_the_origin_of_the_layer_that_it_is_from() -> None:
    merged = merge(grow({"a": {"x": 1, "y": 1}}, Origin(source="low")), grow({"a": {"y": 2}}, Origin(source="high")))

    assert ["low", "high"] == [follow(merged, ("a", key))[1].origin.source for key in "xy"]
