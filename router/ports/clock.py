"""Where time and chance come from, so that a test or a simulation can be their source."""

from typing import Protocol


class Clock(Protocol):
    def monotonic_ns(self) -> int:
        """Time for deadlines, buckets, breakers and queues. Never persisted."""
        ...

    def wall_ns(self) -> int:
        """Unix time for windows, expiry and rows."""
        ...


class Draw(Protocol):
    def uniform(self) -> float:
        """A number in [0, 1)."""
        ...

    def token(self) -> str:
        """32 hexadecimal digits that do not repeat. No secret: keys are made elsewhere."""
        ...
