"""Own one upstream reply for as long as anybody listens to it.

A call never holds an upstream stream itself: it joins the flight and leaves it, and the last one to leave
closes the upstream. A flight has no task of its own; whoever listens drives it (docs/adr/0003).
"""

from collections.abc import Callable, Sequence

from router.domain.dialects.meter import Meter
from router.domain.stream import Event
from router.ports.upstream import LiveStream


class Flight:
    """One reply on its way, metered once however many listen. A new flight has one listener: its maker."""

    __slots__ = ("_listeners", "_stream", "meter")

    def __init__(self, stream: LiveStream, meter: Meter) -> None:
        self.meter = meter
        self._stream = stream
        self._listeners = 1

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        """The provider's headers: none before the first batch is here."""
        return self._stream.headers

    async def read(self) -> list[Event]:
        """Wait for the next batch and meter it. Empty after a `nudge` or when nothing in it may be seen.

        Raises `UpstreamFailed`.
        """
        return self.meter.take(await self._stream.read())

    async def each(self, take: Callable[[list[Event]], bool]) -> None:
        """Do `while take(await self.read()): pass`, without waking a task for each batch. Raises `UpstreamFailed`."""
        meter = self.meter
        await self._stream.each(lambda batch: take(meter.take(batch)))

    def nudge(self) -> None:
        self._stream.nudge()

    def leave(self) -> None:
        """Stop listening; the last listener closes the upstream. Harmless after the reply is whole."""
        self._listeners -= 1
        if self._listeners == 0:
            self._stream.abort()
