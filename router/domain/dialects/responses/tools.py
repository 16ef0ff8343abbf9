"""Put tools, the choice among them and the format of the answer into the other of OpenAI's two dialects.

Responses writes a tool and a format flat, Chat Completions puts their members into one called `function` or
`json_schema`. A function that does not say `strict` is loose in Chat Completions, and in Responses strict if its
schema happens to allow it. So a loose function says `"strict":false` in Responses, and one that says nothing there
says nothing here: `"strict":true` would have a schema refused that was not written for it.
"""

from typing import Final

from msgspec import Raw

from router.domain.dialects.losses import Losses
from router.domain.dialects.raw_json import encode, is_text, read_list, read_present, read_text, read_type

_FUNCTION: Final = frozenset({"name", "description", "parameters", "strict"})
_FLAT_FUNCTION: Final = _FUNCTION | {"type"}
_TOOL: Final = frozenset({"type", "function", "cache_control"})
_SCHEMA: Final = frozenset({"name", "description", "schema", "strict"})
_FLAT_SCHEMA: Final = _SCHEMA | {"type"}
_SCHEMA_FORMAT: Final = frozenset({"type", "json_schema"})
_PLAIN_FORMAT: Final = frozenset({"type"})
_NAME: Final = frozenset({"name"})
_MODE: Final = frozenset({"mode"})
_MODES: Final = ("none", "auto", "required")


def tools_to_chat(raw: Raw, losses: Losses) -> Raw | None:
    """Return the tools, None if there are none: Chat Completions refuses an empty array."""
    tools: list[object] = []
    for index, element in enumerate(read_list(raw, "tools")):
        param = f"tools[{index}]"
        tool = read_present(element, param)
        kind = read_type(tool, param)
        if kind != "function":
            losses.lose(f"{param}.type", f"Only functions are in both dialects, and `{kind}` is none. Remove it.")
            continue
        losses.lose_unknown(tool, _FLAT_FUNCTION, param)
        tools.append({"type": "function", "function": _some(tool, _FUNCTION)})
    return encode(tools) if tools else None


def tools_from_chat(raw: Raw, losses: Losses) -> Raw | None:
    tools: list[object] = []
    for index, element in enumerate(read_list(raw, "tools")):
        param = f"tools[{index}]"
        tool = read_present(element, param)
        kind = read_type(tool, param)
        if kind != "function":
            losses.lose(f"{param}.type", f"Only functions are in both dialects, and `{kind}` is none. Remove it.")
            continue
        losses.lose_unknown(tool, _TOOL, param)
        function = read_present(tool.get("function", Raw(b"null")), f"{param}.function")
        losses.lose_unknown(function, _FUNCTION, f"{param}.function")
        tools.append({"type": "function", "strict": False, **_some(function, _FUNCTION)})
    return encode(tools) if tools else None


def choice_to_chat(raw: Raw, losses: Losses) -> Raw | None:
    if is_text(raw):
        return _mode(raw, losses)
    choice = read_present(raw, "tool_choice")
    kind = read_type(choice, "tool_choice")
    if kind == "function":
        return encode({"type": "function", "function": _some(choice, _NAME)})
    if kind == "allowed_tools":
        tools: list[object] = []
        for index, element in enumerate(read_list(choice.get("tools", Raw(b"null")), "tool_choice.tools")):
            param = f"tool_choice.tools[{index}]"
            tool = read_present(element, param)
            if read_type(tool, param) != "function":
                losses.lose(f"{param}.type")
                continue
            tools.append({"type": "function", "function": _some(tool, _NAME)})
        return encode({"type": "allowed_tools", "allowed_tools": {**_some(choice, _MODE), "tools": tools}})
    losses.lose("tool_choice.type", f"Only functions are in both dialects, and `{kind}` is none. Name a function.")
    return None


def choice_from_chat(raw: Raw, losses: Losses) -> Raw | None:
    if is_text(raw):
        return _mode(raw, losses)
    choice = read_present(raw, "tool_choice")
    kind = read_type(choice, "tool_choice")
    if kind == "function":
        function = read_present(choice.get("function", Raw(b"null")), "tool_choice.function")
        return encode({"type": "function", **_some(function, _NAME)})
    if kind == "allowed_tools":
        allowed = read_present(choice.get("allowed_tools", Raw(b"null")), "tool_choice.allowed_tools")
        tools: list[object] = []
        for index, element in enumerate(
            read_list(allowed.get("tools", Raw(b"null")), "tool_choice.allowed_tools.tools")
        ):
            param = f"tool_choice.allowed_tools.tools[{index}]"
            tool = read_present(element, param)
            if read_type(tool, param) != "function":
                losses.lose(f"{param}.type")
                continue
            function = read_present(tool.get("function", Raw(b"null")), f"{param}.function")
            tools.append({"type": "function", **_some(function, _NAME)})
        return encode({"type": "allowed_tools", **_some(allowed, _MODE), "tools": tools})
    losses.lose("tool_choice.type", f"Only functions are in both dialects, and `{kind}` is none. Name a function.")
    return None


def format_to_chat(raw: Raw, losses: Losses) -> Raw | None:
    """Return the `response_format`; None for text, which nobody need ask for."""
    format_ = read_present(raw, "text.format")
    kind = read_type(format_, "text.format")
    if kind == "json_schema":
        losses.lose_unknown(format_, _FLAT_SCHEMA, "text.format")
        return encode({"type": kind, "json_schema": _some(format_, _SCHEMA)})
    return _plain(kind, format_, "text.format", losses)


def format_from_chat(raw: Raw, losses: Losses) -> Raw | None:
    """Return the `text.format`; None for text."""
    format_ = read_present(raw, "response_format")
    kind = read_type(format_, "response_format")
    if kind == "json_schema":
        losses.lose_unknown(format_, _SCHEMA_FORMAT, "response_format")
        schema = read_present(format_.get("json_schema", Raw(b"null")), "response_format.json_schema")
        losses.lose_unknown(schema, _SCHEMA, "response_format.json_schema")
        return encode({"type": kind, **_some(schema, _SCHEMA)})
    return _plain(kind, format_, "response_format", losses)


def _plain(kind: str, format_: dict[str, Raw], param: str, losses: Losses) -> Raw | None:
    if kind not in {"text", "json_object"}:
        losses.lose(f"{param}.type")
        return None
    losses.lose_unknown(format_, _PLAIN_FORMAT, param)
    return encode({"type": kind}) if kind == "json_object" else None


def _mode(raw: Raw, losses: Losses) -> Raw | None:
    if read_text(raw, "tool_choice") in _MODES:
        return raw
    losses.lose("tool_choice")
    return None


def _some(fields: dict[str, Raw], names: frozenset[str]) -> dict[str, Raw]:
    """Keep these members, as the caller ordered them."""
    return {name: raw for name, raw in fields.items() if name in names}
