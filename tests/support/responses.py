"""Read and write both of OpenAI's dialects as their own SDK does, to judge what is translated between them."""

import json
import random
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Raw
from openai import omit
from openai.lib.streaming.chat._completions import ChatCompletionStreamState
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from router.domain.dialects.translation import ReplyTranslator
from router.domain.stream import END_EVENT, Event, EventKind

Json = Mapping[str, object]

_any_event: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


def raws(fields: Json) -> dict[str, Raw]:
    return msgspec.json.decode(json.dumps(fields), type=dict[str, Raw])


def plain(fields: Mapping[str, Raw]) -> dict[str, object]:
    return {name: json.loads(bytes(raw)) for name, raw in fields.items()}


def complete(body: object) -> Event:
    return Event(EventKind.COMPLETE, json.dumps(body).encode())


def chat_chunk(delta: Json | None, finish: str | None = None, **members: object) -> Event:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": 1, "model": "up-1", "choices": choices}
    return Event(EventKind.CHUNK, b"data: %b\n\n" % json.dumps(body | members).encode())


def response_event(kind: str, **members: object) -> Event:
    return Event(EventKind.CHUNK, f"event: {kind}\ndata: {json.dumps({'type': kind} | members)}\n\n".encode())


def data_of(event: Event) -> dict[str, object]:
    [line] = [line for line in event.raw.split(b"\n") if line.startswith(b"data: ")]
    found = json.loads(line.removeprefix(b"data: "))
    assert isinstance(found, dict)
    return found


def told(events: Iterable[Event]) -> list[dict[str, object]]:
    return [data_of(event) for event in events if event.kind is EventKind.CHUNK]


def response_of(events: Iterable[Event]) -> Response:
    """Judge every event as the SDK types it, in its order, and return the response that the SDK makes of them."""
    state: ResponseStreamState[None] = ResponseStreamState(input_tools=omit, text_format=omit)
    last: Response | None = None
    for number, event in enumerate(event for event in events if event.kind is EventKind.CHUNK):
        data = data_of(event)
        assert event.raw.startswith(b"event: %b\ndata: " % str(data["type"]).encode())
        assert number == data["sequence_number"]
        read = _any_event.validate_python(data)
        state.handle_event(read)
        last = getattr(read, "response", None)
    assert last is not None
    return last


def chat_of(events: Iterable[Event]) -> ChatCompletion:
    """Return the completion that the SDK makes of the chunks, each of which it must take."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for data in told(events):
        state.handle_chunk(ChatCompletionChunk.model_validate(data))
    return state.current_completion_snapshot  # type: ignore[return-value]


def through(translator: ReplyTranslator, events: Sequence[Event], chance: random.Random | None = None) -> list[Event]:
    """Hand over events in batches, one at a time if chance has no say."""
    rest, found = list(events), []
    while rest:
        size = chance.randint(0, 4) if chance else 1
        found += translator.take(rest[:size])
        del rest[:size]
    return found


def chance_of(seed: int) -> random.Random:
    return random.Random(seed)


def pieces(text: str, chance: random.Random) -> list[str]:
    """Cut a text anywhere, into pieces that may be empty."""
    cuts = sorted(chance.randint(0, len(text)) for _ in range(chance.randint(0, 3)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def grown(events: Iterable[Event]) -> dict[object, str]:
    """Put together the deltas of each item."""
    items: dict[object, str] = {}
    for data in told(events):
        if str(data["type"]).endswith(".delta"):
            items[data["item_id"]] = items.get(data["item_id"], "") + str(data["delta"])
    return items


def ended(*events: Event) -> list[Event]:
    return [*events, END_EVENT]
