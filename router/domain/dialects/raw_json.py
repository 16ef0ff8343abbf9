"""Read JSON no further than a translation must, so that what it holds goes on as the bytes it came in."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dialects.losses import malformed

Fields = Mapping[str, Raw]
"""Members of one JSON object, in their order."""

ABSENT: Final = Raw()
"""Of a member that is not there, where that is not the same as null."""
NULL: Final = Raw(b"null")
TRUE: Final = Raw(b"true")
FALSE: Final = Raw(b"false")
NO_TEXT: Final = Raw(b'""')

_object: Final = msgspec.json.Decoder(dict[str, Raw])
_objects: Final = msgspec.json.Decoder(list[dict[str, Raw]])
_list: Final = msgspec.json.Decoder(list[Raw])
_texts: Final = msgspec.json.Decoder(list[str])
_text: Final = msgspec.json.Decoder(str)
_number: Final = msgspec.json.Decoder(float)
_encoder: Final = msgspec.json.Encoder()

HALF_MARK: Final = rb"\uffff\ufdd0"
"""Stands before the digits of half a surrogate pair while a decoder of UTF-8 looks.

No text may hold these two characters.
"""
_MARKED: Final = re.compile(re.escape(HALF_MARK) + rb"([dD][89a-fA-F][0-9a-fA-F]{2})")

_QUOTE: Final = ord('"')
_BRACKET: Final = ord("[")
UNREADABLE: Final = (msgspec.DecodeError, RecursionError, UnicodeError)
"""What a decoder raises when a text is not what it must be."""


def encode(value: object) -> Raw:
    return Raw(_encoder.encode(value))


def present(fields: Fields, name: str) -> Raw | None:
    """Return a member; None if it is absent or null, which mean the same here."""
    raw = fields.get(name)
    return None if raw is None or raw == NULL else raw


def without_nulls(fields: Fields) -> dict[str, Raw]:
    return {name: raw for name, raw in fields.items() if raw != NULL}


def is_text(raw: Raw) -> bool:
    return memoryview(raw)[0] == _QUOTE


def is_list(raw: Raw) -> bool:
    return memoryview(raw)[0] == _BRACKET


def read_object(raw: Raw, where: str) -> dict[str, Raw]:
    """Raises `Unsayable` if it is something else; so do the other readers."""
    try:
        return _object.decode(raw)
    except UNREADABLE:
        raise malformed(where, "an object") from None


def read_present(raw: Raw, where: str) -> dict[str, Raw]:
    """Read an object in which a null member is an absent one."""
    return without_nulls(read_object(raw, where))


def read_list(raw: Raw, where: str) -> list[Raw]:
    try:
        return _list.decode(raw)
    except UNREADABLE:
        raise malformed(where, "an array") from None


def read_objects(raw: Raw, where: str) -> list[dict[str, Raw]]:
    try:
        return _objects.decode(raw)
    except UNREADABLE:
        raise malformed(where, "an array of objects") from None


def read_texts(raw: Raw, where: str) -> list[str]:
    try:
        return _texts.decode(raw)
    except UNREADABLE:
        raise malformed(where, "an array of strings") from None


def read_text(raw: Raw, where: str) -> str:
    try:
        return _text.decode(raw)
    except UNREADABLE:
        raise malformed(where, "a string") from None


def read_number(raw: Raw, where: str) -> float:
    try:
        return _number.decode(raw)
    except UNREADABLE:
        raise malformed(where, "a number") from None


def read_member(fields: Fields, name: str, where: str) -> str:
    """Read a text that must be there."""
    try:
        return _text.decode(fields[name])
    except (KeyError, *UNREADABLE):
        raise malformed(f"{where}.{name}", "a string") from None


def text_member(fields: Fields, name: str, where: str) -> Raw:
    """Return a text that must be there, as it came."""
    raw = fields.get(name, NULL)
    if not is_text(raw):
        raise malformed(f"{where}.{name}", "a string")
    return raw


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
    return Raw(_encoder.encode(unmarked(bytes(raw)).decode()))


def unmarked(written: bytes) -> bytes:
    """Return JSON with the halves of its surrogate pairs as they came."""
    return _MARKED.sub(rb"\\u\1", written) if HALF_MARK in written else written


def unquoted_object(text: str) -> Raw | None:
    """Return the JSON object that a text holds, byte for byte; None if it holds something else."""
    raw = Raw(text.encode())
    try:
        _object.decode(raw)
    except UNREADABLE:
        return None
    return raw
