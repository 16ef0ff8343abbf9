import json

import pytest
from msgspec import Raw

from router.domain.dialects.losses import Losses, Unsayable
from router.domain.dialects.messages.history_from_chat import history_from_chat
from tests.support.messages_streams import Json

CACHED = {"cache_control": {"type": "ephemeral"}}
CALL_A = {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
CALL_B = {"id": "call_b", "type": "function", "function": {"name": "g", "arguments": ""}}
USE_A = {"type": "tool_use", "id": "call_a", "name": "f", "input": {"x": 1}}
USE_B = {"type": "tool_use", "id": "call_b", "name": "g", "input": {}}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "s"}
HIDDEN = {"type": "redacted_thinking", "data": "d"}


def history(*messages: Json, losses: Losses | None = None) -> tuple[object, list[Json]]:
    system, turns = history_from_chat(
        Raw(json.dumps(messages).encode()), losses or Losses(dialect="the other", drop=False)
    )
    return None if system is None else json.loads(bytes(system)), json.loads(bytes(turns))


def turns(*messages: Json) -> list[Json]:
    return history(*messages)[1]


def user(content: object) -> Json:
    return {"role": "user", "content": content}


def assistant(content: object, **more: object) -> Json:
    return {"role": "assistant", "content": content, **more}


def text(said: str, **more: object) -> Json:
    return {"type": "text", "text": said, **more}


def test_turns_keep_their_short_form() -> None:
    messages = [user("hi"), assistant("yes?"), user("go on")]

    assert (None, messages) == history(*messages)


def test_a_system_message_is_the_system_prompt() -> None:
    assert ("Be brief.", [user("hi")]) == history({"role": "system", "content": "Be brief."}, user("hi"))


def test_system_and_developer_messages_are_one_prompt_wherever_they_stood() -> None:
    messages = [
        {"role": "developer", "content": [text("a", **CACHED)]},
        user("hi"),
        {"role": "system", "content": "b", **CACHED},
        {"role": "system", "content": ""},
    ]

    assert ([text("a", **CACHED), text("b", **CACHED)], [user("hi")]) == history(*messages)


def test_neighbours_of_one_role_are_one_turn() -> None:
    assert [user([text("a"), text("b"), text("c")]), assistant([text("d"), text("e")])] == turns(
        user("a"), user([text("b")]), user("c"), assistant("d"), assistant("e")
    )


def test_empty_messages_say_nothing() -> None:
    assert [user("a"), assistant("b")] == turns(
        user("a"), user(""), user([]), user([text("")]), assistant(None), assistant("b"), assistant("")
    )


def test_calls_and_their_answers_are_two_turns() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
    shown = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}

    assert [
        assistant([text("Let me see."), USE_A, USE_B]),
        user(
            [
                {"type": "tool_result", "tool_use_id": "call_b", "content": "two", "is_error": True},
                {"type": "tool_result", "tool_use_id": "call_a", "content": [text("one"), shown], **CACHED},
                text("And?"),
            ]
        ),
    ] == turns(
        assistant("Let me see.", tool_calls=[CALL_A, CALL_B]),
        {"role": "tool", "tool_call_id": "call_b", "name": "g", "content": "two", "is_error": True},
        {"role": "tool", "tool_call_id": "call_a", "content": [text("one"), image], "is_error": False, **CACHED},
        user("And?"),
    )


@pytest.mark.parametrize("content", ["", None])
def test_an_empty_answer_is_an_answer(content: object) -> None:
    assert [user([{"type": "tool_result", "tool_use_id": "c"}])] == turns(
        {"role": "tool", "tool_call_id": "c", "content": content}
    )


def test_ids_that_messages_refuses_stay_pairs() -> None:
    call = {**CALL_A, "id": "functions.f:0"}
    said = turns(assistant(None, tool_calls=[call]), {"role": "tool", "tool_call_id": "functions.f:0", "content": "x"})

    assert said[0]["content"][0]["id"] == said[1]["content"][0]["tool_use_id"] != "functions.f:0"


