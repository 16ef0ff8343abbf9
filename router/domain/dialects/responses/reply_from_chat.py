"""Turn a chat reply, whole or streamed, into a Responses reply.

Text and thoughts are items one after the other, as they come; a call of a function is one to the end, since other
calls may come between its pieces. So no call is given out as done in a stream that breaks. Items end and the last
event follows at END, when the usage is known. `reasoning_content` (or `reasoning`) becomes a thought that is open to
read. What is lost, as Responses has no place for it: the fingerprint, annotations, audio, the probabilities of a
refusal.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dialects.chat.parts import numbered, said_in
from router.domain.dialects.raw_json import ABSENT, UNREADABLE, quoted
from router.domain.dialects.responses.events import (
    Script,
    between,
    body,
    body_of_text,
    tier,
    usage_for_responses,
)
from router.domain.dialects.responses.output import (
    COMPLETED,
    INCOMPLETE,
    REFUSAL,
    TEXT,
    THOUGHT,
    CallItem,
    PartKind,
    TextItem,
)
from router.domain.dialects.responses.snapshot import Snapshot
from router.domain.dialects.sse_payload import payload_of, read, read_reply
from router.domain.stream import Event, EventKind

KEPT_BYTES_MAX: Final = 64 * 1024 * 1024
"""What one reply may say, since its last events say all of it again; as much as a unary reply may be long."""
ITEM_BYTES: Final = 512
"""An item counts as much besides what it says."""

_NOTHING: Final = (b"", b"null")
_CUT: Final[Mapping[str, bytes]] = {
    "length": b'{"reason":"max_output_tokens"}',
    "content_filter": b'{"reason":"content_filter"}',
}
"""Finish reasons of a reply that is not whole; all others are of one that is."""


class _Function(msgspec.Struct, gc=False):
    name: Raw = ABSENT
    arguments: Raw = ABSENT


class _Call(msgspec.Struct, gc=False):
    index: int | None = None
    id: Raw = ABSENT
    function: _Function | None = None


class _Said(msgspec.Struct, gc=False):
    """A message, or the delta of one."""

    content: Raw = ABSENT
    refusal: Raw = ABSENT
    reasoning_content: Raw = ABSENT
    reasoning: Raw = ABSENT
    tool_calls: list[_Call] | None = None


class _Logprobs(msgspec.Struct, gc=False):
    content: Raw = ABSENT


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _Said | None = None
    message: _Said | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Reply(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    model: Raw = ABSENT
    service_tier: Raw = ABSENT
    usage: Raw = ABSENT


_reply: Final = msgspec.json.Decoder(_Reply)


class ChatToResponses:
    """Put the reply of one call into the Responses dialect. `request` is the caller's, in that dialect."""

    __slots__ = (
        "_at",
        "_base",
        "_calls",
        "_done",
        "_finish",
        "_items",
        "_kept",
        "_model",
        "_open",
        "_script",
        "_snapshot",
        "_started",
        "_tier",
        "_usage",
    )

    def __init__(self, *, reply_id: str, created_s: int, request: Mapping[str, Raw]) -> None:
        self._base = body_of_text(reply_id.removeprefix("resp_"))
        self._snapshot = Snapshot(reply_id=reply_id, created_s=created_s, request=request)
        self._script = Script()
        self._started = False
        self._model = bytes(request.get("model", Raw(b'""')))
        self._tier = b"null"
        self._usage: Raw = ABSENT
        self._finish = ""
        self._items = 0
        self._kept = 0
        self._done: dict[int, bytes] = {}
        self._open: tuple[int, TextItem] | None = None
        self._calls: list[CallItem] = []
        self._at: dict[int | None, CallItem] = {}

    def take(self, batch: Sequence[Event]) -> list[Event]:
        """Return what a batch is in the Responses dialect.

        Raises `ValueError` if a unary reply is no chat reply, or one says more than `KEPT_BYTES_MAX`.
        """
        for event in batch:
            if event.kind is EventKind.CHUNK:
                self._chunk(event.raw)
            elif event.kind is EventKind.COMPLETE:
                self._script.hand_on(Event(EventKind.COMPLETE, self._whole(event.raw)))
            else:
                if event.kind is EventKind.END and self._finish:
                    self._end()
                self._script.hand_on(event)
        return self._script.taken()

    def _chunk(self, raw: bytes) -> None:
        try:
            chunk = read(_reply, payload_of(raw))
        except UNREADABLE:
            return  # the meter has counted it, and there is nothing in it that could be said
        self._note(chunk)
        self._start()
        for choice in chunk.choices or ():
            if choice.index == 0:
                if choice.delta is not None:
                    self._say(choice.delta, choice.logprobs)
                self._finish = self._finish or choice.finish_reason or ""

    def _whole(self, raw: bytes) -> bytes:
        reply = read_reply(_reply, raw)
        choice = next((choice for choice in reply.choices or () if choice.index == 0), None)
        if choice is None or choice.message is None:
            raise ValueError("The provider's reply is no chat completion.")
        self._note(reply)
        self._script.mute()
        for index, call in enumerate(choice.message.tool_calls or ()):
            call.index = index
        self._say(choice.message, choice.logprobs)
        self._finish = choice.finish_reason or "stop"
        return self._end()

    def _note(self, reply: _Reply) -> None:
        if body(reply.model):
            self._model = b'"%b"' % body(reply.model)
        if body(reply.service_tier):
            self._tier = tier(reply.service_tier)
        if bytes(reply.usage) not in _NOTHING:
            self._usage = reply.usage

    def _start(self) -> None:
        if self._started:
            return
        self._started = True
        response = self._snapshot.write(status=b"in_progress", model=self._model, service_tier=self._tier)
        for kind in (b"response.created", b"response.in_progress"):
            self._script.say(kind, b'"response":' + response)

    def _say(self, said: _Said, logprobs: _Logprobs | None) -> None:
        self._grow(THOUGHT, body(said.reasoning_content) or body(said.reasoning))
        if bytes(memoryview(said.content)[:1]) == b"[":
            for one in said_in(said.content) or ():
                self._grow(THOUGHT if one.thought else TEXT, body(one.text))
        else:
            self._grow(TEXT, body(said.content), b"" if logprobs is None else between(logprobs.content))
        self._grow(REFUSAL, body(said.refusal))
        for call in numbered(said.tool_calls):
            self._call(call)

    def _grow(self, kind: PartKind, text: bytes, logprobs: bytes = b"") -> None:
        if not text and not logprobs:
            return
        thought = kind is THOUGHT
        if self._open is None or self._open[1].thought is not thought:
            self._close(COMPLETED)
            self._keep(ITEM_BYTES)
            place = self._place()
            self._open = (place, TextItem(thought=thought, index=place, base=self._base, script=self._script))
        self._keep(len(text) + len(logprobs))
        self._open[1].grow(kind, text, logprobs)

    def _call(self, said: _Call) -> None:
        function = said.function or _Function()
        id_, name = body(said.id), body(function.name)
        call = self._call_of(said.index, id_, name)
        if not call.told:
            call.call_id = call.call_id or id_
            call.name = call.name or name
            if call.name:
                self._tell(call)
        arguments = _arguments(function.arguments)
        if arguments:
            self._keep(len(arguments))
            call.grow(arguments)

    def _call_of(self, index: int | None, id_: bytes, name: bytes) -> CallItem:
        """Find the call that a piece belongs to. Providers reuse an index, leave it out, or repeat ids and names."""
        known = self._at.get(index)
        if known is not None and not _begins_another(known, index, id_, name):
            return known
        if known is None and not name and self._calls:
            return next((call for call in self._calls if id_ and call.call_id == id_), self._calls[-1])
        self._keep(ITEM_BYTES + len(id_) + len(name))
        call = CallItem(base=self._base, script=self._script)
        self._at[index] = call
        if index is None:
            self._at.setdefault(len(self._calls), call)  # some number their calls later
        self._calls.append(call)
        return call

    def _tell(self, call: CallItem) -> None:
        self._close(COMPLETED)
        call.tell(self._place())

    def _keep(self, size: int) -> None:
        self._kept += size
        if self._kept > KEPT_BYTES_MAX:
            raise ValueError("The provider's reply is too long to be put into another dialect.")

    def _place(self) -> int:
        self._items += 1
        return self._items - 1

    def _close(self, status: bytes) -> None:
        if self._open is not None:
            place, item = self._open
            self._done[place] = item.end(status)
            self._open = None

    def _end(self) -> bytes:
        """End all items and the reply; return the response."""
        incomplete = _CUT.get(self._finish)
        for call in self._calls:
            if not call.told:
                self._tell(call)
        last = self._items - 1
        self._close(INCOMPLETE if incomplete else COMPLETED)
        for call in self._calls:
            cut = incomplete and call.index == last
            self._done[call.index] = call.end(INCOMPLETE if cut else COMPLETED)
        status = INCOMPLETE if incomplete else COMPLETED
        response = self._snapshot.write(
            status=status,
            model=self._model,
            service_tier=self._tier,
            output=[self._done[place] for place in range(self._items)],
            usage=usage_for_responses(self._usage),
            incomplete=incomplete or b"null",
        )
        self._script.say(b"response." + status, b'"response":' + response)
        return response


def _begins_another(known: CallItem, index: int | None, id_: bytes, name: bytes) -> bool:
    """Tell whether a piece at a call's place is the start of another one."""
    if not (name and known.name):
        return False
    return id_ != known.call_id if id_ else index is None


def _arguments(raw: Raw) -> bytes:
    """Return the text of the arguments; some providers write them as the object that the text should be."""
    return bytes(quoted(raw))[1:-1] if bytes(memoryview(raw)[:1]) == b"{" else body(raw)
