"""A stretch of time is split into whole UTC days and what it cuts: each moment of it is in one part."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.adapters.sql.sqlite_statements import BLOCK_DAYS, DAY_NS
from router.adapters.sql.sqlite_usage import Cut, Split, read_usage_report, split
from router.ports.usage import UsageGroup, UsageQuery

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


@given(st.integers(0, 130), st.integers(0, 130), st.integers(0, 130))
def test_each_whole_day_is_in_a_block_or_before_the_blocks_or_after_them(first: int, last: int, day: int) -> None:
    if first > last:
        return
    since, until = Split(first_day=first, last_day=last, cuts=()).in_blocks()
    parts = [first <= day < since, since <= day < until, until <= day < last]

    assert (first <= day < last) == sum(parts)
    assert since == until or (0, 0) == (since % BLOCK_DAYS, until % BLOCK_DAYS)
    assert since < until or last - first < 2 * BLOCK_DAYS - 1


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


def plan_of(connection: sqlite3.Connection, asked: UsageQuery) -> list[str]:
    written: list[str] = []
    connection.set_trace_callback(written.append)
    read_usage_report(connection, asked)
    connection.set_trace_callback(None)
    (statement,) = [text for text in written if "usage_days" in text]
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]


@pytest.mark.parametrize(("by", "of_days", "of_blocks"), [(("key", "tag", "day"), 1, 0), (("key", "tag"), 2, 1)])
def test_whole_days_are_not_read_by_row(
    connection: sqlite3.Connection, by: tuple[UsageGroup, ...], of_days: int, of_blocks: int
) -> None:
    """Rows are reached by the ids of the day that is cut, or by those after the fold: never from end to end."""
    plan = plan_of(connection, UsageQuery(by=by, since_ns=DAY_NS + 1, until_ns=99 * DAY_NS + 1))

    assert 3 == len([step for step in plan if "SEARCH calls USING INTEGER PRIMARY KEY" in step])
    assert of_days == len([step for step in plan if "SEARCH usage_days USING PRIMARY KEY (day>? AND day<?)" in step])
    found = [step for step in plan if "SEARCH usage_blocks USING PRIMARY KEY (block>? AND block<?)" in step]
    assert of_blocks == len(found)
    assert [] == [step for step in plan if "SCAN" in step and ("calls" in step or "usage_days" in step)]


def test_a_block_that_is_asked_for_whole_is_not_read_by_day(connection: sqlite3.Connection) -> None:
    """Each day of it may have as many rows as the block: what is told comes from the block alone."""
    connection.execute("INSERT INTO usage_added VALUES (40, 'k', '', '', '', '', '', '', '', 1, 0, 0, 0, 0, 0, 5, 0)")
    connection.execute("DELETE FROM usage_days")
    blocks = range(BLOCK_DAYS * DAY_NS, 2 * BLOCK_DAYS * DAY_NS)

    def cost(since_ns: int, until_ns: int) -> int:
        asked = UsageQuery(by=("key",), since_ns=since_ns, until_ns=until_ns)
        return sum(one.cost_nano_usd for one in read_usage_report(connection, asked).totals)

    assert 5 == cost(blocks.start, blocks.stop)
    assert 5 == cost(blocks.start - DAY_NS, blocks.stop + DAY_NS)
    assert 0 == cost(blocks.start + DAY_NS, blocks.stop)
    assert 0 == cost(blocks.start, blocks.stop - DAY_NS)
