"""The one shape in which any reply travels: events with their bytes, unary replies being a single `complete`."""

from enum import IntEnum
from typing import Final

import msgspec


class ReplyMode(IntEnum):
    """How the caller wants its reply, and so how the upstream is asked."""

    UNARY = 0
    STREAM = 1


class EventKind(IntEnum):
    CHUNK = 0
    """One whole SSE data event of a stream; `raw` ends with its blank line."""
    COMPLETE = 1
    """The whole body of a unary reply. It is also the last event."""
    COMMENT = 2
    """An SSE comment: alive, but nothing happened. Never resets an idle timer."""
    END = 3
    """The stream ended as it should. `raw` is empty; the façade writes its own terminator."""
    ERROR = 4
    """The stream broke after the caller had begun to read it. `raw` is empty; the reply says why."""
    BYTES = 5
    """A piece of a reply that is neither JSON nor events, such as sound, however the network cut it."""


class Event(msgspec.Struct, frozen=True, gc=False):
    kind: EventKind
    raw: bytes


END_EVENT: Final = Event(EventKind.END, b"")
ERROR_EVENT: Final = Event(EventKind.ERROR, b"")
TRUNCATED: Final = Event(EventKind.COMMENT, b': checkrein {"notice":"budget_truncated"}\n\n')
KEEP_ALIVE: Final = Event(EventKind.COMMENT, b": keep-alive\n\n")
