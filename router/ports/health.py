"""Say whether this process should get traffic."""

from typing import Protocol


class Health(Protocol):
    @property
    def not_ready(self) -> str | None:
        """Why this process should get no new calls (`starting`, `draining`); None when it should."""
        ...

    @property
    def concern(self) -> str | None:
        """What an operator should look at though calls are taken; None: nothing."""
        ...
