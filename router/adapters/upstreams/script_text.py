"""Write what the scripted provider answers to the older completions of a text: one text for each prompt and choice."""

import hashlib
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from router.adapters.upstreams.script import CREATED_S, Usage, words_of
from router.adapters.upstreams.script_request import CHOICES_MAX, StreamOptions, decode_request, texts_of
from router.domain.catalog import Script

_encode: Final = msgspec.json.Encoder().encode


class _TextRequest(msgspec.Struct):
    prompt: str | list[str | int | list[int]]
    model: str = ""
    n: int | None = None
    max_tokens: int | None = None
    stream_options: StreamOptions | None = None


class _Choice(msgspec.Struct, kw_only=True):
    index: int
    text: str
    logprobs: None = None
    finish_reason: str | None = None


class _Reply(msgspec.Struct, kw_only=True):
    id: str
    object: str = "text_completion"
    created: int = CREATED_S
    model: str
    choices: list[_Choice]
    usage: Usage | UnsetType = UNSET


_decoder: Final = msgspec.json.Decoder(_TextRequest)


class TextAnswer:
    """One reply: `steps` for a stream, `whole` for a unary reply."""

    def __init__(self, body: bytes, script: Script) -> None:
        """Raises ValueError for a body that is not a completion request."""
        request = decode_request(_decoder, body)
        self._script = script
        self._request = request
        self._id = f"cmpl-{hashlib.blake2b(body, digest_size=12).hexdigest()}"
        self._prompts = texts_of(request.prompt, "prompt")
        each = 1 if request.n is None else request.n
        if not 1 <= len(self._prompts) * each <= CHOICES_MAX:
            raise ValueError(f"prompts times n must be between 1 and {CHOICES_MAX}")
        limit = None if request.max_tokens is None else max(request.max_tokens, 0)
        words = [words_of(script, prompt) for prompt in self._prompts for _ in range(each)]
        self._texts = [every[:limit] for every in words]
        self._ends = [
            "stop" if len(cut) == len(every) else "length" for cut, every in zip(self._texts, words, strict=True)
        ]

    @property
    def tokens(self) -> int:
        """Of each choice: a script answers them all at the same length."""
        return len(self._texts[0])

    def steps(self) -> Iterator[list[bytes]]:
        """Yield SSE events by moment; nothing opens this kind of reply."""
        yield []
        for at in range(self.tokens):
            yield [self._chunk(index, text[at]) for index, text in enumerate(self._texts)]
        closing = [self._chunk(index, "", end) for index, end in enumerate(self._ends)]
        options = self._request.stream_options
        if self._script.report_usage and options is not None and options.include_usage:
            closing.append(self._event([], self._usage()))
        yield closing

    def whole(self) -> bytes:
        choices = [
            _Choice(index=index, text="".join(text), finish_reason=self._ends[index])
            for index, text in enumerate(self._texts)
        ]
        return _encode(self._reply(choices, self._usage() if self._script.report_usage else UNSET))

    def _chunk(self, index: int, text: str, finish: str | None = None) -> bytes:
        return self._event([_Choice(index=index, text=text, finish_reason=finish)], UNSET)

    def _event(self, choices: list[_Choice], usage: Usage | UnsetType) -> bytes:
        return b"data: %b\n\n" % _encode(self._reply(choices, usage))

    def _reply(self, choices: list[_Choice], usage: Usage | UnsetType) -> _Reply:
        return _Reply(id=self._id, model=self._request.model, choices=choices, usage=usage)

    def _usage(self) -> Usage:
        asked = sum(len(prompt.split()) for prompt in self._prompts)
        answered = sum(len(text) for text in self._texts)
        return Usage(prompt_tokens=asked, completion_tokens=answered, total_tokens=asked + answered)
