"""Providers with a dialect of their own, as they look on the wire: Google's Gemini and Amazon's Bedrock Converse."""

import binascii
import json
import struct
from collections.abc import Sequence
from typing import Final

from tests.support.fake_upstream import Cut, Framing, Gap, Reply, Request, Step, text, word

TOKENS: Final = 60
CACHED: Final = 4
THOUGHTS: Final = 3
INPUT: Final = 10


def is_stream(request: Request) -> bool:
    return "stream" in request.target.lower()


# --- Gemini: generateContent, and streamGenerateContent as SSE


def gemini(request: Request, *, delay_s: float = 0.0, gap_s: float = 0.0) -> Reply:
    """What a healthy Gemini answers."""
    before: tuple[Step, ...] = (Gap(delay_s),)
    if not is_stream(request):
        return Reply(before_head=before, steps=(_json(gemini_says([{"text": text(TOKENS)}], finish="STOP")),))
    steps: list[Step] = []
    for index in range(TOKENS):
        steps += [Gap(gap_s)] if gap_s and index else []
        steps.append(gemini_event(gemini_says([{"text": word(index)}])))
    steps.append(gemini_event(gemini_says([], finish="STOP")))
    return gemini_stream(*steps, before=before)


def gemini_stream(*steps: Step, before: tuple[Step, ...] = ()) -> Reply:
    return Reply(
        before_head=before, steps=steps, headers=(("content-type", "text/event-stream"),), framing=Framing.CHUNKED
    )


def gemini_event(value: object) -> bytes:
    return b"data: " + _json(value) + b"\r\n\r\n"


def gemini_says(parts: Sequence[object], *, finish: str | None = None) -> dict[str, object]:
    candidate: dict[str, object] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    said: dict[str, object] = {"candidates": [candidate], "modelVersion": "m", "responseId": "r"}
    if finish is not None:
        candidate["finishReason"] = finish
        said["usageMetadata"] = {
            "promptTokenCount": INPUT,
            "cachedContentTokenCount": CACHED,
            "candidatesTokenCount": TOKENS - THOUGHTS,
            "thoughtsTokenCount": THOUGHTS,
            "totalTokenCount": INPUT + TOKENS,
        }
    return said


# --- Bedrock: converse, and converse-stream as frames of Amazon's event stream


def bedrock(request: Request) -> Reply:
    """What a healthy Bedrock answers."""
    if not is_stream(request):
        return Reply(steps=(_json(bedrock_whole([{"text": text(TOKENS)}], "end_turn")),))
    deltas = [bedrock_frame("contentBlockDelta", bedrock_delta({"text": word(index)})) for index in range(TOKENS)]
    return bedrock_stream(bedrock_frame("messageStart", {"role": "assistant"}), *deltas, *bedrock_ending("end_turn"))


def bedrock_whole(content: Sequence[object], stop: str) -> dict[str, object]:
    return {
        "output": {"message": {"role": "assistant", "content": list(content)}},
        "stopReason": stop,
        "usage": _bedrock_usage(),
        "metrics": {"latencyMs": 1},
    }


def bedrock_delta(delta: object, index: int = 0) -> dict[str, object]:
    return {"contentBlockIndex": index, "delta": delta}


def bedrock_ending(stop: str) -> list[Step]:
    return [
        bedrock_frame("contentBlockStop", {"contentBlockIndex": 0}),
        bedrock_frame("messageStop", {"stopReason": stop}),
        bedrock_frame("metadata", {"usage": _bedrock_usage(), "metrics": {"latencyMs": 1}}),
    ]


def bedrock_stream(*steps: Step) -> Reply:
    head = (("content-type", "application/vnd.amazon.eventstream"),)
    return Reply(steps=steps, headers=head, framing=Framing.CHUNKED)


def bedrock_frame(kind: str, payload: object, *, message: str = "event") -> bytes:
    """Write one frame: a prelude with its checksum, headers, the payload, and a checksum of all."""
    names = {":event-type" if message == "event" else ":exception-type": kind}
    names |= {":content-type": "application/json", ":message-type": message}
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in names.items()
    )
    body = _json(payload)
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    frame = prelude + struct.pack(">I", binascii.crc32(prelude)) + headers + body
    return frame + struct.pack(">I", binascii.crc32(frame))


def _bedrock_usage() -> dict[str, int]:
    """Amazon counts cached tokens beside the input."""
    return {
        "inputTokens": INPUT - CACHED,
        "outputTokens": TOKENS,
        "totalTokens": INPUT + TOKENS,
        "cacheReadInputTokens": CACHED,
        "cacheWriteInputTokens": 0,
    }


def refusal(status: int, body: str, headers: Sequence[tuple[str, str]] = ()) -> Reply:
    head = (("content-type", "application/json"), *headers)
    return Reply(status=status, headers=head, steps=(body.encode(),))


def cut() -> Step:
    return Cut.CLOSE


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
