"""Read what a chat reply says where its provider writes it as few do: a content in parts, calls without numbers."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import Raw

from router.domain.dialects.raw_json import ABSENT, UNREADABLE, is_list, is_text

_EMPTY: Final = len(b'""')
_NOTHING: Final = (b"", b"null")


class Said(NamedTuple):
    text: Raw
    """A JSON string that is not empty."""
    thought: bool = False


class _Part(msgspec.Struct, gc=False):
    type: str = ""
    text: Raw = ABSENT
    thinking: Raw = ABSENT


_parts: Final = msgspec.json.Decoder(list[_Part])


class Named(Protocol):
    @property
    def name(self) -> Raw: ...


class Piece(Protocol):
    """A piece of a tool call in a stream, or a whole one."""

    index: int | None

    @property
    def id(self) -> Raw: ...
    @property
    def function(self) -> Named | None: ...


P = TypeVar("P", bound=Piece)


def said_in(content: Raw) -> list[Said] | None:
    """Return the thoughts and texts of a content; None: it is neither text nor an array of parts, nor nothing."""
    if bytes(content) in _NOTHING:
        return []
    if is_text(content):
        return [Said(content)] if _says(content) else []
    if not is_list(content):
        return None
    parts = _read(content)
    if parts is None:
        return None
    said: list[Said] = []
    for part in parts:
        if part.type == "thinking":
            said.append(Said(part.thinking, thought=True))
            said += [Said(one.text, thought=True) for one in _read(part.thinking) or ()]
        else:
            said.append(Said(part.text))
    return [one for one in said if _says(one.text)]


def numbered(pieces: Sequence[P] | None) -> Sequence[P]:
    """Return the pieces of one delta. Several that begin no call and name none go on with those of their places."""
    if not pieces:
        return ()
    if len(pieces) > 1:
        bare = [at for at, piece in enumerate(pieces) if _is_bare(piece)]
        if len(bare) > 1:
            for at in bare:
                pieces[at].index = at
    return pieces


def _is_bare(piece: Piece) -> bool:
    named = piece.function is not None and _says(piece.function.name)
    return piece.index is None and not named and not _says(piece.id)


def _says(raw: Raw) -> bool:
    return len(memoryview(raw)) > _EMPTY and is_text(raw)


def _read(raw: Raw) -> list[_Part] | None:
    try:
        return _parts.decode(raw)
    except UNREADABLE:
        return None
