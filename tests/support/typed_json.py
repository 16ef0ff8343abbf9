"""JSON of chats and embeddings as callers and providers may write it, usual or not; one seed makes one text.

The shapes are OpenAI's, written down here a second time, so that no table of the router is compared with itself.
"""

import json
from collections.abc import Sequence
from decimal import Decimal
from random import Random
from typing import Final

TEXT, INTEGER, NUMBER, FLAG, SCHEMA, OCTETS, LABELS = "text", "integer", "number", "flag", "schema", "octets", "labels"

TOOL_CALL: Final = {
    "index": INTEGER, "id": TEXT, "type": "=function", "function": {"name": TEXT, "arguments": TEXT},
}  # fmt: skip
PART: Final = (
    {"type": "=text", "text": TEXT},
    {"type": "=image_url", "image_url": {"url": TEXT, "detail": TEXT}},
    {"type": "=input_audio", "input_audio": {"data": TEXT, "format": TEXT}},
    {"type": "=file", "file": {"file_id": TEXT, "filename": TEXT, "file_data": TEXT}},
    {"type": "=text", "text": TEXT, "cache_control": {"type": TEXT}},
    {"type": "=refusal", "refusal": TEXT},
    {"type": "=image_url", "text": TEXT},
    {"type": "=raw_json", "raw_json": "{}"},
    {"text": TEXT},
)
MESSAGE: Final = {
    "role": TEXT, "content": (TEXT, [PART]), "name": TEXT, "tool_call_id": TEXT, "tool_calls": [TOOL_CALL],
    "refusal": TEXT, "reasoning_content": TEXT, "annotations": [],
}  # fmt: skip
FUNCTION: Final = {"name": TEXT, "description": TEXT, "parameters": SCHEMA, "strict": FLAG}
NAMED_FUNCTION: Final = {"type": "=function", "function": {"name": TEXT}}
REQUEST: Final = {
    "model": TEXT, "messages": [MESSAGE], "temperature": NUMBER, "top_p": NUMBER, "n": INTEGER, "max_tokens": INTEGER,
    "max_completion_tokens": INTEGER, "stop": (TEXT, [TEXT]), "presence_penalty": NUMBER, "frequency_penalty": NUMBER,
    "seed": INTEGER, "logprobs": FLAG, "top_logprobs": INTEGER,
    "tools": [({"type": "=function", "function": FUNCTION}, {"type": "=web_search", "filters": SCHEMA})],
    "tool_choice": (TEXT, NAMED_FUNCTION, {**NAMED_FUNCTION, "more": TEXT}, {"type": "=allowed_tools", "tools": []}),
    "parallel_tool_calls": FLAG,
    "response_format": {"type": TEXT, "json_schema": SCHEMA}, "reasoning_effort": TEXT, "user": TEXT,
    "service_tier": TEXT, "stream_options": {"include_usage": FLAG, "include_obfuscation": FLAG}, "store": FLAG,
    "verbosity": TEXT, "prompt_cache_key": TEXT, "safety_identifier": TEXT, "metadata": LABELS, "modalities": [TEXT],
    "stream": FLAG, "logit_bias": {"50256": NUMBER}, "fallbacks": [TEXT], "extra_json": TEXT, "tools_json": SCHEMA,
}  # fmt: skip
TOP_TOKEN: Final = {"token": TEXT, "logprob": NUMBER, "bytes": OCTETS}
TOKEN: Final = {**TOP_TOKEN, "top_logprobs": [TOP_TOKEN]}
LOGPROBS: Final = ({"content": [TOKEN], "refusal": [TOKEN]}, "null")
REPLY: Final = {
    "id": TEXT, "object": TEXT, "created": INTEGER, "model": TEXT,
    "choices": [{"index": INTEGER, "message": MESSAGE, "finish_reason": (TEXT, "null"), "logprobs": LOGPROBS}],
    "usage": SCHEMA, "system_fingerprint": TEXT, "service_tier": TEXT, "provider": TEXT,
}  # fmt: skip
DELTA: Final = {
    "role": TEXT, "content": TEXT, "refusal": (TEXT, "null"), "reasoning_content": TEXT, "tool_calls": [TOOL_CALL],
}  # fmt: skip
CHUNK: Final = REPLY | {
    "choices": [{"index": INTEGER, "delta": DELTA, "finish_reason": (TEXT, "null"), "logprobs": LOGPROBS}],
}  # fmt: skip
EMBEDDINGS: Final = {
    "model": TEXT, "input": (TEXT, [TEXT], [INTEGER], [[INTEGER]]), "dimensions": INTEGER, "encoding_format": TEXT,
    "user": TEXT, "text": TEXT,
}  # fmt: skip
VECTORS: Final = {
    "object": TEXT, "model": TEXT, "usage": SCHEMA,
    "data": [{"object": TEXT, "index": INTEGER, "embedding": ([NUMBER], TEXT), "floats": TEXT}],
}  # fmt: skip

DOUBLES: Final = frozenset(("temperature", "top_p", "presence_penalty", "frequency_penalty", "logprob", "embedding"))
"""Members where a number is what it is worth, however it is written."""

LISTS: Final = frozenset(("messages", "choices", "data"))
"""Members without which there is no typed form; more often there than others."""

