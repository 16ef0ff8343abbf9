"""Find the JSON in one SSE event, and read the members of it that matter; the strings among them stay as they came.

A text that comes in pieces may be cut within a surrogate pair: half of one is good JSON, though no decoder of UTF-8
takes it. So it is read with its halves marked, and `unmarked` takes the marks out of what is written of it.
"""

import re
from typing import Final, TypeVar

import msgspec

from router.domain.dialects.raw_json import HALF_MARK, UNREADABLE

_DATA: Final = b"data:"
_HALF_PAIR: Final = re.compile(rb"\\u([dD][89a-fA-F][0-9a-fA-F]{2})")
Shape = TypeVar("Shape")


def payload_of(raw: bytes) -> bytes | memoryview:
    """Return the data of an event. Several `data:` lines are one JSON text with line breaks between."""
    start = 0 if raw.startswith(_DATA) else raw.find(b"\ndata:") + 1
    at = start + len(_DATA)
    if raw.find(b"\n", at) == len(raw) - 2 and raw.startswith(_DATA, start):
        return memoryview(raw)[at:]
    return b"\n".join([line[len(_DATA) :] for line in raw.split(b"\n") if line.startswith(_DATA)])


def read(decoder: "msgspec.json.Decoder[Shape]", payload: bytes | memoryview) -> Shape:
    """Decode an event or a reply. Raises `UNREADABLE`."""
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return decoder.decode(_HALF_PAIR.sub(lambda half: HALF_MARK + half[1], payload))


def read_reply(decoder: "msgspec.json.Decoder[Shape]", raw: bytes) -> Shape:
    """Decode a whole reply. Raises `ValueError` if it is not of the decoder's shape."""
    try:
        return read(decoder, raw)
    except UNREADABLE as exc:
        raise ValueError("The provider's reply is not of its dialect.") from exc
