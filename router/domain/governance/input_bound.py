"""Bound the tokens of a chat request from above, so that what is reserved for it is never less than what it costs.

A byte-level tokenizer makes at most one token of a byte, and JSON writes no text in fewer bytes than it has. So a
request has at most as many input tokens as bytes, with 8 for each message's frame and 512 for the frame of the tools.
What is no text has no such bound: each image, sound or file counts as much as the model's operator declared, and its
bytes count for nothing. Members that are known to be settings are not sent to the model; all others count.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.chat import MAX_TOKENS_FIELDS

MESSAGE_FRAME_TOKENS: Final = 8
TOOLS_FRAME_TOKENS: Final = 512


class PartKind(StrEnum):
    """What a content may hold beside text."""

    IMAGE = "image"
    AUDIO = "audio"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unbounded:
    """Nobody can say how much the request may take, because of one part of it; under a budget it has no price."""

    part: str
    """A `PartKind` for which the model declares no maximum; or the type of a part, or a member, that is not known."""


class OutputBound(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the caller asked for at most, each choice for itself."""

    per_choice: int | None
    choices: int

    @property
    def tokens(self) -> int | None:
        return None if self.per_choice is None else self.per_choice * self.choices


# fmt: off
_SETTINGS: Final = frozenset((
    "frequency_penalty", "logit_bias", "logprobs", "max_completion_tokens", "max_tokens", "metadata",
    "modalities", "model", "n", "parallel_tool_calls", "presence_penalty", "prompt_cache_key",
    "prompt_cache_retention", "reasoning_effort", "safety_identifier", "seed", "service_tier", "stop", "store",
    "stream", "stream_options", "temperature", "tool_choice", "top_logprobs", "top_p", "user", "verbosity",
))
# fmt: on
_TOOLS: Final = ("tools", "functions")
_TEXTS: Final = frozenset(("text", "refusal", "input_text", "output_text", "thinking"))
_KINDS: Final = {
    "image_url": PartKind.IMAGE,
    "input_image": PartKind.IMAGE,
    "input_audio": PartKind.AUDIO,
    "file": PartKind.FILE,
    "input_file": PartKind.FILE,
}
_EMPTY: Final = Raw(b"")
_NULL: Final = Raw(b"null")
_OPENERS: Final = b"[{"


class _Message(msgspec.Struct, gc=False):
    content: Raw = _EMPTY
    audio: Raw = _EMPTY
    """An earlier spoken reply, named by its id."""


class _Part(msgspec.Struct, gc=False):
    type: str = ""
    image_url: Raw = _EMPTY
    input_audio: Raw = _EMPTY
    file: Raw = _EMPTY
    file_data: Raw = _EMPTY


_messages: Final = msgspec.json.Decoder(list[_Message])
_parts: Final = msgspec.json.Decoder(list[_Part])
_part: Final = msgspec.json.Decoder(_Part)
_count: Final = msgspec.json.Decoder(int | None, strict=False)


def bound_input(fields: Mapping[str, Raw], maxima: Mapping[PartKind, int]) -> int | Unbounded:
    """Return the most input tokens that the request can take; `maxima` are the model's declared tokens a part."""
    try:
        messages = _messages.decode(fields.get("messages", _EMPTY))
    except msgspec.DecodeError:
        return Unbounded(part="messages")
    bound = MESSAGE_FRAME_TOKENS * len(messages)
    for name, raw in fields.items():
        if name not in _SETTINGS:
            bound += len(raw)
            if name in _TOOLS:
                bound += TOOLS_FRAME_TOKENS
    for message in messages:
        if message.audio is not _EMPTY and message.audio != _NULL:
            if PartKind.AUDIO not in maxima:
                return Unbounded(part=PartKind.AUDIO)
            bound += maxima[PartKind.AUDIO]
        content = message.content
        if content is not _EMPTY and memoryview(content)[0] in _OPENERS:
            beyond_text = _beyond_text(content, maxima)
            if isinstance(beyond_text, Unbounded):
                return beyond_text
            bound += beyond_text
    return bound


def _beyond_text(content: Raw, maxima: Mapping[PartKind, int]) -> int | Unbounded:
    """Return what to add to a content's bytes for the parts of it that are no text; negative when they are large."""
    try:
        parts = _parts.decode(content) if memoryview(content)[0] == _OPENERS[0] else [_part.decode(content)]
    except msgspec.DecodeError:
        return Unbounded(part="content")
    total = 0
    for part in parts:
        if part.type in _TEXTS:
            continue
        kind = _KINDS.get(part.type)
        maximum = None if kind is None else maxima.get(kind)
        if maximum is None:
            return Unbounded(part=kind or part.type)
        total += maximum
        if kind is PartKind.IMAGE:
            total -= len(part.image_url)
        elif kind is PartKind.AUDIO:
            total -= len(part.input_audio)
        else:
            total -= len(part.file) + len(part.file_data)
    return total


def kinds_in(messages: Raw) -> frozenset[PartKind]:
    """Return the kinds of parts beside text that the messages hold; none of what cannot be read."""
    kinds: set[PartKind] = set()
    try:
        for message in _messages.decode(messages):
            content = message.content
            if content is not _EMPTY and memoryview(content)[0] in _OPENERS:
                many = memoryview(content)[0] == _OPENERS[0]
                parts = _parts.decode(content) if many else [_part.decode(content)]
                kinds.update(_KINDS[part.type] for part in parts if part.type in _KINDS)
    except msgspec.DecodeError:
        pass
    return frozenset(kinds)


def bound_output(fields: Mapping[str, Raw]) -> OutputBound:
    """Read what the caller allows; what the upstream would refuse counts as not said. Of two maxima the larger."""
    per_choice = None
    for name in MAX_TOKENS_FIELDS:
        if name in fields:
            said = _positive(fields[name])
            if said is not None and (per_choice is None or said > per_choice):
                per_choice = said
    choices = (_positive(fields["n"]) or 1) if "n" in fields else 1
    return OutputBound(per_choice=per_choice, choices=choices)


def _positive(raw: Raw) -> int | None:
    """Read a whole number as leniently as any upstream might: 5, 5.0 and "5" are five."""
    try:
        count = _count.decode(raw)
    except msgspec.DecodeError:
        return None
    return count if count is not None and count > 0 else None
