"""Every moment has one bucket, and a calendar's buckets end when the people of its zone say they do."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.domain.governance.windows import (
    NEVER_NS,
    ROLLING_BUCKETS,
    Calendar,
    CalendarUnit,
    Lifetime,
    Rolling,
    Span,
    Window,
    bucket_at,
    counted_from,
    leaves_at,
)

S = 10**9
HOUR = 3_600 * S
BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [
    ZoneInfo(name)
    for name in (
        "UTC",
        "Europe/Berlin",
        "America/Havana",  # midnight comes twice
        "Africa/Cairo",  # midnight is skipped
        "Asia/Kolkata",  # half an hour off
        "Australia/Lord_Howe",  # the clock changes by half an hour
        "Antarctica/Troll",  # by two hours
        "Pacific/Apia",
    )
]
CALENDARS = [Calendar(unit=unit, zone=zone) for unit in CalendarUnit for zone in ZONES]
WINDOWS: list[Window] = [*CALENDARS, *(Rolling(span_ns=span) for span in (1, 59, 60 * S, 86_400 * S + 7)), Lifetime()]
MOMENTS = st.integers(min_value=1_577_836_800 * S, max_value=2_208_988_800 * S)  # 2020 to 2039


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * S


def calendar(word: str, moment: str) -> Span:
    return bucket_at(Calendar(unit=CalendarUnit(word), zone=BERLIN), at(moment))


@settings(derandomize=True)
@given(st.sampled_from(WINDOWS), MOMENTS)
def test_buckets_follow_each_other_without_gap_or_overlap(window: Window, moment: int) -> None:
    bucket = bucket_at(window, moment)

    assert bucket.start_ns <= moment < bucket.end_ns
    assert bucket == bucket_at(window, bucket.start_ns) == bucket_at(window, bucket.end_ns - 1)
    if bucket.end_ns < NEVER_NS:
        assert bucket.end_ns == bucket_at(window, bucket.end_ns).start_ns


@settings(derandomize=True)
@given(st.sampled_from(CALENDARS), MOMENTS)
def test_a_calendar_bucket_is_what_the_local_clock_calls_it(window: Calendar, moment: int) -> None:
    start, end = (datetime.fromtimestamp(ns // S, window.zone) for ns in bucket_at(window, moment))
    last, local = (datetime.fromtimestamp(ns // S, window.zone) for ns in (at(end.isoformat()) - S, moment))

    match window.unit:
        case CalendarUnit.HOUR:
            assert (local.date(), local.hour) == (start.date(), start.hour) == (last.date(), last.hour)
        case CalendarUnit.DAY:
            assert local.date() == start.date() == last.date()
            assert last.date() < end.date()
        case CalendarUnit.WEEK:
            assert local.isocalendar()[:2] == start.isocalendar()[:2] == last.isocalendar()[:2]
            assert (1, 1) == (start.isoweekday(), end.isoweekday())
        case CalendarUnit.MONTH:
            assert (local.year, local.month) == (start.year, start.month) == (last.year, last.month)
            assert (1, 1) == (start.day, end.day)


@pytest.mark.parametrize(
    ("hours", "noon"),
    [(24, "2024-03-30T12:00+01:00"), (23, "2024-03-31T12:00+02:00"), (25, "2024-10-27T12:00+01:00")],
)
def test_a_day_lasts_as_long_as_its_clock_takes(hours: int, noon: str) -> None:
    start_ns, end_ns = calendar("day", noon)

    assert hours * HOUR == end_ns - start_ns


def test_the_hour_that_comes_twice_is_two_hours() -> None:
    first, second = calendar("hour", "2024-10-27T02:30+02:00"), calendar("hour", "2024-10-27T02:30+01:00")

    assert (at("2024-10-27T00:00Z"), at("2024-10-27T01:00Z")) == first
    assert (at("2024-10-27T01:00Z"), at("2024-10-27T02:00Z")) == second


def test_an_hour_that_the_clock_stretches_by_half_an_hour_is_one_of_ninety_minutes() -> None:
    window = Calendar(unit=CalendarUnit.HOUR, zone=ZoneInfo("Australia/Lord_Howe"))
    long = bucket_at(window, at("2024-04-06T15:15Z"))
    short = bucket_at(window, at("2024-10-05T15:45Z"))

    assert (at("2024-04-06T14:00Z"), at("2024-04-06T15:30Z")) == long
    assert (at("2024-10-05T15:30Z"), at("2024-10-05T16:00Z")) == short


def test_a_week_begins_on_monday() -> None:
    assert (at("2024-03-25T00:00+01:00"), at("2024-04-01T00:00+02:00")) == calendar("week", "2024-03-31T23:59+02:00")


@pytest.mark.parametrize(
    ("start", "end", "moment"),
    [
        ("2024-01-01T00:00+01:00", "2024-02-01T00:00+01:00", "2024-01-31T23:59:59+01:00"),
        ("2024-02-01T00:00+01:00", "2024-03-01T00:00+01:00", "2024-02-29T23:59:59+01:00"),
        ("2025-02-01T00:00+01:00", "2025-03-01T00:00+01:00", "2025-02-28T23:59:59+01:00"),
        ("2024-03-01T00:00+01:00", "2024-04-01T00:00+02:00", "2024-03-31T12:00+02:00"),
        ("2024-12-01T00:00+01:00", "2025-01-01T00:00+01:00", "2024-12-31T23:59:59+01:00"),
    ],
)
def test_a_month_ends_where_the_calendar_says(start: str, end: str, moment: str) -> None:
    assert (at(start), at(end)) == calendar("month", moment)


def test_a_calendar_window_resets_at_its_end() -> None:
    window = Calendar(unit=CalendarUnit.MONTH, zone=UTC)

    assert at("2024-03-01T00:00Z") == leaves_at(window, at("2024-02-01T00:00Z"))
    assert at("2024-02-01T00:00Z") == counted_from(window, at("2024-02-01T00:00Z"))


@settings(derandomize=True)
@given(st.integers(min_value=1, max_value=10**18), MOMENTS)
def test_money_leaves_a_rolling_window_within_its_last_sixtieth(span_ns: int, moment: int) -> None:
    window = Rolling(span_ns=span_ns)
    start_ns = bucket_at(window, moment).start_ns
    leaves_ns = leaves_at(window, start_ns)

    assert leaves_ns is not None
    assert start_ns % window.bucket_ns == 0
    assert (ROLLING_BUCKETS - 1) * window.bucket_ns < leaves_ns - moment <= ROLLING_BUCKETS * window.bucket_ns
    assert counted_from(window, bucket_at(window, leaves_ns - 1).start_ns) == start_ns
    assert counted_from(window, bucket_at(window, leaves_ns).start_ns) > start_ns


def test_a_lifetime_never_resets() -> None:
    assert (0, NEVER_NS) == bucket_at(Lifetime(), at("2024-01-01T00:00Z"))
    assert leaves_at(Lifetime(), 0) is None


def test_a_bucket_is_the_same_whatever_part_of_a_second_is_asked() -> None:
    window = Calendar(unit=CalendarUnit.DAY, zone=BERLIN)
    midnight = at("2024-05-05T00:00+02:00")

    assert midnight == bucket_at(window, midnight).start_ns
    assert midnight == bucket_at(window, midnight - 1).end_ns
    assert timedelta(days=1) == timedelta(seconds=(bucket_at(window, midnight).end_ns - midnight) // S)