SCHEMAS: Final = (
    '{ "type":"object" , "required":["b","a"],"properties":{"b":{"type":"number","minimum":5.0},"a":{}}}',
    '{"$defs":{"x":1e2},"a":1,"A":-0,"\\u0061b":"\\/"}',
    '{"prompt_tokens": 3, "completion_tokens_details": null}', "true",
)  # fmt: skip
PIECES: Final = (
    "a", " ", "é", "😀", "\u2028", "\ufffd", '\\"', "\\\\", "\\n", "\\/", "\\u0000", "\\u00e9", "\\ud83d\\ude00",
    "\\\\ud800", "\\uFFFF\\uFDD0d800", "\\\\\\ud83d\\uDE00", "the quick brown fox ", "\x7f", '{\\"city\\": ',
)  # fmt: skip
HALVES: Final = ("\\ud800", "\\uDC00", "\\ud83d\\u0041", "\\ud83d\\uD83D\\ude00", "\\\\\\udfff", "\\udbff\\\\")
NUMBERS: Final = (
    "0", "1", "-1", "-0", "0.0", "-0.0", "1.0", "0.1", "0.30", "-0.25", "1e3", "1E+2", "5e-324", "1e400", "1e-400",
    "2.50e-1", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
    "9007199254740993",
    "0.10000000000000000555", "123456789012345678901234567890", "-1e-99999999999999999999", "1" * 400,
)  # fmt: skip
WILD: Final = (
    "null",
    "[]",
    "{}",
    '""',
    "true",
    "false",
    "[null]",
    "[[]]",
    "[{}]",
    '{"":{}}',
    "[" * 90 + "]" * 90,
    '{"a":' * 60 + "1" + "}" * 60,
)

Shape = str | dict[str, "Shape"] | list["Shape"] | tuple["Shape", ...]


class Writer:
    """Writes texts of a shape; `odds` is how often something is not as it should be."""

    def __init__(self, seed: int) -> None:
        self._chance = Random(seed)
        self._odds = self._chance.choice((0.0, 0.01, 0.05, 0.2))
        self.repeats = False
        """An object has a member twice."""

    def document(self, shape: dict[str, Shape]) -> str:
        return self._object(shape)

    def _odd(self) -> bool:
        return self._chance.random() < self._odds

    def _write(self, shape: Shape) -> str:
        if self._odd():
            return self._wild()
        if isinstance(shape, dict):
            return self._object(shape)
        if isinstance(shape, tuple):
            return self._write(self._chance.choice(shape))
        if isinstance(shape, list):
            count = self._chance.choice((0, 1, 1, 2, 3)) if shape else 0
            return self._joined("[", [self._write(shape[0]) for _ in range(count)], "]")
        return self._leaf(shape)

    def _leaf(self, shape: str) -> str:
        chance = self._chance
        match shape:
            case "text":
                return self._text()
            case "integer":
                return str(chance.choice((0, 1, 7, 1767225600, -3))) if not self._odd() else chance.choice(NUMBERS)
            case "number":
                return repr(chance.uniform(-2, 2)) if chance.random() < 0.5 else chance.choice(NUMBERS)
            case "flag":
                return chance.choice(("true", "false"))
            case "schema":
                return chance.choice(SCHEMAS)
            case "octets":
                return self._joined(
                    "[", [str(chance.randrange(256 if not self._odd() else 300)) for _ in range(3)], "]"
                )
            case "labels":
                return self._joined(
                    "{", [f'"{name}":{self._write(TEXT)}' for name in "bca"[: chance.randrange(4)]], "}"
                )
        return f'"{shape[1:]}"' if shape.startswith("=") else shape

    def _text(self) -> str:
        pieces = [self._chance.choice(PIECES) for _ in range(self._chance.randrange(5))]
        if self._odd():
            pieces.insert(self._chance.randrange(len(pieces) + 1), self._chance.choice(HALVES))
        return '"' + "".join(pieces) + '"'

    def _wild(self) -> str:
        kind = self._chance.randrange(4)
        if kind == 0:
            return self._chance.choice(NUMBERS)
        return self._text() if kind == 1 else self._chance.choice(WILD)

    def _object(self, shape: dict[str, Shape]) -> str:
        chance = self._chance
        keep = chance.choice((0.3, 0.9, 1.0))
        members = [
            (f'"{name}"', self._write(each))
            for name, each in shape.items()
            if (not self._odd() if name in LISTS else chance.random() < keep)
        ]
        if self._odd():
            members.append((self._text(), self._wild()))
        if self._odd() and members:
            self.repeats = True
            members.append((chance.choice(members)[0], self._wild()))
        if self._odd():
            members.append(('"\\u0063ontent"', self._wild()))
        if chance.random() < 0.3:
            chance.shuffle(members)
        return self._joined("{", [f"{name}:{value}" for name, value in members], "}")

    def _joined(self, start: str, parts: Sequence[str], end: str) -> str:
        return start + self._chance.choice((",", ",", ", ", " ,\n")).join(parts) + end


class Written(str):
    """A number as it was written."""

    __slots__ = ()


def read(text: str | bytes) -> object:
    """Read JSON with a decoder that takes halves of surrogate pairs; of a member that comes twice it takes the last."""
    return json.loads(text, parse_int=Written, parse_float=Written)


def same(one: object, other: object, name: str = "", *, ordered: bool = False) -> bool:
    """Tell whether two values are equal: numbers as they were written but for doubles, schemas in their order too."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Written) and isinstance(other, Written):
        return one == other or (name in DOUBLES and _worth(one) == _worth(other))
    if isinstance(one, dict) and isinstance(other, dict):
        ordered = ordered or name in {"parameters", "json_schema", "usage"}
        return (list(one) == list(other) if ordered else one.keys() == other.keys()) and all(
            same(value, other[key], key, ordered=ordered) for key, value in one.items()
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(
            same(value, opposite, name, ordered=ordered) for value, opposite in zip(one, other, strict=True)
        )
    return one == other


def _worth(number: Written) -> tuple[bool, Decimal]:
    return number.startswith("-"), Decimal(number)
