from hypothesis import given
from hypothesis import strategies as st

from router.config.interpolate import Interpolated, interpolate

VALUES = st.text(max_size=8)
PLAIN = st.text(st.characters(exclude_characters="${}"), max_size=8)


def test_a_variable_is_replaced_wherever_it_stands() -> None:
    assert "http://h:1/v1" == interpolate("http://${HOST}:${PORT}/v1", {"HOST": "h", "PORT": "1"}).text


def test_a_default_stands_in_for_a_variable_that_is_unset_or_empty() -> None:
    assert "d" == interpolate("${A:-d}", {}).text == interpolate("${A:-d}", {"A": ""}).text
    assert "set" == interpolate("${A:-d}", {"A": "set"}).text


def test_an_empty_default_is_a_default() -> None:
    assert Interpolated(text="") == interpolate("${A:-}", {})


def test_unset_variables_without_a_default_are_named() -> None:
    assert Interpolated(text="-", unset=("A", "B")) == interpolate("${A}-${B}", {})


def test_a_variable_that_is_set_to_nothing_is_set() -> None:
    assert Interpolated(text="") == interpolate("${A}", {"A": ""})


def test_what_is_not_a_variable_is_named_and_left_alone() -> None:
    assert Interpolated(text="${1a} ${", malformed=("${1a}", "${")) == interpolate("${1a} ${", {})


@given(PLAIN)
def test_text_without_variables_stays_as_it_is(text: str) -> None:
    assert Interpolated(text=text) == interpolate(text, {"A": "1"})


@given(PLAIN, VALUES, PLAIN)
def test_a_value_is_put_in_verbatim_and_never_read_again(before: str, value: str, after: str) -> None:
    assert before + value + after == interpolate(f"{before}${{A}}{after}", {"A": value, "B": "no"}).text


@given(st.text(max_size=12))
def test_an_escaped_text_comes_out_as_it_went_in(text: str) -> None:
    plain = text.rstrip("$")

    assert f"{plain}${{A}}" == interpolate(plain.replace("${", "$${") + "$${A}", {"A": "no"}).text
