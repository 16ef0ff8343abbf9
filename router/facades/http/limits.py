"""The bounds of the HTTP listener, as the configuration gives them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """Sizes in bytes, times in nanoseconds."""

    max_body: int
    max_headers: int
    read_timeout_ns: int
    """The longest pause of a request that has begun to arrive."""
    body_timeout_ns: int
    """The longest time for a whole request to arrive."""
    write_timeout_ns: int
    """A reader that takes nothing for so long is cut."""
    stream_ping_ns: int
