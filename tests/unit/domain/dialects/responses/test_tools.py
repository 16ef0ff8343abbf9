import json

import pytest
from msgspec import Raw

from router.domain.dialects.losses import Losses, Unsayable
from router.domain.dialects.responses.tools import (
    choice_from_chat,
    choice_to_chat,
    format_from_chat,
    format_to_chat,
    tools_from_chat,
    tools_to_chat,
)

SCHEMA = {"type": "object", "properties": {"b": {}, "a": {}}, "required": ["b", "a"], "additionalProperties": False}
FLAT = {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA, "strict": True}
NESTED = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}}


def raw(value: object) -> Raw:
    return Raw(json.dumps(value).encode())


def plain(found: Raw | None) -> object:
    return None if found is None else json.loads(bytes(found))


def losses(*, drop: bool = False) -> Losses:
    return Losses(dialect="the other", drop=drop)


def test_tools_are_nested_for_chat_and_flat_for_responses() -> None:
    assert [NESTED, NESTED] == plain(tools_to_chat(raw([FLAT, FLAT]), losses()))
    assert [FLAT] == plain(tools_from_chat(raw([NESTED]), losses()))


def test_a_schema_keeps_its_bytes() -> None:
    schema = (
        b'{"type":"object", "properties":{"z":{"maximum":123456789012345678901234567890},"a":{"const":"\\u00e9\\/"}}}'
    )

    chat = tools_to_chat(Raw(b'[{"type":"function","name":"f","parameters":%b}]' % schema), losses())
    assert chat is not None
    assert schema in bytes(chat)
    back = tools_from_chat(chat, losses())
    assert back is not None
    assert schema in bytes(back)


def test_a_loose_function_says_so_in_responses_and_nothing_in_chat() -> None:
    loose = {"type": "function", "function": {"name": "f"}}

    assert [{"type": "function", "name": "f", "strict": False}] == plain(tools_from_chat(raw([loose]), losses()))
    assert [loose] == plain(tools_to_chat(raw([{"type": "function", "name": "f", "strict": None}]), losses()))


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        *(
            ({"type": kind}, "tools[1].type")
            for kind in ("web_search", "file_search", "mcp", "computer", "code_interpreter", "custom", "local_shell")
        ),
        ({**FLAT, "defer_loading": True}, "tools[1].defer_loading"),
    ],
)
def test_hosted_and_custom_tools_have_no_place_in_chat(tool: dict[str, object], param: str) -> None:
    with pytest.raises(Unsayable) as raised:
        tools_to_chat(raw([FLAT, tool]), losses())
    assert param == raised.value.param

    dropping = losses(drop=True)
    kept = plain(tools_to_chat(raw([FLAT, tool]), dropping))
    assert (param,) == dropping.names
    assert kept == ([NESTED] if param.endswith("type") else [NESTED, NESTED])


def test_a_custom_tool_of_chat_is_named() -> None:
    for tool, param in [
        ({"type": "custom", "custom": {"name": "x"}}, "tools[0].type"),
        ({**NESTED, "x": 1}, "tools[0].x"),
        ({"type": "function", "function": {"name": "f", "x": 1}}, "tools[0].function.x"),
    ]:
        with pytest.raises(Unsayable) as raised:
            tools_from_chat(raw([tool]), losses())
        assert param == raised.value.param


def test_no_tools_are_not_written() -> None:
    assert None is tools_to_chat(raw([]), losses())
    assert None is tools_from_chat(raw([]), losses())


@pytest.mark.parametrize(
    ("responses", "chat"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
        ),
    ],
)
def test_every_choice_goes_both_ways(responses: object, chat: object) -> None:
    assert chat == plain(choice_to_chat(raw(responses), losses()))
    assert responses == plain(choice_from_chat(raw(chat), losses()))


@pytest.mark.parametrize(
    ("choice", "param"),
    [
        ("sometimes", "tool_choice"),
        ({"type": "web_search_preview"}, "tool_choice.type"),
        ({"type": "custom", "name": "x"}, "tool_choice.type"),
    ],
)
def test_a_choice_of_another_kind_is_named(choice: object, param: str) -> None:
    for translate in (choice_to_chat, choice_from_chat):
        with pytest.raises(Unsayable) as raised:
            translate(raw(choice), losses())
        assert param == raised.value.param
        dropping = losses(drop=True)
        assert None is translate(raw(choice), dropping)
        assert (param,) == dropping.names


def test_a_hosted_tool_among_the_allowed_is_named() -> None:
    allowed = [{"type": "mcp", "server_label": "s"}, {"type": "function", "name": "f"}]
    dropping = losses(drop=True)

    chat = plain(choice_to_chat(raw({"type": "allowed_tools", "mode": "auto", "tools": allowed}), dropping))

    assert ("tool_choice.tools[0].type",) == dropping.names
    assert {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
    } == chat
    custom = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "custom"}]}}
    assert {"type": "allowed_tools", "mode": "auto", "tools": []} == plain(choice_from_chat(raw(custom), dropping))


@pytest.mark.parametrize(
    ("responses", "chat"),
    [
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "name": "n", "description": "d", "schema": SCHEMA, "strict": True},
            {
                "type": "json_schema",
                "json_schema": {"name": "n", "description": "d", "schema": SCHEMA, "strict": True},
            },
        ),
    ],
)
def test_every_format_goes_both_ways(responses: object, chat: object) -> None:
    assert chat == plain(format_to_chat(raw(responses), losses()))
    assert responses == plain(format_from_chat(raw(chat), losses()))


def test_text_is_no_format_to_ask_for_and_a_grammar_is_none_here() -> None:
    for translate in (format_to_chat, format_from_chat):
        assert None is translate(raw({"type": "text"}), losses())
        with pytest.raises(Unsayable, match="type"):
            translate(raw({"type": "grammar", "grammar": "g"}), losses())
        with pytest.raises(Unsayable, match=r"\.x`"):
            translate(raw({"type": "json_object", "x": 1}), losses())
        dropping = losses(drop=True)
        assert None is translate(raw({"type": "grammar"}), dropping)
