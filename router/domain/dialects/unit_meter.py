"""Meter replies that are paid for by units beside tokens: JSON, events of OpenAI's, or bytes such as sound."""

from collections.abc import Callable, Sequence
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dialects.meter import Meter, failure_of, read_text, something
from router.domain.dialects.metered import Guess
from router.domain.dialects.raw_json import ABSENT, UNREADABLE
from router.domain.dialects.sse_payload import payload_of, read
from router.domain.stream import Event, EventKind
from router.domain.units import NO_UNITS, PIECES_MAX, UNITS_MAX, Units, at_most
from router.domain.usage import TOKENS_MAX, TokenUsage, estimate_tokens, read_usage

_ENDS: Final = (".done", ".completed")
_NOTHING: Final = Guess(NO_UNITS, 0)


class _BilledUnits(msgspec.Struct, gc=False):
    search_units: Raw = ABSENT


class _Meta(msgspec.Struct, gc=False):
    """Cohere's."""

    billed_units: _BilledUnits | None = None


class _Reply(msgspec.Struct, gc=False):
    """A whole reply, or an event."""

    type: Raw = ABSENT
    usage: Raw = ABSENT
    error: Raw = ABSENT
    model: Raw = ABSENT
    data: Raw = ABSENT
    quality: Raw = ABSENT
    size: Raw = ABSENT
    duration: Raw = ABSENT
    meta: Raw = ABSENT


class _Usage(msgspec.Struct, gc=False):
    seconds: Raw = ABSENT
    total_tokens: int | None = None
    """Where only the sum is told, as Jina does, all of it was read."""


_reply: Final = msgspec.json.Decoder(_Reply)
_usage: Final = msgspec.json.Decoder(_Usage, strict=False)
_meta: Final = msgspec.json.Decoder(_Meta)
_list: Final = msgspec.json.Decoder(list[Raw])


class UnitMeter(Meter):
    __slots__ = ("_ended", "_guess", "_in_bytes", "_output_guess", "units")

    def __init__(
        self,
        *,
        wants_usage: bool = True,
        tokens_max: int | None = None,
        allow: Callable[[int], int] | None = None,
        guess: Guess = _NOTHING,
    ) -> None:
        """`guess`: what is used if the reply does not say."""
        super().__init__(wants_usage=wants_usage, tokens_max=tokens_max, allow=allow)
        self._guess = guess.units
        self.units: Units | None = guess.units
        """What the provider said it used, else the guess."""
        self._output_guess = guess.output_tokens
        self._in_bytes = False
        self._ended = 0
        """Results that are whole in a stream."""

    def take(self, batch: Sequence[Event]) -> list[Event]:
        for event in batch:
            if event.kind is EventKind.BYTES:
                self.started = self._in_bytes = True
                self.counted_tokens += 1
            elif event.kind is EventKind.END and self._in_bytes:
                self._finishes = True
        return super().take(batch)

    def measured(self, input_bytes: int) -> TokenUsage:
        if self.usage is not None:
            return self.usage
        return TokenUsage(input=estimate_tokens(input_bytes), output=self._output_guess, estimated=True)

    def cut(self) -> list[Event]:
        return []  # nothing bounds such a reply while it comes

    def _chunk(self, raw: bytes) -> bool:
        event = read(_reply, payload_of(raw))
        if something(event.error):
            self.failure = failure_of(event.error)
            return False
        self.started = True
        self.counted_tokens += 1
        if (read_text(event.type) or "").endswith(_ENDS):
            self._ended += 1
            self._finishes = self._ended >= self._guess.images
            self._read(event)
        return True

    def _complete(self, raw: bytes) -> None:
        reply = read(_reply, raw)
        if something(reply.error):
            self.failure = failure_of(reply.error)
            return
        self.served_model = read_text(reply.model)
        self._output_guess = 0  # who answers whole and counts no tokens is not paid for them
        self._read(reply)
        if self._guess.images and bytes(reply.data)[:1] == b"[":
            self.units = self._images(len(_list.decode(reply.data)), reply)

    def _read(self, reply: _Reply) -> None:
        """Read what a reply says that it used, in whichever unit."""
        if something(reply.usage):
            self.usage = self._tokens(reply.usage)
            self._hear(_usage_of(reply.usage).seconds)
        if something(reply.duration):
            self._hear(reply.duration)
        if something(reply.meta):
            billed = _meta_of(reply.meta).billed_units
            searches = None if billed is None else _thousandths(billed.search_units)
            if searches is not None:
                self.units = Units(queries=at_most(-(-searches // 1_000), PIECES_MAX))
        if self._guess.images:
            self.units = self._images(self._ended, reply)

    def _images(self, count: int, reply: _Reply) -> Units:
        """Count images, of the kind that was asked for; where it was left to the provider, as it says."""
        asked = self._guess
        return Units(
            images=at_most(count, PIECES_MAX),
            image_quality=asked.image_quality or read_text(reply.quality) or asked.image_quality,
            image_size=asked.image_size or read_text(reply.size) or asked.image_size,
        )

    def _hear(self, seconds: Raw) -> None:
        heard = _thousandths(seconds)
        if heard is not None:
            self.units = Units(audio_ms=at_most(heard))
            if self.usage is None:
                self.usage = TokenUsage()  # it counts in seconds

    def _tokens(self, raw: Raw) -> TokenUsage | None:
        said, total = read_usage(raw), _usage_of(raw).total_tokens
        if said is None:
            return None if total is None else TokenUsage(input=min(max(total, 0), TOKENS_MAX))
        return said if self.usage is None else _sum(self.usage, said)  # each image of a stream tells its own


def _sum(one: TokenUsage, other: TokenUsage) -> TokenUsage:
    return TokenUsage(
        input=min(one.input + other.input, TOKENS_MAX),
        cached_input=min(one.cached_input + other.cached_input, TOKENS_MAX),
        output=min(one.output + other.output, TOKENS_MAX),
        clamped=one.clamped or other.clamped,
    )


def _usage_of(raw: Raw) -> _Usage:
    try:
        return _usage.decode(raw)
    except UNREADABLE:
        return _Usage()


def _meta_of(raw: Raw) -> _Meta:
    try:
        return _meta.decode(raw)
    except UNREADABLE:
        return _Meta()


def _thousandths(raw: Raw) -> int | None:
    """Read a number, in quotes or not, as whole thousandths, rounded up; None if it is none."""
    try:
        number = Decimal(bytes(raw).strip(b'"').decode())
    except (InvalidOperation, UnicodeDecodeError):
        return None
    if not number.is_finite() or number < 0:
        return None
    return int((min(number, Decimal(UNITS_MAX)) * 1_000).to_integral_value(ROUND_CEILING))
