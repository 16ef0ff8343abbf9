"""Say what comes of a request or a reply that is put into another dialect.

Chat Completions is the dialect between any two others: whoever speaks something else is translated to it or from it.
What the other dialect cannot express is named, never lost silently: it refuses the call, or the caller has asked that
such members are dropped, and is told which were.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from msgspec import Raw

from router.domain.stream import Event


class Translated(NamedTuple):
    """A request in another dialect."""

    fields: dict[str, Raw]
    dropped: tuple[str, ...] = ()
    """Members that the other dialect cannot express, left out because the caller asked for it."""


class Untranslatable(NamedTuple):
    """The other dialect cannot say this, and the caller did not ask to drop it."""

    param: str
    """The member, as `tools[0].type` or `logprobs`."""
    message: str


class ReplyTranslator(Protocol):
    """Turns the reply of one call into another dialect; one of them a reply.

    CHUNK events hold a whole SSE event of their dialect: `data: {...}` for Chat Completions, `event: name` and a
    `data:` line for Messages and Responses. COMMENT events pass. END comes once, as the last event of a good stream:
    events that the other dialect still owes come before it. A stream that breaks has no END, and nothing is made up
    for it.
    """

    def take(self, batch: Sequence[Event]) -> list[Event]:
        """Return what a batch of a stream, or the COMPLETE event of a unary reply, is in the other dialect.

        Raises `ValueError` if a unary reply is not of its dialect.
        """
        ...
