"""Read the members of a request one at a time, and refuse or note what the other dialect cannot say."""

from collections.abc import Collection
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dialects.translation import Untranslatable

_list: Final = msgspec.json.Decoder(list[Raw])
_members: Final = msgspec.json.Decoder(dict[str, Raw])
_text: Final = msgspec.json.Decoder(str)
decode: Final = msgspec.json.Decoder().decode
encode: Final = msgspec.json.Encoder().encode

NULL: Final = Raw(b"null")
TRUE: Final = Raw(b"true")
FALSE: Final = Raw(b"false")
NO_TEXT: Final = Raw(b'""')

_QUOTE, _BRACKET, _BRACE = b'"[{'


class Unsayable(Exception):
    """Ends a translation; the function that began it returns what is said here."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.said: Final = Untranslatable(param, message)


class Losses:
    """What one request cannot say in the other dialect."""

    __slots__ = ("_dialect", "_drop", "dropped")

    def __init__(self, *, dialect: str, drop: bool) -> None:
        self._dialect = dialect
        self._drop = drop
        self.dropped: list[str] = []

    def cannot(self, param: str, why: str = "") -> None:
        """Note a member that is left out. Raises `Unsayable` unless the caller asked for that."""
        if not self._drop:
            raise Unsayable(param, self._message(param, why))
        self.dropped.append(param)

    def never(self, param: str, why: str) -> Unsayable:
        """Say that without this member the request would be another one, so that it is never left out."""
        return Unsayable(param, self._message(param, why))

    def only(self, fields: Collection[str], known: Collection[str], param: str) -> None:
        """Note the members that are none of the known ones."""
        for name in fields:
            if name not in known:
                self.cannot(f"{param}.{name}")

    def _message(self, param: str, why: str) -> str:
        reason = f": {why}" if why else ""
        return f"`{param}` cannot be said in {self._dialect}, which this model's provider speaks{reason}. Remove it."


def is_text(raw: Raw) -> bool:
    return memoryview(raw)[0] == _QUOTE


def is_list(raw: Raw) -> bool:
    return memoryview(raw)[0] == _BRACKET


def text(raw: Raw, param: str) -> str:
    """Read a short string. Raises `Unsayable` if it is something else."""
    if not is_text(raw):
        raise malformed(param, "a string")
    return _text.decode(raw)


def text_raw(fields: dict[str, Raw], name: str, param: str) -> Raw:
    """Return a string that must be there, as it came."""
    raw = fields.get(name, NULL)
    if not is_text(raw):
        raise malformed(f"{param}.{name}", "a string")
    return raw


def members(raw: Raw, param: str) -> dict[str, Raw]:
    """Read an object; a null member is an absent one. Raises `Unsayable` if it is something else."""
    if memoryview(raw)[0] != _BRACE:
        raise malformed(param, "an object")
    return present(_members.decode(raw))


def present(fields: dict[str, Raw]) -> dict[str, Raw]:
    return {name: raw for name, raw in fields.items() if raw != NULL}


def elements(raw: Raw, param: str) -> list[Raw]:
    """Read an array. Raises `Unsayable` if it is something else."""
    if not is_list(raw):
        raise malformed(param, "an array")
    return _list.decode(raw)


def kind_of(fields: dict[str, Raw], param: str) -> str:
    """Read the `type` that an object must have."""
    return text(fields.get("type", NULL), f"{param}.type")


def malformed(param: str, wanted: str) -> Unsayable:
    return Unsayable(param, f"`{param}` must be {wanted}.")


def written(value: object) -> Raw:
    return Raw(encode(value))
