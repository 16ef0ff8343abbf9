"""Typed messages filled at random by their descriptors, as a client may fill them; one seed makes one message."""

from random import Random
from typing import Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

TEXTS: Final = ("", "a", "é 😀", "\x00", '"\\ud800\\"', "\uffff\ufdd0d800", "auto", "function")
INTEGERS: Final = (0, 1, -1, 2**63 - 1, -(2**63))
DOUBLES: Final = (0.0, -0.0, 1.0, 0.1, -2.5, 5e-324, 1e22, 1.7976931348623157e308)
JSONS: Final = ("null", "[]", '{ "b":1.0 , "a":[ ] }', '"\\ud800"', "5", "-0", "1e3")
EXTRAS: Final = ("", "", "", '{"unknown":[1.0,-0]}', '{"é":null,"half":"\\udc00"}', '{"raw_json":{}}')
OBJECTS: Final = ('{"type":"web_search", "n":1.0}', "{}", '{"text":"a"}', '{"type":"refusal","refusal":"\\ud800"}')
CHOICES: Final = ("null", "[]", '{"type":"function"}', '{"type":"function","function":{"name":"f"},"more":1}', "5")
TOKENS: Final = frozenset(("checkrein.v1.TokenList.values", "checkrein.v1.TokenLists.values"))
"""Never empty here: an input of no tokens is written as one of no texts is."""


def fill(message: Message, chance: Random, depth: int = 0) -> Message:
    """Fill it with what its fields hold; all that is in `extra_json` no field could."""
    for oneof in message.DESCRIPTOR.oneofs:
        if len(oneof.fields) > 1 and (oneof.name not in {"input", "vector"} or chance.random() < 0.8):
            _set(message, chance.choice(oneof.fields), chance, depth)
    for field in message.DESCRIPTOR.fields:
        alone = field.containing_oneof is None or len(field.containing_oneof.fields) == 1
        often = 1.0 if field.full_name in TOKENS else 0.5 if depth < 3 else 0.2
        if alone and field.name != "extra_json" and chance.random() < often:
            _set(message, field, chance, depth)
    if "extra_json" in message.DESCRIPTOR.fields_by_name and not _whole(message):
        message.extra_json = chance.choice(EXTRAS)  # type: ignore[attr-defined]
    return message


def _whole(message: Message) -> bool:
    return "raw_json" in message.DESCRIPTOR.fields_by_name and message.HasField("raw_json")


def _set(message: Message, field: FieldDescriptor, chance: Random, depth: int) -> None:
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        for name in "abc"[: chance.randrange(3)]:
            value[name] = chance.choice(TEXTS)
    elif field.is_repeated:
        for _ in range(chance.randrange(field.full_name in TOKENS, 4)):
            if field.message_type is None:
                value.append(_scalar(message, field, chance))
            else:
                fill(value.add(), chance, depth + 1)
    elif field.message_type is not None:
        value.SetInParent()
        fill(value, chance, depth + 1)
    else:
        setattr(message, field.name, _scalar(message, field, chance))


def _scalar(message: Message, field: FieldDescriptor, chance: Random) -> object:
    if field.full_name == "checkrein.v1.ToolChoice.raw_json":
        return chance.choice(CHOICES)
    if field.name == "raw_json":
        return chance.choice(OBJECTS)
    if field.name.endswith("_json"):
        return chance.choice(JSONS)
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return chance.choice(TEXTS)
        case FieldDescriptor.TYPE_BYTES:
            return chance.randbytes(chance.randrange(4))
        case FieldDescriptor.TYPE_BOOL:
            return chance.random() < 0.5
        case FieldDescriptor.TYPE_DOUBLE:
            return chance.choice(DOUBLES)
    return chance.choice(INTEGERS)
