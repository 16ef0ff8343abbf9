"""Bound the tokens of a request from above, so that what is reserved for it is never less than what it costs.

A byte-level tokenizer makes at most one token of a byte, and JSON writes no text in fewer bytes than it has. So a
request has at most as many input tokens as bytes, with 8 for each message's frame and 512 for the frame of the tools.
What is no text has no such bound: each image, sound or file counts as much as the model's operator declared, and its
bytes count for nothing. Members that are known to be settings are not sent to the model; all others count. Where a
provider adds to the prompt what the request does not hold, its bytes bound nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dialects.dialect import Grammar

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
    in_window: bool = False
    """The provider adds what it holds of an earlier call: together it is read in one context window."""


class OutputBound(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the caller asked for at most, each choice for itself."""

    per_choice: int | None
    choices: int

    @property
    def tokens(self) -> int | None:
        return None if self.per_choice is None else self.per_choice * self.choices


NO_OUTPUT: Final = OutputBound(per_choice=0, choices=1)

_TOOLS: Final = ("tools", "functions")
_CALLERS_TOOLS: Final = ("", "function", "custom", "local_shell", "shell", "apply_patch", "computer_use_preview")
_CALLERS_TOOL_FAMILIES: Final = ("bash_", "text_editor_", "computer_", "memory_")
"""Types of tools that the caller runs, and how the dated ones begin. All others run at the provider, which reads what
they bring."""
_TEXTS: Final = frozenset((
    "text", "refusal", "input_text", "output_text", "thinking", "redacted_thinking", "tool_use", "summary_text",
    "reasoning_text", "message", "function_call", "custom_tool_call", "reasoning", "compaction",
))  # fmt: skip
_KINDS: Final = {
    "image_url": PartKind.IMAGE,
    "input_image": PartKind.IMAGE,
    "image": PartKind.IMAGE,
    "computer_screenshot": PartKind.IMAGE,
    "input_audio": PartKind.AUDIO,
    "file": PartKind.FILE,
    "input_file": PartKind.FILE,
    "document": PartKind.FILE,
}
_NESTS: Final = frozenset(("tool_result", "search_result"))
"""Parts that hold parts."""
_ITEM_REFERENCE: Final = "item_reference"
_EMPTY: Final = Raw(b"")
_NULL: Final = Raw(b"null")
_OPENERS: Final = b"[{"


class _Message(msgspec.Struct, gc=False):
    """A message, or an item of Responses."""

    type: str = ""
    content: Raw = _EMPTY
    output: Raw = _EMPTY
    """Of a tool."""
    audio: Raw = _EMPTY
    """An earlier spoken reply, named by its id."""


class _Source(msgspec.Struct, gc=False):
    type: str = ""


class _Part(msgspec.Struct, gc=False):
    type: str = ""
    image_url: Raw = _EMPTY
    input_audio: Raw = _EMPTY
    file: Raw = _EMPTY
    file_data: Raw = _EMPTY
    source: Raw = _EMPTY
    content: Raw = _EMPTY


class _Tool(msgspec.Struct, gc=False):
    type: str = ""


_messages: Final = msgspec.json.Decoder(list[_Message])
_list: Final = msgspec.json.Decoder(list[Raw])
_parts: Final = msgspec.json.Decoder(list[_Part])
_part: Final = msgspec.json.Decoder(_Part)
_tools: Final = msgspec.json.Decoder(list[_Tool])
_source: Final = msgspec.json.Decoder(_Source)
_count: Final = msgspec.json.Decoder(int | None, strict=False)


def bound_input(grammar: Grammar, fields: Mapping[str, Raw], maxima: Mapping[PartKind, int]) -> int | Unbounded:
    """Return the most input tokens that the request can take; `maxima` are the model's declared tokens a part."""
    content = fields.get(grammar.content)
    if content is None and grammar.needs_content:
        return Unbounded(part=grammar.content)
    try:
        messages = [] if content is None else _messages_in(grammar, content)
        pieces = len(messages) if messages or content is None else _pieces_in(grammar, content)
    except msgspec.DecodeError:
        return Unbounded(part=grammar.content)
    bound = MESSAGE_FRAME_TOKENS * pieces
    settings = grammar.settings
    for name, raw in fields.items():
        if name not in settings:
            bound += len(raw)
            if name in _TOOLS:
                bound += TOOLS_FRAME_TOKENS
    for message in messages:
        beyond = _beyond_its_bytes(message, maxima)
        if isinstance(beyond, Unbounded):
            return beyond
        bound += beyond
    return _added_by_the_provider(grammar, fields) or bound


def _beyond_its_bytes(message: _Message, maxima: Mapping[PartKind, int]) -> int | Unbounded:
    """Return what to add to a message's bytes for what is no text in it; negative when that is large."""
    total = 0
    if message.audio is not _EMPTY and message.audio != _NULL:
        if PartKind.AUDIO not in maxima:
            return Unbounded(part=PartKind.AUDIO)
        total += maxima[PartKind.AUDIO]
    if message.type == _ITEM_REFERENCE:
        return Unbounded(part=_ITEM_REFERENCE, in_window=True)
    for content in (message.content, message.output):
        if content is not _EMPTY and memoryview(content)[0] in _OPENERS:
            beyond_text = _beyond_text(content, maxima)
            if isinstance(beyond_text, Unbounded):
                return beyond_text
            total += beyond_text
    return total


