import pytest
from msgspec import Raw

from router.domain.dialects.losses import Unsayable
from router.domain.dialects.raw_json import (
    is_text,
    joined,
    present,
    quoted,
    read_member,
    read_number,
    read_object,
    read_objects,
    read_text,
    read_texts,
    unquoted_object,
)


def test_null_is_as_good_as_absent() -> None:
    fields = {"a": Raw(b"null"), "b": Raw(b"0")}

    assert [None, Raw(b"0"), None] == [present(fields, name) for name in "abc"]


def test_the_first_byte_tells_a_text() -> None:
    assert [True, False, False] == [is_text(raw) for raw in (Raw(b'""'), Raw(b"[]"), Raw(b"null"))]


@pytest.mark.parametrize("raw", [b"{}", b'{"a":null}', b'{"a":1}'])
def test_a_text_that_must_be_there_is_named_with_its_place(raw: bytes) -> None:
    with pytest.raises(Unsayable) as caught:
        read_member(read_object(Raw(raw), "p"), "a", "p")

    assert "p.a" == caught.value.param


@pytest.mark.parametrize(
    ("reader", "raw"),
    [
        (read_object, b"[]"),
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
