"""Turn a reply of Chat Completions, streamed or whole, into one of Messages.

Texts, thoughts and arguments pass as the JSON strings they came in; in a whole reply, arguments become an object. Which
stop sequence ended a reply is not known there. Choices other than the first have no counterpart and are left out: no
translated request asks for them.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dialects.chat.parts import Said, numbered, said_in
from router.domain.dialects.messages.blocks import Blocks
from router.domain.dialects.messages.calls import input_of
from router.domain.dialects.messages.ends import stop_of, usage_for_messages
from router.domain.dialects.raw_json import (
    HALF_MARK,
    NO_TEXT,
    NULL,
    UNREADABLE,
    encode,
    is_text,
    quoted,
    unmarked,
)
from router.domain.dialects.sse_payload import payload_of, read, read_reply
from router.domain.stream import Event, EventKind
from router.domain.usage import TokenUsage, estimate_tokens, read_usage


class _Function(msgspec.Struct, gc=False):
    name: Raw = NULL
    arguments: Raw = NULL


class _ToolCall(msgspec.Struct, gc=False):
    index: int | None = None
    id: Raw = NULL
    function: _Function | None = None


class _Thought(msgspec.Struct, gc=False):
    type: str = "thinking"
    index: int | None = None
    thinking: Raw = NULL
    signature: Raw = NULL
    data: Raw = NULL


class _Said(msgspec.Struct, gc=False):
    """A message, or a piece of one."""

    content: Raw = NULL
    refusal: Raw = NULL
    reasoning_content: Raw = NULL
    reasoning: Raw = NULL
    thinking_blocks: list[_Thought] | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _Said | None = None
    message: _Said | None = None
    finish_reason: str | None = None


class _Reply(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Raw = NULL
    error: Raw = NULL


class _Error(msgspec.Struct, gc=False):
    type: str | None = None
    message: str | None = None


_reply: Final = msgspec.json.Decoder(_Reply)
_error: Final = msgspec.json.Decoder(_Error)
_text: Final = msgspec.json.Decoder(str)
_HALF: Final = msgspec.json.decode(b'"%b"' % HALF_MARK, type=str).encode()

_ERROR_TYPES: Final = frozenset(
    {"invalid_request_error", "authentication_error", "permission_error", "not_found_error", "rate_limit_error"}
    | {"request_too_large", "timeout_error", "overloaded_error", "api_error", "billing_error"}
)


class ChatToMessages:
    """Of one reply, in its first choice."""

    __slots__ = (
        "_blocks",
        "_finish",
        "_input_tokens",
        "_keeps_finish",
        "_model",
        "_pieces",
        "_refused",
        "_reply_id",
        "_started",
        "_usage",
    )

    def __init__(self, *, reply_id: str, model: str, input_tokens_estimate: int, keeps_finish: bool = False) -> None:
        """`model`: the name it has for the caller. The estimate holds until the provider says what it used.

        `keeps_finish`: an ordinary end stays one, also after tool calls.
        """
        self._reply_id = encode(f"msg_{reply_id}")
        self._model = encode(model)
        self._input_tokens = input_tokens_estimate
        self._keeps_finish = keeps_finish
        self._blocks = Blocks(reply_id)
        self._started = False
        self._finish: str | None = None
        self._refused = False
        self._usage: TokenUsage | None = None
        self._pieces = 0

    def take(self, batch: Sequence[Event]) -> list[Event]:
        said: list[Event] = []
        for event in batch:
            if event.kind is EventKind.CHUNK:
                self._chunk(event.raw, said)
            elif event.kind is EventKind.COMPLETE:
                said.append(Event(EventKind.COMPLETE, self._whole(event.raw)))
            elif event.kind is EventKind.END:
                self._end(said)
                said.append(event)
            else:
                said.append(event)
        return said

    def _chunk(self, raw: bytes, said: list[Event]) -> None:
        # What cannot be read, whoever meters the reply has counted, and shows it to nobody.
        with suppress(*UNREADABLE):
            self._say(read(_reply, payload_of(raw)), said)

    def _say(self, chunk: _Reply, said: list[Event]) -> None:
        if len(memoryview(chunk.error)) > len(b"null"):
            said.append(_event(b"error", b'"error":' + _error_of(chunk.error)))
            return
        if not self._started:
            self._started = True
            said.append(self._start())
        if chunk.usage != NULL:
            self._usage = read_usage(chunk.usage) or self._usage
        for choice in chunk.choices or ():
            if choice.index != 0:
                continue
            if choice.delta is not None:
                pieces = self._take(choice.delta)
                said.extend([_event(name, members) for name, members in pieces])
            if choice.finish_reason and self._finish is None:
                self._finish = choice.finish_reason

    def _take(self, delta: _Said) -> list[tuple[bytes, bytes]]:
        blocks = self._blocks
        if delta.thinking_blocks:
            for thought in delta.thinking_blocks:
                self._pieces += 1
                if thought.type == "redacted_thinking":
                    blocks.redacted(thought.data)
                else:
                    blocks.thought(thought.index, _or_none(thought.thinking), _or_none(thought.signature))
        else:
            thinking = _or_none(delta.reasoning_content) or _or_none(delta.reasoning)
            if thinking is not None:
                self._pieces += 1
                blocks.thought(None, thinking, None)
        for one in said_in(delta.content) or ():
            self._pieces += 1
            if one.thought:
                blocks.thought(None, one.text, None)
            else:
                blocks.text(one.text)
        if _says(delta.refusal):
            self._pieces += 1
            self._refused = True
            blocks.text(delta.refusal)
        for call in numbered(delta.tool_calls):
            self._pieces += 1
            function = call.function or _Function()
            blocks.call(call.index, _or_none(call.id), _or_none(function.name), _arguments(function.arguments))
        return blocks.written()

    def _start(self) -> Event:
        message = (
            b'"message":{"id":%b,"type":"message","role":"assistant","model":%b,"content":[],"stop_reason":null,'
            b'"stop_sequence":null,"usage":%b}'
        ) % (self._reply_id, self._model, usage_for_messages(TokenUsage(input=self._input_tokens)))
        return _event(b"message_start", message)

    def _end(self, said: list[Event]) -> None:
        """Add what is owed at the end of a stream that has finished; of another one nothing more is known."""
        if self._finish is None or not self._started:
            return
        self._blocks.close()
        said.extend([_event(name, members) for name, members in self._blocks.written()])
        has_calls = self._blocks.has_calls and not self._keeps_finish
        stop = stop_of(self._finish, has_calls=has_calls, refused=self._refused)
        usage = self._usage or TokenUsage(input=self._input_tokens, output=self._pieces, estimated=True)
        ends = b'"delta":{"stop_reason":"%b","stop_sequence":null},"usage":%b'
        said.append(_event(b"message_delta", ends % (stop.encode(), usage_for_messages(usage))))
        said.append(Event(EventKind.CHUNK, b'event: message_stop\ndata: {"type":"message_stop"}\n\n'))
        self._finish = None

    def _whole(self, raw: bytes) -> bytes:
        reply = read_reply(_reply, raw)
        choice = reply.choices[0] if reply.choices else None
        if choice is None or choice.message is None:
            raise ValueError("not a completion")
        said = choice.message
        parts = said_in(said.content)
        if parts is None:
            raise ValueError("not the content of a completion")
        content = [*_thoughts(said)]
        content += [_block(one) for one in parts]
        if _says(said.refusal):
            content.append(_block(Said(said.refusal)))
        calls = [self._call(number, call) for number, call in enumerate(said.tool_calls or ())]
        has_calls = bool(calls) and not self._keeps_finish
        stop = stop_of(choice.finish_reason or "", has_calls=has_calls, refused=_says(said.refusal))
        usage = read_usage(reply.usage) or TokenUsage(
            input=self._input_tokens, output=estimate_tokens(sum(map(len, content + calls))), estimated=True
        )
        return (
            b'{"id":%b,"type":"message","role":"assistant","model":%b,"content":[%b],"stop_reason":"%b",'
            b'"stop_sequence":null,"usage":%b}'
        ) % (
            self._reply_id,
            self._model,
            unmarked(b",".join(content + calls)),
            stop.encode(),
            usage_for_messages(usage),
        )

    def _call(self, number: int, call: _ToolCall) -> bytes:
        function = call.function or _Function()
        arguments = _arguments(function.arguments)
        return b'{"type":"tool_use","id":%b,"name":%b,"input":%b}' % (
            _or_none(call.id) or self._blocks.made_up_id(number),
            _or_none(function.name) or NO_TEXT,
            bytes(input_of("" if arguments is None else read_reply(_text, bytes(arguments)))).replace(_HALF, b"\\u"),
        )


def _thoughts(said: _Said) -> list[bytes]:
    """Return the blocks of thoughts; those without a signature have an empty one, as the type wants."""
    if said.thinking_blocks:
        return [
            b'{"type":"redacted_thinking","data":%b}' % thought.data
            if thought.type == "redacted_thinking"
            else b'{"type":"thinking","thinking":%b,"signature":%b}'
            % (_or_none(thought.thinking) or NO_TEXT, _or_none(thought.signature) or NO_TEXT)
            for thought in said.thinking_blocks
        ]
    text = _or_none(said.reasoning_content) or _or_none(said.reasoning)
    return [] if text is None else [_block(Said(text, thought=True))]


def _block(said: Said) -> bytes:
    if said.thought:
        return b'{"type":"thinking","thinking":%b,"signature":""}' % said.text
    return b'{"type":"text","text":%b}' % said.text


def _says(raw: Raw) -> bool:
    """Tell whether a member is a text that is not empty."""
    return len(memoryview(raw)) > len(b'""') and is_text(raw)


def _or_none(raw: Raw) -> Raw | None:
    return raw if _says(raw) else None


def _arguments(raw: Raw) -> Raw | None:
    """Return arguments as a JSON string. Some providers write the object itself."""
    return quoted(raw) if bytes(raw).startswith(b"{") else _or_none(raw)


def _event(name: bytes, members: bytes) -> Event:
    return Event(EventKind.CHUNK, b'event: %b\ndata: {"type":"%b",%b}\n\n' % (name, name, unmarked(members)))


def _error_of(raw: Raw) -> bytes:
    try:
        error = _error.decode(raw)
    except UNREADABLE:
        error = _Error()
    kind = error.type if error.type in _ERROR_TYPES else "api_error"
    return encode({"type": kind, "message": error.message or "The provider reported an error."})
