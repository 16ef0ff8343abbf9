from decimal import Decimal
from pathlib import Path

import pytest

from router.config.document_yaml import parse_yaml
from router.config.problems import ConfigInvalid
from router.config.tree import Origin, Plain, flatten, follow

ORIGIN = Origin(source="f.yaml", folder=Path())


def read(text: str) -> Plain:
    tree, problems = parse_yaml(text, ORIGIN)
    assert [] == problems
    return flatten(tree)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", "off"), ("no", "no"), ("true", True), ("null", None), ("~", None), ("", None), ("10", 10),
        ("010", 10), ("2.10", Decimal("2.10")), ("1e3", "1e3"), ("10:30", "10:30"), ("2027-01-31", "2027-01-31"),
        ("'5'", "5"),
        ("!!str 5", "5"), ("0x1F", "0x1F"), (".inf", ".inf"),
    ],
)  # fmt: skip
def test_scalars_follow_yaml_1_2_and_keep_their_digits(text: str, value: Plain) -> None:
    found = read(f"a: {text}")

    assert {"a": value} == found
    assert isinstance(found, dict)
    assert str(value) == str(found["a"])


def test_every_value_knows_the_line_of_its_key() -> None:
    tree, _ = parse_yaml("a:\n  b:\n    - 1\n    - c: 2\n", ORIGIN)
    lines = [follow(tree, path)[1].origin.line for path in [("a",), ("a", "b"), ("a", "b", 1), ("a", "b", 1, "c")]]

    assert [1, 2, 4, 4] == lines


def test_a_key_written_twice_is_a_problem_with_both_lines() -> None:
    _, problems = parse_yaml("a: 1\nb: 2\na: 3\n", ORIGIN)

    assert ["f.yaml:3: a: written twice; the first is on line 1; keep one of them"] == [str(p) for p in problems]


def test_text_that_is_not_yaml_names_the_line() -> None:
    with pytest.raises(ConfigInvalid, match=r"f\.yaml:2: not YAML"):
        parse_yaml("a: 1\nb: ]\n", ORIGIN)


def test_an_empty_file_says_nothing_and_is_no_problem() -> None:
    assert {} == read("# only a comment\n")


def test_aliases_that_multiply_are_refused_before_they_fill_the_memory() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]

    with pytest.raises(ConfigInvalid, match="too large"):
        parse_yaml("\n".join(rows), ORIGIN)


def test_an_alias_that_contains_itself_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="too large"):
        parse_yaml("a: &a [*a]", ORIGIN)


def test_unknown_tags_and_keys_that_are_no_text_are_problems() -> None:
    _, problems = parse_yaml("a: !vault x\n? [1, 2]\n: 3\n", ORIGIN)

    assert ["the tag !vault means nothing here", "a key is not text"] == [problem.message for problem in problems]