def test_signed_thoughts_come_first_and_unsigned_ones_are_nobodys() -> None:
    unsigned = [{"type": "thinking", "thinking": "x"}, {"type": "thinking", "thinking": "x", "signature": ""}]
    message = assistant(
        [text("so"), HIDDEN, unsigned[0]],
        thinking_blocks=[{**THOUGHT, "index": 0}, *unsigned, HIDDEN],
        reasoning_content="hm",
        tool_calls=[CALL_A],
    )

    assert [assistant([THOUGHT, HIDDEN, text("so"), HIDDEN, USE_A])] == turns(message)


def test_signatures_keep_their_bytes() -> None:
    thought = b'{"signature":"a\\/b\\u002b","type":"thinking","thinking":"\\u00e9"}'
    raw = b'[{"role":"assistant","thinking_blocks":[%b]}]' % thought
    _, written = history_from_chat(Raw(raw), Losses(dialect="the other", drop=False))

    assert b'{"type":"thinking","thinking":"\\u00e9","signature":"a\\/b\\u002b"}' in bytes(written)


def test_a_refusal_is_a_text() -> None:
    assert [assistant([text("No.")])] == turns(assistant(None, refusal="No."))


def test_what_replies_carry_may_be_sent_back() -> None:
    message = assistant(
        "x", annotations=[], audio=None, function_call=None, reasoning_details=[1], provider_specific_fields={"a": 1}
    )

    assert [assistant("x")] == turns(message)


def test_cache_control_of_a_call_stays() -> None:
    assert [assistant([{**USE_A, **CACHED}])] == turns(assistant(None, tool_calls=[{**CALL_A, **CACHED, "index": 0}]))


def test_cache_control_of_a_message_is_that_of_its_last_part() -> None:
    assert [user([text("a"), text("b", **CACHED)])] == turns({**user([text("a"), text("b")]), **CACHED})


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({**user("x"), "name": "bob"}, "messages[1].name"),
        (assistant("x", audio={"id": "a"}), "messages[1].audio"),
        (assistant("x", function_call={"name": "f"}), "messages[1].function_call"),
        (user([{"type": "input_audio"}]), "messages[1].content[0].type"),
        (assistant(None, tool_calls=[{**CALL_A, "future": 1}]), "messages[1].tool_calls[0].future"),
        ({"role": "tool", "tool_call_id": "c", "content": [{"type": "x"}]}, "messages[1].content[0].type"),
    ],
)
def test_what_messages_cannot_say_is_named_or_left_out(message: Json, param: str) -> None:
    with pytest.raises(Unsayable) as caught:
        turns(user("a"), message)
    losses = Losses(dialect="the other", drop=True)
    history(user("a"), message, losses=losses)

    assert param == caught.value.param
    assert (param,) == losses.names


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "function", "name": "f", "content": "x"}, "messages[0].role"),
        ({"content": "x"}, "messages[0].role"),
        (user(5), "messages[0].content"),
        (user(["x"]), "messages[0].content"),
        (assistant(None, tool_calls=[{"id": "c", "type": "custom", "custom": {}}]), "messages[0].tool_calls[0].type"),
        (assistant(None, tool_calls=[{"type": "function"}]), "messages[0].tool_calls[0].function"),
        (assistant(None, tool_calls=[{"function": {"name": "f"}}]), "messages[0].tool_calls[0].id"),
        (
            assistant(None, tool_calls=[{"id": "c", "function": {"arguments": {}}}]),
            "messages[0].tool_calls[0].function.arguments",
        ),
        (assistant(None, thinking_blocks=[{"type": "text"}]), "messages[0].thinking_blocks[0].type"),
        ({"role": "tool", "content": "x"}, "messages[0].tool_call_id"),
    ],
)
def test_a_message_that_is_no_message_is_named_even_where_losses_are_fine(message: Json, param: str) -> None:
    with pytest.raises(Unsayable) as caught:
        history({**message, "custom": None}, losses=Losses(dialect="the other", drop=True))

    assert param == caught.value.param


def test_messages_must_be_a_list() -> None:
    with pytest.raises(Unsayable, match="messages"):
        history_from_chat(Raw(b'"hi"'), Losses(dialect="the other", drop=True))
