"""Find the JSON in one SSE event, and read it into the members that a translation needs."""

import re
from typing import Final, TypeVar

import msgspec

_DATA: Final = b"data:"
_HALF_PAIR: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")

Shape = TypeVar("Shape")


def payload_of(raw: bytes) -> bytes:
    """Return the data of an event. Several `data:` lines are one JSON text with line breaks between."""
    start = 0 if raw.startswith(_DATA) else raw.find(b"\ndata:") + 1
    end = raw.find(b"\n", start)
    if raw.find(b"\ndata:", end) < 0:
        return raw[start + len(_DATA) : end] if raw.startswith(_DATA, start) else b""
    return b"\n".join([line[len(_DATA) :] for line in raw.split(b"\n") if line.startswith(_DATA)])


def read_json(decoder: "msgspec.json.Decoder[Shape]", payload: bytes) -> Shape:
    """Decode the members that matter. Half a surrogate pair is good JSON, though no decoder of UTF-8 takes it.

    Raises `ValueError` if it is something else than the decoder's shape.
    """
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as exc:
        raise ValueError("JSON of another shape") from exc
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        return decoder.decode(_HALF_PAIR.sub(rb"\\ufffd", payload))
    except (msgspec.DecodeError, RecursionError) as exc:
        raise ValueError("not JSON") from exc
