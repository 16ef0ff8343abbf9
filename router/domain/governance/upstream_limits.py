"""Read from a provider's reply what is left of our limits there, and decide when the next call may go.

A provider counts what we cannot see, such as other users of the same credential, so what it reported last holds for a
(deployment, credential) beside our own limits. OpenAI, Groq and Anthropic say what is left and when the limit will be
full again; both refill evenly, so between the two the time at which enough is back is a proportion, rounded up. What is
malformed is as good as absent: these headers may slow us down, they never break a reply.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Final, NamedTuple

from router.domain.governance.rate import Costs, Unit
from router.domain.instants import NS_PER_MS, NS_PER_S

SPAN_NS_MAX: Final = 7 * 86_400 * NS_PER_S
"""A provider that names a longer time is taken to mean this."""
VALUE_BYTES_MAX: Final = 64
COUNT_DIGITS_MAX: Final = 18

_FIELDS: Final = ("limit", "remaining", "reset")
_PLACES: Final = {
    f"{prefix}-{order.format(field=field, unit=name)}".encode(): (unit, place)
    for prefix, order, names in (
        ("x-ratelimit", "{field}-{unit}", {"requests": Unit.REQUESTS, "tokens": Unit.TOKENS}),
        (
            "anthropic-ratelimit",
            "{unit}-{field}",
            {
                "requests": Unit.REQUESTS,
                "tokens": Unit.TOKENS,
                "input-tokens": Unit.INPUT_TOKENS,
                "output-tokens": Unit.OUTPUT_TOKENS,
            },
        ),
    )
    for name, unit in names.items()
    for place, field in enumerate(_FIELDS)
}
_RESET: Final = _FIELDS.index("reset")
_RETRY_AFTER: Final = (b"retry-after", b"retry-after-ms")
_TELLING: Final = frozenset((*_PLACES, *_RETRY_AFTER))
_NAME: Final = itemgetter(0)

_NUMBER: Final = re.compile(rb"(\d{1,18})(?:\.(\d{0,9})\d*)?")
_PART: Final = re.compile(rb"(\d{1,18})(?:\.(\d{0,9})\d*)?(ms|us|\xc2\xb5s|ns|d|h|m|s)")
_UNITS_NS: Final = {
    b"d": 86_400 * NS_PER_S,
    b"h": 3_600 * NS_PER_S,
    b"m": 60 * NS_PER_S,
    b"s": NS_PER_S,
    b"ms": NS_PER_MS,
    b"us": 1_000,
    b"\xc2\xb5s": 1_000,
    b"ns": 1,
}
_HTTP_DATE: Final = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d\d) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) (\d{4})"
    r" (\d\d):(\d\d):(\d\d) GMT",
    re.ASCII,
)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Allowance(NamedTuple):
    """What one reply says of one unit; None where it does not say."""

    limit: int | None = None
    remaining: int | None = None
    reset_ns: int | None = None
    """From the reply until the limit is full again."""


class UpstreamLimits(NamedTuple):
    """What one reply says of our limits at its provider."""

    allowances: Mapping[Unit, Allowance]
    retry_after_ns: int | None = None


class Known(NamedTuple):
    """The last that was said of one unit, and when. Monotonic nanoseconds."""

    allowance: Allowance
    said_at: int


class UpstreamState(NamedTuple):
    """What is known of one (deployment, credential)."""

    known: Mapping[Unit, Known]
    blocked_until: int | None = None
    """Monotonic nanoseconds: the latest that a `retry-after` named."""


UNKNOWN: Final = UpstreamState(known={})


class Left(NamedTuple):
    """How one unit stands by now; None where nobody said. Full in `reset_ns`."""

    unit: Unit
    limit_value: int | None
    remaining: int | None
    reset_ns: int | None
    said_ns_ago: int


def tells_limits(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Tell, at the cost of a look at each name, whether there is anything to read."""
    return not _TELLING.isdisjoint(map(_NAME, headers))


def read_upstream_limits(headers: Sequence[tuple[bytes, bytes]], wall_ns: int) -> UpstreamLimits | None:
    """Read a reply's headers, their names in lower case; None if they say nothing."""
    found: dict[Unit, list[int | None]] = {}
    retry_after: dict[bytes, bytes] = {}
    for name, value in headers:
        place = _PLACES.get(name)
        if place is not None:
            unit, field = place
            said = found.get(unit)
            if said is None:
                said = found[unit] = [None, None, None]
            said[field] = _span_or_moment(value, wall_ns) if field == _RESET else _count(value)
        elif name in _RETRY_AFTER:
            retry_after[name] = value
    retry_after_ns = read_retry_after_ns(retry_after, wall_ns) if retry_after else None
    allowances = {unit: Allowance(*said) for unit, said in found.items() if said != [None, None, None]}
    return UpstreamLimits(allowances, retry_after_ns) if allowances or retry_after_ns is not None else None


