import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from router.domain.dialects.messages.calls import id_for_messages, input_of


@pytest.mark.parametrize("call_id", ["call_1", "toolu_01AbC", "a-b"])
def test_an_id_that_messages_takes_stays(call_id: str) -> None:
    assert call_id == id_for_messages(call_id)


@pytest.mark.slow
@settings(deadline=None)
@given(st.text(), st.text())
def test_any_other_becomes_one_that_no_other_becomes(one: str, other: str) -> None:
    assert re.fullmatch("[a-zA-Z0-9_-]+", id_for_messages(one))
    assert (one == other) == (id_for_messages(one) == id_for_messages(other))


def test_an_id_is_made_readable_where_it_can() -> None:
    assert id_for_messages("functions.search:0").startswith("functions_search_0_")
    assert id_for_messages("a.b") != id_for_messages("a:b")


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ('{"b": 1e400, "a":"\\u00e9"}', b'{"b": 1e400, "a":"\\u00e9"}'),
        ("", b"{}"),
        (" \n", b"{}"),
        ('{"a": ', b'{"INVALID_JSON":"{\\"a\\": "}'),
        ("[1]", b'{"INVALID_JSON":"[1]"}'),
    ],
)
def test_arguments_become_an_object(arguments: str, given: bytes) -> None:
    assert Raw(given) == input_of(arguments)
