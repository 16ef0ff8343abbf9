"""In whichever dialect the scripted provider is asked, it says the same and ends as that dialect does."""

import json
from typing import Any

import pytest

from router.adapters.upstreams.script_dialects import answer_to
from router.domain.catalog import Script
from router.domain.dialects.dialect import Dialect
from router.domain.dialects.translators import GRAMMARS

TURNS = [{"role": "user", "content": "tell me"}]
ASKED: dict[Dialect, dict[str, object]] = {
    Dialect.CHAT: {"messages": TURNS},
    Dialect.COMPLETIONS: {"prompt": "tell me"},
    Dialect.RESPONSES: {"input": "tell me"},
    Dialect.MESSAGES: {"messages": TURNS, "max_tokens": 100},
    Dialect.EMBEDDINGS: {"input": "tell me"},
}
STREAMS = [dialect for dialect in GRAMMARS if dialect is not Dialect.EMBEDDINGS]


def body(dialect: Dialect, **members: object) -> bytes:
    return json.dumps({"model": "m", **ASKED[dialect], **members}).encode()


def whole(dialect: Dialect, script: Script | None = None, **members: object) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(answer_to(dialect, body(dialect, **members), script or Script()).whole())
    return read


def events(dialect: Dialect, **members: object) -> list[dict[str, Any]]:
    reply = answer_to(dialect, body(dialect, stream=True, **members), Script(reply="one two"))
    raws = [raw for step in reply.steps() for raw in step]
    return [json.loads(raw.partition(b"data: ")[2]) for raw in raws]


@pytest.mark.parametrize(
    ("dialect", "object_"),
    [
        (Dialect.CHAT, "chat.completion"),
        (Dialect.COMPLETIONS, "text_completion"),
        (Dialect.RESPONSES, "response"),
        (Dialect.EMBEDDINGS, "list"),
        (Dialect.MESSAGES, None),
    ],
)
def test_each_dialect_has_its_own_reply(dialect: Dialect, object_: str | None) -> None:
    reply = whole(dialect)

    assert (object_, "m") == (reply.get("object"), reply["model"])


@pytest.mark.parametrize("dialect", list(GRAMMARS))
def test_the_same_request_is_answered_the_same(dialect: Dialect) -> None:
    assert whole(dialect) == whole(dialect)


def test_a_message_says_what_the_chat_would() -> None:
    reply = whole(Dialect.MESSAGES, Script(reply="one two"), system="be kind")

    assert [{"type": "text", "text": "one two"}] == reply["content"]
    assert ("message", "end_turn", 4, 2) == (
        reply["type"],
        reply["stop_reason"],
        reply["usage"]["input_tokens"],
        reply["usage"]["output_tokens"],
    )
    assert reply["id"].startswith("msg_")


def test_a_response_says_what_the_chat_would() -> None:
    reply = whole(Dialect.RESPONSES, Script(reply="one two"), max_output_tokens=1)

    assert "one" == reply["output"][0]["content"][0]["text"]
    assert ("incomplete", 2, 1) == (reply["status"], reply["usage"]["input_tokens"], reply["usage"]["output_tokens"])
    assert reply["id"].startswith("resp_")


def test_a_tool_is_called_in_either() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    turns = [{"role": "user", "content": "weather"}]
    message = whole(Dialect.MESSAGES, messages=turns, tools=[{"name": "weather", "input_schema": schema}])
    tool = {"type": "function", "name": "weather", "parameters": schema}
    response = whole(Dialect.RESPONSES, input="weather", tools=[tool])

    assert ("tool_use", {"city": "weather"}) == (message["stop_reason"], message["content"][0]["input"])
    assert ("function_call", '{"city": "weather"}') == (
        response["output"][0]["type"],
        response["output"][0]["arguments"],
    )


@pytest.mark.parametrize(
    ("dialect", "kinds"),
    [
        (
            Dialect.MESSAGES,
            [
                "message_start",
                "content_block_start",
                "content_block_delta",
                "content_block_delta",
                "content_block_stop",
                "message_delta",
                "message_stop",
            ],
        ),
        (
            Dialect.RESPONSES,
            [
                "response.created",
                "response.in_progress",
                "response.output_item.added",
                "response.content_part.added",
                "response.output_text.delta",
                "response.output_text.delta",
                "response.output_text.done",
                "response.content_part.done",
                "response.output_item.done",
                "response.completed",
            ],
        ),
    ],
)
def test_a_stream_begins_and_ends_as_its_dialect_does(dialect: Dialect, kinds: list[str]) -> None:
    assert kinds == [event["type"] for event in events(dialect)]


@pytest.mark.parametrize("dialect", STREAMS)
def test_a_stream_has_a_step_to_open_one_for_each_token_and_one_to_close(dialect: Dialect) -> None:
    reply = answer_to(dialect, body(dialect, stream=True), Script(reply="one two three"))

    assert (3, 5) == (reply.tokens, len(list(reply.steps())))


def test_a_stream_tells_its_usage_in_the_last_event() -> None:
    assert 2 == events(Dialect.RESPONSES)[-1]["response"]["usage"]["output_tokens"]
    assert 2 == events(Dialect.MESSAGES)[-2]["usage"]["output_tokens"]


@pytest.mark.parametrize(
    ("dialect", "members"),
    [
        (Dialect.RESPONSES, {"previous_response_id": "resp_1"}),
        (Dialect.RESPONSES, {"input": 1}),
        (Dialect.MESSAGES, {"messages": []}),
        (Dialect.MESSAGES, {"messages": "hi"}),
        (Dialect.CHAT, {"messages": []}),
    ],
)
def test_what_is_no_request_is_refused(dialect: Dialect, members: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        whole(dialect, **members)


@pytest.mark.parametrize("dialect", [Dialect.RESPONSES, Dialect.MESSAGES])
def test_what_a_chat_cannot_say_is_not_heard(dialect: Dialect) -> None:
    assert "error" not in {name for name, value in whole(dialect, unheard_of={"a": 1}).items() if value}
