"""Say why a reply ended and what it used, in Chat Completions and in Messages.

Chat Completions knows fewer reasons: a stop sequence and a pause are `stop`, a context window that is full is `length`.
Which stop sequence it was is not told. A reason that is on neither list is an ordinary end.
A reply with tool calls that claims an ordinary end ends in its tool calls: agents go by the reason.
"""

from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dialects.raw_json import UNREADABLE
from router.domain.usage import TokenUsage

_TO_CHAT: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_FROM_CHAT: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


def finish_of(stop_reason: str, *, has_calls: bool) -> str:
    finish = _TO_CHAT.get(stop_reason, "stop")
    return "tool_calls" if has_calls and finish == "stop" else finish


def stop_of(finish_reason: str, *, has_calls: bool, refused: bool) -> str:
    """Return a stop reason of Messages. `refused`: the reply has a text in which the model declines."""
    stop = _FROM_CHAT.get(finish_reason, "end_turn")
    if stop != "end_turn":
        return stop
    return "refusal" if refused else "tool_use" if has_calls else stop


class _OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None


_usage: Final = msgspec.json.Decoder(_Usage, strict=False)


class MessagesUsage:
    """What a reply of Messages has used so far: a stream says it at its start, and again, as sums, at its end."""

    __slots__ = ("_said", "known")

    def __init__(self) -> None:
        self._said = _Usage()
        self.known = False

    def take(self, raw: Raw) -> None:
        """Read one `usage` object; what it does not say is as it was, what cannot be read says nothing."""
        try:
            said = _usage.decode(raw)
        except UNREADABLE:
            return
        before = self._said
        self.known = True
        self._said = _Usage(
            input_tokens=_later(said.input_tokens, before.input_tokens),
            cache_creation_input_tokens=_later(said.cache_creation_input_tokens, before.cache_creation_input_tokens),
            cache_read_input_tokens=_later(said.cache_read_input_tokens, before.cache_read_input_tokens),
            output_tokens=_later(said.output_tokens, before.output_tokens),
            output_tokens_details=said.output_tokens_details or before.output_tokens_details,
        )

    def for_chat(self) -> bytes:
        """Write `usage` of Chat Completions, whose input holds what came from a cache or went into it."""
        said = self._said
        cached, written = said.cache_read_input_tokens or 0, said.cache_creation_input_tokens or 0
        asked = (said.input_tokens or 0) + cached + written
        answered = said.output_tokens or 0
        thought = said.output_tokens_details.thinking_tokens if said.output_tokens_details is not None else None
        details = b"" if thought is None else b',"completion_tokens_details":{"reasoning_tokens":%d}' % thought
        return (
            b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
            b'"prompt_tokens_details":{"cached_tokens":%d,"cache_write_tokens":%d}%b}'
            % (asked, answered, asked + answered, cached, written, details)
        )


def _later(said: int | None, before: int | None) -> int | None:
    return before if said is None else said


def usage_for_messages(usage: TokenUsage) -> bytes:
    """Write `usage` of Messages, where what came from a cache or went into it stands beside the input."""
    thought = b',"output_tokens_details":{"thinking_tokens":%d}' % usage.reasoning if usage.reasoning else b""
    return b'{"input_tokens":%d,"cache_creation_input_tokens":%d,"cache_read_input_tokens":%d,"output_tokens":%d%b}' % (
        usage.input - usage.cached_input - usage.cache_write,
        usage.cache_write,
        usage.cached_input,
        usage.output,
        thought,
    )
