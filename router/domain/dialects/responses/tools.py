"""Put tools, the choice among them and the format of the answer into the other of OpenAI's two dialects.

Responses writes a tool and a format flat, Chat Completions puts their members into one called `function` or
`json_schema`. A function that does not say `strict` is loose in Chat Completions, and in Responses strict if its
schema happens to allow it. So a loose function says `"strict":false` in Responses, and one that says nothing there
says nothing here: `"strict":true` would have a schema refused that was not written for it.
"""

from typing import Final

from msgspec import Raw

from router.domain.dialects.responses.members import Losses, elements, is_text, kind_of, members, text, written

_FUNCTION: Final = ("name", "description", "parameters", "strict")
_SCHEMA: Final = ("name", "description", "schema", "strict")
_MODES: Final = ("none", "auto", "required")


def tools_to_chat(raw: Raw, losses: Losses) -> Raw | None:
    """Return the tools, None if there are none: Chat Completions refuses an empty array."""
    tools: list[object] = []
    for index, element in enumerate(elements(raw, "tools")):
        param = f"tools[{index}]"
        tool = members(element, param)
        kind = kind_of(tool, param)
        if kind != "function":
            losses.cannot(f"{param}.type", f"`{kind}` is no function")
            continue
        losses.only(tool, ("type", *_FUNCTION), param)
        tools.append({"type": "function", "function": _some(tool, _FUNCTION)})
    return written(tools) if tools else None


def tools_from_chat(raw: Raw, losses: Losses) -> Raw | None:
    tools: list[object] = []
    for index, element in enumerate(elements(raw, "tools")):
        param = f"tools[{index}]"
        tool = members(element, param)
        kind = kind_of(tool, param)
        if kind != "function":
            losses.cannot(f"{param}.type", f"`{kind}` is no function")
            continue
        losses.only(tool, ("type", "function", "cache_control"), param)
        function = members(tool.get("function", Raw(b"null")), f"{param}.function")
        losses.only(function, _FUNCTION, f"{param}.function")
        tools.append({"type": "function", "strict": False, **_some(function, _FUNCTION)})
    return written(tools) if tools else None


def choice_to_chat(raw: Raw, losses: Losses) -> Raw | None:
    if is_text(raw):
        return _mode(raw, losses)
    choice = members(raw, "tool_choice")
    kind = kind_of(choice, "tool_choice")
    if kind == "function":
        return written({"type": "function", "function": _some(choice, ("name",))})
    if kind == "allowed_tools":
        tools: list[object] = []
        for index, element in enumerate(elements(choice.get("tools", Raw(b"null")), "tool_choice.tools")):
            param = f"tool_choice.tools[{index}]"
            tool = members(element, param)
            if kind_of(tool, param) != "function":
                losses.cannot(f"{param}.type")
                continue
            tools.append({"type": "function", "function": _some(tool, ("name",))})
        return written({"type": "allowed_tools", "allowed_tools": {**_some(choice, ("mode",)), "tools": tools}})
    losses.cannot("tool_choice.type", f"`{kind}` is no function")
    return None


def choice_from_chat(raw: Raw, losses: Losses) -> Raw | None:
    if is_text(raw):
        return _mode(raw, losses)
    choice = members(raw, "tool_choice")
    kind = kind_of(choice, "tool_choice")
    if kind == "function":
        function = members(choice.get("function", Raw(b"null")), "tool_choice.function")
        return written({"type": "function", **_some(function, ("name",))})
    if kind == "allowed_tools":
        allowed = members(choice.get("allowed_tools", Raw(b"null")), "tool_choice.allowed_tools")
        tools: list[object] = []
        for index, element in enumerate(
            elements(allowed.get("tools", Raw(b"null")), "tool_choice.allowed_tools.tools")
        ):
            param = f"tool_choice.allowed_tools.tools[{index}]"
            tool = members(element, param)
            if kind_of(tool, param) != "function":
                losses.cannot(f"{param}.type")
                continue
            function = members(tool.get("function", Raw(b"null")), f"{param}.function")
            tools.append({"type": "function", **_some(function, ("name",))})
        return written({"type": "allowed_tools", **_some(allowed, ("mode",)), "tools": tools})
    losses.cannot("tool_choice.type", f"`{kind}` is no function")
    return None


def format_to_chat(raw: Raw, losses: Losses) -> Raw | None:
    """Return the `response_format`; None for text, which nobody need ask for."""
    format_ = members(raw, "text.format")
    kind = kind_of(format_, "text.format")
    if kind == "json_schema":
        losses.only(format_, ("type", *_SCHEMA), "text.format")
        return written({"type": kind, "json_schema": _some(format_, _SCHEMA)})
    return _plain(kind, format_, "text.format", losses)


def format_from_chat(raw: Raw, losses: Losses) -> Raw | None:
    """Return the `text.format`; None for text."""
    format_ = members(raw, "response_format")
    kind = kind_of(format_, "response_format")
    if kind == "json_schema":
        losses.only(format_, ("type", "json_schema"), "response_format")
        schema = members(format_.get("json_schema", Raw(b"null")), "response_format.json_schema")
        losses.only(schema, _SCHEMA, "response_format.json_schema")
        return written({"type": kind, **_some(schema, _SCHEMA)})
    return _plain(kind, format_, "response_format", losses)


def _plain(kind: str, format_: dict[str, Raw], param: str, losses: Losses) -> Raw | None:
    if kind not in {"text", "json_object"}:
        losses.cannot(f"{param}.type")
        return None
    losses.only(format_, ("type",), param)
    return written({"type": kind}) if kind == "json_object" else None


def _mode(raw: Raw, losses: Losses) -> Raw | None:
    if text(raw, "tool_choice") in _MODES:
        return raw
    losses.cannot("tool_choice")
    return None


def _some(fields: dict[str, Raw], names: tuple[str, ...]) -> dict[str, Raw]:
    """Keep these members, as the caller ordered them."""
    return {name: raw for name, raw in fields.items() if name in names}
