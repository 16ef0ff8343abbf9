"""Meter replies in Anthropic's Messages: usage comes in two parts, and the reply is whole when it says so."""

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dialects.meter import Meter, failure_of, read_text, something
from router.domain.dialects.raw_json import ABSENT
from router.domain.dialects.sse_payload import payload_of, read
from router.domain.stream import Event, EventKind
from router.domain.usage import TokenUsage, estimate_tokens, fit, read_usage

_ONLY_CHOICE: Final = 0
_SIGNED: Final = ("signature_delta", "redacted_thinking", "thinking")
"""A block of the last type may begin with its signature."""


class _Usage(msgspec.Struct, gc=False):
    """What is not said is as it was: the events of a stream say more and more of it."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Message(msgspec.Struct, gc=False):
    model: Raw = ABSENT
    usage: _Usage | None = None


class _Part(msgspec.Struct, gc=False):
    """A content block as it begins, what is added to it, or how the message ends."""

    type: str = ""
    text: Raw = ABSENT
    partial_json: Raw = ABSENT
    thinking: Raw = ABSENT
    data: Raw = ABSENT
    name: Raw = ABSENT
    stop_reason: str | None = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    index: int = 0
    message: _Message | None = None
    content_block: _Part | None = None
    delta: _Part | None = None
    usage: _Usage | None = None
    error: Raw = ABSENT


class _Whole(msgspec.Struct, gc=False):
    usage: Raw = ABSENT
    error: Raw = ABSENT
    model: Raw = ABSENT
    content: Raw = ABSENT


_event: Final = msgspec.json.Decoder(_Event, strict=False)
_whole: Final = msgspec.json.Decoder(_Whole)


class MessagesMeter(Meter):
    __slots__ = ("_input", "_open_blocks", "_said")

    def __init__(
        self, *, wants_usage: bool, tokens_max: int | None = None, allow: Callable[[int], int] | None = None
    ) -> None:
        super().__init__(wants_usage=wants_usage, tokens_max=tokens_max, allow=allow)
        self._said: _Usage | None = None
        self._open_blocks: set[int] = set()

    def measured(self, input_bytes: int) -> TokenUsage:
        if self.usage is None and self._said is not None and self._said.input_tokens is not None:
            known = _usage_of(self._said)  # of a reply that was cut: the input is certain, the output is what we saw
            return msgspec.structs.replace(known, output=self.counted_tokens, estimated=True)
        return super().measured(input_bytes)

    def cut(self) -> list[Event]:
        output = b"%d" % self.counted_tokens
        ends = [_written(b"content_block_stop", b'"index":%d' % index) for index in sorted(self._open_blocks)]
        return [
            *ends,
            _written(
                b"message_delta",
                b'"delta":{"stop_reason":"max_tokens","stop_sequence":null},"usage":{"output_tokens":%b}' % output,
            ),
            _written(b"message_stop", b""),
        ]

    def _chunk(self, raw: bytes) -> bool:
        event = read(_event, payload_of(raw))
        kind = event.type
        if kind == "content_block_delta":
            self._adds(event.delta)
            self._sees(event.delta, raw)
        elif kind == "content_block_start":
            self._open_blocks.add(event.index)
            self._adds(event.content_block)
            self._sees(event.content_block, raw)
        elif kind == "content_block_stop":
            self._open_blocks.discard(event.index)
        elif kind == "message_start":
            if event.message is not None:
                self.served_model = read_text(event.message.model)
                self._learn(event.message.usage)
        elif kind == "message_delta":
            self._learn(event.usage)
            if event.delta is not None and event.delta.stop_reason:
                self.started = True
                if self._said is not None and self._said.input_tokens is not None:
                    self.usage = _usage_of(self._said)
        elif kind == "message_stop":
            self.started = self._finishes = True
            self._unfinished.clear()
        elif something(event.error):
            self.failure = failure_of(event.error)
            return False
        return True

    def _complete(self, raw: bytes) -> None:
        reply = read(_whole, raw)
        if reply.error is not ABSENT and something(reply.error):
            self.failure = failure_of(reply.error)
            return
        self.served_model = read_text(reply.model)
        self.usage = None if reply.usage is ABSENT else read_usage(reply.usage)
        if self.usage is None:
            self.counted_tokens = estimate_tokens(len(reply.content))

    def _adds(self, part: _Part | None) -> None:
        if part is not None and (
            something(part.text)
            or something(part.partial_json)
            or something(part.thinking)
            or something(part.data)
            or something(part.name)
        ):
            self.started = True
            self.counted_tokens += 1
            self._unfinished.add(_ONLY_CHOICE)

    def _sees(self, part: _Part | None, raw: bytes) -> None:
        if self.learn is not None and part is not None and part.type in _SIGNED:
            self.learn(raw)

    def _learn(self, usage: _Usage | None) -> None:
        if usage is None:
            return
        before = self._said or _Usage()
        self._said = _Usage(
            input_tokens=_later(usage.input_tokens, before.input_tokens),
            output_tokens=_later(usage.output_tokens, before.output_tokens),
            cache_read_input_tokens=_later(usage.cache_read_input_tokens, before.cache_read_input_tokens),
            cache_creation_input_tokens=_later(usage.cache_creation_input_tokens, before.cache_creation_input_tokens),
        )


def _later(now: int | None, before: int | None) -> int | None:
    return before if now is None else now


def _usage_of(said: _Usage) -> TokenUsage:
    cached, written = said.cache_read_input_tokens or 0, said.cache_creation_input_tokens or 0
    return fit((said.input_tokens or 0) + cached + written, cached, written, said.output_tokens or 0, 0)


def _written(name: bytes, members: bytes) -> Event:
    comma = b"," if members else b""
    return Event(EventKind.CHUNK, b'event: %b\ndata: {"type":"%b"%b%b}\n\n' % (name, name, comma, members))
