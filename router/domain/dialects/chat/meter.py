"""Meter replies in OpenAI's older dialects: Chat Completions, completions of a text, embeddings."""

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dialects.meter import Meter, failure_of, read_text, something
from router.domain.dialects.raw_json import ABSENT, UNREADABLE
from router.domain.dialects.sse_payload import payload_of, read
from router.domain.stream import Event, EventKind
from router.domain.usage import estimate_tokens, read_usage


class _Delta(msgspec.Struct, gc=False):
    content: Raw = ABSENT
    reasoning_content: Raw = ABSENT
    reasoning: Raw = ABSENT
    refusal: Raw = ABSENT
    tool_calls: Raw = ABSENT
    function_call: Raw = ABSENT
    audio: Raw = ABSENT
    thinking_blocks: Raw = ABSENT
    reasoning_details: Raw = ABSENT
    provider_specific_fields: Raw = ABSENT
    extra_content: Raw = ABSENT


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    text: Raw = ABSENT
    finish_reason: str | None = None


class _Reply(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Raw = ABSENT
    error: Raw = ABSENT
    model: Raw = ABSENT


class _Whole(msgspec.Struct, gc=False):
    """A unary reply without its text, which is only looked at when the provider did not count it."""

    usage: Raw = ABSENT
    error: Raw = ABSENT
    model: Raw = ABSENT


_reply: Final = msgspec.json.Decoder(_Reply)
_whole: Final = msgspec.json.Decoder(_Whole)
_DATA: Final = len(b"data:")


class ChatMeter(Meter):
    __slots__ = ()

    def cut(self) -> list[Event]:
        return [_length_event(b"chat.completion.chunk", b'"delta":{}', self._unfinished)]

    def _chunk(self, raw: bytes) -> bool:
        chunk = read(_reply, memoryview(raw)[_DATA:] if raw.find(b"\n") == len(raw) - 2 else payload_of(raw))
        if chunk.error is not ABSENT and something(chunk.error):
            self.failure = failure_of(chunk.error)
            return False
        if self.served_model is None:
            self.served_model = read_text(chunk.model)
        if chunk.usage is not ABSENT and something(chunk.usage):
            self.usage = read_usage(chunk.usage) or self.usage
            if not chunk.choices:
                self.started = True
                return self.wants_usage
        for choice in chunk.choices or ():
            if self.learn is not None and choice.delta is not None and _may_be_signed(choice.delta):
                self.learn(raw)
            if _says_something(choice):
                self.started = True
                self.counted_tokens += 1
                self._unfinished.add(choice.index)
            if choice.finish_reason:
                self.started = self._finishes = True
                self._unfinished.discard(choice.index)
        return True

    def _complete(self, raw: bytes) -> None:
        reply = read(_whole, raw)
        if reply.error is not ABSENT and something(reply.error):
            self.failure = failure_of(reply.error)
            return
        self.served_model = read_text(reply.model)
        self.usage = None if reply.usage is ABSENT else read_usage(reply.usage)
        if self.usage is None:
            self.counted_tokens = estimate_tokens(_text_size(raw))


class CompletionsMeter(ChatMeter):
    __slots__ = ()

    def cut(self) -> list[Event]:
        return [_length_event(b"text_completion", b'"text":"","logprobs":null', self._unfinished)]


def _length_event(kind: bytes, nothing: bytes, choices: Iterable[int]) -> Event:
    """Write the chunk with which choices end that grew as long as they may."""
    ends = b",".join([b'{"index":%d,%b,"finish_reason":"length"}' % (index, nothing) for index in sorted(choices)])
    return Event(EventKind.CHUNK, b'data: {"object":"%b","choices":[%b]}\n\n' % (kind, ends))


def _text_size(raw: bytes) -> int:
    """Count the bytes that a unary reply says, in all its choices."""
    try:
        choices = read(_reply, raw).choices or ()
    except UNREADABLE:
        return 0
    return sum(_size_of(choice.message) if choice.message else len(choice.text) for choice in choices)


def _size_of(said: _Delta) -> int:
    thought = said.reasoning_content if something(said.reasoning_content) else said.reasoning  # some write both
    members = (said.content, thought, said.refusal, said.tool_calls, said.function_call)
    return sum(len(member) for member in members if something(member))


def _may_be_signed(delta: _Delta) -> bool:
    return (
        delta.tool_calls is not ABSENT
        or delta.thinking_blocks is not ABSENT
        or delta.reasoning_details is not ABSENT
        or delta.extra_content is not ABSENT
        or delta.provider_specific_fields is not ABSENT
    )


def _says_something(choice: _Choice) -> bool:
    delta = choice.delta or choice.message
    if delta is None:
        return something(choice.text)
    return (
        something(delta.content)
        or something(delta.tool_calls)
        or something(delta.reasoning_content)
        or something(delta.reasoning)
        or something(delta.refusal)
        or something(delta.function_call)
        or something(delta.audio)
        or something(choice.text)
    )
