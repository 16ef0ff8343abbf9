"""Define the types that an operator writes as text: durations, sizes, secrets, names, instants, windows."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Final, Generic, TypeVar
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.config import JsonDict
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from router.domain.instants import format_duration, parse_duration_ns
from router.domain.secret import Secret

T = TypeVar("T")

INVALID: Final = "checkrein_invalid"
INVALID_SECRET: Final = "checkrein_invalid_secret"


def invalid(predicate: str, fix: str, kind: str = INVALID) -> PydanticCustomError:
    """Build an error that reads "<value> <predicate>; <fix>"; with INVALID_SECRET the value is left out."""
    return PydanticCustomError(kind, "{predicate}", {"predicate": predicate, "fix": fix})


@dataclass(frozen=True, slots=True, eq=False)
class Written(Generic[T]):
    """A value that is text in the file and something else inside: how it is read, written back and described."""

    read: Callable[[object], T]
    write: Callable[[T], str | int]
    schema: JsonDict

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        back = core_schema.plain_serializer_function_ser_schema(self.write, when_used="json")
        return core_schema.no_info_plain_validator_function(self.read, serialization=back)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return dict(self.schema)


def duration(least: str, most: str) -> Written[int]:
    """Read "30s" into nanoseconds, within bounds that are written the same way."""
    least_ns, most_ns = parse_duration_ns(least), parse_duration_ns(most)

    def read(value: object) -> int:
        try:
            span_ns = parse_duration_ns(value) if isinstance(value, str) else None
        except ValueError:
            span_ns = None
        if span_ns is None:
            raise invalid("is not a duration", "write a number and one of ms, s, m, h, d, such as 30s")
        if not least_ns <= span_ns <= most_ns:
            raise invalid("is out of range", f"use {least} to {most}")
        return span_ns

    schema: JsonDict = {"type": "string", "format": "duration", "x-range": f"{least} to {most}"}
    return Written(read, format_duration, schema)


_SIZES: Final = {
    "GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "GB": 10**9, "MB": 10**6, "KB": 10**3, "kB": 10**3, "B": 1,
}  # fmt: skip
_SIZE: Final = re.compile(r"(\d{1,12}(?:\.\d{1,3})?)\s?([KMG]iB|[kKMG]?B)", re.ASCII)


def parse_size(text: str) -> int:
    """Read "32MiB", "256KiB", "1MB" into bytes; ValueError for anything else."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size: write a number and one of B, KiB, MiB, GiB, such as 32MiB")
    return int(Decimal(match[1]) * _SIZES[match[2]])


def format_size(size: int) -> str:
    """Write a number of bytes in its largest whole binary unit."""
    return next(f"{size // _SIZES[unit]}{unit}" for unit in ("GiB", "MiB", "KiB", "B") if size % _SIZES[unit] == 0)


def size(least: str, most: str) -> Written[int]:
    """Read "32MiB" into bytes, within bounds that are written the same way."""
    least_bytes, most_bytes = parse_size(least), parse_size(most)

    def read(value: object) -> int:
        try:
            found = parse_size(value) if isinstance(value, str) else None
        except ValueError:
            found = None
        if found is None:
            raise invalid("is not a size", "write a number and one of B, KiB, MiB, GiB, such as 32MiB")
        if not least_bytes <= found <= most_bytes:
            raise invalid("is out of range", f"use {least} to {most}")
        return found

    return Written(read, format_size, {"type": "string", "format": "size", "x-range": f"{least} to {most}"})


def _read_secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise invalid("a secret is text", "put it in quotes, or better in a variable: ${NAME}", INVALID_SECRET)
    return Secret(value)


SecretText = Annotated[
    Secret, Written(_read_secret, lambda _: "***", {"type": "string", "format": "password", "writeOnly": True})
]


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _read_instant(value: object) -> int:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise invalid("is not a date or a time", "write 2027-01-31 or 2027-01-31T12:00:00Z")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000


def _write_instant(instant_ns: int) -> str:
    return (_EPOCH + timedelta(microseconds=instant_ns // 1_000)).isoformat()


WallInstant = Annotated[int, Written(_read_instant, _write_instant, {"type": "string", "format": "date-time"})]
"""Unix nanoseconds. A date alone is its first moment; without a zone it is UTC."""

_CALENDAR: Final = ("hour", "day", "week", "month")
LIFETIME: Final = "lifetime"
_ROLLING_MIN, _ROLLING_MAX = "1s", "3650d"


def _check_window(text: str) -> str:
    if text in _CALENDAR or text == LIFETIME:
        return text
    try:
        span_ns = parse_duration_ns(text)
    except ValueError:
        fix = "use hour, day, week, month or lifetime, or a duration such as 7d"
        raise invalid("is not a window", fix) from None
    if not parse_duration_ns(_ROLLING_MIN) <= span_ns <= parse_duration_ns(_ROLLING_MAX):
        raise invalid("is out of range", f"use {_ROLLING_MIN} to {_ROLLING_MAX}")
    return text


Window = Annotated[str, AfterValidator(_check_window)]
"""A word is a calendar window or for ever, a duration a rolling one."""


def _check_timezone(text: str) -> str:
    if text != "UTC":
        try:
            ZoneInfo(text)
        except (ValueError, OSError, LookupError):
            raise invalid("is not a time zone", "use a name such as Europe/Berlin") from None
    return text


TimeZone = Annotated[str, AfterValidator(_check_timezone)]


def _named(pattern: str, allowed: str) -> AfterValidator:
    compiled = re.compile(pattern, re.ASCII)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise invalid("is not a name", f"use 1 to 100 of {allowed}, beginning with a letter or a digit")
        return text

    return AfterValidator(check)


Name = Annotated[str, _named(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", "letters, digits, `.`, `_`, `-`")]
ModelAlias = Annotated[
    str, _named(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,99}", "letters, digits, `.`, `_`, `-`, `:`, `/`, `@`, `+`")
]

Port = Annotated[int, Field(ge=0, le=65_535)]
Usd = Annotated[Decimal, Field(ge=0, le=1_000_000_000)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000_000)]
Share = Annotated[float, Field(ge=0, le=1)]
Percent = Annotated[int, Field(ge=0, le=100)]
Text = Annotated[str, Field(min_length=1, max_length=500)]
