"""Say which member of which object each field of a typed message is: one table, by which `encode` and `decode` go.

It is made of the descriptors, so that a field that is added to a message is known here at once; what descriptors do not
tell stands at the top.
"""

from collections.abc import Iterable, Mapping
from typing import Final, cast

from checkrein.v1.chat_pb2 import ChatCompletion, ChatCompletionChunk, ChatCompletionRequest
from checkrein.v1.embeddings_pb2 import EmbeddingsReply, EmbeddingsRequest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from router.facades.grpc import kinds
from router.facades.grpc.kinds import Kind
from router.facades.grpc.shapes import EXTRA, Choice, Member, Object, Tagged, each_kind, each_of, not_empty, wrapped

NAMES: Final[Mapping[str, str]] = {"utf8": "bytes"}
"""Members whose field is called otherwise; else it has their name, and `_json` behind it where it holds JSON."""
CHOSEN: Final[Mapping[str, str]] = {"input": "input", "vector": "embedding"}
"""Members that are one of several fields, by the name of that choice."""
EMPTY_LISTS: Final = frozenset((
    "checkrein.v1.ChatCompletionRequest.messages", "checkrein.v1.ChatCompletion.choices",
    "checkrein.v1.ChatCompletionChunk.choices", "checkrein.v1.EmbeddingsReply.data",
))  # fmt: skip
"""Fields that are `[]` when they are empty."""
TAGGED: Final = frozenset(("checkrein.v1.ContentPart", "checkrein.v1.Tool"))
"""Messages whose field that is set names their `type`."""
SPECIAL: Final[Mapping[str, Kind]] = {
    "checkrein.v1.ToolChoice.function_name": kinds.FUNCTION_NAME,
    "checkrein.v1.ToolChoice.raw_json": kinds.JSON,
    "checkrein.v1.ContentPart.raw_json": kinds.JSON_OBJECT,
    "checkrein.v1.Tool.raw_json": kinds.JSON_OBJECT,
}
"""Kinds of fields that nothing else tells."""

NESTED_MAX: Final = 4
"""How often a message is held within itself; what is deeper stands in `extra_json`. OpenAI's are at most once, as
`top_logprobs`, and clients read no message of more than 100 levels: one odd provider would break the reply."""

_ONE: Final[Mapping[int, Kind]] = {
    FieldDescriptor.TYPE_STRING: kinds.TEXT,
    FieldDescriptor.TYPE_BOOL: kinds.FLAG,
    FieldDescriptor.TYPE_INT64: kinds.INTEGER,
    FieldDescriptor.TYPE_DOUBLE: kinds.NUMBER,
    FieldDescriptor.TYPE_BYTES: kinds.OCTETS,
}
_SEVERAL: Final[Mapping[int, Kind]] = {
    FieldDescriptor.TYPE_STRING: kinds.TEXTS,
    FieldDescriptor.TYPE_INT64: kinds.INTEGERS,
    FieldDescriptor.TYPE_DOUBLE: kinds.NUMBERS,
}


def _object(message: Descriptor, within: tuple[str, ...] = ()) -> Object:
    """Return the shape of a message that stands within these."""
    shape = Object()
    chosen = [choice for choice in message.oneofs if choice.name in CHOSEN]
    for field in message.fields:
        if field.name != EXTRA and field.containing_oneof not in chosen:
            listed = field.full_name in EMPTY_LISTS
            kind = _kind(field, within)
            shape.know(_member(field, not_empty(kind) if field.is_repeated and not listed else kind), listed=listed)
    for choice in chosen:
        shape.know_choice(CHOSEN[choice.name], choice.name, _members(choice.fields, within))
    return shape


def _members(fields: Iterable[FieldDescriptor], within: tuple[str, ...]) -> list[Member]:
    return [_member(field, _kind(field, within)) for field in fields if field.name != EXTRA]


def _member(field: FieldDescriptor, kind: Kind) -> Member:
    return Member(name=NAMES.get(field.name, field.name.removesuffix("_json")), field=field.name, kind=kind)


def _kind(field: FieldDescriptor, within: tuple[str, ...]) -> Kind:
    if field.full_name in SPECIAL:
        return SPECIAL[field.full_name]
    message = field.message_type
    if message is None:
        if field.is_repeated:
            return _SEVERAL[field.type]
        return kinds.JSON if field.name.endswith("_json") else _ONE[field.type]
    if message.GetOptions().map_entry:
        return kinds.LABELS
    if within.count(message.full_name) == NESTED_MAX:
        return kinds.TOO_DEEP
    within = (*within, message.full_name)
    return _messages(message, within) if field.is_repeated else _message(message, within)


def _message(message: Descriptor, within: tuple[str, ...]) -> Kind:
    if len(message.fields) == 1 and message.fields[0].is_repeated:
        return wrapped(message.fields[0].name, _kind(message.fields[0], within))
    if EXTRA not in message.fields_by_name:
        return Choice(_members(message.fields, within)).kind()
    shape = _object(message, within)
    return Kind(read=shape.read, write=shape.write)


def _messages(message: Descriptor, within: tuple[str, ...]) -> Kind:
    if message.full_name in TAGGED:
        return each_of(Tagged(_members(message.fields, within)))
    if EXTRA not in message.fields_by_name:
        return each_kind(_message(message, within))
    return each_of(_object(message, within))


OBJECTS: Final[Mapping[str, Object]] = {
    message.DESCRIPTOR.full_name: _object(cast(Descriptor, message.DESCRIPTOR))
    for message in (ChatCompletionRequest, ChatCompletion, ChatCompletionChunk, EmbeddingsRequest, EmbeddingsReply)
}
"""Messages that are objects, by full name."""
