"""The bound holds in every dialect: what a provider adds, what is nested, what is no text, batches."""

import json
from typing import Final

import msgspec
import pytest
from msgspec import Raw

from router.domain.dialects.dialect import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES, Grammar
from router.domain.governance.input_bound import (
    NO_OUTPUT,
    OutputBound,
    PartKind,
    Unbounded,
    bound_input,
    bound_output,
    kinds_in,
)

DECLARED: Final = {PartKind.IMAGE: 1_000, PartKind.FILE: 30_000}
HI: Final = {"type": "text", "text": "hi"}
IMAGE: Final = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 5_000}}
SEEN: Final = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 5_000}

SCREEN: Final = {**SEEN, "type": "computer_screenshot"}


def fields(**members: object) -> dict[str, Raw]:
    return msgspec.json.decode(json.dumps({"model": "m", **members}), type=dict[str, Raw])


def said(*content: object) -> dict[str, Raw]:
    return fields(messages=[{"role": "user", "content": list(content)}])


def size(*values: object) -> int:
    return sum(len(json.dumps(value)) for value in values)


@pytest.mark.parametrize(
    ("grammar", "member", "value", "frames"),
    [
        (COMPLETIONS, "prompt", "Say hello.", 1),
        (COMPLETIONS, "prompt", ["one", "two"], 2),
        (EMBEDDINGS, "input", "one", 1),
        (EMBEDDINGS, "input", ["one", "two", "three"], 3),
        (EMBEDDINGS, "input", [[1, 2], [3]], 2),
        (RESPONSES, "input", "Say hello.", 1),
        (RESPONSES, "input", [{"role": "user", "content": "hi"}, {"type": "reasoning", "summary": []}], 2),
        (MESSAGES, "messages", [{"role": "user", "content": "hi"}], 1),
    ],
)
def test_the_bound_is_the_bytes_and_eight_a_piece(grammar: Grammar, member: str, value: object, frames: int) -> None:
    assert size(value) + 8 * frames == bound_input(grammar, fields(**{member: value}), {})


def test_what_stands_beside_the_messages_counts_as_well() -> None:
    plain = bound_input(MESSAGES, said(HI), {})
    system = [{"type": "text", "text": "Be terse."}]
    tools = [{"name": "f", "input_schema": {}}]

    assert isinstance(plain, int)
    assert plain + size(system) == bound_input(MESSAGES, said(HI) | fields(system=system), {})
    assert plain + size(tools) + 512 == bound_input(MESSAGES, said(HI) | fields(tools=tools), {})
    assert plain == bound_input(MESSAGES, said(HI) | fields(max_tokens=9, metadata={"user_id": "u"}), {})


@pytest.mark.parametrize(
    ("grammar", "members"),
    [
        (MESSAGES, said(IMAGE)),
        (MESSAGES, said({"type": "tool_result", "tool_use_id": "t", "content": [IMAGE]})),
        (RESPONSES, fields(input=[{"role": "user", "content": [SEEN]}])),
        (RESPONSES, fields(input=[{"type": "function_call_output", "call_id": "c", "output": [SEEN]}])),
        (
            RESPONSES,
            fields(input=[{"type": "computer_call_output", "output": {**SEEN, "type": "computer_screenshot"}}]),
        ),
    ],
)
def test_an_image_counts_as_declared_wherever_it_is(grammar: Grammar, members: dict[str, Raw]) -> None:
    bound = bound_input(grammar, members, DECLARED)

    assert isinstance(bound, int)
    assert 1_000 < bound < 1_400
    assert Unbounded(part=PartKind.IMAGE) == bound_input(grammar, members, {})
    assert {PartKind.IMAGE} == kinds_in(grammar, members)


