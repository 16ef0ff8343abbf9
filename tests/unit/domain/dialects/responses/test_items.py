import json

import pytest
from msgspec import Raw

from router.domain.dialects.losses import Losses, Unsayable
from router.domain.dialects.responses.items import items_of

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
ITEM = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'}


def items(*messages: object, drop: bool = False) -> tuple[object, list[str]]:
    losses = Losses(dialect="Responses", drop=drop)
    written = items_of(Raw(json.dumps(messages).encode()), losses)
    return json.loads(bytes(written)), list(losses.names)


def said(content: object, role: str = "assistant") -> dict[str, object]:
    return {"type": "message", "role": role, "content": content}


def test_every_role_and_both_forms_of_text() -> None:
    found, _ = items(
        {"role": "system", "content": "s"},
        {"role": "developer", "content": [{"type": "text", "text": "d", "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": [{"type": "text", "text": "b"}, {"type": "refusal", "refusal": "no"}]},
        {"role": "assistant", "content": ""},
    )

    assert [
        said("s", "system"),
        said([{"type": "input_text", "text": "d"}], "developer"),
        said("u", "user"),
        said("a"),
        said([{"type": "output_text", "text": "b"}, {"type": "refusal", "refusal": "no"}]),
        said(""),
    ] == found


def test_a_turn_with_parallel_calls_becomes_its_items_in_order() -> None:
    second = {**CALL, "id": "c2"}
    found, _ = items(
        {"role": "assistant", "content": "look", "tool_calls": [CALL, second]},
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "2"}]},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
    )

    assert [
        said("look"),
        ITEM,
        {**ITEM, "call_id": "c2"},
        {"type": "function_call_output", "call_id": "c1", "output": "1"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "2"}]},
        ITEM,
    ] == found


def test_images_and_files_find_their_place() -> None:
    kept = {"mode": "explicit"}
    found, _ = items(
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "see", "prompt_cache_breakpoint": kept},
                {"type": "image_url", "image_url": {"url": "https://x", "detail": "high"}},
                {"type": "image_url", "image_url": {"url": "data:x"}},
                {"type": "image_url", "image_url": "https://y"},
                {"type": "file", "file": {"file_data": "data:x", "filename": "a.pdf"}},
            ],
        }
    )

    assert [
        said(
            [
                {"type": "input_text", "text": "see", "prompt_cache_breakpoint": kept},
                {"type": "input_image", "image_url": "https://x", "detail": "high"},
                {"type": "input_image", "image_url": "data:x", "detail": "auto"},
                {"type": "input_image", "image_url": "https://y", "detail": "auto"},
                {"type": "input_file", "file_data": "data:x", "filename": "a.pdf"},
            ],
            "user",
        )
    ] == found


def test_a_refusal_and_what_only_its_provider_can_read() -> None:
    scoped = {
        "reasoning_content": "t",
        "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s"}],
        "provider_specific_fields": {"x": 1},
    }
    signed = {**CALL, "index": 0, "extra_content": {"g": 1}}
    found, dropped = items(
        {"role": "assistant", "content": None, "refusal": "no", **scoped},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "t"}], "tool_calls": [signed]},
    )

    assert [] == dropped
    assert [said([{"type": "refusal", "refusal": "no"}]), ITEM] == found


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "user", "content": "x", "name": "bob"}, "messages[0].name"),
        ({"role": "function", "name": "f", "content": "x"}, "messages[0].role"),
        ({"role": "assistant", "content": "x", "audio": {"id": "a"}}, "messages[0].audio"),
        ({"role": "assistant", "function_call": {"name": "f", "arguments": ""}}, "messages[0].function_call"),
        ({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}, "messages[0].content[0].type"),
        ({"role": "user", "content": [{"type": "text", "text": "x", "y": 1}]}, "messages[0].content[0].y"),
        ({"role": "assistant", "tool_calls": [{**CALL, "y": 1}]}, "messages[0].tool_calls[0].y"),
    ],
)
def test_what_an_item_cannot_hold_is_named_or_left_out(message: object, param: str) -> None:
    with pytest.raises(Unsayable) as raised:
        items(message)
    assert param == raised.value.param
    assert [param] == items(message, drop=True)[1]


@pytest.mark.parametrize(
    ("message", "param"),
    [
        (7, "messages[0]"),
        ({"content": "x"}, "messages[0].role"),
        ({"role": "user"}, "messages[0].content"),
        ({"role": "tool", "content": "x"}, "messages[0].tool_call_id"),
        ({"role": "assistant", "tool_calls": [{"id": "c"}]}, "messages[0].tool_calls[0].function"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "messages[0].content[0].image_url"),
    ],
)
def test_what_is_no_message_is_named(message: object, param: str) -> None:
    with pytest.raises(Unsayable) as raised:
        items(message, drop=True)
    assert param == raised.value.param


def test_a_call_is_never_left_out_since_its_answer_would_answer_nothing() -> None:
    """T18: tool calls and their answers stay in pairs."""
    turns = (
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom"}]},
        {"role": "tool", "tool_call_id": "c", "content": "x"},
    )
    with pytest.raises(Unsayable) as raised:
        items(*turns, drop=True)

    assert "messages[0].tool_calls[0].type" == raised.value.param
