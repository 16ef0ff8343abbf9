"""Replies that a scripted provider never gives, put into another dialect, are what OpenAI's own types say they must be.

Thoughts, probabilities, refusals, several tools at once, nothing at all, no usage.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest
from msgspec import Raw
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from router.domain.dialects.messages.reply_from_chat import ChatToMessages
from router.domain.dialects.messages.reply_to_chat import MessagesToChat
from router.domain.dialects.responses.reply_from_chat import ChatToResponses
from router.domain.dialects.responses.reply_to_chat import ResponsesToChat
from router.domain.stream import END_EVENT, Event, EventKind

EVENT: Final[TypeAdapter[Any]] = TypeAdapter(ResponseStreamEvent)
CHUNK: Final[TypeAdapter[Any]] = TypeAdapter(ChatCompletionChunk)
HEAD: Final = {"id": "c", "created": 1, "model": "m"}
USAGE: Final = {
    "prompt_tokens": 5,
    "completion_tokens": 7,
    "total_tokens": 12,
    "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
TOKEN: Final = {"token": "a", "logprob": -0.1, "bytes": [97]}
LOGPROBS: Final = {"content": [{**TOKEN, "top_logprobs": [TOKEN]}], "refusal": None}


def tool(index: int, name: str, arguments: str) -> dict[str, object]:
    return {
        "index": index,
        "id": f"call_{index}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


SAID: Final[Mapping[str, tuple[Mapping[str, object], str]]] = {
    "thought": ({"reasoning_content": "hm", "content": "hi"}, "stop"),
    "refusal": ({"refusal": "no"}, "stop"),
    "filtered": ({"content": "x"}, "content_filter"),
    "tools": ({"content": "a", "tool_calls": [tool(0, "f", '{"a":1}'), tool(1, "g", "{}")]}, "tool_calls"),
    "nothing": ({"content": ""}, "stop"),
    "cut": ({"content": "x"}, "length"),
}
"""What a message says, and why it ends."""
every_reply = pytest.mark.parametrize("name", SAID)


def stream(name: str, *, usage: bool = True) -> list[Event]:
    delta, finish = SAID[name]
    told: Sequence[Mapping[str, object]] = [
        *[{"delta": {"role": "assistant", key: value}, "logprobs": LOGPROBS} for key, value in delta.items()],
        {"delta": {}, "finish_reason": finish},
    ]
    chunks = [{**HEAD, "object": "chat.completion.chunk", "choices": [{"index": 0, **choice}]} for choice in told]
    if usage:
        chunks.append({**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": USAGE})
    raws = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks]
    return [*[Event(EventKind.CHUNK, raw) for raw in raws], END_EVENT]


def whole(name: str) -> list[Event]:
    message, finish = SAID[name]
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish, "logprobs": LOGPROBS}
    reply = {**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}
    return [Event(EventKind.COMPLETE, json.dumps(reply).encode())]


def to_responses(events: Sequence[Event]) -> list[Event]:
    return ChatToResponses(reply_id="resp_1", created_s=1, request={"model": Raw(b'"m"')}).take(events)


def to_messages(events: Sequence[Event]) -> list[Event]:
    return ChatToMessages(reply_id="1", model="m", input_tokens_estimate=3).take(events)


def from_responses(events: Sequence[Event]) -> list[Event]:
    return ResponsesToChat(reply_id="1", created_s=1, wants_usage=True).take(events)


def from_messages(events: Sequence[Event]) -> list[Event]:
    return MessagesToChat(reply_id="1", created_s=1, wants_usage=True).take(events)


def payloads(events: Sequence[Event]) -> list[Any]:
    return [json.loads(event.raw.partition(b"data: ")[2]) for event in events if event.kind is EventKind.CHUNK]


@every_reply
@pytest.mark.parametrize("usage", [True, False])
def test_a_stream_of_responses(name: str, usage: bool) -> None:
    events = [EVENT.validate_python(payload) for payload in payloads(to_responses(stream(name, usage=usage)))]

    assert events[-1].type in ("response.completed", "response.incomplete")
    assert usage == (events[-1].response.usage is not None)


@every_reply
def test_a_whole_response(name: str) -> None:
    (event,) = to_responses(whole(name))
    reply = Response.model_validate_json(event.raw)

    assert reply.usage is not None
    assert (2, 3) == (
        reply.usage.input_tokens_details.cached_tokens,
        reply.usage.output_tokens_details.reasoning_tokens,
    )


@every_reply
@pytest.mark.parametrize(("there", "back"), [(to_responses, from_responses), (to_messages, from_messages)])
def test_a_chat_from_either(name: str, there: Any, back: Any) -> None:
    chunks = [CHUNK.validate_python(payload) for payload in payloads(back(there(stream(name))))]
    (event,) = back(there(whole(name)))
    reply = ChatCompletion.model_validate_json(event.raw)
    ends = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]

    assert [reply.choices[0].finish_reason] == ends
    assert reply.usage is not None
    assert 12 == reply.usage.total_tokens
