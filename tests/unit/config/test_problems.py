from router.config.problems import ConfigInvalid, Problem, problem_in, quote
from router.config.tree import Leaf, Origin, grow

HERE = Origin(source="checkrein.yaml", line=12)


def test_a_problem_is_one_line_with_its_place_and_what_to_do() -> None:
    problem = Problem(
        path="models[0].strategy", file="checkrein.yaml", line=12, message="'x' is not a strategy", fix="use\ncost"
    )

    assert "checkrein.yaml:12: models[0].strategy: 'x' is not a strategy; use cost" == str(problem)


def test_a_problem_without_line_or_path_leaves_them_out() -> None:
    assert "a.toml: cannot be read" == str(Problem(path="", file="a.toml", message="cannot be read", fix=""))


def test_a_missing_key_is_placed_at_the_mapping_that_lacks_it() -> None:
    problem = problem_in(grow({"models": [{}]}, HERE), ("models", 0, "name"), "is missing")

    assert ("models[0].name", 12) == (problem.path, problem.line)


def test_problems_are_told_in_the_order_of_the_file() -> None:
    late, early = (Problem(path="", file="f", line=line, message="", fix="") for line in (10, 9))

    assert (early, late) == ConfigInvalid([late, early]).problems


def test_a_value_that_came_from_a_variable_is_quoted_as_it_was_written() -> None:
    assert "'${TOKEN}'" == quote(Leaf(value="hunter2", origin=HERE, shown="${TOKEN}"))


def test_values_are_quoted_as_yaml_writes_them_and_long_ones_are_cut() -> None:
    shown = [quote(Leaf(value=value, origin=HERE)) for value in (None, True, 5, "a", "x" * 70)]

    assert ["null", "true", "5", "'a'", f"'{'x' * 60}…'"] == shown
