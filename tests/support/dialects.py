"""Replies of a provider in the dialects whose events have names: whole, and as streams of which each piece is one."""

import json
from collections.abc import Mapping

from tests.support.fake_upstream import Framing, Reply, Step, Token

SSE = (("content-type", "text/event-stream"),)


def event(name: str, **members: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **members})}\n\n".encode()


def message(text: str = "Hello there", *, model: str = "claude", cached: int = 0) -> dict[str, object]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 20, "cache_read_input_tokens": cached, "output_tokens": len(text.split())},
    }


def message_events(text: str = "Hello there", *, model: str = "claude", cached: int = 0) -> list[bytes]:
    begun = {**message("", model=model, cached=cached), "content": [], "stop_reason": None}
    words = text.split(" ")
    pieces = [word if at == 0 else f" {word}" for at, word in enumerate(words)]
    return [
        event("message_start", message=begun),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("ping"),
        *[event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece}) for piece in pieces],
        event("content_block_stop", index=0),
        event(
            "message_delta",
            delta={"stop_reason": "end_turn", "stop_sequence": None},
            usage={"output_tokens": len(words)},
        ),
        event("message_stop"),
    ]


def response(text: str = "Hello there", *, model: str = "gpt-5", status: str = "completed") -> dict[str, object]:
    item = {
        "id": "item_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [item],
        "usage": {
            "input_tokens": 20,
            "input_tokens_details": {"cached_tokens": 8},
            "output_tokens": len(text.split()),
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 20 + len(text.split()),
        },
    }


def response_events(text: str = "Hello there", *, model: str = "gpt-5") -> list[bytes]:
    whole = response(text, model=model)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    words = text.split(" ")
    pieces = [word if at == 0 else f" {word}" for at, word in enumerate(words)]
    spots: Mapping[str, object] = {"item_id": "item_1", "output_index": 0, "content_index": 0}
    told: list[tuple[str, dict[str, object]]] = [
        ("response.created", {"response": begun}),
        ("response.in_progress", {"response": begun}),
        (
            "response.output_item.added",
            {"output_index": 0, "item": {"id": "item_1", "type": "message", "role": "assistant", "content": []}},
        ),
        *[("response.output_text.delta", {**spots, "delta": piece}) for piece in pieces],
        ("response.output_text.done", {**spots, "text": text}),
        ("response.output_item.done", {"output_index": 0, "item": whole["output"][0]}),  # type: ignore[index]
        ("response.completed", {"response": whole}),
    ]
    return [event(name, sequence_number=at, **members) for at, (name, members) in enumerate(told)]


def whole(body: Mapping[str, object]) -> Reply:
    return Reply(steps=(json.dumps(body).encode(),))


def streamed(events: list[bytes]) -> Reply:
    """A stream that bills a token for each delta."""
    steps: list[Step] = [Token(raw) if b"delta\n" in raw.split(b"data:")[0] else raw for raw in events]
    return Reply(headers=SSE, steps=tuple(steps), framing=Framing.CHUNKED)
