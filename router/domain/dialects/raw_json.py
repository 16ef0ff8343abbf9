"""Read JSON no further than a translation must, so that what it holds goes on as the bytes it came in."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dialects.losses import Unsayable

Fields = Mapping[str, Raw]
"""Members of one JSON object, in their order."""

NULL: Final = Raw(b"null")
TRUE: Final = Raw(b"true")
FALSE: Final = Raw(b"false")
NO_TEXT: Final = Raw(b'""')

_object: Final = msgspec.json.Decoder(dict[str, Raw])
_objects: Final = msgspec.json.Decoder(list[dict[str, Raw]])
_texts: Final = msgspec.json.Decoder(list[str])
_text: Final = msgspec.json.Decoder(str)
_number: Final = msgspec.json.Decoder(float)
_encoder: Final = msgspec.json.Encoder()

_QUOTE: Final = ord('"')
_UNREADABLE: Final = (msgspec.DecodeError, RecursionError, UnicodeError)


def encode(value: object) -> Raw:
    return Raw(_encoder.encode(value))


def present(fields: Fields, name: str) -> Raw | None:
    """Return a member; None if it is absent or null, which mean the same here."""
    raw = fields.get(name)
    return None if raw is None or raw == NULL else raw


def is_text(raw: Raw) -> bool:
    return memoryview(raw)[0] == _QUOTE


def read_object(raw: Raw, where: str) -> dict[str, Raw]:
    """Raises `Unsayable` if it is something else; so do the other readers."""
    try:
        return _object.decode(raw)
    except _UNREADABLE:
        raise Unsayable(where, f"`{where}` must be an object.") from None


def read_objects(raw: Raw, where: str) -> list[dict[str, Raw]]:
    try:
        return _objects.decode(raw)
    except _UNREADABLE:
        raise Unsayable(where, f"`{where}` must be an array of objects.") from None


def read_texts(raw: Raw, where: str) -> list[str]:
    try:
        return _texts.decode(raw)
    except _UNREADABLE:
        raise Unsayable(where, f"`{where}` must be an array of strings.") from None


def read_text(raw: Raw, where: str) -> str:
    try:
        return _text.decode(raw)
    except _UNREADABLE:
        raise Unsayable(where, f"`{where}` must be a string.") from None


def read_number(raw: Raw, where: str) -> float:
    try:
        return _number.decode(raw)
    except _UNREADABLE:
        raise Unsayable(where, f"`{where}` must be a number.") from None


def read_member(fields: Fields, name: str, where: str) -> str:
    """Read a text that must be there."""
    try:
        return _text.decode(fields[name])
    except (KeyError, *_UNREADABLE):
        raise Unsayable(f"{where}.{name}", f"`{where}.{name}` must be a string.") from None


def read_type(fields: Fields, where: str) -> str:
    """Read the member that says what an object is."""
    return read_member(fields, "type", where)


def joined(texts: Iterable[Raw]) -> Raw:
    """Put JSON strings together without reading them: their escapes stay as they are."""
    return Raw(b'"' + b"".join([bytes(text)[1:-1] for text in texts]) + b'"')


def quoted(raw: Raw) -> Raw:
    """Write a JSON value as the JSON string of its text, byte for byte.

    Raises `UnicodeDecodeError` if it is not UTF-8.
    """
    return Raw(_encoder.encode(bytes(raw).decode()))


def unquoted_object(text: str) -> Raw | None:
    """Return the JSON object that a text holds, byte for byte; None if it holds something else."""
    raw = Raw(text.encode())
    try:
        _object.decode(raw)
    except _UNREADABLE:
        return None
    return raw
