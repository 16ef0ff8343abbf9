import pytest
from msgspec import Raw

from router.domain.dialects.losses import Unsayable
from router.domain.dialects.raw_json import (
    HALF_MARK,
    is_list,
    is_text,
    joined,
    present,
    quoted,
    read_list,
    read_member,
    read_number,
    read_object,
    read_objects,
    read_present,
    read_text,
    read_texts,
    text_member,
    unmarked,
    unquoted_object,
)


def test_null_is_as_good_as_absent() -> None:
    fields = {"a": Raw(b"null"), "b": Raw(b"0")}

    assert [None, Raw(b"0"), None] == [present(fields, name) for name in "abc"]


def test_members_are_read_as_they_came_without_those_that_are_null() -> None:
    found = read_present(Raw(b'{"a": "\\u00e9\\/", "b":null, "c": 123456789012345678901234567890}'), "x")

    assert {"a": Raw(b'"\\u00e9\\/"'), "c": Raw(b"123456789012345678901234567890")} == found
    assert Raw(b'"\\u00e9\\/"') == text_member(found, "a", "x")
    assert [Raw(b"1"), Raw(b"null")] == read_list(Raw(b"[1, null]"), "x")


def test_the_first_byte_tells_a_text() -> None:
    assert [True, False, False] == [is_text(raw) for raw in (Raw(b'""'), Raw(b"[]"), Raw(b"null"))]
    assert [False, True, False] == [is_list(raw) for raw in (Raw(b'"["'), Raw(b"[]"), Raw(b"null"))]


@pytest.mark.parametrize("raw", [b"{}", b'{"a":null}', b'{"a":1}'])
def test_a_text_that_must_be_there_is_named_with_its_place(raw: bytes) -> None:
    with pytest.raises(Unsayable) as caught:
        read_member(read_object(Raw(raw), "p"), "a", "p")
    with pytest.raises(Unsayable) as again:
        text_member(read_object(Raw(raw), "p"), "a", "p")

    assert "p.a" == caught.value.param == again.value.param


@pytest.mark.parametrize(
    ("reader", "raw"),
    [
        (read_object, b"[]"),
        (read_present, b"[]"),
        (read_list, b"{}"),
        (read_list, b"null"),
        (read_objects, b"[1]"),
        (read_texts, b"[1]"),
        (read_text, b"1"),
        (read_text, b'"\xff"'),
        (read_text, b'"\\ud800"'),
        (read_number, b'"1"'),
        (read_object, b'{"a":' * 2_000 + b"1" + b"}" * 2_000),
    ],
)
def test_what_is_something_else_is_named(reader: object, raw: bytes) -> None:
    assert callable(reader)
    with pytest.raises(Unsayable) as caught:
        reader(Raw(raw), "here")

    assert "here" == caught.value.param


def test_texts_are_joined_without_being_read() -> None:
    assert Raw(b'"a\\u00e9\\/\xc3\xa9"') == joined([Raw(b'"a\\u00e9"'), Raw(b'""'), Raw(b'"\\/\xc3\xa9"')])


@pytest.mark.parametrize("text", ['{"b": 1e400, "a":"\\u00e9\\/", "c":123456789012345678901234567890}', " {} "])
def test_an_object_goes_into_a_text_and_out_of_it_byte_for_byte(text: str) -> None:
    written = quoted(Raw(text.encode()))

    assert text == read_text(written, "")
    assert Raw(text.encode()) == unquoted_object(text)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a":}', "{} {}", "null"])
def test_other_texts_hold_no_object(text: str) -> None:
    assert unquoted_object(text) is None


def test_bytes_that_are_no_text_cannot_be_quoted() -> None:
    with pytest.raises(UnicodeDecodeError):
        quoted(Raw(b'"\xff"'))


def test_half_a_pair_is_quoted_as_it_came() -> None:
    marked = Raw(b'{"a":"' + HALF_MARK + b'd83d"}')

    assert b'{"a":"\\ud83d"}' == unmarked(bytes(marked))
    assert Raw(b'"{\\"a\\":\\"\\\\ud83d\\"}"') == quoted(marked)
