import json

import msgspec
import pytest
from msgspec import Raw

from router.domain.dialects.chat.parts import Said, numbered, said_in
from router.domain.dialects.raw_json import ABSENT


class Function(msgspec.Struct):
    name: Raw = ABSENT


class Piece(msgspec.Struct):
    index: int | None = None
    id: Raw = ABSENT
    function: Function | None = None


BEGINS = Function(name=Raw(b'"f"'))


def text(said: str) -> Raw:
    return Raw(json.dumps(said).encode())


@pytest.mark.parametrize("content", [b'"hi"', b'[{"type":"text","text":"hi"}]', b'[{"text":"hi"},{"type":"text"}]'])
def test_a_content_is_its_text_however_it_is_written(content: bytes) -> None:
    assert [Said(text("hi"))] == said_in(Raw(content))


def test_thoughts_and_texts_keep_their_order() -> None:
    """As Mistral writes them, and as one text would be."""
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "h"}, {"type": "text", "text": "m"}]}
    content = [thinking, {"type": "text", "text": "3"}, {"type": "thinking", "thinking": "so"}]

    assert [
        Said(text("h"), thought=True),
        Said(text("m"), thought=True),
        Said(text("3")),
        Said(text("so"), thought=True),
    ] == said_in(Raw(json.dumps(content).encode()))


@pytest.mark.parametrize("content", [b"", b"null", b'""', b"[]", b'[{"type":"text","text":""}]', b'[{"type":"image"}]'])
def test_a_content_may_say_nothing(content: bytes) -> None:
    assert [] == said_in(Raw(content))


@pytest.mark.parametrize("content", [b"1", b"{}", b"[1]", b"true", b'[{"type":3}]'])
def test_anything_else_is_no_content(content: bytes) -> None:
    assert said_in(Raw(content)) is None


def test_pieces_that_name_no_call_go_on_with_that_of_their_place() -> None:
    """As Moonshot writes them."""
    pieces = [Piece(function=Function()), Piece(), Piece(function=Function(name=Raw(b'""')), id=Raw(b"null"))]

    assert [0, 1, 2] == [piece.index for piece in numbered(pieces)]


def test_one_piece_alone_says_nothing_of_its_call() -> None:
    assert [None] == [piece.index for piece in numbered([Piece()])]
    assert [] == list(numbered(None))


@pytest.mark.parametrize("other", [Piece(index=7), Piece(id=Raw(b'"call_1"')), Piece(function=BEGINS)])
def test_a_piece_that_names_its_call_keeps_what_it_says(other: Piece) -> None:
    index = other.index
    pieces = numbered([Piece(), other, Piece()])

    assert [0, index, 2] == [piece.index for piece in pieces]
    assert [None] == [piece.index for piece in numbered([Piece(), other]) if piece is not other]
