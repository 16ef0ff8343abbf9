"""Cut time into the buckets that a budget counts in: calendar, rolling or one for ever.

Laws:
- Every moment belongs to one bucket; buckets follow each other without gap or overlap, and `start_ns` names one.
- A calendar window is one bucket and ends by the clock of its zone: a day has 23 to 25 hours around a change of clocks.
- A rolling window is the current bucket and the 59 before it, so money leaves it 59/60 to 60/60 of the span later.
- Times are Unix nanoseconds. The zone's rules are an argument like any other: nothing here looks at a clock.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Final, NamedTuple, assert_never

from router.domain.instants import NS_PER_S

ROLLING_BUCKETS: Final = 60
NEVER_NS: Final = 1 << 63
"""Later than any moment that an SQL integer holds."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_HOUR: Final = timedelta(hours=1)


class CalendarUnit(StrEnum):
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    """Begins on Monday."""
    MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    unit: CalendarUnit
    zone: tzinfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolling:
    span_ns: int

    @property
    def bucket_ns(self) -> int:
        return -(-self.span_ns // ROLLING_BUCKETS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """Never resets."""


Window = Calendar | Rolling | Lifetime


class Span(NamedTuple):
    """One bucket: its first moment, and the first moment after it."""

    start_ns: int
    end_ns: int


def bucket_at(window: Window, wall_ns: int) -> Span:
    """Find the bucket of a moment. Slow for calendars: keep the answer until `end_ns`."""
    match window:
        case Calendar(unit=unit, zone=zone):
            return _calendar(unit, datetime.fromtimestamp(wall_ns // NS_PER_S, zone))
        case Rolling(bucket_ns=bucket_ns):
            start_ns = wall_ns - wall_ns % bucket_ns
            return Span(start_ns, start_ns + bucket_ns)
        case Lifetime():
            return Span(0, NEVER_NS)
        case never:
            assert_never(never)


def counted_from(window: Window, start_ns: int) -> int:
    """Return the start of the oldest bucket that counts while the bucket at `start_ns` is the current one."""
    if isinstance(window, Rolling):
        return start_ns - (ROLLING_BUCKETS - 1) * window.bucket_ns
    return start_ns


def leaves_at(window: Window, start_ns: int) -> int | None:
    """Return when the money of a bucket stops to count; None: never. For a calendar window this is its reset."""
    match window:
        case Calendar():
            return bucket_at(window, start_ns).end_ns
        case Rolling():
            return start_ns + ROLLING_BUCKETS * window.bucket_ns
        case Lifetime():
            return None
        case never:
            assert_never(never)


def _calendar(unit: CalendarUnit, local: datetime) -> Span:
    # Sums of a local date and days stay on the local clock: midnight plus a day is midnight, however long the day was.
    # A midnight that comes twice counts the first time (fold=0), one that is skipped is the moment of the skip.
    hour = local.replace(minute=0, second=0)
    midnight = hour.replace(hour=0, fold=0)
    match unit:
        case CalendarUnit.HOUR:
            return Span(_ns(hour), _next_hour_ns(hour))
        case CalendarUnit.DAY:
            first, beyond = midnight, midnight + timedelta(days=1)
        case CalendarUnit.WEEK:
            first = midnight - timedelta(days=midnight.weekday())
            beyond = first + timedelta(days=7)
        case CalendarUnit.MONTH:
            first = midnight.replace(day=1)
            beyond = (first + timedelta(days=31)).replace(day=1)
        case never:
            assert_never(never)
    return Span(_ns(first), _ns(beyond))


def _next_hour_ns(hour: datetime) -> int:
    """An hour that comes twice is two hours; one that the clock cuts or stretches by 30 minutes is one of 30 or 90."""
    beyond, probe = hour, hour.astimezone(UTC)
    while _ns(beyond) <= _ns(hour):
        probe += _HOUR
        beyond = probe.astimezone(hour.tzinfo).replace(minute=0)
    return _ns(beyond)


def _ns(moment: datetime) -> int:
    return (moment - _EPOCH) // _SECOND * NS_PER_S
