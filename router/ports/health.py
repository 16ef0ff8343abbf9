"""Say whether this process should get traffic."""

from typing import Protocol


class Health(Protocol):
    @property
    def not_ready(self) -> str | None:
        """Why this process should get no new calls (`starting`, `draining`); None when it should."""
        ...
