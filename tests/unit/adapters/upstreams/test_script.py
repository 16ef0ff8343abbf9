"""The scripted answer: valid OpenAI JSON, the same whole and streamed."""

import json

import pytest

from router.adapters.upstreams.script import ChatAnswer
from router.domain.catalog import Script

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def answer(script: Script | None = None, text: str = "tell me", **members: object) -> ChatAnswer:
    messages = [{"role": "user", "content": text}]
    return ChatAnswer(json.dumps({"model": "m", "messages": messages, **members}).encode(), script or Script())


def streamed(reply: ChatAnswer) -> list[dict[str, object]]:
    events = [raw for step in reply.steps() for raw in step]
    assert all(raw.startswith(b"data: ") and raw.endswith(b"\n\n") for raw in events)
    return [json.loads(raw[6:]) for raw in events]


def told(reply: ChatAnswer, index: int = 0) -> str:
    choices = [choice for chunk in streamed(reply) for choice in chunk["choices"] if choice["index"] == index]  # type: ignore[attr-defined]  # JSON
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def test_the_same_request_is_answered_the_same() -> None:
    assert answer().whole() == answer().whole()
    assert streamed(answer()) == streamed(answer())
    assert json.loads(answer().whole())["id"] == streamed(answer())[0]["id"]


def test_another_request_has_another_id() -> None:
    assert streamed(answer())[0]["id"] != streamed(answer(text="tell me more"))[0]["id"]


def test_the_first_chunk_has_the_role_and_the_last_the_reason() -> None:
    chunks = streamed(answer(Script(reply="Hello you there")))

    assert [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}] == chunks[0]["choices"]
    assert ["Hello", " you", " there"] == [chunk["choices"][0]["delta"]["content"] for chunk in chunks[1:-1]]  # type: ignore[index]  # JSON
    assert [{"index": 0, "delta": {}, "finish_reason": "stop"}] == chunks[-1]["choices"]


def test_a_reply_has_as_many_tokens_as_the_script_says() -> None:
    for tokens in (0, 1, 2, 50):
        reply = answer(Script(reply_tokens=tokens))
        assert tokens == reply.tokens == len(told(reply).split())


def test_whole_and_streamed_say_the_same_to_every_choice() -> None:
    reply = answer(n=3)
    choices = json.loads(reply.whole())["choices"]

    assert [0, 1, 2] == [choice["index"] for choice in choices]
    assert [told(reply, index) for index in range(3)] == [choice["message"]["content"] for choice in choices]


def test_usage_counts_words_of_all_messages_and_choices() -> None:
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "tell me more"}]
    usage = {"prompt_tokens": 5, "completion_tokens": 20, "total_tokens": 25}
    reply = answer(Script(reply_tokens=10), messages=messages, n=2, stream_options={"include_usage": True})

    assert usage == json.loads(reply.whole())["usage"]
    assert [] == streamed(reply)[-1]["choices"]
    assert usage == streamed(reply)[-1]["usage"]


def test_a_stream_has_no_usage_unless_it_is_asked_for() -> None:
    assert all("usage" not in chunk for chunk in streamed(answer()))


def test_a_script_may_keep_its_usage_to_itself() -> None:
    reply = answer(Script(report_usage=False), stream_options={"include_usage": True})

    assert "usage" not in json.loads(reply.whole())
    assert all("usage" not in chunk for chunk in streamed(reply))


@pytest.mark.parametrize(
    ("limit", "tokens", "reason"), [(3, 3, "length"), (32, 32, "stop"), (33, 32, "stop"), (0, 0, "length")]
)
def test_a_limit_cuts_the_reply_and_says_so(limit: int, tokens: int, reason: str) -> None:
    choice = json.loads(answer(max_tokens=limit).whole())["choices"][0]

    assert tokens == len(choice["message"]["content"].split())
    assert reason == choice["finish_reason"]


def test_a_tool_call_is_streamed_in_pieces_that_make_its_arguments() -> None:
    reply = answer(text="what is the weather in Oslo?", tools=[WEATHER])
    whole = json.loads(reply.whole())["choices"][0]
    chunks = streamed(reply)
    deltas = [chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in chunks[:-1]]  # type: ignore[index]  # JSON

    assert "tool_calls" == whole["finish_reason"] == chunks[-1]["choices"][0]["finish_reason"]  # type: ignore[index]  # JSON
    assert whole["message"]["content"] is None
    call = whole["message"]["tool_calls"][0]
    assert {"city": "what is the weather in Oslo?"} == json.loads(call["function"]["arguments"])
    assert (0, call["id"], "weather") == (deltas[0]["index"], deltas[0]["id"], deltas[0]["function"]["name"])
    assert len(deltas) > 3
    assert call["function"]["arguments"] == "".join(delta["function"]["arguments"] for delta in deltas)


def test_a_reply_that_must_fit_a_schema_does_whole_and_streamed() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n", "said"]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    reply = answer(response_format=form)
    choice = json.loads(reply.whole())["choices"][0]

    assert ({"n": 1, "said": "tell me"}, "stop") == (json.loads(choice["message"]["content"]), choice["finish_reason"])
    assert choice["message"]["content"] == told(reply)
    assert "mine" == told(answer(Script(reply="mine"), response_format=form))
