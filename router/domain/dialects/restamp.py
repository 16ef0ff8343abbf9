"""Put the caller's name for a model into a reply, wherever its dialect says which model answered."""

from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dialects.dialect import Dialect
from router.domain.dialects.raw_json import UNREADABLE
from router.domain.stream import Event, EventKind

_fields: Final = msgspec.json.Decoder(dict[str, Raw])
_encode: Final = msgspec.json.Encoder().encode
_DATA: Final = b"data:"
_WITHIN: Final = {Dialect.MESSAGES: "message", Dialect.RESPONSES: "response"}
"""Where events of a stream hold what a unary reply is; other dialects name the model in each."""


def restamp(dialect: Dialect, event: Event, model: str) -> Event:
    """Put the caller's name for the model into a reply or a chunk; anything else is left as it came."""
    if event.kind is EventKind.COMPLETE:
        return Event(event.kind, _restamped(event.raw, model))
    if event.kind is not EventKind.CHUNK:
        return event
    head, data, rest = event.raw.partition(_DATA)
    within = _WITHIN.get(dialect)
    if within is None:
        return Event(event.kind, head + b"data: " + _restamped(rest.strip(), model) + b"\n\n")
    if b'"model"' not in rest:
        return event
    try:
        fields = _fields.decode(rest.strip())
        if within not in fields:
            return event
        fields[within] = Raw(_restamped(bytes(fields[within]), model))
    except UNREADABLE:
        return event
    return Event(event.kind, head + data + b" " + _encode(fields) + b"\n\n")


def _restamped(raw: bytes, model: str) -> bytes:
    try:
        fields = _fields.decode(raw)
    except UNREADABLE:
        return raw
    if "model" not in fields:
        return raw
    fields["model"] = Raw(_encode(model))
    return _encode(fields)
