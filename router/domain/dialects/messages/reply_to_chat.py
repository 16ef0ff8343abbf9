"""Turn a reply of Messages, streamed or whole, into one of Chat Completions.

Texts, thoughts, signatures and arguments pass as the JSON strings they came in. Thoughts are told as litellm tells
them: `reasoning_content` for who reads, `thinking_blocks` for who sends them back. A streamed thought has an `index`,
by which clients put its pieces together. Blocks of tools that the provider ran have no counterpart and are left out:
no translated request asks for them.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dialects.messages.ends import MessagesUsage, finish_of
from router.domain.dialects.raw_json import NO_TEXT, NULL, UNREADABLE, encode, is_text, joined, quoted, unmarked
from router.domain.dialects.sse_payload import payload_of, read, read_reply
from router.domain.stream import KEEP_ALIVE, Event, EventKind

_NO_INPUT: Final = Raw(b"{}")


class _Block(msgspec.Struct, gc=False):
    type: str = ""
    text: Raw = NULL
    thinking: Raw = NULL
    signature: Raw = NULL
    data: Raw = NULL
    id: Raw = NULL
    name: Raw = NULL
    input: Raw = _NO_INPUT
    partial_json: Raw = NULL


class _StopDetails(msgspec.Struct, gc=False):
    explanation: str | None = None


class _Delta(_Block, gc=False):
    stop_reason: str | None = None
    stop_details: _StopDetails | None = None


class _Message(msgspec.Struct, gc=False):
    type: str = ""
    model: Raw = NO_TEXT
    content: list[_Block] = []
    stop_reason: str | None = None
    stop_details: _StopDetails | None = None
    usage: Raw = NULL


class _StreamEvent(msgspec.Struct, gc=False):
    type: str
    index: int = 0
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: _Message | None = None
    usage: Raw = NULL
    error: Raw = NULL


class _Error(msgspec.Struct, gc=False):
    type: str = "api_error"
    message: str = ""


_event: Final = msgspec.json.Decoder(_StreamEvent)
_message: Final = msgspec.json.Decoder(_Message)
_error: Final = msgspec.json.Decoder(_Error)


class _OpenBlock:
    """A block that has begun. `number` counts the tool calls, or the thoughts, of the reply."""

    __slots__ = ("arguments", "is_call", "number")

    def __init__(self, number: int, arguments: Raw | None = None) -> None:
        self.number = number
        self.is_call = arguments is not None
        self.arguments = arguments
        """What the call was given at its start, until a piece of its arguments comes."""


class MessagesToChat:
    """Of one reply. `created_s`: seconds since 1970."""

    __slots__ = (
        "_blocks",
        "_calls",
        "_created_s",
        "_finished",
        "_head",
        "_keeps_finish",
        "_reply_id",
        "_thoughts",
        "_usage",
        "_wants_usage",
    )

    def __init__(self, *, reply_id: str, created_s: int, wants_usage: bool, keeps_finish: bool = False) -> None:
        """`wants_usage`: the stream ends with a chunk that says it.

        `keeps_finish`: an ordinary end stays one, also after tool calls.
        """
        self._reply_id = encode(f"chatcmpl-{reply_id}")
        self._created_s = created_s
        self._wants_usage = wants_usage
        self._keeps_finish = keeps_finish
        self._head = self._headed(NO_TEXT)
        self._blocks: dict[int, _OpenBlock] = {}
        self._calls = 0
        self._thoughts = 0
        self._finished = False
        self._usage = MessagesUsage()

    def take(self, batch: Sequence[Event]) -> list[Event]:
        """Return what a batch is in Chat Completions.

        Raises `ValueError` if a unary reply is no message, or a call's arguments are not UTF-8.
        """
        said: list[Event] = []
        for event in batch:
            if event.kind is EventKind.CHUNK:
                self._chunk(event.raw, said)
            elif event.kind is EventKind.COMPLETE:
                said.append(Event(EventKind.COMPLETE, self._whole(event.raw)))
            elif event.kind is EventKind.END:
                self._owed(said)
                said.append(event)
            else:
                said.append(event)
        return said

    def _chunk(self, raw: bytes, said: list[Event]) -> None:
        try:
            event = read(_event, payload_of(raw))
        except UNREADABLE:
            return  # the meter has counted it, or knows no more of it than that it is JSON
        self._event(event, said)

    def _event(self, event: _StreamEvent, said: list[Event]) -> None:
        kind = event.type
        if kind == "content_block_delta" and event.delta is not None:
            self._delta(event.index, event.delta, said)
        elif kind == "content_block_start" and event.content_block is not None:
            self._begin(event.index, event.content_block, said)
        elif kind == "content_block_stop":
            block = self._blocks.pop(event.index, None)
            if block is not None and block.arguments is not None:
                said.append(self._call_delta(block.number, quoted(block.arguments)))
        elif kind == "message_start" and event.message is not None:
            self._head = self._headed(event.message.model)
            self._usage.take(event.message.usage)
            said.append(self._say(b'{"role":"assistant"}'))
        elif kind == "message_delta":
            self._usage.take(event.usage)
            self._stop(event.delta, said)
        elif kind == "message_stop":
            self._owed(said)
        elif kind == "ping":
            said.append(KEEP_ALIVE)
        elif kind == "error":
            said.append(Event(EventKind.CHUNK, b"data: " + _error_of(event.error) + b"\n\n"))

    def _delta(self, index: int, delta: _Delta, said: list[Event]) -> None:
        if _says(delta.text):
            said.append(self._say(b'{"content":%b}' % delta.text))
        elif _says(delta.partial_json):
            block = self._blocks.get(index)
            if block is not None and block.is_call:
                block.arguments = None
                said.append(self._call_delta(block.number, delta.partial_json))
        elif _says(delta.thinking) or _says(delta.signature):
            block = self._blocks.get(index)
            if block is not None and not block.is_call:
                said.append(self._thought_delta(block.number, delta))

    def _begin(self, index: int, block: _Block, said: list[Event]) -> None:
        if block.type == "tool_use":
            self._blocks[index] = _OpenBlock(self._calls, block.input)
            said.append(
                self._say(
                    b'{"tool_calls":[{"index":%d,"id":%b,"type":"function","function":{"name":%b,"arguments":""}}]}'
                    % (self._calls, block.id, block.name)
                )
            )
            self._calls += 1
        elif block.type == "text":
            if _says(block.text):
                said.append(self._say(b'{"content":%b}' % block.text))
        elif block.type == "thinking":
            self._blocks[index] = _OpenBlock(self._thoughts)
            if _says(block.thinking) or _says(block.signature):
                said.append(self._thought_delta(self._thoughts, block))
            self._thoughts += 1
        elif block.type == "redacted_thinking":
            said.append(
                self._say(
                    b'{"thinking_blocks":[{"index":%d,"type":"redacted_thinking","data":%b}]}'
                    % (self._thoughts, block.data)
                )
            )
            self._thoughts += 1

    def _call_delta(self, number: int, arguments: Raw) -> Event:
        return self._say(b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (number, arguments))

    def _thought_delta(self, number: int, block: _Block) -> Event:
        text = block.thinking if _says(block.thinking) else NO_TEXT
        read = b"" if text == NO_TEXT else b'"reasoning_content":%b,' % text
        proof = b',"signature":%b' % block.signature if _says(block.signature) else b""
        return self._say(
            b'{%b"thinking_blocks":[{"index":%d,"type":"thinking","thinking":%b%b}]}' % (read, number, text, proof)
        )

    def _stop(self, delta: _Delta | None, said: list[Event]) -> None:
        if delta is None or not delta.stop_reason or self._finished:
            return
        self._finished = True
        if delta.stop_details is not None and delta.stop_details.explanation:
            said.append(self._say(b'{"refusal":%b}' % encode(delta.stop_details.explanation)))
        finish = finish_of(delta.stop_reason, has_calls=self._calls > 0 and not self._keeps_finish)
        said.append(self._say(b"{}", b'"%b"' % finish.encode()))

    def _owed(self, said: list[Event]) -> None:
        """Add the usage, once, at the end of a stream."""
        if self._wants_usage and self._usage.known:
            raw = b'data: %b"choices":[],"usage":%b}\n\n' % (self._head, self._usage.for_chat())
            said.append(Event(EventKind.CHUNK, raw))
        self._wants_usage = False

    def _headed(self, model: Raw) -> bytes:
        return b'{"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,' % (
            self._reply_id,
            self._created_s,
            model,
        )

    def _say(self, delta: bytes, finish: bytes = b"null") -> Event:
        choices = b'"choices":[{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}]}\n\n' % (delta, finish)
        return Event(EventKind.CHUNK, b"data: " + self._head + unmarked(choices))

    def _whole(self, raw: bytes) -> bytes:
        reply = read_reply(_message, raw)
        if reply.type != "message":
            raise ValueError("not a message")
        message = _said_at_once(reply)
        has_calls = b"tool_calls" in message and not self._keeps_finish
        finish = finish_of(reply.stop_reason or "", has_calls=has_calls)
        self._usage.take(reply.usage)
        return (
            b'{"id":%b,"object":"chat.completion","created":%d,"model":%b,"choices":[{"index":0,"message":{%b},'
            b'"logprobs":null,"finish_reason":"%b"}]%b}'
        ) % (
            self._reply_id,
            self._created_s,
            reply.model,
            unmarked(b",".join([b'"%b":%b' % member for member in message.items()])),
            finish.encode(),
            b',"usage":' + self._usage.for_chat() if self._usage.known else b"",
        )


def _said_at_once(reply: _Message) -> dict[bytes, bytes]:
    """Return the members of the message that a whole reply is."""
    texts = [block.text for block in reply.content if block.type == "text" and _says(block.text)]
    thoughts = [thought for block in reply.content if (thought := _thought(block))]
    read = [block.thinking for block in reply.content if block.type == "thinking" and _says(block.thinking)]
    calls = [
        b'{"id":%b,"type":"function","function":{"name":%b,"arguments":%b}}'
        % (block.id, block.name, quoted(block.input))
        for block in reply.content
        if block.type == "tool_use"
    ]
    declined = reply.stop_details.explanation if reply.stop_details is not None else None
    message: dict[bytes, bytes] = {
        b"role": b'"assistant"',
        b"content": joined(texts) if texts else b"null",
        b"refusal": encode(declined or None),
    }
    if read:
        message[b"reasoning_content"] = joined(read)
    if thoughts:
        message[b"thinking_blocks"] = b"[%b]" % b",".join(thoughts)
    if calls:
        message[b"tool_calls"] = b"[%b]" % b",".join(calls)
    return message


def _thought(block: _Block) -> bytes:
    if block.type == "redacted_thinking":
        return b'{"type":"redacted_thinking","data":%b}' % block.data
    if block.type != "thinking" or not (_says(block.thinking) or _says(block.signature)):
        return b""
    proof = b',"signature":%b' % block.signature if _says(block.signature) else b""
    return b'{"type":"thinking","thinking":%b%b}' % (block.thinking if _says(block.thinking) else NO_TEXT, proof)


def _says(raw: Raw) -> bool:
    """Tell whether a member is a text that is not empty."""
    return len(memoryview(raw)) > len(b'""') and is_text(raw)


def _error_of(raw: Raw) -> bytes:
    try:
        error = _error.decode(raw)
    except UNREADABLE:
        error = _Error()
    return encode({"error": {"message": error.message, "type": error.type, "param": None, "code": None}})
