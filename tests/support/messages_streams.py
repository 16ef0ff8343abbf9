"""Write and read streams of Messages and Chat Completions, as strictly as their clients do."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from router.domain.dialects.messages.reply_from_chat import ChatToMessages
from router.domain.dialects.messages.reply_to_chat import MessagesToChat
from router.domain.stream import END_EVENT, Event, EventKind

Json = dict[str, Any]

_fields: Final = msgspec.json.Decoder(dict[str, Raw])


def fields_of(request: object) -> dict[str, Raw]:
    return _fields.decode(json.dumps(request))


def chat_event(chunk: object) -> Event:
    return Event(EventKind.CHUNK, b"data: %b\n\n" % json.dumps(chunk).encode())


def chat_delta(delta: Json, finish: str | None = None, **more: object) -> Event:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return chat_event({"id": "c", "object": "chat.completion.chunk", "choices": [choice], **more})


def messages_event(event: Json) -> Event:
    return Event(EventKind.CHUNK, b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode()))


def to_chat(*, wants_usage: bool = True) -> MessagesToChat:
    return MessagesToChat(reply_id="r1", created_s=7, wants_usage=wants_usage)


def to_messages() -> ChatToMessages:
    return ChatToMessages(reply_id="r1", model="alias", input_tokens_estimate=9)


def as_chat(events: Iterable[Event]) -> list[Event]:
    return to_chat().take([*events, END_EVENT])


def as_messages(events: Iterable[Event]) -> list[Event]:
    return to_messages().take([*events, END_EVENT])


def data_of(event: Event) -> Json:
    assert event.raw.endswith(b"\n\n")
    assert b"\n\n" not in event.raw[:-2]
    (line,) = [line for line in event.raw.split(b"\n") if line.startswith(b"data:")]
    data: Json = json.loads(line[len(b"data:") :])
    return data


def fold_chat(events: Sequence[Event]) -> Json:
    """Put a stream together with OpenAI's own client; say also each finish reason that came."""
    state: ChatCompletionStreamState = ChatCompletionStreamState()
    finishes = []
    for event in events:
        if event.kind is not EventKind.CHUNK:
            continue
        chunk = ChatCompletionChunk.model_validate(data_of(event), strict=True)
        finishes += [choice.finish_reason for choice in chunk.choices if choice.finish_reason is not None]
        state.handle_chunk(chunk)
    folded: Json = state.current_completion_snapshot.model_dump(exclude_none=True)
    folded["finishes"] = finishes
    return folded


def fold_messages(events: Sequence[Event]) -> Json:
    """Put a stream together; fails where a strict client would."""
    message: Json = {}
    pieces: list[str] = []
    is_open = ended = False
    for event in events:
        if event.kind is not EventKind.CHUNK:
            continue
        data = data_of(event)
        assert event.raw.startswith(b"event: %b\n" % data["type"].encode())
        assert not ended
        match data["type"]:
            case "message_start":
                assert not message
                message = data["message"]
            case "content_block_start":
                assert not is_open
                assert data["index"] == len(message["content"])
                is_open, pieces = True, []
                message["content"].append(data["content_block"])
            case "content_block_delta":
                assert is_open
                assert data["index"] == len(message["content"]) - 1
                _grow(message["content"][-1], data["delta"], pieces)
            case "content_block_stop":
                assert is_open
                assert data["index"] == len(message["content"]) - 1
                is_open = False
                if message["content"][-1]["type"] == "tool_use":
                    text = "".join(pieces)
                    message["content"][-1]["input"] = json.loads(text or "{}")
                    message["content"][-1]["text"] = text
            case "message_delta":
                assert not is_open
                assert message["stop_reason"] is None
                message |= data["delta"]
                message["usage"] |= data["usage"]
            case "message_stop":
                assert message["stop_reason"] is not None
                ended = True
    return message


def _grow(block: Json, delta: Json, pieces: list[str]) -> None:
    kind = (block["type"], delta["type"])
    if kind == ("text", "text_delta"):
        block["text"] += delta["text"]
    elif kind == ("thinking", "thinking_delta"):
        block["thinking"] += delta["thinking"]
    elif kind == ("thinking", "signature_delta"):
        block["signature"] += delta["signature"]
    else:
        assert kind == ("tool_use", "input_json_delta")
        pieces.append(delta["partial_json"])


def completion_of(event: Event) -> ChatCompletion:
    return ChatCompletion.model_validate_json(event.raw, strict=False)