def read_retry_after_ns(headers: Mapping[bytes, bytes], wall_ns: int) -> int | None:
    """Read `retry-after-ms`, else `retry-after` in seconds or as an HTTP date; None when absent or nonsense."""
    milliseconds = _number(headers.get(b"retry-after-ms", b""), NS_PER_MS)
    if milliseconds is not None:
        return min(milliseconds, SPAN_NS_MAX)
    value = headers.get(b"retry-after", b"")
    seconds = _number(value, NS_PER_S)
    if seconds is not None:
        return min(seconds, SPAN_NS_MAX)
    return _until_http_date(value, wall_ns)


def merge(state: UpstreamState, said: UpstreamLimits, now: int) -> UpstreamState:
    """Learn from a reply: the latest word on a unit holds, and of all waits asked for the one that ends last."""
    known = {**state.known, **{unit: Known(allowance, now) for unit, allowance in said.allowances.items()}}
    until = state.blocked_until
    if said.retry_after_ns is not None:
        until = max(now + said.retry_after_ns, now if until is None else until)
    return UpstreamState(known, until)


def wait_ns(state: UpstreamState, costs: Costs, now: int, *, believed_ns: int = SPAN_NS_MAX) -> int:
    """Return how long a call of these costs must wait, 0 if it may go. A call above a limit waits for all of it.

    `believed_ns`: how long a word holds at most.
    """
    until = now if state.blocked_until is None else state.blocked_until
    for unit, (allowance, said_at) in state.known.items():
        limit, remaining, reset_ns = allowance
        cost = costs[unit] if limit is None else min(costs[unit], limit)
        if remaining is None or reset_ns is None or cost <= remaining:
            continue  # without a time to wait for, the provider must refuse for itself
        if limit is not None:
            reset_ns = -(-(cost - remaining) * reset_ns // (limit - remaining))  # cost <= limit, so never longer
        until = max(until, said_at + min(reset_ns, believed_ns))
    return max(until - now, 0)


def left(state: UpstreamState, now: int) -> list[Left]:
    """Report each unit of which something is known, with what has been refilled since it was said."""
    return [_left(unit, known, now) for unit, known in sorted(state.known.items())]


def _left(unit: Unit, known: Known, now: int) -> Left:
    (limit, remaining, reset_ns), said_ns_ago = known.allowance, now - known.said_at
    if reset_ns is not None:
        if said_ns_ago >= reset_ns:
            remaining = limit  # full, which without a limit is nobody knows how much
        elif remaining is not None and limit is not None and limit > remaining:
            remaining += (limit - remaining) * said_ns_ago // reset_ns
        reset_ns = max(reset_ns - said_ns_ago, 0)
    return Left(unit, limit, remaining, reset_ns, said_ns_ago)


def blocked_ns(state: UpstreamState, now: int) -> int:
    """Return for how long a `retry-after` still asks to be left alone."""
    return 0 if state.blocked_until is None else max(state.blocked_until - now, 0)


def _count(value: bytes) -> int | None:
    return int(value) if value.isdigit() and len(value) <= COUNT_DIGITS_MAX else None


def _number(value: bytes, unit_ns: int) -> int | None:
    match = _NUMBER.fullmatch(value) if len(value) <= VALUE_BYTES_MAX else None
    return None if match is None else _scaled(match[1], match[2], unit_ns)


def _scaled(whole: bytes, fraction: bytes | None, unit_ns: int) -> int:
    """Multiply a decimal number exactly, rounded up: a wait is never shortened."""
    return int(whole) * unit_ns + (-(-int(fraction) * unit_ns // 10 ** len(fraction)) if fraction else 0)


def _span_or_moment(value: bytes, wall_ns: int) -> int | None:
    """Read `6m0s`, `7.66s`, `13ms`, RFC 3339, or bare seconds; too many of them are a timestamp and no span."""
    if len(value) > VALUE_BYTES_MAX:
        return None
    total = at = 0
    while match := _PART.match(value, at):
        total += _scaled(match[1], match[2], _UNITS_NS[match[3]])
        at = match.end()
    if at:
        return min(total, SPAN_NS_MAX) if at == len(value) else None
    seconds = _number(value, NS_PER_S)
    if seconds is not None:
        return seconds if seconds <= SPAN_NS_MAX else None
    try:
        moment = datetime.fromisoformat(value.decode("ascii"))
    except ValueError:
        return None
    return _until(moment if moment.tzinfo else moment.replace(tzinfo=UTC), wall_ns)


def _until_http_date(value: bytes, wall_ns: int) -> int | None:
    match = _HTTP_DATE.fullmatch(value.decode("latin-1")) if len(value) <= VALUE_BYTES_MAX else None
    if match is None:
        return None
    day, month, year, *time = match.groups()
    hour, minute, second = (int(part) for part in time)
    try:
        moment = datetime(int(year), _MONTHS.index(month) + 1, int(day), hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None
    return _until(moment, wall_ns)


def _until(moment: datetime, wall_ns: int) -> int:
    since = moment - _EPOCH
    moment_ns = (since.days * 86_400 + since.seconds) * NS_PER_S + since.microseconds * 1_000
    return min(max(moment_ns - wall_ns, 0), SPAN_NS_MAX)
