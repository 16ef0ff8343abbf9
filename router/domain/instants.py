"""Read the durations of the configuration and of headers, and moments; all times inside are integer nanoseconds."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000
INSTANT_NS_MAX: Final = (1 << 63) - 1
"""The last moment that a store can hold."""

_UNITS_NS: Final = {
    "ms": NS_PER_MS,
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "h": 3_600 * NS_PER_S,
    "d": 86_400 * NS_PER_S,
}
_UNIX_S: Final = re.compile(r"\d{1,10}(\.\d{1,9})?", re.ASCII)
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION: Final = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(ms|s|m|h|d)", re.ASCII)


def parse_duration_ns(text: str) -> int:
    """Read "500ms", "30s", "5m", "1h", "1d" into nanoseconds; ValueError for anything else."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write a number and one of ms, s, m, h, d, such as 30s")
    return int(Decimal(match[1]) * _UNITS_NS[match[2]])


def format_duration(span_ns: int) -> str:
    """Write a span exactly, in its largest whole unit: `30s`, `1500ms`, `0.25ms`."""
    for unit in ("d", "h", "m", "s"):
        if span_ns and span_ns % _UNITS_NS[unit] == 0:
            return f"{span_ns // _UNITS_NS[unit]}{unit}"
    if not span_ns:
        return "0s"
    whole, rest = divmod(span_ns, NS_PER_MS)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".") + "ms"


def parse_moment_ns(text: str) -> int:
    """Read RFC 3339 with an offset, or Unix seconds, into Unix nanoseconds that a store can hold. Raises ValueError."""
    if _UNIX_S.fullmatch(text):
        return min(int(Decimal(text) * NS_PER_S), INSTANT_NS_MAX)
    # An unescaped + of an offset arrives in a query as a space, which no moment has at that place.
    moment = datetime.fromisoformat(text[:11] + text[11:].replace(" ", "+"))
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset: write 2027-01-31T12:00:00Z, or Unix seconds")
    since_epoch_ns = (moment - _UNIX_EPOCH) // timedelta(microseconds=1) * 1_000
    return min(max(since_epoch_ns, 0), INSTANT_NS_MAX)
