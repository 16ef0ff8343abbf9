"""The scripted completion of a text: valid JSON of that dialect, the same whole and streamed."""

import json
from typing import Any

import pytest

from router.adapters.upstreams.script_text import TextAnswer
from router.domain.catalog import Script


def answer(script: Script | None = None, **members: object) -> TextAnswer:
    return TextAnswer(json.dumps({"model": "m", "prompt": "tell me", **members}).encode(), script or Script())


def streamed(reply: TextAnswer) -> list[dict[str, Any]]:
    events = [raw for step in reply.steps() for raw in step]
    assert all(raw.startswith(b"data: ") and raw.endswith(b"\n\n") for raw in events)
    return [json.loads(raw[6:]) for raw in events]


def whole(reply: TextAnswer) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(reply.whole())
    return read


def told(reply: TextAnswer, index: int) -> str:
    return "".join(choice["text"] for one in streamed(reply) for choice in one["choices"] if choice["index"] == index)


def test_a_prompt_is_answered_with_a_text_about_it() -> None:
    reply = whole(answer(Script(reply_tokens=5)))

    assert ("text_completion", "m") == (reply["object"], reply["model"])
    assert [{"index": 0, "text": "You said: tell me which", "logprobs": None, "finish_reason": "stop"}] == reply[
        "choices"
    ]
    assert {"prompt_tokens": 2, "completion_tokens": 5, "total_tokens": 7} == reply["usage"]


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ("a b", ["a b"]),
        (["a b", "c"], ["a b", "c"]),
        ([7, 8], ["7 8"]),
        ([[7, 8], [9]], ["7 8", "9"]),
    ],
)
def test_each_prompt_has_its_answers_whole_and_streamed(prompt: object, texts: list[str]) -> None:
    reply = answer(Script(reply_tokens=4), prompt=prompt, n=2)
    said = [choice["text"] for choice in whole(reply)["choices"]]

    filler = {1: " which", 2: ""}
    assert [f"You said: {text}{filler[len(text.split())]}" for text in texts for _ in range(2)] == said
    assert said == [told(reply, index) for index in range(2 * len(texts))]


def test_each_token_of_all_choices_is_a_step() -> None:
    reply = answer(Script(reply_tokens=6), prompt=["a", "b"])

    assert (6, 6 + 2) == (reply.tokens, len(list(reply.steps())))


@pytest.mark.parametrize(("limit", "tokens", "reason"), [(3, 3, "length"), (0, 0, "length"), (4, 4, "stop")])
def test_a_limit_cuts_the_text_and_says_so(limit: int, tokens: int, reason: str) -> None:
    reply = answer(Script(reply_tokens=4), max_tokens=limit)
    (choice,) = whole(reply)["choices"]

    assert (tokens, reason) == (len(choice["text"].split()), choice["finish_reason"])
    assert reason == streamed(reply)[-1]["choices"][0]["finish_reason"]


def test_a_stream_tells_its_usage_to_whom_asks_and_only_if_the_script_does() -> None:
    asks = {"stream_options": {"include_usage": True}}

    assert 32 == streamed(answer(**asks))[-1]["usage"]["completion_tokens"]
    assert "usage" not in streamed(answer())[-1]
    assert "usage" not in streamed(answer(Script(report_usage=False), **asks))[-1]
    assert "usage" not in whole(answer(Script(report_usage=False)))


@pytest.mark.parametrize(
    "members",
    [
        {"prompt": None},
        {"prompt": []},
        {"prompt": ["a", 1]},
        {"prompt": [1, [2]]},
        {"n": 0},
        {"n": 129},
        {"prompt": ["a", "b"], "n": 65},
    ],
)
def test_what_is_no_request_is_refused(members: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        answer(**members)
