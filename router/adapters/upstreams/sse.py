"""Split a provider's event stream into events, and bring each to the one form that OpenAI's SDKs read.

An event that already has the form goes on as the very same bytes. The result depends on the bytes alone, never on
how the network cut them, and the work is linear in them. Content is never decoded.
"""

from typing import Final

from router.domain.stream import END_EVENT, Event, EventKind

EVENT_BYTES_MAX: Final = 8 * 1024 * 1024

_LAST_EVENTS: Final = frozenset((b"message_stop", b"response.completed", b"response.incomplete"))
_BOM: Final = b"\xef\xbb\xbf"
_PLAIN: Final = b"data: {"
_NAME: Final = b"event: "


class Malformed(Exception):
    """The stream cannot be split: an event has more than EVENT_BYTES_MAX bytes."""


class SseSplitter:
    """Feed it bytes, get events. After END it ignores everything, as the stream is over."""

    __slots__ = ("_after_cr", "_at_start", "_named", "_tail", "ended", "trouble")

    def __init__(self, *, named_events: bool = False) -> None:
        """`named_events`: a line before the data says what an event is, and goes on with it."""
        self._named = named_events
        self.ended = False
        """`[DONE]` was seen, or an event after which there is none."""
        self._tail = bytearray()  # the beginning of a block whose blank line has not arrived
        self._at_start = True
        self._after_cr = False
        self.trouble: str | None = None
        """Why nothing more will come after the events so far: one was too long."""

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes, in order. Raises `Malformed` after those before it."""
        # Most often the network brings exactly one event in our own form: as it does token by token.
        if (
            ((data.startswith(_PLAIN) and data.find(b"\n") == len(data) - 2) or (self._named and _is_named(data)))
            and data.endswith(b"\n\n")
            and b"\r" not in data
            and not (self._tail or self._at_start or self._after_cr or self.ended or self.trouble)
            and len(data) <= EVENT_BYTES_MAX
        ):
            return [Event(EventKind.CHUNK, data)]
        self.check()
        events: list[Event] = []
        if self._at_start:
            data = self._without_bom(data)
        if self._after_cr or b"\r" in data:
            data = self._with_line_feeds(data)
        if self._tail:
            data = self._complete_tail(data, events)
        if data:
            self._split(data, events)
        if not events:
            self.check()
        return events

    def check(self) -> None:
        """Raise `Malformed` if an event was too long. At the end of the stream, what is incomplete is dropped."""
        if self.trouble is not None:
            raise Malformed(self.trouble)

    def _without_bom(self, data: bytes) -> bytes:
        start = bytes(self._tail) + data
        self._tail.clear()
        if len(start) < len(_BOM) and _BOM.startswith(start):
            self._tail += start
            return b""
        self._at_start = False
        return start.removeprefix(_BOM)

    def _with_line_feeds(self, data: bytes) -> bytes:
        """Turn CR LF and CR into LF. A CR counts at once; an LF that follows it in the next piece is dropped."""
        if not data:
            return data
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _complete_tail(self, data: bytes, events: list[Event]) -> bytes:
        """Finish the block that began in an earlier piece; return what follows it."""
        tail = self._tail
        searched = max(0, len(tail) - 1)
        tail += data
        end = tail.find(b"\n\n", searched)
        if end < 0:
            self._limit(len(tail))
            return b""
        block = bytes(tail[: end + 2])
        rest = bytes(tail[end + 2 :])
        tail.clear()
        self._take(block, events)
        return rest

    def _split(self, data: bytes, events: list[Event]) -> None:
        start, size = 0, len(data)
        while start < size and not (self.ended or self.trouble):
            end = data.find(b"\n\n", start)
            if end < 0:
                self._tail += data[start:]
                self._limit(len(self._tail))
                return
            self._take(data[start : end + 2], events)
            start = end + 2

    def _take(self, block: bytes, events: list[Event]) -> None:
        """Read one block: lines up to and with a blank one."""
        self._limit(len(block))
        if self.trouble is not None:
            return
        if (block.startswith(_PLAIN) and block.find(b"\n") == len(block) - 2) or (self._named and _is_named(block)):
            events.append(Event(EventKind.CHUNK, block))
        else:
            self._normalise(block, events)

    def _limit(self, size: int) -> None:
        if size > EVENT_BYTES_MAX:
            self.trouble = f"sent an event of more than {EVENT_BYTES_MAX} bytes"

    def _normalise(self, block: bytes, events: list[Event]) -> None:
        """Bring a block of any form to ours: its name if names mean something, and its data."""
        values: list[bytes] = []
        event_name = b""
        for line in block.split(b"\n"):
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if line and not name:
                events.append(Event(EventKind.COMMENT, b": %b\n\n" % value))
            elif name == b"data":
                values.append(value)
            elif name == b"event":
                event_name = value
        if values == [b"[DONE]"]:
            self.ended = True
            events.append(END_EVENT)
        elif any(values):  # an event without data tells nothing, and SDKs fail to parse it
            raw = b"".join([b"data: %b\n" % value for value in values]) + b"\n"
            named = self._named and event_name
            events.append(Event(EventKind.CHUNK, b"event: %b\n%b" % (event_name, raw) if named else raw))
            if named and event_name in _LAST_EVENTS:
                self.ended = True
                events.append(END_EVENT)


def _is_named(block: bytes) -> bool:
    """Tell whether a block is a name and one line of data, in our form, and more may follow it."""
    at = block.find(b"\n") + 1
    return (
        block.startswith(_NAME)
        and block.startswith(_PLAIN, at)
        and block.find(b"\n", at) == len(block) - 2
        and at > len(_NAME) + 1  # a name without a character is none
        and block[len(_NAME) : at - 1] not in _LAST_EVENTS
    )
