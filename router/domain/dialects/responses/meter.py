"""Meter replies in OpenAI's Responses: events by name, and a last one that repeats all of the response."""

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dialects.meter import Meter, failure_of, read_text, something
from router.domain.dialects.raw_json import ABSENT, unmarked
from router.domain.dialects.sse_payload import payload_of, read
from router.domain.stream import Event, EventKind
from router.domain.usage import estimate_tokens, read_usage

REPLY_ID_CHARS_MAX: Final = 256
"""A longer id is passed on, and not remembered."""
_ONLY_CHOICE: Final = 0
_ENDS: Final = ("response.completed", "response.incomplete")
_FAILS: Final = ("response.failed", "error")
_QUIET_ITEMS: Final = ("message", "reasoning")
"""Items that begin empty; any other is a call of a tool, and something in itself."""


class _Item(msgspec.Struct, gc=False):
    type: str = ""


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    delta: Raw = ABSENT
    item: Raw = ABSENT
    response: Raw = ABSENT
    sequence_number: int = 0


class _Response(msgspec.Struct, gc=False):
    id: Raw = ABSENT
    usage: Raw = ABSENT
    error: Raw = ABSENT
    model: Raw = ABSENT
    output: Raw = ABSENT


_event: Final = msgspec.json.Decoder(_Event)
_item: Final = msgspec.json.Decoder(_Item)
_response: Final = msgspec.json.Decoder(_Response)
_members: Final = msgspec.json.Decoder(dict[str, Raw])
_encode: Final = msgspec.json.Encoder().encode


class ResponsesMeter(Meter):
    __slots__ = ("_begun", "_items", "_sequence", "reply_id")

    def __init__(
        self, *, wants_usage: bool, tokens_max: int | None = None, allow: Callable[[int], int] | None = None
    ) -> None:
        super().__init__(wants_usage=wants_usage, tokens_max=tokens_max, allow=allow)
        self._begun = Raw(b"{}")
        """The response as it was when it began."""
        self._items: list[Raw] = []
        """Those that are whole: kept only where the stream may have to be cut."""
        self._sequence = 0
        self.reply_id: str | None = None

    def cut(self) -> list[Event]:
        """End it as incomplete, with the items that were whole; what is half said, the caller has seen."""
        response = {
            **_members.decode(self._begun),
            "status": Raw(b'"incomplete"'),
            "incomplete_details": Raw(b'{"reason":"max_output_tokens"}'),
            "output": Raw(_encode(self._items)),
        }
        said = b'"sequence_number":%d,"response":%b' % (self._sequence + 1, unmarked(_encode(response)))
        return [
            Event(EventKind.CHUNK, b'event: response.incomplete\ndata: {"type":"response.incomplete",%b}\n\n' % said)
        ]

    def _chunk(self, raw: bytes) -> bool:
        event = read(_event, payload_of(raw))
        kind = event.type
        self._sequence = event.sequence_number
        if kind.endswith(".delta"):
            if something(event.delta):
                self._adds()
        elif kind == "response.output_item.added":
            if something(event.item) and read(_item, event.item).type not in _QUIET_ITEMS:
                self._adds()
        elif kind == "response.output_item.done":
            if self.learn is not None:
                self.learn(raw)
            if self.tokens_max is not None:
                self._items.append(event.item)
        elif kind in _ENDS:
            self._end(event.response)
            self.started = self._finishes = True
            self._unfinished.clear()
        elif kind in _FAILS:
            error = read(_response, event.response).error if something(event.response) else ABSENT
            self.failure = failure_of(error if something(error) else Raw(bytes(payload_of(raw))))
            return False
        elif kind == "response.created" and something(event.response):
            self._begun = event.response
            begun = read(_response, event.response)
            self.served_model = read_text(begun.model)
            self._name(begun)
        return True

    def _complete(self, raw: bytes) -> None:
        reply = read(_response, raw)
        if something(reply.error):
            self.failure = failure_of(reply.error)
            return
        self._end(Raw(raw))

    def _end(self, response: Raw) -> None:
        if not something(response):
            return
        reply = read(_response, response)
        self.served_model = read_text(reply.model) or self.served_model
        self._name(reply)
        self.usage = read_usage(reply.usage) if something(reply.usage) else None
        if self.usage is None and not self.counted_tokens:
            self.counted_tokens = estimate_tokens(len(reply.output))

    def _name(self, reply: _Response) -> None:
        name = read_text(reply.id)
        if name and len(name) <= REPLY_ID_CHARS_MAX:
            self.reply_id = name

    def _adds(self) -> None:
        self.started = True
        self.counted_tokens += 1
        self._unfinished.add(_ONLY_CHOICE)
