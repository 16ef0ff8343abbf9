"""Watch a reply go by: where it really starts, whether it ended well, what it used, which bytes are not JSON.

A chunk is decoded once into the few members that matter: 2 µs, where scanning its bytes for three words costs 0.7. It
buys what a scan cannot tell: a malformed event and an empty delta from a good one (docs/adr/0003).
"""

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec
from msgspec import Raw

from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.stream import Event, EventKind
from router.domain.usage import TokenUsage, estimate_tokens, estimate_usage, read_usage

_ABSENT: Final = Raw()


class _Delta(msgspec.Struct, gc=False):
    content: Raw = _ABSENT
    reasoning_content: Raw = _ABSENT
    reasoning: Raw = _ABSENT
    refusal: Raw = _ABSENT
    tool_calls: Raw = _ABSENT
    function_call: Raw = _ABSENT
    audio: Raw = _ABSENT


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    text: Raw = _ABSENT
    finish_reason: str | None = None


class _Reply(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Raw = _ABSENT
    error: Raw = _ABSENT
    model: Raw = _ABSENT


class _Whole(msgspec.Struct, gc=False):
    """A unary reply without its text, which is only looked at when the provider did not count it."""

    usage: Raw = _ABSENT
    error: Raw = _ABSENT
    model: Raw = _ABSENT


class _ErrorBody(msgspec.Struct, gc=False):
    type: str | None = None
    code: str | int | None = None
    param: str | None = None


_reply: Final = msgspec.json.Decoder(_Reply)
_whole: Final = msgspec.json.Decoder(_Whole)
_error: Final = msgspec.json.Decoder(_ErrorBody)
_text: Final = msgspec.json.Decoder(str)
Shape = TypeVar("Shape")

_NOTHING: Final = frozenset({b"", b"null", b'""', b"[]", b"{}"})
_DATA: Final = len(b"data:")
_HALF_PAIR: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


class Meter:
    """Read one reply, unary or streamed. Feed it every batch; what it returns is what the caller may see."""

    __slots__ = (
        "_allow",
        "_finishes",
        "_unfinished",
        "counted_tokens",
        "failure",
        "malformed",
        "served_model",
        "started",
        "tokens_max",
        "usage",
        "wants_usage",
    )

    def __init__(
        self,
        *,
        wants_usage: bool,
        tokens_max: int | None = None,
        allow: Callable[[int], int] | None = None,
    ) -> None:
        """`tokens_max`: after the event that passes it the caller sees nothing more; the rest is still metered.

        `allow` is asked then, with how many tokens have come, and returns the maximum from there on.
        """
        self.tokens_max = tokens_max
        self._allow = allow
        self.wants_usage = wants_usage
        """The caller asked for the usage chunk of its stream; if not, it is read here and goes no further."""
        self.started = False
        """Content, a tool call, a finish or the usage has arrived: from here on the reply is real."""
        self._finishes = False
        self._unfinished: set[int] = set()
        self.failure: Failure | None = None
        """An error inside a successful reply. Nothing after it is read."""
        self.malformed = 0
        self.counted_tokens = 0
        self.usage: TokenUsage | None = None
        self.served_model: str | None = None

    @property
    def unfinished(self) -> frozenset[int]:
        """Choices that have said something and have not ended."""
        return frozenset(self._unfinished)

    @property
    def finished(self) -> bool:
        """Some choice gave its finish reason and none is still open, or a unary reply is whole."""
        return self._finishes and not self._unfinished

    def take(self, batch: Sequence[Event]) -> list[Event]:
        passed = []
        for event in batch:
            if event.kind is EventKind.CHUNK:
                within = self.tokens_max is None or self.counted_tokens <= self.tokens_max or self._allowed()
                if self._chunk(event.raw) and within:
                    passed.append(event)
                if self.failure is not None:
                    break
            elif event.kind is EventKind.COMPLETE:
                self._complete(event.raw)
                if self.failure is None:
                    passed.append(event)
            else:
                passed.append(event)
        return passed

    def _allowed(self) -> bool:
        """Ask for a higher maximum; tell whether what has come is within it."""
        if self._allow is not None:
            self.tokens_max = self._allow(self.counted_tokens)
        return self.tokens_max is None or self.counted_tokens <= self.tokens_max

    def measured(self, input_bytes: int) -> TokenUsage:
        """Return what the provider said it used, else an honest estimate from what was seen."""
        if self.usage is not None:
            return self.usage
        return estimate_usage(input_bytes=input_bytes, output_tokens=self.counted_tokens)

    def _chunk(self, raw: bytes) -> bool:
        """Read one data event; tell whether the caller may see it."""
        payload = memoryview(raw)[_DATA:] if raw.find(b"\n") == len(raw) - 2 else _joined(raw)
        try:
            chunk = _decode(_reply, payload)
        except msgspec.ValidationError:
            self.started = True  # JSON of a shape we do not know: not ours to judge
            return True
        except (msgspec.DecodeError, RecursionError):
            self.malformed += 1
            return False
        if chunk.error is not _ABSENT and _something(chunk.error):
            self.failure = _failure_of(chunk.error)
            return False
        if self.served_model is None:
            self.served_model = _read_text(chunk.model)
        if chunk.usage is not _ABSENT and _something(chunk.usage):
            self.usage = read_usage(chunk.usage) or self.usage
            if not chunk.choices:
                self.started = True
                return self.wants_usage
        for choice in chunk.choices or ():
            if _says_something(choice):
                self.started = True
                self.counted_tokens += 1
                self._unfinished.add(choice.index)
            if choice.finish_reason:
                self.started = self._finishes = True
                self._unfinished.discard(choice.index)
        return True

    def _complete(self, raw: bytes) -> None:
        self.started = True
        try:
            reply = _decode(_whole, raw)
        except (msgspec.DecodeError, RecursionError):
            self.failure = Failure(kind=FailureKind.MALFORMED, message="The provider's reply is not JSON.")
            return
        if _something(reply.error):
            self.failure = _failure_of(reply.error)
            return
        self._finishes = True
        self.served_model = _read_text(reply.model)
        if _something(reply.usage):
            self.usage = read_usage(reply.usage)
        if self.usage is None:
            self.counted_tokens = estimate_tokens(_text_size(raw))


def _text_size(raw: bytes) -> int:
    """Count the bytes that a unary reply says, in all its choices."""
    try:
        choices = _decode(_reply, raw).choices or ()
    except (msgspec.DecodeError, RecursionError):
        return 0
    return sum(len(bytes(choice.message.content)) for choice in choices if choice.message)


def _decode(decoder: "msgspec.json.Decoder[Shape]", payload: bytes | memoryview) -> Shape:
    """Decode the members that matter. Half a surrogate pair is good JSON, though no decoder of UTF-8 takes it."""
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return decoder.decode(_HALF_PAIR.sub(rb"\\ufffd", payload))


def _joined(raw: bytes) -> bytes:
    """Cut an event down to its JSON. Several `data:` lines are one JSON text with line breaks between."""
    return b"\n".join(line[_DATA:] for line in raw.split(b"\n") if line.startswith(b"data:"))


def _something(raw: Raw) -> bool:
    return raw is not _ABSENT and bytes(raw) not in _NOTHING


def _says_something(choice: _Choice) -> bool:
    delta = choice.delta or choice.message
    if delta is None:
        return _something(choice.text)
    return (
        bytes(delta.content) not in _NOTHING
        or _something(delta.tool_calls)
        or _something(delta.reasoning_content)
        or _something(delta.reasoning)
        or _something(delta.refusal)
        or _something(delta.function_call)
        or _something(delta.audio)
        or _something(choice.text)
    )


def _read_text(raw: Raw) -> str | None:
    try:
        return _text.decode(raw)
    except msgspec.DecodeError:
        return None


def _failure_of(error: Raw) -> Failure:
    """Read the kind of an `error` member that the adapter did not recognise.

    Its text stays here: it may quote credentials, and only the adapter knows them.
    """
    try:
        said = _error.decode(error)
    except msgspec.DecodeError:
        said = _ErrorBody()
    code = said.code
    return Failure(
        kind=FailureKind.ERROR_EVENT,
        message="The provider reported an error.",
        status=code if isinstance(code, int) else None,
        code=str(code) if code is not None else None,
        type=said.type,
        param=said.param,
    )
