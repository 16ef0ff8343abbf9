"""Put tools, and which of them a model may or must call, from Chat Completions into Messages and back.

Schemas pass as they are. Only functions of the caller's own are in both dialects: tools that a provider runs are not.
"""

from typing import Final

from msgspec import Raw

from router.domain.dialects.losses import Losses
from router.domain.dialects.messages.parts import keep_hint
from router.domain.dialects.raw_json import (
    FALSE,
    NULL,
    TRUE,
    encode,
    is_text,
    present,
    read_object,
    read_objects,
    read_text,
    read_type,
)

_CHAT_TOOL: Final = frozenset({"type", "function", "cache_control"})
_FUNCTION: Final = frozenset({"name", "description", "parameters", "strict", "cache_control"})
_TOOL: Final = frozenset(
    {"type", "name", "description", "input_schema", "strict", "cache_control", "eager_input_streaming"}
)
"""Eager streaming goes unsaid: it is about when arguments come, not which."""
_TOOL_DEFAULTS: Final = {
    "defer_loading": (b"false",),
    "allowed_callers": (b'["direct"]',),
    "input_examples": (b"[]",),
}
_CHOICE: Final = frozenset({"type", "name", "disable_parallel_tool_use"})

_NO_PARAMETERS: Final = Raw(b'{"type":"object","properties":{}}')
_CHOICE_FROM_CHAT: Final = {"auto": "auto", "none": "none", "required": "any"}
_CHOICE_TO_CHAT: Final = {messages: chat for chat, messages in _CHOICE_FROM_CHAT.items()}
_FUNCTION_TYPE: Final = Raw(b'"function"')


def tools_from_chat(raw: Raw, losses: Losses) -> Raw:
    tools = []
    for position, tool in enumerate(read_objects(raw, "tools")):
        where = f"tools[{position}]"
        kind = read_type(tool, where)
        if kind != "function":
            losses.lose(f"{where}.type", f"Messages has no tools of type `{kind}` that a caller runs. Use functions.")
            continue
        losses.lose_unknown(tool, _CHAT_TOOL, where)
        function = read_object(tool.get("function", NULL), f"{where}.function")
        losses.lose_unknown(function, _FUNCTION, f"{where}.function")
        written = {"name": function.get("name", NULL)}
        description = present(function, "description")
        if description is not None:
            written["description"] = description
        written["input_schema"] = present(function, "parameters") or _NO_PARAMETERS
        strict = present(function, "strict")
        if strict is not None:
            written["strict"] = strict
        cache_control = present(tool, "cache_control") or present(function, "cache_control")
        if cache_control is not None:
            written["cache_control"] = cache_control
        tools.append(written)
    return encode(tools)


def tools_to_chat(raw: Raw, losses: Losses) -> Raw:
    tools = []
    for position, tool in enumerate(read_objects(raw, "tools")):
        where = f"tools[{position}]"
        kind = "custom" if present(tool, "type") is None else read_type(tool, where)
        if kind != "custom":
            losses.lose(f"{where}.type", f"Chat Completions has no tool `{kind}` that the provider runs. Remove it.")
            continue
        losses.lose_unknown(tool, _TOOL, where, _TOOL_DEFAULTS)
        function = {"name": tool.get("name", NULL)}
        description = present(tool, "description")
        if description is not None:
            function["description"] = description
        schema = present(tool, "input_schema")
        if schema is not None:
            function["parameters"] = schema
        strict = present(tool, "strict")
        if strict is not None:
            function["strict"] = strict
        written = {"type": _FUNCTION_TYPE, "function": encode(function)}
        keep_hint(tool, written, losses)
        tools.append(written)
    return encode(tools)


def choice_from_chat(choice: Raw | None, parallel: Raw | None, *, has_tools: bool, losses: Losses) -> Raw | None:
    """Return `tool_choice`, which also says whether several calls may come at once; None to leave it out."""
    one_at_most = parallel == FALSE
    if choice is None:
        return encode({"type": "auto", "disable_parallel_tool_use": True}) if one_at_most and has_tools else None
    written: dict[str, object] = {}
    if is_text(choice):
        said = read_text(choice, "tool_choice")
        if said not in _CHOICE_FROM_CHAT:
            losses.lose("tool_choice", "`tool_choice` must be auto, none, required, or name a function.")
            return None
        written["type"] = _CHOICE_FROM_CHAT[said]
    else:
        named = read_object(choice, "tool_choice")
        kind = read_type(named, "tool_choice")
        if kind != "function":
            losses.lose("tool_choice.type", f"Messages has no choice of tools by `{kind}`. Name a function, or none.")
            return None
        function = read_object(named.get("function", NULL), "tool_choice.function")
        written["type"] = "tool"
        written["name"] = function.get("name", NULL)
    if one_at_most and written["type"] != "none":
        written["disable_parallel_tool_use"] = True
    return encode(written)


def choice_to_chat(choice: Raw, losses: Losses) -> dict[str, Raw]:
    """Return `tool_choice` and, where only one call may come, `parallel_tool_calls`."""
    fields = read_object(choice, "tool_choice")
    kind = read_type(fields, "tool_choice")
    losses.lose_unknown(fields, _CHOICE, "tool_choice")
    written: dict[str, Raw] = {}
    if kind == "tool":
        named = {"type": _FUNCTION_TYPE, "function": encode({"name": fields.get("name", NULL)})}
        written["tool_choice"] = encode(named)
    elif kind in _CHOICE_TO_CHAT:
        written["tool_choice"] = encode(_CHOICE_TO_CHAT[kind])
    else:
        losses.lose("tool_choice.type", "`tool_choice.type` must be auto, any, tool or none.")
    if fields.get("disable_parallel_tool_use") == TRUE:
        written["parallel_tool_calls"] = FALSE
    return written
