"""What the scripted provider reads, and which tool it decides to call."""

import json

import pytest

from router.adapters.upstreams.script_request import (
    ChatRequest,
    Message,
    Tool,
    called_tool,
    json_reply,
    read_request,
    tool_arguments,
)

TOOLS = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("weather", "search")]


def read(**members: object) -> ChatRequest:
    return read_request(json.dumps({"messages": [{"role": "user", "content": "hi"}], **members}).encode())


def name_of(tool: Tool | None) -> str | None:
    return None if tool is None else tool.name


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"messages":[]}',
        b'{"messages":[{}],"n":0}',
        b'{"messages":[{}],"n":129}',
        b"[" * 9_999,
    ],
)
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        read_request(body)


def test_text_is_read_from_strings_parts_and_nothing() -> None:
    parts = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "x"}},
        {"type": "text", "text": "b"},
    ]

    assert "a  b" == read(messages=[{"role": "user", "content": parts}]).messages[0].text
    assert "" == Message(role="assistant").text


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, None),
        ({"max_tokens": 5}, 5),
        ({"max_tokens": 5, "max_completion_tokens": 3}, 3),
        ({"max_tokens": -1}, 0),
    ],
)
def test_the_newer_limit_wins(limits: dict[str, int], expected: int | None) -> None:
    assert expected == read(**limits).output_tokens_max


@pytest.mark.parametrize(
    ("text", "choice", "expected"),
    [
        ("use search please", "auto", "search"),
        ("use search please", None, "search"),
        ("hello", "auto", None),
        ("hello", "required", "weather"),
        ("use search please", "required", "search"),
        ("use search please", "none", None),
        ("use search please", {"type": "function", "function": {"name": "weather"}}, "weather"),
        ("hello", {"type": "function", "function": {"name": "unknown"}}, None),
    ],
)
def test_a_tool_is_called_when_it_is_named_or_required(text: str, choice: object, expected: str | None) -> None:
    request = read(messages=[{"role": "user", "content": text}], tools=TOOLS, tool_choice=choice)

    assert expected == name_of(called_tool(request))


def test_no_tool_is_called_in_answer_to_a_result() -> None:
    messages = [{"role": "user", "content": "use search"}, {"role": "tool", "content": "search found it"}]

    assert called_tool(read(messages=messages, tools=TOOLS, tool_choice="required")) is None


def test_arguments_fit_the_required_parameters() -> None:
    kinds = {
        "q": "string",
        "n": "integer",
        "b": "boolean",
        "l": "array",
        "o": "object",
        "u": ["null", "string"],
        "e": [],
    }
    properties = {name: {"type": kind} for name, kind in kinds.items()}
    parameters = {"type": "object", "properties": properties, "required": [*kinds, "untyped"]}
    request = read(
        tools=[{"type": "function", "function": {"name": "f", "parameters": parameters}}], tool_choice="required"
    )
    tool = called_tool(request)
    assert tool is not None

    assert {
        "q": 'say "x"',
        "n": 1,
        "b": True,
        "l": [],
        "o": {},
        "u": None,
        "e": 'say "x"',
        "untyped": 'say "x"',
    } == json.loads(tool_arguments(tool, 'say "x"'))


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "json_object"}, {}),
        ({"type": "json_schema"}, {}),
        (
            {
                "type": "json_schema",
                "json_schema": {
                    "name": "x",
                    "schema": {"properties": {"n": {"type": "integer"}}, "required": ["n", "s"]},
                },
            },
            {"n": 1, "s": "hi"},
        ),
    ],
)
def test_a_reply_fits_the_schema_that_is_asked_for(form: object, expected: object) -> None:
    reply = json_reply(read(response_format=form))

    assert expected == (None if reply is None else json.loads(reply))
