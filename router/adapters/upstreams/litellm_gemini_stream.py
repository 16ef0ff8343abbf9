"""Read a stream of Gemini's through litellm's chunk parser, and say it as litellm's own wrapper does.

The wrapper builds each chunk up to four times and takes it apart as often. What comes of it is a few rules, which are
here: a chunk that says nothing is left out, a role is said once, how it ends is said after the content, and usage last.
"""

import json
from collections import deque
from collections.abc import Iterator
from typing import Final, Protocol, TypeVar, cast

import litellm
from litellm.litellm_core_utils.streaming_chunk_builder_utils import ChunkProcessor
from litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini import ModelResponseIterator, VertexGeminiConfig
from litellm.types.utils import ModelResponseStream

from router.adapters.upstreams.litellm_exchange import Exchange
from router.adapters.upstreams.sse import SseSplitter
from router.domain.stream import EventKind
from router.ports.transport import HttpReply

Members = dict[str, object]

_DATA: Final = b"data: "
_GROUNDS: Final = b'"groundingMetadata"'
_USAGE: Final = "usageMetadata"
_TIER: Final = "service_tier"
_MEDIA: Final = ("audio", "images")
_SAYS: Final = ("function_call", "reasoning_content", "provider_specific_fields", "annotations")
_BEYOND_TEXT: Final = frozenset({"tool_calls", "thinking_blocks", *_MEDIA, *_SAYS})


Made_co = TypeVar("Made_co", covariant=True)


class Maker(Protocol[Made_co]):
    """What we call of litellm's, without the types that it does not check."""

    def __call__(self, **more: object) -> Made_co: ...


class _Details(Protocol):
    reasoning_tokens: int | None


class _Usage(Protocol):
    completion_tokens_details: _Details | None

    def model_dump(self, *, mode: str, exclude_none: bool) -> Members: ...


class _Parsed(Protocol):
    usage: _Usage | None

    def model_dump(self, *, mode: str, exclude_none: bool) -> Members: ...


class _Parser(Protocol):
    chunk_parser: Maker[_Parsed]


class _Processor(Protocol):
    calculate_usage: Maker[_Usage]


_parser: Final = cast(Maker[_Parser], ModelResponseIterator)
_processor: Final = cast(Maker[_Processor], ChunkProcessor)
_chunk: Final = cast(Maker[_Parsed], ModelResponseStream)
_usage_of: Final = cast(Maker[_Usage], VertexGeminiConfig.calculate_usage)
_tokens_in: Final = cast(Maker[int], litellm.token_counter)


class Unlogged:
    """Stands where litellm has its log, which also holds what was asked for."""

    def __init__(self, optional_params: Members) -> None:
        self.optional_params = optional_params

    def pre_call(self, **said: object) -> None:
        """Record nothing."""

    def post_call(self, **said: object) -> None:
        """Record nothing."""


class GeminiChunk:
    """A chunk in the form that is read of litellm's."""

    __slots__ = ("_members",)

    def __init__(self, members: Members) -> None:
        self._members = members

    def model_dump(self, *, mode: str, exclude_none: bool) -> Members:
        return self._members


