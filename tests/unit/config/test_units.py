from decimal import Decimal
from typing import Annotated

import pytest
from pydantic import TypeAdapter, ValidationError

from router.config.units import (
    ModelAlias,
    Name,
    SecretText,
    TimeZone,
    Usd,
    WallInstant,
    Window,
    duration,
    format_size,
    parse_size,
    size,
)
from router.domain.secret import Secret

SPAN: TypeAdapter[int] = TypeAdapter(Annotated[int, duration("10ms", "1h")])
BYTES: TypeAdapter[int] = TypeAdapter(Annotated[int, size("1KiB", "1GiB")])
INSTANT: TypeAdapter[int] = TypeAdapter(WallInstant)
SECRET: TypeAdapter[Secret] = TypeAdapter(SecretText)


@pytest.mark.parametrize(("text", "span_ns"), [("500ms", 500_000_000), ("30s", 30 * 10**9), ("1h", 3_600 * 10**9)])
def test_a_duration_is_nanoseconds_inside_and_text_outside(text: str, span_ns: int) -> None:
    assert span_ns == SPAN.validate_python(text)
    assert text == SPAN.dump_python(span_ns, mode="json")


@pytest.mark.parametrize("value", [30, "30", "soon", "-1s", None, "2h", "9ms"])
def test_a_duration_without_unit_or_out_of_range_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        SPAN.validate_python(value)


@pytest.mark.parametrize(
    ("text", "count"),
    [("32MiB", 32 << 20), ("256KiB", 256 << 10), ("1MB", 10**6), ("10 kB", 10_000), ("7B", 7), ("1.5KiB", 1536)],
)
def test_a_size_is_bytes(text: str, count: int) -> None:
    assert count == parse_size(text)


@pytest.mark.parametrize("text", ["32", "32XB", "MiB", "-1MiB", "1mib"])
def test_what_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize("text", ["32MiB", "1GiB", "1000B", "3KiB"])
def test_a_size_is_written_in_its_largest_whole_unit(text: str) -> None:
    assert text == format_size(parse_size(text))


@pytest.mark.parametrize("value", ["1B", "2GiB", 1024])
def test_a_size_has_bounds_and_a_unit(value: object) -> None:
    with pytest.raises(ValidationError):
        BYTES.validate_python(value)


@pytest.mark.parametrize(
    ("text", "instant_ns"),
    [
        ("1970-01-02", 86_400 * 10**9),
        ("1970-01-01T00:00:01Z", 10**9),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.000001", 1_000),
    ],
)
def test_an_instant_is_unix_nanoseconds_in_utc_unless_it_says_otherwise(text: str, instant_ns: int) -> None:
    assert instant_ns == INSTANT.validate_python(text)


def test_what_is_not_a_date_is_refused() -> None:
    with pytest.raises(ValidationError, match="is not a date"):
        INSTANT.validate_python("tomorrow")


def test_a_secret_is_hidden_in_every_form_but_the_revealed_one() -> None:
    secret = SECRET.validate_python("hunter2")

    assert "hunter2" == secret.reveal()
    assert "***" == SECRET.dump_python(secret, mode="json")
    assert "hunter2" not in repr(SECRET.dump_python(secret))


def test_a_secret_that_is_no_text_is_refused_without_being_quoted() -> None:
    with pytest.raises(ValidationError) as caught:
        SECRET.validate_python(8_675_309)

    assert "checkrein_invalid_secret" == caught.value.errors()[0]["type"]


@pytest.mark.parametrize("text", ["hour", "day", "week", "month", "lifetime", "1d", "90m", "1s", "3650d"])
def test_a_window_is_a_word_or_a_duration(text: str) -> None:
    assert text == TypeAdapter(Window).validate_python(text)


@pytest.mark.parametrize(("kind", "text"), [
    (Window, "year"), (Window, "0s"), (Window, "3651d"),
    (TimeZone, "Mars/Olympus"), (TimeZone, "../etc"), (Name, ""), (Name, "a/b"), (Name, "-a"),
    (Name, "ä"), (Name, "x" * 101), (ModelAlias, "a b"), (Usd, "-1"), (Usd, "NaN"),
])  # fmt: skip
def test_what_is_not_of_a_kind_is_refused(kind: type, text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(text)


def test_a_model_may_be_named_as_its_makers_do() -> None:
    assert "meta-llama/Llama-3.1:free" == TypeAdapter(ModelAlias).validate_python("meta-llama/Llama-3.1:free")


def test_money_keeps_its_digits() -> None:
    assert "0.1000000001" == str(TypeAdapter(Usd).validate_python(Decimal("0.1000000001")))
