import math

import pytest
from msgspec import Raw

from router.domain.dialects.raw_json import encode
from router.facades.grpc import kinds
from router.facades.grpc.halves import read_object
from router.facades.grpc.kinds import NOT_HELD, Broken, Kind


@pytest.mark.parametrize(
    ("kind", "json", "value"),
    [
        (kinds.TEXT, r'"\u00e9\ud83d\ude00\u0000"', "é😀\x00"),
        (kinds.FLAG, "false", False),
        (kinds.INTEGER, "0", 0),
        (kinds.INTEGER, "9223372036854775807", 2**63 - 1),
        (kinds.INTEGER, "-9223372036854775808", -(2**63)),
        (kinds.NUMBER, "1", 1.0),
        (kinds.NUMBER, "0.30", 0.3),
        (kinds.NUMBER, "1E+2", 100.0),
        (kinds.NUMBER, "-0.0", -0.0),
        (kinds.NUMBER, "9007199254740992", 2.0**53),
        (kinds.TEXTS, '["a",""]', ["a", ""]),
        (kinds.TEXTS, "[]", []),
        (kinds.INTEGERS, "[1, 0,-2]", [1, 0, -2]),
        (kinds.NUMBERS, "[0.1, 2,\n3e1]", [0.1, 2.0, 30.0]),
        (kinds.OCTETS, "[0, 255]", b"\x00\xff"),
        (kinds.OCTETS, "[]", b""),
        (kinds.LABELS, '{"a":"b"}', {"a": "b"}),
        (kinds.JSON, "null", "null"),
        (kinds.JSON, '{ "b":5.0, "a":1 }', '{ "b":5.0, "a":1 }'),
        (kinds.FUNCTION_NAME, '{"function":{"name":"f"},"type":"function"}', "f"),
    ],
)
def test_a_field_holds_what_it_can_hold_exactly(kind: Kind, json: str, value: object) -> None:
    held = kind.read(Raw(json.encode()))

    assert value == held
    assert type(value) is type(held)
    assert not isinstance(value, float) or math.copysign(1, value) == math.copysign(1, held)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "jsons"),
    [
        (kinds.TEXT, ["null", "1", "[]", r'"\ud800"', '"\xff"']),
        (kinds.FLAG, ["null", "0", '"true"']),
        (
            kinds.INTEGER,
            ["null", "-0", "1.0", "1e3", "9223372036854775808", "-9223372036854775809", "true", '"1"', "1" * 5000],
        ),
        (
            kinds.NUMBER,
            ["null", "true", '"1"', "1e400", "1e-400", "9007199254740993", "0.1000000000000000055"],
        ),
        (kinds.NUMBER, ["-1e-99999999999999999999", "1" * 5000, "-0"]),
        (kinds.TEXTS, ["null", '"a"', '["a",null]', '["a",1]', r'["\ud800"]']),
        (kinds.INTEGERS, ["null", "[-0]", "[1.0]", "[1,null]", "[9223372036854775808]", "[[1]]"]),
        (kinds.NUMBERS, ["null", "[1,null]", "[0.1,1e400]", "[0.1,9007199254740993]", "[0.5,-0]", '["a"]']),
        (kinds.OCTETS, ["null", "[256]", "[-1]", "[-0]", "[1.0]", '"AA=="']),
        (kinds.LABELS, ["null", "[]", '{"a":1}', '{"a":null}', r'{"a":"\ud800"}', r'{"\ud800":"a"}']),
        (
            kinds.FUNCTION_NAME,
            [
                '{"type":"function","function":{"name":"f","strict":true}}',
                '{"type":"function","function":{"name":"f"},"more":1}',
                '{"type":"functions","function":{"name":"f"}}',
                '{"type":"function","function":{"name":null}}',
                '{"type":"function"}',
                '"function"',
            ],
        ),
    ],
)
def test_a_field_does_not_hold_what_would_come_back_as_something_else(kind: Kind, jsons: list[str]) -> None:
    for json in jsons:
        with pytest.raises(NOT_HELD):
            kind.read(Raw(json.encode("latin-1")))


@pytest.mark.parametrize(
    ("kind", "value", "json"),
    [
        (kinds.TEXT, 'é"', '"é\\""'),
        (kinds.NUMBER, 1.0, "1.0"),
        (kinds.NUMBER, -0.0, "-0.0"),
        (kinds.NUMBER, 1e22, "1e22"),
        (kinds.OCTETS, b"\x00\xff", "[0,255]"),
        (kinds.LABELS, {"b": "1", "a": "2"}, '{"a":"2","b":"1"}'),
        (kinds.JSON, '{ "b":5.0, "a":1 }', '{ "b":5.0, "a":1 }'),
        (kinds.FUNCTION_NAME, "f", '{"type":"function","function":{"name":"f"}}'),
    ],
)
def test_what_a_field_holds_is_written(kind: Kind, value: object, json: str) -> None:
    assert json.encode() == bytes(encode(kind.write(value)))  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_are_not_written(value: float) -> None:
    with pytest.raises(Broken, match="no number"):
        kinds.NUMBER.write(value)  # type: ignore[arg-type]
    with pytest.raises(Broken, match="no number"):
        kinds.NUMBERS.write([1.0, value])  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "1},", '{"a":NaN}', "{'a':1}", "[" * 100_000])
def test_a_text_that_is_no_json_is_not_written(text: str) -> None:
    for kind in (kinds.JSON, kinds.JSON_OBJECT):
        with pytest.raises(Broken, match="is not"):
            kind.write(text)  # type: ignore[arg-type]


def test_json_that_must_be_an_object_is_one() -> None:
    with pytest.raises(Broken, match="is not a JSON object"):
        kinds.JSON_OBJECT.write("[]")  # type: ignore[arg-type]


def test_marked_halves_are_restored_in_json_that_is_held() -> None:
    (value,) = read_object(rb'{"a":{"b":"\ud800"}}').values()

    assert r'{"b":"\ud800"}' == kinds.JSON.read(value)
    with pytest.raises(NOT_HELD):
        kinds.LABELS.read(value)


def test_the_path_to_what_is_broken_grows_outwards() -> None:
    broken = Broken("is", "Send", "text").within("[2]").within("parts").within("content")

    assert "content.parts[2].text" == broken.path