class GeminiStream:
    """An async iterable of chunks. Like litellm's it makes up a finish where there is none, and lets that be seen."""

    def __init__(
        self, exchange: Exchange, reply: HttpReply, *, headers: dict[str, str], model: str, log: Unlogged
    ) -> None:
        """`headers` are the reply's."""
        self._exchange = exchange
        self._reply = reply
        self._splitter = SseSplitter()
        self._parse = _parser(
            streaming_response=None, sync_stream=False, logging_obj=log, response_headers=headers
        ).chunk_parser
        self._model = model
        same = _chunk(model=model, choices=[]).model_dump(mode="json", exclude_none=True)
        self._same: Members = {name: value for name, value in same.items() if name != "choices"}
        self._events: deque[bytes] = deque()
        self._over = False
        self._ending: Iterator[Members] | None = None
        self._counts: dict[frozenset[tuple[object, bool]], Members | _Usage] = {}
        tier = headers.get("x-gemini-service-tier", "").lower()
        self._tier: Members = {_TIER: "default" if tier == "standard" else tier} if tier else {}
        self._said: Members = {}
        self._begun = False
        self._only_text = True
        self._thoughts: list[str] = []
        self.received_finish_reason: object = None
        """As litellm names it. Its parser says `stop` of every event, so only one that has an end is believed."""
        self.chunks: list[_Parsed] = []
        """At the end, what carried a usage."""

    def __aiter__(self) -> "GeminiStream":
        return self

    async def __anext__(self) -> GeminiChunk:
        while self._ending is None:
            while self._events:
                said = self._say(self._events.popleft())
                if said is not None:
                    return GeminiChunk(said)
            if self._over:
                self._ending = self._end()
            else:
                await self._read()
        for said in self._ending:
            return GeminiChunk(said)
        raise StopAsyncIteration

    async def _read(self) -> None:
        data = await self._exchange.read(self._reply)
        self._over = not data
        events = self._splitter.feed(data or b"\n\n")  # the last event may lack its blank line
        self._events.extend(event.raw for event in events if event.kind is EventKind.CHUNK)

    def _say(self, raw: bytes) -> Members | None:
        """Return what an event says, if it says anything to the caller."""
        event = json.loads(raw.removeprefix(_DATA).replace(b"\n" + _DATA, b"\n"))
        usage = event.get(_USAGE) if isinstance(event, dict) else None
        counted = isinstance(usage, dict)
        if counted and _GROUNDS not in raw:  # those are counted too
            self._count(event.pop(_USAGE))
        parsed = self._parse(chunk=event)
        members = parsed.model_dump(mode="json", exclude_none=True)
        members.pop("usage", None)
        if parsed.usage is not None:
            self._count(parsed.usage)
        if counted:
            members |= self._tier  # litellm says it with the counts
        choices = cast(list[Members], members["choices"])
        if not choices:
            return None if counted else {**self._same, "choices": []}
        if _ends(event):
            self.received_finish_reason = choices[0].get("finish_reason")
        for choice in choices:
            choice.pop("finish_reason", None)
            self._only_text = self._only_text and _BEYOND_TEXT.isdisjoint(cast(Members, choice["delta"]))
        first = cast(Members, choices[0]["delta"])
        if "reasoning_content" in first:
            self._thoughts.append(cast(str, first["reasoning_content"]))
        if not _tells(first) and (self._begun or "role" not in first):
            first = {name: first[name] for name in _MEDIA if name in first}
            if not first:
                return None
            members = {"choices": [{"index": 0, "delta": first}]}
        if not self._begun:
            first["role"] = "assistant"
            self._begun = True
        if _TIER in members:
            self._said = self._tier
        return {**members, **self._same}

    def _count(self, usage: Members | _Usage) -> None:
        """Keep what was said last of each set of counts: Gemini says all so far with every event."""
        counts = usage.items() if isinstance(usage, dict) else ((id(usage), True),)
        key = frozenset((name, bool(count)) for name, count in counts)
        self._counts.pop(key, None)
        self._counts[key] = usage

    def _end(self) -> Iterator[Members]:
        finish = self.received_finish_reason or "stop"
        yield {**self._same, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
        if self._counts:
            yield {**self._same, **self._said, "choices": [], "usage": self._usage()}

    def _usage(self) -> Members:
        """Add up what was said on the way. Thoughts that the provider did not count are counted, as litellm does."""
        details = None
        for said in self._counts.values():
            usage = _usage_of(completion_response={_USAGE: said}) if isinstance(said, dict) else said
            details = usage.completion_tokens_details or details
            chunk = _chunk(choices=[])
            chunk.usage = usage
            self.chunks.append(chunk)
        reasoning = 0 if self._only_text else None
        thoughts = "".join(self._thoughts)
        if thoughts:
            known = details is not None and details.reasoning_tokens is not None
            reasoning = 0 if known else _tokens_in(text=thoughts, count_response_tokens=True)
        total = _processor(chunks=self.chunks).calculate_usage(
            chunks=self.chunks, model=self._model, completion_output="", reasoning_tokens=reasoning
        )
        return total.model_dump(mode="json", exclude_none=True)


def _ends(event: Members) -> bool:
    """The provider says why there is no more of an answer, or no answer."""
    candidates = cast(list[Members], event.get("candidates") or [])
    blocked = cast(Members, event.get("promptFeedback") or {})
    return "blockReason" in blocked or any(candidate.get("finishReason") for candidate in candidates)


def _tells(delta: Members) -> bool:
    if delta.get("content") or delta.get("tool_calls"):
        return True
    if "tool_calls" not in delta and any(name in delta for name in _MEDIA):
        return False  # what comes with a picture and no text is not looked at
    return any(name in delta for name in _SAYS)
