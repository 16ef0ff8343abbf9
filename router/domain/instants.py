"""Read the durations of the configuration and of headers; all times inside are integer nanoseconds."""

import re
from decimal import Decimal
from typing import Final

NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000

_UNITS_NS: Final = {
    "ms": NS_PER_MS,
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "h": 3_600 * NS_PER_S,
    "d": 86_400 * NS_PER_S,
}
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