def test_a_document_that_is_text_is_text() -> None:
    text = {"type": "document", "source": {"type": "text", "data": "x" * 100}}
    paper = {"type": "document", "source": {"type": "base64", "data": "x" * 100}}

    assert size([{"role": "user", "content": [text]}]) + 8 == bound_input(MESSAGES, said(text), {})
    assert Unbounded(part=PartKind.FILE) == bound_input(MESSAGES, said(paper), {})


@pytest.mark.parametrize(
    ("grammar", "members", "part"),
    [
        (CHAT, fields(messages=[], web_search_options={"a": 1}), "web_search_options"),
        (MESSAGES, fields(messages=[], mcp_servers=[{}]), "mcp_servers"),
        (MESSAGES, fields(messages=[], tools=[{"type": "web_search_20250305", "name": "w"}]), "web_search_20250305"),
        (RESPONSES, fields(input="x", tools=[{"type": "file_search"}]), "file_search"),
        (RESPONSES, fields(input="x", tools=[{"type": "mcp"}]), "mcp"),
    ],
)
def test_who_has_the_provider_read_more_than_it_sends_has_no_bound(
    grammar: Grammar, members: dict[str, Raw], part: str
) -> None:
    assert Unbounded(part=part) == bound_input(grammar, members, DECLARED)


@pytest.mark.parametrize(
    ("grammar", "tools"),
    [
        (MESSAGES, [{"name": "f"}, {"type": "custom", "name": "g"}, {"type": "bash_20250124", "name": "bash"}]),
        (RESPONSES, [{"type": "function", "name": "f"}, {"type": "custom", "name": "g"}, {"type": "local_shell"}]),
    ],
)
def test_tools_that_the_caller_runs_have_one(grammar: Grammar, tools: list[object]) -> None:
    assert isinstance(bound_input(grammar, said(HI) | fields(input="x", tools=tools), {}), int)


@pytest.mark.parametrize(
    ("members", "part"),
    [
        (fields(input="x", previous_response_id="resp_1"), "previous_response_id"),
        (fields(input="x", conversation="conv_1"), "conversation"),
        (fields(prompt={"id": "pmpt_1"}), "prompt"),
        (fields(input=[{"type": "item_reference", "id": "i"}]), "item_reference"),
    ],
)
def test_what_the_provider_holds_fits_in_a_window(members: dict[str, Raw], part: str) -> None:
    assert Unbounded(part=part, in_window=True) == bound_input(RESPONSES, members, {})


@pytest.mark.parametrize("value", [None, "resp_1"])
def test_a_null_names_nothing(value: str | None) -> None:
    bound = bound_input(RESPONSES, fields(input="x", previous_response_id=value), {})

    assert isinstance(bound, int) == (value is None)


@pytest.mark.parametrize(
    ("grammar", "members", "bound"),
    [
        (MESSAGES, fields(messages=[], max_tokens=7), OutputBound(per_choice=7, choices=1)),
        (RESPONSES, fields(input="x", max_output_tokens=7), OutputBound(per_choice=7, choices=1)),
        (RESPONSES, fields(input="x", max_tokens=7), OutputBound(per_choice=None, choices=1)),
        (COMPLETIONS, fields(prompt="x", max_tokens=7, n=2, best_of=3), OutputBound(per_choice=7, choices=3)),
        (COMPLETIONS, fields(prompt=["x", "y"], max_tokens=7, n=2), OutputBound(per_choice=7, choices=4)),
        (COMPLETIONS, fields(prompt=[1, 2, 3], max_tokens=7), OutputBound(per_choice=7, choices=1)),
        (COMPLETIONS, fields(prompt=[[1], [2]], max_tokens=7), OutputBound(per_choice=7, choices=2)),
        (EMBEDDINGS, fields(input=["x"] * 9, max_tokens=7), NO_OUTPUT),
    ],
)
def test_the_longest_reply_is_read_where_the_dialect_says_it(
    grammar: Grammar, members: dict[str, Raw], bound: OutputBound
) -> None:
    assert bound == bound_output(grammar, members)
