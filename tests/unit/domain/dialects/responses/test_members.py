import pytest
from msgspec import Raw

from router.domain.dialects.responses.members import (
    Losses,
    Unsayable,
    elements,
    is_list,
    is_text,
    kind_of,
    members,
    present,
    text,
    text_raw,
    written,
)
from router.domain.dialects.translation import Untranslatable


def test_a_loss_ends_the_translation_and_names_the_member() -> None:
    with pytest.raises(Unsayable) as raised:
        Losses(dialect="Chat Completions", drop=False).cannot("tools[0].type", "`mcp` is no function")

    assert raised.value.said == Untranslatable(
        "tools[0].type",
        "`tools[0].type` cannot be said in Chat Completions, which this model's provider speaks: "
        "`mcp` is no function. Remove it.",
    )


def test_a_loss_is_noted_for_a_caller_who_asked_for_that() -> None:
    losses = Losses(dialect="Responses", drop=True)

    losses.only({"a": 1, "b": 2, "c": 3}, ("b",), "input[1]")

    assert ["input[1].a", "input[1].c"] == losses.dropped


def test_what_a_request_stands_on_is_never_dropped() -> None:
    said = Losses(dialect="Responses", drop=True).never("prompt", "it is not stored here").said

    assert "prompt" == said.param
    assert "it is not stored here" in said.message


def test_members_are_read_as_they_came_and_null_is_absent() -> None:
    found = members(Raw(b'{"a": "\\u00e9\\/", "b":null, "c": 123456789012345678901234567890}'), "x")

    assert {"a": Raw(b'"\\u00e9\\/"'), "c": Raw(b"123456789012345678901234567890")} == found
    assert {} == present({"a": Raw(b"null")})


@pytest.mark.parametrize(
    ("read", "wanted"),
    [
        (lambda: members(Raw(b"[]"), "x"), "`x` must be an object."),
        (lambda: elements(Raw(b"{}"), "x"), "`x` must be an array."),
        (lambda: text(Raw(b"1"), "x"), "`x` must be a string."),
        (lambda: text_raw({}, "y", "x"), "`x.y` must be a string."),
        (lambda: kind_of({}, "x"), "`x.type` must be a string."),
    ],
)
def test_what_is_something_else_is_named(read: object, wanted: str) -> None:
    assert callable(read)
    with pytest.raises(Unsayable, match="must be") as raised:
        read()

    assert wanted == raised.value.said.message


def test_values_are_told_apart_by_how_they_begin() -> None:
    assert is_text(Raw(b'"["'))
    assert not is_text(Raw(b"[]"))
    assert is_list(Raw(b"[]"))
    assert "a" == text(Raw(b'"a"'), "x")
    assert [Raw(b"1"), Raw(b"null")] == elements(Raw(b"[1, null]"), "x")
    assert Raw(b'{"a":1.0e5}') == written({"a": Raw(b"1.0e5")})
