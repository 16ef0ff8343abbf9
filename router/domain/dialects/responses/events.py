"""Read and write the events of Responses and Chat Completions so that every string stays as it came.

A text that comes in pieces is the pieces' JSON between one pair of quotes: nothing is decoded, escapes survive, and
half a surrogate pair meets its other half again.
"""

from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dialects.raw_json import unmarked
from router.domain.stream import Event, EventKind
from router.domain.usage import TokenUsage, read_usage

_QUOTE: Final = b'"'
_TIERS: Final = frozenset((b'"auto"', b'"default"', b'"flex"', b'"scale"', b'"priority"'))
encode: Final = msgspec.json.Encoder().encode


class Script:
    """The events of one reply in the Responses dialect, numbered; a muted one keeps none."""

    __slots__ = ("_events", "_muted", "_number")

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._number = 0
        self._muted = False

    def mute(self) -> None:
        self._muted = True

    def say(self, kind: bytes, members: bytes) -> None:
        if self._muted:
            return
        raw = b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b}\n\n' % (kind, kind, self._number, members)
        self._number += 1
        self._events.append(Event(EventKind.CHUNK, raw))

    def hand_on(self, event: Event) -> None:
        self._events.append(event)

    def taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events


def body(raw: Raw) -> bytes:
    """Return what is between the quotes of a string; nothing of anything else."""
    text = bytes(raw)
    if text[:1] != _QUOTE:
        return b""
    return unmarked(text)[1:-1]


def between(raw: Raw) -> bytes:
    """Return what is between the brackets of an array, on one line; nothing of anything else."""
    return one_line(raw)[1:-1] if bytes(memoryview(raw)[:1]) == b"[" else b""


def one_line(raw: Raw) -> bytes:
    """Return JSON that may stand in an event."""
    text = bytes(raw)
    return msgspec.json.format(text, indent=-1) if b"\n" in text or b"\r" in text else text


def tier(raw: Raw) -> bytes:
    """Write a service tier; null where it is none of OpenAI's, whose clients take no other."""
    return bytes(raw) if bytes(raw) in _TIERS else b"null"


def body_of_text(text: str) -> bytes:
    return encode(text)[1:-1]


def usage_for_responses(raw: Raw) -> bytes:
    """Write a chat usage. Audio and predicted tokens have no place there; they are part of the totals."""
    used = _usage(raw)
    if used is None:
        return b"null"
    return (
        b'{"input_tokens":%d,"input_tokens_details":{"cached_tokens":%d,"cache_write_tokens":%d},'
        b'"output_tokens":%d,"output_tokens_details":{"reasoning_tokens":%d},"total_tokens":%d}'
    ) % (used.input, used.cached_input, used.cache_write, used.output, used.reasoning, used.input + used.output)


def usage_for_chat(raw: Raw) -> bytes:
    """Write the usage of a response."""
    used = _usage(raw)
    if used is None:
        return b"null"
    return (
        b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
        b'"prompt_tokens_details":{"cached_tokens":%d,"cache_write_tokens":%d},'
        b'"completion_tokens_details":{"reasoning_tokens":%d}}'
    ) % (used.input, used.output, used.input + used.output, used.cached_input, used.cache_write, used.reasoning)


def _usage(raw: Raw) -> TokenUsage | None:
    return None if bytes(raw) in (b"", b"null") else read_usage(raw)
