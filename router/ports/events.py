"""Tell operators' systems what happened."""

from typing import Protocol

from router.domain.events import Event


class Events(Protocol):
    def emit(self, event: Event) -> None:
        """Hand the event over to whoever wants it. Never waits and never fails; what has no room is counted."""
        ...
