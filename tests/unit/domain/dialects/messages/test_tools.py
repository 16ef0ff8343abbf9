import json

import pytest
from msgspec import Raw

from router.domain.dialects.losses import Losses, Unsayable
from router.domain.dialects.messages.tools import choice_from_chat, choice_to_chat, tools_from_chat, tools_to_chat
from tests.support.messages_streams import Json

SCHEMA = '{"type": "object", "properties": {"z": {"enum": [123456789012345678901234567890]}, "a": {}}}'
REST = ',"cache_control":{"type":"ephemeral","ttl":"1h"}}]'
CHAT = (
    '[{"type":"function","function":{"name":"f","description":"d\\u00e9","parameters":'
    + SCHEMA
    + ',"strict":true}'
    + REST
)
MESSAGES = '[{"name":"f","description":"d\\u00e9","input_schema":' + SCHEMA + ',"strict":true' + REST


def test_a_tool_is_the_same_in_both_dialects_byte_for_byte() -> None:
    assert Raw(MESSAGES.encode()) == tools_from_chat(Raw(CHAT.encode()), Losses(dialect="the other", drop=False))
    assert Raw(CHAT.encode()) == tools_to_chat(
        Raw(MESSAGES.encode()), Losses(dialect="the other", drop=False, extended=True)
    )


def test_a_tool_without_parameters_has_an_empty_schema() -> None:
    raw = Raw(
        b'[{"type":"function","function":{"name":"now","parameters":null,"strict":null,"cache_control":{"a":1}}}]'
    )

    assert [
        {"name": "now", "input_schema": {"type": "object", "properties": {}}, "cache_control": {"a": 1}}
    ] == json.loads(bytes(tools_from_chat(raw, Losses(dialect="the other", drop=False))))


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({"type": "custom", "custom": {"name": "x"}}, "tools[1].type"),
        ({"type": "function", "function": {"name": "f", "x": 1}}, "tools[1].function.x"),
        ({"type": "function", "function": {"name": "f"}, "x": 1}, "tools[1].x"),
        ({"type": "function"}, "tools[1].function"),
        ({"function": {}}, "tools[1].type"),
    ],
)
def test_what_messages_has_no_tool_for_is_named(tool: Json, param: str) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}, tool]
    with pytest.raises(Unsayable) as caught:
        tools_from_chat(Raw(json.dumps(tools).encode()), Losses(dialect="the other", drop=False))

    assert param == caught.value.param


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({"type": "web_search_20250305", "name": "web_search"}, "tools[0].type"),
        ({"type": "bash_20250124", "name": "bash"}, "tools[0].type"),
        ({"name": "f", "input_schema": {}, "defer_loading": True}, "tools[0].defer_loading"),
        ({"name": "f", "input_schema": {}, "input_examples": [{}]}, "tools[0].input_examples"),
        ({"name": "f", "input_schema": {}, "allowed_callers": ["code_execution_20260120"]}, "tools[0].allowed_callers"),
    ],
)
def test_what_chat_has_no_tool_for_is_named(tool: Json, param: str) -> None:
    raw = Raw(json.dumps([tool]).encode())
    with pytest.raises(Unsayable) as caught:
        tools_to_chat(raw, Losses(dialect="the other", drop=False))
    losses = Losses(dialect="the other", drop=True)
    kept = json.loads(bytes(tools_to_chat(raw, losses)))

    assert param == caught.value.param
    assert (param,) == losses.names
    assert len(kept) == (0 if param.endswith("type") else 1)


def test_members_at_their_default_are_no_loss() -> None:
    tool = {
        "type": "custom",
        "name": "f",
        "input_schema": {},
        "defer_loading": False,
        "eager_input_streaming": True,
        "allowed_callers": ["direct"],
        "input_examples": None,
    }
    written = tools_to_chat(Raw(json.dumps([tool]).encode()), Losses(dialect="the other", drop=False))

    assert [{"type": "function", "function": {"name": "f", "parameters": {}}}] == json.loads(bytes(written))


NAMED = {"type": "function", "function": {"name": "f"}}
CHOICES = [
    ("auto", None, {"type": "auto"}),
    ("none", None, {"type": "none"}),
    ("required", None, {"type": "any"}),
    (NAMED, None, {"type": "tool", "name": "f"}),
    ("auto", False, {"type": "auto", "disable_parallel_tool_use": True}),
    ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
    (NAMED, False, {"type": "tool", "name": "f", "disable_parallel_tool_use": True}),
]


@pytest.mark.parametrize(("choice", "parallel", "messages"), CHOICES)
def test_a_choice_is_the_same_in_both_dialects(choice: object, parallel: bool | None, messages: Json) -> None:
    written = choice_from_chat(
        Raw(json.dumps(choice).encode()),
        None if parallel is None else Raw(json.dumps(parallel).encode()),
        has_tools=True,
        losses=Losses(dialect="the other", drop=False),
    )
    assert written is not None
    back = choice_to_chat(written, Losses(dialect="the other", drop=False))

    assert messages == json.loads(bytes(written))
    assert {"tool_choice": choice} | ({} if parallel is None else {"parallel_tool_calls": parallel}) == {
        name: json.loads(bytes(raw)) for name, raw in back.items()
    }


def test_one_call_at_a_time_needs_no_choice() -> None:
    losses = Losses(dialect="the other", drop=False)
    one = Raw(b"false")

    assert Raw(b'{"type":"auto","disable_parallel_tool_use":true}') == choice_from_chat(
        None, one, has_tools=True, losses=losses
    )
    assert choice_from_chat(None, one, has_tools=False, losses=losses) is None
    assert choice_from_chat(None, Raw(b"true"), has_tools=True, losses=losses) is None
    assert Raw(b'{"type":"none"}') == choice_from_chat(Raw(b'"none"'), one, has_tools=True, losses=losses)


@pytest.mark.parametrize(
    ("choice", "param"),
    [(b'"sometimes"', "tool_choice"), (b'{"type":"allowed_tools","allowed_tools":{}}', "tool_choice.type")],
)
def test_other_choices_are_named(choice: bytes, param: str) -> None:
    losses = Losses(dialect="the other", drop=True)

    assert choice_from_chat(Raw(choice), None, has_tools=True, losses=losses) is None
    assert (param,) == losses.names


def test_other_choices_of_messages_are_named() -> None:
    losses = Losses(dialect="the other", drop=True)

    assert {} == choice_to_chat(Raw(b'{"type":"x","disable_parallel_tool_use":false}'), losses)
    assert ("tool_choice.type",) == losses.names


def test_who_knows_only_openais_dialect_is_told_of_no_cache() -> None:
    assert b"cache_control" not in bytes(tools_to_chat(Raw(MESSAGES.encode()), Losses(dialect="x", drop=False)))
