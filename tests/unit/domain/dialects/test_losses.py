import pytest
from msgspec import Raw

from router.domain.dialects.losses import MESSAGE_CHARS_MAX, NAME_CHARS_MAX, NAMES_MAX, Losses, Unsayable, malformed

KNOWN = frozenset({"a"})


def test_what_cannot_be_said_stops_the_translation() -> None:
    with pytest.raises(Unsayable) as caught:
        Losses(dialect="the other", drop=False).lose("x.y", "No.")

    assert ("x.y", "No.") == (caught.value.param, caught.value.message)


def test_or_it_is_left_out_and_named_once() -> None:
    losses = Losses(dialect="the other", drop=True)
    losses.lose("b", "No.")
    losses.lose("a", "No.")
    losses.lose("b", "No.")

    assert ("b", "a") == losses.names


def test_names_are_bounded_and_say_so() -> None:
    losses = Losses(dialect="the other", drop=True)
    for number in range(2 * NAMES_MAX):
        losses.lose(str(number), "No.")

    assert NAMES_MAX + 1 == len(losses.names)
    assert "and more" == losses.names[-1]


def test_a_name_that_comes_again_is_not_one_more() -> None:
    losses = Losses(dialect="the other", drop=True)
    for number in range(2 * NAMES_MAX):
        losses.lose(str(number % NAMES_MAX), "No.")

    assert NAMES_MAX == len(losses.names)


def test_members_without_a_place_are_named_with_where_they_stand() -> None:
    losses = Losses(dialect="the other", drop=True)
    fields = {"a": Raw(b"1"), "b": Raw(b"2"), "c": Raw(b"null"), "d": Raw(b"[ ]"), "e": Raw(b"[1]")}
    losses.lose_unknown(fields, KNOWN, "tools[0]", {"d": (b"[]",), "e": (b"[]",)})
    losses.lose_unknown({"b": Raw(b"2")}, KNOWN, "")

    assert ("tools[0].b", "tools[0].e", "b") == losses.names


def test_what_a_caller_wrote_is_quoted_within_bounds() -> None:
    losses = Losses(dialect="the other", drop=True)
    losses.lose("x\r\nset-cookie: é" + "y" * 1_000, "")
    error = Unsayable("ä" * 1_000, "z" * 1_000)

    assert ("x??set-cookie:??" + "y" * (NAME_CHARS_MAX - 16),) == losses.names
    assert "?" * NAME_CHARS_MAX == error.param
    assert MESSAGE_CHARS_MAX == len(error.message)


def test_what_has_no_place_is_said_with_the_dialect() -> None:
    with pytest.raises(Unsayable) as caught:
        Losses(dialect="Messages", drop=False).lose_unknown({"n": Raw(b"2")}, KNOWN, "")

    assert (
        "`n` cannot be said in Messages, which this model's provider speaks. Remove it, or ask for it to be dropped."
        == caught.value.message
    )


def test_what_a_request_stands_on_is_never_dropped() -> None:
    error = Losses(dialect="Responses", drop=True).never("prompt", "it is not stored here")

    assert ("prompt", True) == (error.param, ": it is not stored here. Remove it." in error.message)


def test_what_is_something_else_is_named_with_what_it_must_be() -> None:
    error = malformed("x", "an object")

    assert ("x", "`x` must be an object.") == (error.param, error.message)
