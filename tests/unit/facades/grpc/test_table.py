import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from checkrein.v1 import chat_pb2, embeddings_pb2
from checkrein.v1.chat_pb2 import ChatCompletion, ChatCompletionChunk, ChatCompletionRequest
from checkrein.v1.embeddings_pb2 import EmbeddingsReply, EmbeddingsRequest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from router.facades.grpc import table
from router.facades.grpc.decode import decoded
from router.facades.grpc.encode import encoded
from router.facades.grpc.shapes import EXTRA

PROTOS: Final = Path(__file__).parents[4] / "protos/checkrein/v1"

MORE: Final = {"more": 1}
CALL: Final = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{", **MORE}, **MORE}
TOKEN: Final = {"token": "a", "logprob": -0.5, "bytes": [97], **MORE}
LOGPROBS: Final = {"content": [{**TOKEN, "top_logprobs": [TOKEN]}], "refusal": [], **MORE}
PARTS: Final = [
    {"type": "text", "text": "a", **MORE},
    {"type": "image_url", "image_url": {"url": "a", "detail": "low", **MORE}},
    {"type": "input_audio", "input_audio": {"data": "a", "format": "wav", **MORE}},
    {"type": "file", "file": {"file_id": "a", "filename": "b", "file_data": "c", **MORE}},
    {"type": "another"},
]
SAID: Final = {
    "role": "user", "content": PARTS, "name": "a", "tool_call_id": "b", "tool_calls": [CALL], "refusal": "c",
    "reasoning_content": "d", **MORE,
}  # fmt: skip
FUNCTION: Final = {"name": "f", "description": "d", "parameters": {}, "strict": True, **MORE}
NAMED: Final = {"type": "function", "function": {"name": "f"}}
ASKED: Final = {
    "model": "m", "messages": [SAID, {"content": "a"}], "temperature": 0.5, "top_p": 0.5, "n": 1, "max_tokens": 1,
    "max_completion_tokens": 1, "stop": ["a"], "presence_penalty": 0.5, "frequency_penalty": 0.5, "seed": 1,
    "logprobs": True, "top_logprobs": 1, "tools": [{"type": "function", "function": FUNCTION, **MORE}, {"type": "b"}],
    "tool_choice": NAMED, "parallel_tool_calls": True, "reasoning_effort": "low", "user": "a", "service_tier": "b",
    "response_format": {"type": "json_schema", "json_schema": {}, **MORE}, "store": True, "verbosity": "low",
    "stream_options": {"include_usage": True, **MORE}, "prompt_cache_key": "c", "safety_identifier": "d",
    "metadata": {"a": "b"}, "modalities": ["text"], **MORE,
}  # fmt: skip
REPLY: Final = {
    "id": "a", "object": "b", "created": 1, "model": "m", "usage": {}, "system_fingerprint": "c", "service_tier": "d",
    **MORE,
}  # fmt: skip
CHOICE: Final = {"index": 0, "finish_reason": "stop", "logprobs": LOGPROBS, **MORE}
DELTA: Final = {name: SAID[name] for name in ("role", "refusal", "reasoning_content", "tool_calls", "more")}
VECTOR: Final = {"object": "embedding", "index": 0, **MORE}
EMBEDDED: Final = {"model": "m", "dimensions": 1, "encoding_format": "float", "user": "a", **MORE}
USUAL: Final[list[tuple[type[Message], dict[str, object]]]] = [
    (ChatCompletionRequest, ASKED),
    (ChatCompletionRequest, {"messages": [], "stop": "a", "tool_choice": "auto"}),
    (ChatCompletionRequest, {"messages": [], "tool_choice": {"type": "another"}}),
    (ChatCompletion, {**REPLY, "choices": [{**CHOICE, "message": SAID}]}),
    (ChatCompletionChunk, {**REPLY, "choices": [{**CHOICE, "delta": {**DELTA, "content": "a"}}]}),
    *((EmbeddingsRequest, {**EMBEDDED, "input": each}) for each in ("a", ["a"], [1], [[1]])),
    (
        EmbeddingsReply,
        {
            "object": "list",
            "model": "m",
            "data": [{**VECTOR, "embedding": [0.5]}, {**VECTOR, "embedding": "AA=="}],
            "usage": {},
            **MORE,
        },
    ),
]
"""All that has a field, as callers and providers usually write it."""


def messages() -> list[Descriptor]:
    found = [each for module in (chat_pb2, embeddings_pb2) for each in module.DESCRIPTOR.message_types_by_name.values()]
    return [each for each in found if not each.name.startswith("Create")]


def fields() -> Iterator[FieldDescriptor]:
    return (field for message in messages() for field in message.fields)


def filled(message: Message) -> Iterator[tuple[str, object]]:
    for field, value in message.ListFields():
        yield field.full_name, value
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for each in value if field.is_repeated else [value]:
                yield from filled(each)


def test_usual_json_is_in_fields_and_only_what_is_not_known_in_extra_json() -> None:
    seen = set()
    for message, said in USUAL:
        typed = encoded(message, json.dumps(said).encode())
        assert typed is not None
        for name, value in filled(typed):
            seen.add(name)
            assert not name.endswith(EXTRA) or value == '{"more":1}', name

    assert set() == {field.full_name for field in fields()} - seen


def test_what_stands_in_the_table_is_in_the_messages() -> None:
    known = {field.full_name for field in fields()}

    assert set(table.EMPTY_LISTS) <= known
    assert set(table.SPECIAL) <= known
    assert set(table.TAGGED) <= {message.full_name for message in messages()}
    assert set(table.NAMES) <= {field.name for field in fields()}
    assert set(table.CHOSEN) <= {choice.name for message in messages() for choice in message.oneofs}


def test_the_lists_whose_comment_says_so_are_empty_and_not_absent() -> None:
    said = set()
    for name in ("chat", "embeddings"):
        text = (PROTOS / f"{name}.proto").read_text()
        for message, body in re.findall(r"^message (\w+) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL):
            empty = re.findall(r"// [^\n]*Empty: `\[\]`[^\n]*\n  repeated [\w.]+ (\w+) =", body)
            said |= {f"checkrein.v1.{message}.{field}" for field in empty if EXTRA in body}

    assert set(table.EMPTY_LISTS) == said


def test_every_text_of_json_is_checked_before_it_is_written() -> None:
    unchecked = [field.full_name for field in fields() if field.name.endswith("_json") and field.name != EXTRA]

    assert {name for name in unchecked if name.endswith(".raw_json")} == {
        name for name in table.SPECIAL if name.endswith(".raw_json")
    }


def test_what_a_client_could_not_read_for_its_depth_is_in_extra_json() -> None:
    top = b'{"token":"a"}'
    for _ in range(150):
        top = b'{"top_logprobs":[%b]}' % top
    body = b'{"choices":[{"logprobs":{"content":[%b]}}]}' % top

    typed = encoded(ChatCompletion, body)

    assert typed is not None
    assert body == decoded(ChatCompletion.FromString(typed.SerializeToString()))
    (token,) = typed.choices[0].logprobs.content.values
    assert token.top_logprobs.values[0].top_logprobs.values