def _messages_in(grammar: Grammar, content: Raw) -> list[_Message]:
    """Return the messages of a request, none if its content is a text. Raises `msgspec.DecodeError`."""
    if not grammar.turns or bytes(content)[:1] == b'"':
        return []
    return _messages.decode(content)


def _pieces_in(grammar: Grammar, content: Raw) -> int:
    """Count the texts that are framed each for itself. Raises `msgspec.DecodeError`."""
    if bytes(content)[:1] != b"[":
        return 1
    return 0 if grammar.turns else len(_list.decode(content))


def _added_by_the_provider(grammar: Grammar, fields: Mapping[str, Raw]) -> Unbounded | None:
    """Name what makes the provider read more than it was sent, as a search in the web does; None if nothing does."""
    for name in grammar.stored:
        if name in fields and fields[name] != _NULL:
            return Unbounded(part=name, in_window=True)
    for name in grammar.provider_runs:
        if bytes(fields.get(name, _NULL)) not in (b"null", b"[]"):
            return Unbounded(part=name)
    if grammar.tools_may_run_there and bytes(fields.get("tools", _NULL)) != b"null":
        try:
            types = [tool.type for tool in _tools.decode(fields["tools"])]
        except msgspec.DecodeError:
            return Unbounded(part="tools")
        for one in types:
            if one not in _CALLERS_TOOLS and not one.startswith(_CALLERS_TOOL_FAMILIES):
                return Unbounded(part=one)
    return None


def _beyond_text(content: Raw, maxima: Mapping[PartKind, int]) -> int | Unbounded:
    """Return what to add to a content's bytes for the parts of it that are no text; negative when they are large."""
    total = 0
    try:
        for part in _parts_of(content):
            kind = _KINDS.get(part.type)
            if part.type in _TEXTS or (kind is PartKind.FILE and _is_text(part.source)):
                continue
            maximum = None if kind is None else maxima.get(kind)
            if maximum is None:
                return Unbounded(part=kind or part.type)
            total += maximum
            if kind is PartKind.IMAGE:
                total -= len(part.image_url) + len(part.source)
            elif kind is PartKind.AUDIO:
                total -= len(part.input_audio)
            else:
                total -= len(part.file) + len(part.file_data) + len(part.source)
    except msgspec.DecodeError:
        return Unbounded(part="content")
    return total


def _parts_of(content: Raw, *, nested: bool = False) -> Iterator[_Part]:
    """Go through the parts of a content, and those within them. Raises `msgspec.DecodeError`."""
    for part in _parts.decode(content) if memoryview(content)[0] == _OPENERS[0] else [_part.decode(content)]:
        if nested or part.type not in _NESTS:
            yield part
        elif part.content is not _EMPTY and memoryview(part.content)[0] in _OPENERS:
            yield from _parts_of(part.content, nested=True)


def _is_text(source: Raw) -> bool:
    return source is not _EMPTY and _source.decode(source).type == "text"


def kinds_in(grammar: Grammar, fields: Mapping[str, Raw]) -> frozenset[PartKind]:
    """Return the kinds of parts beside text that the request holds; none of what cannot be read."""
    kinds: set[PartKind] = set()
    try:
        for message in _messages_in(grammar, fields[grammar.content]):
            for content in (message.content, message.output):
                if content is not _EMPTY and memoryview(content)[0] in _OPENERS:
                    kinds.update(_KINDS[part.type] for part in _parts_of(content) if part.type in _KINDS)
    except (msgspec.DecodeError, KeyError):
        pass
    return frozenset(kinds)


def bound_output(grammar: Grammar, fields: Mapping[str, Raw]) -> OutputBound:
    """Read what the caller allows; what the upstream would refuse counts as not said. Of two maxima the larger."""
    if not grammar.generates:
        return NO_OUTPUT
    per_choice = None
    for name in grammar.max_tokens:
        if name in fields:
            said = _positive(fields[name])
            if said is not None and (per_choice is None or said > per_choice):
                per_choice = said
    choices = 1
    for name in grammar.choices:
        if name in fields:
            choices = max(choices, _positive(fields[name]) or 1)
    if not grammar.turns:
        choices *= _prompts_in(fields[grammar.content])
    return OutputBound(per_choice=per_choice, choices=choices)


def _prompts_in(content: Raw) -> int:
    """Count prompts that are answered each for itself: an array of numbers is one."""
    try:
        pieces = _list.decode(content) if bytes(content)[:1] == b"[" else []
    except msgspec.DecodeError:
        return 1
    return len(pieces) if pieces and bytes(pieces[0])[:1] in (b'"', b"[") else 1


def _positive(raw: Raw) -> int | None:
    """Read a whole number as leniently as any upstream might: 5, 5.0 and "5" are five."""
    try:
        count = _count.decode(raw)
    except msgspec.DecodeError:
        return None
    return count if count is not None and count > 0 else None
