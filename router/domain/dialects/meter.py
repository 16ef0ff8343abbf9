"""Watch a reply go by: where it really starts, whether it ended well, what it used, which bytes are not JSON.

A chunk is decoded once into the few members that matter: 2 µs, where scanning its bytes for three words costs 0.7. It
buys what a scan cannot tell: a malformed event and an empty delta from a good one (docs/adr/0003).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dialects.raw_json import ABSENT, UNREADABLE
from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.stream import Event, EventKind
from router.domain.units import Units
from router.domain.usage import TokenUsage, estimate_usage


class _ErrorBody(msgspec.Struct, gc=False):
    type: str | None = None
    code: str | int | None = None
    param: str | None = None


_error: Final = msgspec.json.Decoder(_ErrorBody)
_text: Final = msgspec.json.Decoder(str)

_NOTHING: Final = frozenset({b"", b"null", b'""', b"[]", b"{}"})
_NOT_JSON: Final = Failure(kind=FailureKind.MALFORMED, message="The provider's reply is not JSON.")


class Meter(ABC):
    """Read one reply, unary or streamed. Feed it every batch; what it returns is what the caller may see."""

    __slots__ = (
        "_allow",
        "_finishes",
        "_unfinished",
        "counted_tokens",
        "failure",
        "learn",
        "malformed",
        "served_model",
        "started",
        "tokens_max",
        "usage",
        "wants_usage",
    )

    reply_id: str | None = None
    """Under which the provider keeps the reply, in dialects whose later requests may name it."""
    units: Units | None = None
    """What was used beside tokens; None where nothing else is paid for."""

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
        self.learn: Callable[[bytes], None] | None = None
        """Is given the replies, and of streams the events, that may hold the provider's signatures."""
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
                try:
                    seen = self._chunk(event.raw)
                except msgspec.ValidationError:
                    seen = self.started = True  # JSON of a shape we do not know: not ours to judge
                except UNREADABLE:
                    self.malformed += 1
                    seen = False
                if seen and within:
                    passed.append(event)
                if self.failure is not None:
                    break
            elif event.kind is EventKind.COMPLETE:
                try:
                    self._complete(event.raw)
                except UNREADABLE:
                    self.failure = _NOT_JSON
                if self.failure is None:
                    self.started = self._finishes = True
                    passed.append(event)
                    if self.learn is not None:
                        self.learn(event.raw)
            else:
                passed.append(event)
        return passed

    def measured(self, input_bytes: int) -> TokenUsage:
        """Return what the provider said it used, else an honest estimate from what was seen."""
        if self.usage is not None:
            return self.usage
        return estimate_usage(input_bytes=input_bytes, output_tokens=self.counted_tokens)

    @abstractmethod
    def cut(self) -> list[Event]:
        """Write the events with which a stream ends that has grown as long as it may."""

    @abstractmethod
    def _chunk(self, raw: bytes) -> bool:
        """Read one event of a stream; tell whether the caller may see it. Raises `UNREADABLE`."""

    @abstractmethod
    def _complete(self, raw: bytes) -> None:
        """Read a unary reply. Raises `UNREADABLE`."""

    def _allowed(self) -> bool:
        """Ask for a higher maximum; tell whether what has come is within it."""
        if self._allow is not None:
            self.tokens_max = self._allow(self.counted_tokens)
        return self.tokens_max is None or self.counted_tokens <= self.tokens_max


def something(raw: Raw) -> bool:
    return raw is not ABSENT and bytes(raw) not in _NOTHING


def read_text(raw: Raw) -> str | None:
    try:
        return _text.decode(raw)
    except UNREADABLE:
        return None


def failure_of(error: Raw) -> Failure:
    """Read the kind of an `error` member that the adapter did not recognise.

    Its text stays here: it may quote credentials, and only the adapter knows them.
    """
    try:
        said = _error.decode(error)
    except UNREADABLE:
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
