"""Turn a Responses reply, whole or streamed, into a chat reply.

Thoughts become `reasoning_content`, be they open to read or summed up; of an item that has both, the kind that came
first. A reply that failed becomes an `error`, which the meter knows. What is lost: annotations, and items of hosted
tools, which no translated request asks for. A reply cut short for a reason that Chat Completions has no word for ends
with `length`, the nearest there is.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dialects.raw_json import ABSENT, UNREADABLE
from router.domain.dialects.responses.events import (
    between,
    body,
    body_of_text,
    encode,
    tier,
    usage_for_chat,
)
from router.domain.dialects.sse_payload import payload_of, read, read_reply
from router.domain.stream import Event, EventKind

ITEMS_MAX: Final = 4_096
"""Output items of one streamed reply."""

_CUT: Final[Mapping[str, bytes]] = {"max_output_tokens": b"length", "content_filter": b"content_filter"}
_PARAGRAPH: Final = rb"\n\n"
"""Between the parts of a summary, which stand apart there."""


class _Part(msgspec.Struct, gc=False):
    type: str = ""
    text: Raw = ABSENT
    refusal: Raw = ABSENT
    logprobs: Raw = ABSENT


class _Item(msgspec.Struct, gc=False):
    type: str = ""
    content: list[_Part] | None = None
    summary: list[_Part] | None = None
    call_id: Raw = ABSENT
    name: Raw = ABSENT
    arguments: Raw = ABSENT


class _Incomplete(msgspec.Struct, gc=False):
    reason: str | None = None


class _Failure(msgspec.Struct, gc=False):
    code: str | int | None = None
    message: str | None = None
    param: str | None = None


class _Response(msgspec.Struct, gc=False):
    model: Raw = ABSENT
    service_tier: Raw = ABSENT
    status: str = ""
    output: list[_Item] | None = None
    usage: Raw = ABSENT
    incomplete_details: _Incomplete | None = None
    error: _Failure | None = None


class _Event(msgspec.Struct, gc=False):
    type: str
    delta: Raw = ABSENT
    logprobs: Raw = ABSENT
    output_index: int = 0
    summary_index: int = 0
    item: _Item | None = None
    response: _Response | None = None
    code: str | int | None = None
    message: str | None = None
    param: str | None = None


class _Growing:
    """What of one output item has gone to the caller."""

    __slots__ = ("call", "said", "summary", "thought")

    def __init__(self) -> None:
        self.call: int | None = None
        self.said = False
        self.thought = ""
        """The event in which its thoughts come."""
        self.summary = 0


_event: Final = msgspec.json.Decoder(_Event)
_response: Final = msgspec.json.Decoder(_Response)

_THOUGHTS: Final = frozenset({"response.reasoning_text.delta", "response.reasoning_summary_text.delta"})


class ResponsesToChat:
    """Put the reply of one call into Chat Completions."""

    __slots__ = ("_calls", "_created_s", "_events", "_growing", "_head", "_id", "_model", "_started", "_tail", "_usage")

    def __init__(self, *, reply_id: str, created_s: int, wants_usage: bool) -> None:
        self._id = body_of_text(reply_id)
        self._created_s = created_s
        self._usage = wants_usage
        self._tail = b',"usage":null}\n\n' if wants_usage else b"}\n\n"
        self._model = b'""'
        self._head = self._chunk_head()
        self._events: list[Event] = []
        self._started = False
        self._growing: dict[int, _Growing] = {}
        self._calls = 0

    def take(self, batch: Sequence[Event]) -> list[Event]:
        """Return what a batch is in Chat Completions.

        Raises `ValueError` if a unary reply is no response, or a stream has more than `ITEMS_MAX` items.
        """
        for event in batch:
            if event.kind is EventKind.CHUNK:
                self._take(event.raw)
            elif event.kind is EventKind.COMPLETE:
                self._events.append(Event(EventKind.COMPLETE, self._whole(event.raw)))
            else:
                self._events.append(event)
        events, self._events = self._events, []
        return events

    def _take(self, raw: bytes) -> None:
        try:
            event = read(_event, payload_of(raw))
        except UNREADABLE:
            return
        kind = event.type
        if kind == "response.output_text.delta":
            self._text(event)
        elif kind == "response.function_call_arguments.delta":
            self._arguments(self._item(event), body(event.delta))
        elif kind in _THOUGHTS:
            self._thought(event)
        elif kind == "response.refusal.delta":
            self._item(event).said = True
            self._say(b'"refusal":"%b"' % body(event.delta))
        elif event.item is not None and kind == "response.output_item.added":
            if event.item.type == "function_call":
                self._call(self._item(event), event.item)
        elif event.item is not None and kind == "response.output_item.done":
            self._done(self._item(event), event.item)
        elif event.response is not None and kind in {"response.completed", "response.incomplete"}:
            self._end(event.response)
        elif kind in {"response.failed", "error"}:
            self._events.append(Event(EventKind.CHUNK, b"data: %b\n\n" % _error(_failure(event))))
        elif event.response is not None:
            self._begin(event.response)

    def _item(self, event: _Event) -> _Growing:
        item = self._growing.get(event.output_index)
        if item is None:
            if len(self._growing) >= ITEMS_MAX:
                raise ValueError("The provider's reply has too many items.")
            item = self._growing[event.output_index] = _Growing()
        return item

    def _begin(self, response: _Response) -> None:
        model = b'"%b"' % body(response.model)
        if model not in (b'""', self._model):
            self._model = model
            self._head = self._chunk_head()
        if not self._started:
            self._started = True
            self._write(b'"role":"assistant","content":""')

    def _say(self, delta: bytes, logprobs: bytes = b"") -> None:
        if not self._started:
            self._started = True
            delta = b'"role":"assistant",' + delta
        self._write(delta, logprobs)

    def _write(self, delta: bytes, logprobs: bytes = b"") -> None:
        said = b'{"content":[%b],"refusal":null}' % logprobs if logprobs else b"null"
        choice = b'{"index":0,"delta":{%b},"logprobs":%b,"finish_reason":null}' % (delta, said)
        self._events.append(Event(EventKind.CHUNK, b"%b[%b]%b" % (self._head, choice, self._tail)))

    def _text(self, event: _Event) -> None:
        self._item(event).said = True
        self._say(b'"content":"%b"' % body(event.delta), between(event.logprobs))

    def _thought(self, event: _Event) -> None:
        item = self._item(event)
        item.thought = item.thought or event.type
        if item.thought != event.type:
            return
        between_parts = _PARAGRAPH if event.summary_index != item.summary else b""
        item.summary = event.summary_index
        item.said = True
        self._say(b'"reasoning_content":"%b%b"' % (between_parts, body(event.delta)))

    def _call(self, growing: _Growing, item: _Item) -> None:
        growing.call, growing.said = self._calls, False
        self._calls += 1
        self._say(
            b'"tool_calls":[{"index":%d,"id":"%b","type":"function","function":{"name":"%b","arguments":""}}]'
            % (growing.call, body(item.call_id), body(item.name))
        )
        self._arguments(growing, body(item.arguments))

    def _arguments(self, item: _Growing, text: bytes) -> None:
        if item.call is None or not text:
            return
        item.said = True
        self._say(b'"tool_calls":[{"index":%d,"function":{"arguments":"%b"}}]' % (item.call, text))

    def _done(self, growing: _Growing, item: _Item) -> None:
        """Say what came with no deltas; some servers send whole items only."""
        if item.type == "function_call":
            if growing.call is None:
                self._call(growing, item)
            elif not growing.said:
                self._arguments(growing, body(item.arguments))
        elif not growing.said:
            growing.said = True
            text, refusal, thought, logprobs = _said(item)
            if thought:
                self._say(b'"reasoning_content":"%b"' % thought)
            if text:
                self._say(b'"content":"%b"' % text, logprobs)
            if refusal:
                self._say(b'"refusal":"%b"' % refusal)

    def _end(self, response: _Response) -> None:
        self._begin(response)
        if not self._growing:  # a server that sends nothing before
            for item in response.output or ():
                self._done(_Growing(), item)
        choice = b'{"index":0,"delta":{},"logprobs":null,"finish_reason":"%b"}' % _finish(response, self._calls)
        self._events.append(Event(EventKind.CHUNK, b"%b[%b]%b" % (self._head, choice, self._tail)))
        if self._usage:
            usage = b'%b[],"usage":%b}\n\n' % (self._head, usage_for_chat(response.usage))
            self._events.append(Event(EventKind.CHUNK, usage))

    def _whole(self, raw: bytes) -> bytes:
        response = read_reply(_response, raw)
        if response.error is not None:
            return _error(response.error)
        if response.output is None:
            raise ValueError("The provider's reply is no response.")
        message, logprobs, calls = _message(response.output)
        choice = b'{"index":0,"message":%b,"logprobs":%b,"finish_reason":"%b"}' % (
            message,
            logprobs,
            _finish(response, calls),
        )
        return (
            b'{"id":"%b","object":"chat.completion","created":%d,"model":"%b","choices":[%b],"usage":%b,"service_tier":%b}'
        ) % (
            self._id,
            self._created_s,
            body(response.model),
            choice,
            usage_for_chat(response.usage),
            tier(response.service_tier),
        )

    def _chunk_head(self) -> bytes:
        return b'data: {"id":"%b","object":"chat.completion.chunk","created":%d,"model":%b,"choices":' % (
            self._id,
            self._created_s,
            self._model,
        )


def _message(output: list[_Item]) -> tuple[bytes, bytes, int]:
    """Write the message that the items are together, its `logprobs`, and count its calls."""
    texts, refusals, thoughts, logprobs, calls = [], [], [], [], []
    for item in output:
        if item.type == "function_call":
            calls.append(
                b'{"id":"%b","type":"function","function":{"name":"%b","arguments":"%b"}}'
                % (body(item.call_id), body(item.name), body(item.arguments))
            )
        else:
            text, refusal, thought, probabilities = _said(item)
            texts.append(text)
            refusals.append(refusal)
            thoughts.append(thought)
            logprobs += [probabilities] if probabilities else []
    content, refused, thought = b"".join(texts), b"".join(refusals), b"".join(thoughts)
    message = b'{"role":"assistant","content":%b,"refusal":%b' % (_or_null(content), _or_null(refused))
    if thought:
        message += b',"reasoning_content":"%b"' % thought
    if calls:
        message += b',"tool_calls":[%b]' % b",".join(calls)
    said = b'{"content":[%b],"refusal":null}' % b",".join(logprobs) if logprobs else b"null"
    return message + b"}", said, len(calls)


def _said(item: _Item) -> tuple[bytes, bytes, bytes, bytes]:
    """Return the text, the refusal and the thought of an item, and the probabilities of its text."""
    content = item.content or ()
    text = b"".join([body(part.text) for part in content if part.type == "output_text"])
    refusal = b"".join([body(part.refusal) for part in content if part.type == "refusal"])
    thought = b"".join([body(part.text) for part in content if part.type == "reasoning_text"])
    logprobs = b",".join([said for part in content if (said := between(part.logprobs))])
    return text, refusal, thought or _PARAGRAPH.join([body(part.text) for part in item.summary or ()]), logprobs


def _finish(response: _Response, calls: int) -> bytes:
    if response.status == "incomplete":
        details = response.incomplete_details
        return _CUT.get((details.reason if details else None) or "", b"length")
    return b"tool_calls" if calls else b"stop"


def _failure(event: _Event) -> _Failure:
    told = event.response.error if event.response else None
    return told or _Failure(code=event.code, message=event.message, param=event.param)


def _error(failure: _Failure) -> bytes:
    message = failure.message or "The provider reported an error."
    error = {"message": message, "type": "server_error", "param": failure.param, "code": failure.code}
    return encode({"error": error})


def _or_null(text: bytes) -> bytes:
    return b'"%b"' % text if text else b"null"
