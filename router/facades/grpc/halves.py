"""Let half of a surrogate pair pass by a decoder that takes only whole ones, so that it goes on as it came.

A text that comes in pieces may be cut within a pair. An escape of half a pair is written with a byte that no UTF-8 has:
members that are only passed over keep it, and reading one as a text fails, as it must.
"""

import re
from typing import Final

import msgspec
from msgspec import Raw

_MARK: Final = b"\xff"
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u([dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
"""A whole pair, half of one, or any other escape: a backslash that is escaped begins none."""

_object: Final = msgspec.json.Decoder(dict[str, Raw])
_value: Final = msgspec.json.Decoder(Raw)


def read_object(text: bytes | str) -> dict[str, Raw]:
    """Read an object of JSON that is UTF-8. Of a member that comes twice the last one counts.

    Raises `UNREADABLE` if it is something else.
    """
    try:
        return _object.decode(text)
    except msgspec.DecodeError:
        return _object.decode(_marked(text))


def read_value(text: str) -> Raw:
    """Read JSON of any kind. Raises `UNREADABLE` if it is none."""
    try:
        return _value.decode(text)
    except msgspec.DecodeError:
        return _value.decode(_marked(text))


def restored(written: bytes) -> bytes:
    """Return JSON that was made of what these readers gave, with its halves as they came."""
    return written.replace(_MARK, rb"\u") if _MARK in written else written


def _marked(text: bytes | str) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return _ESCAPE.sub(lambda found: _MARK + found[1] if found[1] else found[0], raw)
