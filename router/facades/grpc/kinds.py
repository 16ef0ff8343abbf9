"""Say of each kind of field which JSON it holds exactly: how that is read into it, and written from it again."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Final, Never

import msgspec
from msgspec import Meta, Raw

from router.domain.dialects.raw_json import UNREADABLE, encode
from router.facades.grpc.halves import read_object, read_value, restored

Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Octet = Annotated[int, Meta(ge=0, le=255)]

_text: Final = msgspec.json.Decoder(str)
_flag: Final = msgspec.json.Decoder(bool)
_integer: Final = msgspec.json.Decoder(Integer)
_number: Final = msgspec.json.Decoder(float)
_texts: Final = msgspec.json.Decoder(list[str])
_integers: Final = msgspec.json.Decoder(list[Integer])
_octets: Final = msgspec.json.Decoder(list[Octet])
_numbers: Final = msgspec.json.Decoder(list[float])
_labels: Final = msgspec.json.Decoder(dict[str, str])
_object: Final = msgspec.json.Decoder(dict[str, Raw])

_ZERO: Final = Raw(b"0")


class Unheld(Exception):
    """A field cannot hold this exactly."""


NOT_HELD: Final = (Unheld, *UNREADABLE)
"""What a reader of a field raises."""


class Broken(Exception):
    """A message does not keep to the rules of chat.proto. `problem` goes on where the path to the field ends."""

    def __init__(self, problem: str, remedy: str, path: str = "") -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy
        self.path = path

    def within(self, outer: str) -> "Broken":
        """Say that it happened in this field, or in this place of a list."""
        self.path = f"{outer}.{self.path}" if self.path and not self.path.startswith("[") else f"{outer}{self.path}"
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How fields of one kind hold JSON."""

    read: Callable[[Raw], object]
    """Return what goes into the field. Raises `NOT_HELD`."""
    write: Callable[[Never], object]
    """Return what the encoder writes of what the field holds. Raises `Broken`."""
    null: bool = False
    """It holds null as well."""


def json_text(raw: Raw) -> str:
    """Return JSON as a text, byte for byte."""
    return restored(bytes(raw)).decode()


def json_object(text: str) -> dict[str, Raw]:
    """Open a text that must be an object. Raises `Broken`."""
    try:
        return read_object(text)
    except UNREADABLE as exc:
        raise Broken(f"is not a JSON object ({_reason(exc)})", "Send one, or leave it empty") from None


def _same(value: object) -> object:
    return value


def _read_integer(raw: Raw) -> int:
    value = _integer.decode(raw)
    if value == 0 and raw != _ZERO:
        raise Unheld  # -0
    return value


def _read_integers(raw: Raw) -> list[int]:
    return _plain(_integers.decode(raw), raw)


def _read_octets(raw: Raw) -> bytes:
    return bytes(_plain(_octets.decode(raw), raw))


def _plain(values: list[int], raw: Raw) -> list[int]:
    if bytes(encode(values)) != _spaceless(raw):
        raise Unheld  # one is -0
    return values


def _read_number(raw: Raw) -> float:
    value = _number.decode(raw)
    if encode(value) != raw and not _exact(value, bytes(raw)):
        raise Unheld
    return value


def _read_numbers(raw: Raw) -> list[float]:
    values = _numbers.decode(raw)
    written, came = bytes(encode(values)), _spaceless(raw)
    if written != came:  # few differ, in the form of an exponent
        for value, one, other in zip(values, written[1:-1].split(b","), came[1:-1].split(b","), strict=True):
            if one != other and not _exact(value, other):
                raise Unheld
    return values


def _spaceless(raw: Raw) -> bytes:
    """Return a list of numbers without the spaces between them."""
    return bytes(raw).translate(None, b" \t\r\n")


def _exact(value: float, written: bytes) -> bool:
    """Tell whether the shortest decimals of a double are the number that was written, whatever its form was."""
    try:
        number = Decimal(written.decode())
    except ArithmeticError:  # its exponent is beyond all that `Decimal` counts
        return False
    return number == Decimal(repr(value)) and number.is_signed() == (math.copysign(1, value) < 0)


def _write_number(value: float) -> float:
    if not math.isfinite(value):
        raise Broken("is no number that JSON has", "Send a finite one")
    return value


def _write_numbers(values: Iterable[float]) -> list[float]:
    return [_write_number(value) for value in values]


def _write_labels(values: Mapping[str, str]) -> dict[str, str]:
    return dict(sorted(values.items()))  # a map has no order: the same request shall always be the same bytes


def _write_json(text: str) -> Raw:
    try:
        return read_value(text)
    except UNREADABLE as exc:
        raise Broken(f"is not JSON ({_reason(exc)})", "Send RFC 8259 JSON") from None


def _write_object(text: str) -> Raw:
    json_object(text)
    return read_value(text)


def _read_function_name(raw: Raw) -> str:
    choice = _object.decode(raw)
    if choice.keys() != {"type", "function"} or _text.decode(choice["type"]) != "function":
        raise Unheld
    function = _object.decode(choice["function"])
    if function.keys() != {"name"}:
        raise Unheld
    return _text.decode(function["name"])


def _write_function_name(name: str) -> object:
    return {"type": "function", "function": {"name": name}}


def _read_too_deep(_raw: Raw) -> object:
    raise Unheld


def _write_too_deep(_message: object) -> object:
    raise Broken("is nested too deeply", "Put it into `extra_json`")


def _reason(exc: Exception) -> str:
    """Say what is wrong with a text; a decoder's message has a position, never content."""
    if isinstance(exc, RecursionError):
        return "it is nested too deeply"
    return str(exc).removeprefix("JSON is malformed: ").replace("Input data", "a string or the text")


TEXT: Final = Kind(read=_text.decode, write=_same)
FLAG: Final = Kind(read=_flag.decode, write=_same)
INTEGER: Final = Kind(read=_read_integer, write=_same)
NUMBER: Final = Kind(read=_read_number, write=_write_number)
"""A double. What JSON wrote as 1 is written as 1.0, which is the same number."""
TEXTS: Final = Kind(read=_texts.decode, write=list)
INTEGERS: Final = Kind(read=_read_integers, write=list)
NUMBERS: Final = Kind(read=_read_numbers, write=_write_numbers)
OCTETS: Final = Kind(read=_read_octets, write=list)
LABELS: Final = Kind(read=_labels.decode, write=_write_labels)
JSON: Final = Kind(read=json_text, write=_write_json, null=True)
JSON_OBJECT: Final = Kind(read=json_text, write=_write_object)
FUNCTION_NAME: Final = Kind(read=_read_function_name, write=_write_function_name)
TOO_DEEP: Final = Kind(read=_read_too_deep, write=_write_too_deep)
"""Of a message within itself, where it ends."""
