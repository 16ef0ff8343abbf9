"""Write what the scripted provider answers in a chat: a pure function of the request and its script.

A token is a word, or a piece of JSON: of a tool call's arguments, or of a reply that must fit a schema. What is
streamed and what is answered whole say the same and cost the same.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from router.adapters.upstreams.script_request import Tool, called_tool, json_reply, read_request, tool_arguments
from router.domain.catalog import Script

CREATED_S: Final = 1_767_225_600
"""2026-01-01: a reply does not depend on when it is asked for."""

_PIECE_CHARS: Final = 8
_ECHO_WORDS_MAX: Final = 8
_FILLER: Final = ("which", "a", "scripted", "provider", "answers", "without", "a", "network")

_encode: Final = msgspec.json.Encoder().encode


class _FunctionCall(msgspec.Struct, kw_only=True):
    name: str | UnsetType = UNSET
    arguments: str = ""


class _ToolCall(msgspec.Struct, kw_only=True):
    index: int | UnsetType = UNSET
    id: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    function: _FunctionCall


class _Message(msgspec.Struct, kw_only=True):
    role: str | UnsetType = UNSET
    content: str | UnsetType | None = UNSET
    tool_calls: list[_ToolCall] | UnsetType = UNSET


class _Choice(msgspec.Struct, kw_only=True):
    index: int
    delta: _Message | UnsetType = UNSET
    message: _Message | UnsetType = UNSET
    finish_reason: str | None = None


class Usage(msgspec.Struct, kw_only=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class _Reply(msgspec.Struct, kw_only=True):
    id: str
    object: str
    created: int = CREATED_S
    model: str
    choices: list[_Choice]
    usage: Usage | UnsetType = UNSET


def words_of(script: Script, text: str) -> list[str]:
    """Return what to answer to `text`, cut into tokens that add up to it."""
    if script.reply is not None:
        words = script.reply.split()
    else:
        echo = text.split()[:_ECHO_WORDS_MAX]
        words = ["You", "said:", *echo]
        words += [_FILLER[at % len(_FILLER)] for at in range(script.reply_tokens - len(words))]
        words = words[: script.reply_tokens]
    return [word if at == 0 else f" {word}" for at, word in enumerate(words)]


def _in_pieces(json: str) -> list[str]:
    return [json[at : at + _PIECE_CHARS] for at in range(0, len(json), _PIECE_CHARS)]


class ChatAnswer:
    """One reply: `steps` for a stream, `whole` for a unary reply."""

    def __init__(self, body: bytes, script: Script) -> None:
        """Raises ValueError for a body that is not a chat completion request."""
        request = read_request(body)
        self._script = script
        self._request = request
        self._id = hashlib.blake2b(body, digest_size=12).hexdigest()
        self._tool = called_tool(request)
        if self._tool is not None:
            arguments = tool_arguments(self._tool, request.messages[-1].text)
            self._pieces = _in_pieces(arguments)
            self._finish = "tool_calls"
        else:
            form = json_reply(request) if script.reply is None else None
            words = words_of(script, request.messages[-1].text) if form is None else _in_pieces(form)
            self._pieces = words[: request.output_tokens_max]
            self._finish = "stop" if len(self._pieces) == len(words) else "length"

    @property
    def tokens(self) -> int:
        """Of each choice."""
        return len(self._pieces)

    def steps(self) -> Iterator[list[bytes]]:
        """Yield SSE events by moment: those that open the reply, those of each token, those that close it."""
        indexes = range(self._request.choices)
        yield [self._chunk(index, self._opening(index)) for index in indexes]
        for piece in self._pieces:
            delta = self._delta(piece)
            yield [self._chunk(index, delta) for index in indexes]
        closing = [self._chunk(index, _Message(), self._finish) for index in indexes]
        if self._script.report_usage and self._request.wants_usage:
            closing.append(self._event([], self._usage()))
        yield closing

    def whole(self) -> bytes:
        text = "".join(self._pieces)
        choices = []
        for index in range(self._request.choices):
            message = _Message(role="assistant", content=text)
            if self._tool is not None:
                message = _Message(role="assistant", content=None, tool_calls=[self._call(index, self._tool, text)])
            choices.append(_Choice(index=index, message=message, finish_reason=self._finish))
        usage = self._usage() if self._script.report_usage else UNSET
        return _encode(self._reply("chat.completion", choices, usage))

    def _opening(self, choice: int) -> _Message:
        if self._tool is None:
            return _Message(role="assistant", content="")
        call = self._call(choice, self._tool, "")
        call.index = 0
        return _Message(role="assistant", content=None, tool_calls=[call])

    def _delta(self, piece: str) -> _Message:
        if self._tool is None:
            return _Message(content=piece)
        return _Message(tool_calls=[_ToolCall(index=0, function=_FunctionCall(arguments=piece))])

    def _call(self, choice: int, tool: Tool, arguments: str) -> _ToolCall:
        function = _FunctionCall(name=tool.name, arguments=arguments)
        return _ToolCall(id=f"call_{self._id}_{choice}", type="function", function=function)

    def _chunk(self, index: int, delta: _Message, finish: str | None = None) -> bytes:
        return self._event([_Choice(index=index, delta=delta, finish_reason=finish)], UNSET)

    def _event(self, choices: list[_Choice], usage: Usage | UnsetType) -> bytes:
        return b"data: %b\n\n" % _encode(self._reply("chat.completion.chunk", choices, usage))

    def _reply(self, object_: str, choices: list[_Choice], usage: Usage | UnsetType) -> _Reply:
        id_ = f"chatcmpl-{self._id}"
        return _Reply(id=id_, object=object_, model=self._request.model, choices=choices, usage=usage)

    def _usage(self) -> Usage:
        asked = sum(len(message.text.split()) for message in self._request.messages)
        answered = self.tokens * self._request.choices
        return Usage(prompt_tokens=asked, completion_tokens=answered, total_tokens=asked + answered)
