"""Pass the file of a call on while it comes; know whether a provider got all of it, and whether another still can."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from router.domain.dialects.arriving_form import Ending
from router.domain.faults import Refusal, RouterError

KEPT_BYTES_MAX: Final = 1024 * 1024
"""What has gone on is kept up to here, so that a provider that declines at once can be followed by another."""


class Upload:
    """What comes of a form after its opening. It goes to one provider at a time."""

    __slots__ = ("_ending", "_first", "_kept", "_kept_bytes", "_more", "_over", "length", "whole")

    def __init__(self, ending: Ending, first: bytes, more: Callable[[], Awaitable[bytes]], *, length: int) -> None:
        """`first`: what has come of it. `more` brings what comes next, b"" after the last. `length`: bytes of all."""
        self._ending = ending
        self._first = first
        self._more = more
        self._kept = bytearray()
        self._kept_bytes = 0
        self._over = False
        """All of it was judged."""
        self.length = length
        self.whole = False
        """The provider that was sent it last may have all of it. Before that it has no request to serve or to bill."""

    @property
    def repeatable(self) -> bool:
        """It can be sent once more: nothing of it is gone."""
        return self._kept_bytes <= KEPT_BYTES_MAX

    @property
    def file_bytes(self) -> int | None:
        """None: the file has not come to its end."""
        return self._ending.file_bytes

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield it, as far as it may go on, as it comes. Raises `RouterError` for what nobody is to be sent."""
        assert self.repeatable, "some of it is gone"
        self.whole = self._over
        if self._kept:
            yield bytes(self._kept)
        while not self._over:
            data = self._first or await self._more()
            self._first = b""
            piece_or_refusal = self._ending.take(data) if data else self._ending.close()
            if isinstance(piece_or_refusal, Refusal):
                raise RouterError(piece_or_refusal)
            self._over = not data
            self._keep(piece_or_refusal)
            self.whole = self._over
            yield piece_or_refusal

    def _keep(self, piece: bytes) -> None:
        self._kept_bytes += len(piece)
        if self.repeatable:
            self._kept += piece
        else:
            self._kept.clear()
