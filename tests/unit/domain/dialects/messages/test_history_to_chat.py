import json

import pytest
from msgspec import Raw

from router.domain.dialects.losses import Losses, Unsayable
from router.domain.dialects.messages.history_to_chat import history_to_chat
from tests.support.messages_streams import Json

CACHED = {"cache_control": {"type": "ephemeral"}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": 1}}
CALL = {"id": "toolu_1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}
SHOWN = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "s"}
HIDDEN = {"type": "redacted_thinking", "data": "d"}


def history(*turns: Json, system: object = None, losses: Losses | None = None) -> list[Json]:
    written = history_to_chat(
        None if system is None else Raw(json.dumps(system).encode()),
        Raw(json.dumps(turns).encode()),
        losses or Losses(dialect="the other", drop=False, extended=True),
    )
    found: list[Json] = json.loads(bytes(written))
    return found


def user(content: object) -> Json:
    return {"role": "user", "content": content}


def assistant(content: object, **more: object) -> Json:
    return {"role": "assistant", "content": content, **more}


def text(said: str, **more: object) -> Json:
    return {"type": "text", "text": said, **more}


def result(call_id: str, **more: object) -> Json:
    return {"type": "tool_result", "tool_use_id": call_id, **more}


def answer(call_id: str, content: object, **more: object) -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": content, **more}


@pytest.mark.parametrize(
    ("system", "content"),
    [
        ("Be brief.", "Be brief."),
        ([text("Be brief.")], "Be brief."),
        ([text("a", **CACHED)], [text("a", **CACHED)]),
        ([text("a"), text("b", **CACHED)], [text("a"), text("b", **CACHED)]),
    ],
)
def test_a_system_prompt_is_the_first_message(system: object, content: object) -> None:
    assert [{"role": "system", "content": content}, user("hi")] == history(user("hi"), system=system)


@pytest.mark.parametrize("system", [None, "", []])
def test_no_system_prompt_is_no_message(system: object) -> None:
    assert [user("hi")] == history(user("hi"), system=system)


def test_system_turns_and_blocks_stay_in_their_place() -> None:
    inside = {"type": "mid_conv_system", "content": [text("c")]}

    assert [
        user("a"),
        {"role": "system", "content": "b"},
        user("x"),
        {"role": "system", "content": "c"},
        user("y"),
    ] == history(user("a"), {"role": "system", "content": [text("b")]}, user([text("x"), inside, text("y")]))


def test_answers_are_messages_before_what_is_said_after_them() -> None:
    assert [
        assistant(None, tool_calls=[CALL]),
        answer("toolu_1", "one"),
        answer("toolu_2", "two", is_error=True, **CACHED),
        answer("toolu_3", [text("a"), text("b")]),
        answer("toolu_4", ""),
        user("And?"),
    ] == history(
        assistant([USE]),
        user(
            [
                result("toolu_1", content="one", is_error=False),
                result("toolu_2", content=[text("two")], is_error=True, **CACHED),
                result("toolu_3", content=[text("a"), text("b")]),
                result("toolu_4"),
                text("And?"),
            ]
        ),
    )


def test_what_is_said_before_an_answer_stays_before_it() -> None:
    assert [user("a"), answer("t", "x"), user([text("b"), SHOWN])] == history(
        user([text("a"), result("t", content="x"), text("b"), IMAGE])
    )


def test_images_of_answers_follow_the_last_answer_and_name_their_call() -> None:
    assert [
        answer("t1", "(see the next message)"),
        answer("t2", "two"),
        user([text("From the tool call t1:"), SHOWN, text("From the tool call t2:"), SHOWN, text("And?")]),
    ] == history(
        user([result("t1", content=[IMAGE]), result("t2", content=[text("two"), IMAGE]), text("And?")]),
    )


def test_an_assistant_turn_is_one_message() -> None:
    assert [
        assistant(
            [text("a"), text("b")],
            reasoning_content="hmhm",
            thinking_blocks=[THOUGHT, HIDDEN, THOUGHT],
            tool_calls=[CALL],
        )
    ] == history(assistant([THOUGHT, HIDDEN, text("a"), THOUGHT, USE, text("b")]))


def test_thoughts_without_words_are_not_read() -> None:
    quiet = {"type": "thinking", "thinking": "", "signature": "s"}

    assert [assistant("x", thinking_blocks=[quiet])] == history(assistant([quiet, text("x")]))


def test_an_empty_assistant_turn_stays_a_turn() -> None:
    assert [assistant(""), user("x")] == history(assistant([]), user("x"))


def test_input_keeps_its_bytes() -> None:
    given = b'{"b": 1e400, "a":12345678901234567890, "\\u00e9":"\\/"}'
    raw = b'[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":%b}]}]' % given
    message = json.loads(
        bytes(history_to_chat(None, Raw(raw), Losses(dialect="the other", drop=False, extended=True)))
    )[0]

    assert given.decode() == message["tool_calls"][0]["function"]["arguments"]


def test_input_that_is_no_text_is_named() -> None:
    raw = b'[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{"a":"\xff"}}]}]'
    with pytest.raises(Unsayable) as caught:
        history_to_chat(None, Raw(raw), Losses(dialect="the other", drop=True))

    assert "messages[0].content[0].input" == caught.value.param


def test_a_call_by_the_model_itself_is_a_call() -> None:
    direct = {**USE, "caller": {"type": "direct"}, "toolset_name": None, **CACHED}

    assert [assistant(None, tool_calls=[{**CALL, **CACHED}])] == history(assistant([direct]))


@pytest.mark.parametrize(
    ("turn", "param"),
    [
        (assistant([text("x"), {"type": "server_tool_use"}]), "messages[0].content[1].type"),
        (assistant([{"type": "web_search_tool_result"}, text("x")]), "messages[0].content[0].type"),
        (assistant([text("x", citations=[{"type": "page_location"}])]), "messages[0].content[0].citations"),
        (assistant([{**USE, "caller": {"type": "code_execution_20260120"}}]), "messages[0].content[0].caller"),
        (user([{"type": "search_result"}, text("x")]), "messages[0].content[0].type"),
        (user([result("t", content=[{"type": "tool_reference"}])]), "messages[0].content[0].content[0].type"),
        (user([result("t", future=1)]), "messages[0].content[0].future"),
        ({**user("x"), "future": 1}, "messages[0].future"),
    ],
)
def test_what_chat_cannot_say_is_named_or_left_out(turn: Json, param: str) -> None:
    with pytest.raises(Unsayable) as caught:
        history(turn)
    losses = Losses(dialect="the other", drop=True)
    written = history(turn, losses=losses)

    assert param == caught.value.param
    assert (param,) == losses.names
    assert 1 == len(written)


@pytest.mark.parametrize(
    ("turn", "param"),
    [
        ({"role": "tool", "content": "x"}, "messages[0].role"),
        ({"content": "x"}, "messages[0].role"),
        (user(None), "messages[0].content"),
        (user([{"text": "x"}]), "messages[0].content[0].type"),
        (user([{"type": "tool_result"}]), "messages[0].content[0].tool_use_id"),
    ],
)
def test_a_turn_that_is_no_turn_is_named_even_where_losses_are_fine(turn: Json, param: str) -> None:
    with pytest.raises(Unsayable) as caught:
        history(turn, losses=Losses(dialect="the other", drop=True))

    assert param == caught.value.param


def plain(*turns: Json, system: object = None) -> list[Json]:
    return history(*turns, system=system, losses=Losses(dialect="Chat Completions", drop=False))


def test_who_knows_only_openais_dialect_is_told_nothing_else() -> None:
    """OpenAI answers members that it does not know with 400. What they say changes no reply."""
    answer = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "no", "is_error": True, **CACHED}
    said = plain(
        user([text("a", **CACHED), IMAGE | CACHED]),
        assistant([THOUGHT, HIDDEN, text("b", **CACHED), USE | CACHED]),
        user([answer]),
        system=[text("s", **CACHED)],
    )

    assert [
        {"role": "system", "content": "s"},
        user([text("a"), SHOWN]),
        assistant("b", tool_calls=[CALL]),
        {"role": "tool", "tool_call_id": "toolu_1", "content": "no"},
    ] == said


def test_unsigned_thoughts_go_back_to_the_kind_of_provider_that_wrote_them() -> None:
    """T18: some of those who speak Chat Completions want `reasoning_content` with the calls that came of it."""
    unsigned = {"type": "thinking", "thinking": "hm", "signature": ""}

    assert [assistant(None, reasoning_content="hm", tool_calls=[CALL])] == plain(assistant([unsigned, USE]))
    assert [assistant(None, tool_calls=[CALL])] == plain(assistant([unsigned, THOUGHT, USE]))
    assert [assistant(None, tool_calls=[CALL])] == plain(assistant([unsigned, HIDDEN, USE]))
