"""Take out of a conversation what only the provider that wrote it can read: signed thoughts, and notes to itself.

Providers refuse each other's signatures, and a thought without its signature is nobody's. Text, tool calls and their
answers stay as they are, in their order: any model can go on from them.
"""

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dialects.request import Request

_IN_MESSAGES: Final = ("thinking_blocks", "reasoning_details", "reasoning_content", "reasoning", "thought_signature")
_ANYWHERE: Final = ("provider_specific_fields", "extra_content", "thought_signature", "signature")
"""Members of messages, parts, tool calls and their functions."""
_PARTS: Final = frozenset({"thinking", "redacted_thinking"})
_ITEMS: Final = frozenset({"reasoning", "compaction"})
"""Items of Responses."""
_MARKS: Final = tuple(f'"{name}"'.encode() for name in sorted({*_IN_MESSAGES, *_ANYWHERE, *_PARTS, *_ITEMS}))

_list: Final = msgspec.json.Decoder(list[Raw])
_fields: Final = msgspec.json.Decoder(dict[str, Raw])
_name: Final = msgspec.json.Decoder(str)
_encode: Final = msgspec.json.Encoder().encode
_NULL: Final = Raw(b"null")
_NO_TEXT: Final = Raw(b'""')


def for_another_provider(request: Request, knows: Callable[[bytes], bool] = lambda _: False) -> Request:
    """Return the request for another provider than the one that wrote its earlier replies; itself if nothing is scoped.

    `knows` tells of a message with scoped parts whether this provider wrote it all the same: then they stay. What
    cannot be read is left as it is: its provider will say what is wrong with it.
    """
    grammar = request.grammar
    before = request.fields.get(grammar.content)
    if before is None or not grammar.turns:
        return request
    after = _without_scoped(before, knows)
    if after is before:
        return request
    return msgspec.structs.replace(request, fields={**request.fields, grammar.content: after})


def _without_scoped(messages: Raw, knows: Callable[[bytes], bool]) -> Raw:
    text = bytes(messages)
    if not any(mark in text for mark in _MARKS):
        return messages
    try:
        came = _list.decode(messages)
        kept = [_message(raw, knows) for raw in came]
        if all(one is raw for one, raw in zip(kept, came, strict=True)):
            return messages
        return Raw(_encode([raw for raw in kept if raw is not None]))
    except (msgspec.DecodeError, RecursionError):
        return messages


def _message(raw: Raw, knows: Callable[[bytes], bool]) -> Raw | None:
    text = bytes(raw)
    if not any(mark in text for mark in _MARKS) or knows(text):
        return raw
    fields = _fields.decode(raw)
    if _type_of(fields) in _ITEMS:
        return None
    fields = _without(fields, (*_IN_MESSAGES, *_ANYWHERE))
    if bytes(fields.get("tool_calls", _NULL))[:1] == b"[":
        fields["tool_calls"] = Raw(_encode([_tool_call(call) for call in _list.decode(fields["tool_calls"])]))
    if bytes(fields.get("content", _NULL))[:1] == b"[":
        parts = [_part(part) for part in _list.decode(fields["content"])]
        kept = [part for part in parts if part is not None]
        nothing = _NULL if "tool_calls" in fields else _NO_TEXT
        fields["content"] = Raw(_encode(kept)) if kept else nothing
    return Raw(_encode(fields))


def _part(raw: Raw) -> Raw | None:
    if bytes(raw)[:1] != b"{":
        return raw
    fields = _fields.decode(raw)
    if _type_of(fields) in _PARTS:
        return None
    return Raw(_encode(_without(fields, _ANYWHERE)))


def _tool_call(raw: Raw) -> Raw:
    fields = _without(_fields.decode(raw), _ANYWHERE)
    if bytes(fields.get("function", _NULL))[:1] == b"{":
        fields["function"] = Raw(_encode(_without(_fields.decode(fields["function"]), _ANYWHERE)))
    return Raw(_encode(fields))


def _type_of(fields: dict[str, Raw]) -> str:
    return _name.decode(fields["type"]) if bytes(fields.get("type", _NULL))[:1] == b'"' else ""


def _without(fields: dict[str, Raw], names: tuple[str, ...]) -> dict[str, Raw]:
    return {name: value for name, value in fields.items() if name not in names}
