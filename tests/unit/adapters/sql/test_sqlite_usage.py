"""A stretch of time is split into whole UTC days and what it cuts: each moment of it is in one part."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.adapters.sql.sqlite_statements import DAY_NS
from router.adapters.sql.sqlite_usage import Cut, Split, read_usage_report, split
from router.ports.usage import UsageQuery

MOMENTS = st.one_of(
    st.integers(0, 6 * DAY_NS),
    st.builds(lambda day, off: max(day * DAY_NS + off, 0), st.integers(0, 6), st.integers(-2, 2)),
)


@given(MOMENTS, MOMENTS, MOMENTS)
def test_each_moment_is_in_one_part_or_outside(since_ns: int, until_ns: int, moment_ns: int) -> None:
    if since_ns >= until_ns:
        return
    parts = split(since_ns, until_ns)
    whole = parts.first_day <= moment_ns // DAY_NS < parts.last_day
    cuts = [cut for cut in parts.cuts if cut.since_ns <= moment_ns < cut.until_ns]

    assert (since_ns <= moment_ns < until_ns) == (len(cuts) + whole)
    assert all(cut.day == moment_ns // DAY_NS for cut in cuts)


def test_midnights_cut_nothing() -> None:
    assert Split(first_day=3, last_day=5, cuts=()) == split(3 * DAY_NS, 5 * DAY_NS)


def test_two_moments_of_one_day_are_one_cut() -> None:
    cut = Cut(day=3, since_ns=3 * DAY_NS + 1, until_ns=3 * DAY_NS + 2)

    assert Split(first_day=0, last_day=0, cuts=(cut,)) == split(3 * DAY_NS + 1, 3 * DAY_NS + 2)


def test_a_report_leaves_no_transaction_behind_though_it_fails(connection: sqlite3.Connection) -> None:
    read_usage_report(connection, UsageQuery(by=("key",)))
    assert not connection.in_transaction
    connection.execute("DROP TABLE usage_spans")
    with pytest.raises(sqlite3.OperationalError):
        read_usage_report(connection, UsageQuery(by=("key",), since_ns=1))

    assert not connection.in_transaction


def test_whole_days_are_not_read_by_row(connection: sqlite3.Connection) -> None:
    """Rows are reached by the ids of the day that is cut, or by those after the fold: never from end to end."""
    written: list[str] = []
    connection.set_trace_callback(written.append)
    read_usage_report(connection, UsageQuery(by=("key", "tag", "day"), since_ns=DAY_NS + 1, until_ns=3 * DAY_NS + 1))
    connection.set_trace_callback(None)
    (statement,) = [text for text in written if "usage_days" in text]
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]

    assert 3 == len([step for step in plan if "SEARCH calls USING INTEGER PRIMARY KEY" in step])
    assert [] == [step for step in plan if "SCAN calls" in step or "SCAN usage_days" in step]
