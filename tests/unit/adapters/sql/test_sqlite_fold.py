"""A call is added up once, whenever it ends; rows are deleted by age once they are added up, and their sums stay."""

import sqlite3

import msgspec
import pytest

from router.adapters.sql import sqlite_statements as sql
from router.adapters.sql.sqlite_commit import Group, commit_group
from router.adapters.sql.sqlite_fold import STEP_CALLS_MAX, delete_older, fold, late_of, open_late
from router.adapters.sql.sqlite_recovery import start_epoch
from router.adapters.sql.sqlite_rows import open_row, settled_row
from router.adapters.sql.sqlite_usage import read_usage_report
from router.domain.ids import CallId, Epoch
from router.domain.settlement import Settlement
from router.domain.usage import TokenUsage
from router.ports.usage import UsageQuery, UsageReport
from tests.support.ledger_facts import STARTED_NS, reservation, settlement

EPOCH = Epoch(1)
EVERY = CallId(2**63 - 1)
MIDNIGHT_NS = STARTED_NS // sql.DAY_NS * sql.DAY_NS


def on_day(number: int, day: int, *, cost: int | None = 1) -> Settlement:
    """Make a call at noon, `day` days after the first."""
    noon_ns = MIDNIGHT_NS + day * sql.DAY_NS + sql.DAY_NS // 2
    return msgspec.structs.replace(settlement(number, cost=cost), started_ns=noon_ns)


def commit(connection: sqlite3.Connection, *settlements: Settlement) -> list[CallId]:
    group = Group()
    for one in settlements:
        group.settle(one.id, settled_row(one, EPOCH, 0, None))
    return list(commit_group(connection, group))


def summed(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """Read calls and cost of each day, as days after the first."""
    rows = connection.execute("SELECT day, SUM(calls) FROM usage_days GROUP BY day ORDER BY day")
    return [(day - MIDNIGHT_NS // sql.DAY_NS, calls) for day, calls in rows]


def folded(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT up_to FROM usage_folded").fetchone()[0])


def ids(connection: sqlite3.Connection) -> list[int]:
    return [row[0] for row in connection.execute("SELECT id FROM calls ORDER BY id")]


def report(connection: sqlite3.Connection, **asked: int) -> UsageReport:
    return read_usage_report(connection, UsageQuery(by=("key",), **asked))  # type: ignore[arg-type]  # integers alone


def calls_of(connection: sqlite3.Connection, **asked: int) -> int:
    return sum(one.calls for one in report(connection, **asked).totals)


def test_a_step_has_a_bound_and_says_whether_there_may_be_more(connection: sqlite3.Connection) -> None:
    commit(connection, *(on_day(number, 0) for number in (1, 2, 3)))

    assert fold(connection, EVERY, limit=2)
    assert (2, [(0, 2)]) == (folded(connection), summed(connection))
    assert not fold(connection, EVERY, limit=2)
    assert (3, [(0, 3)]) == (folded(connection), summed(connection))
    assert not fold(connection, EVERY, limit=2)
    assert not connection.in_transaction


def test_a_step_stays_below_the_id_that_it_is_given(connection: sqlite3.Connection) -> None:
    commit(connection, *(on_day(number, 0) for number in (1, 2, 3)))
    fold(connection, CallId(3))

    assert (2, [(0, 2)]) == (folded(connection), summed(connection))


def test_calls_of_several_days_are_added_to_their_days(connection: sqlite3.Connection) -> None:
    commit(connection, on_day(1, 1), on_day(2, 0), on_day(3, 1))
    fold(connection, EVERY)

    assert [(0, 1), (1, 2)] == summed(connection)
    assert [(2, 2, 0), (1, 3, 0)] == connection.execute(
        "SELECT first_id, last_id, deleted FROM usage_spans ORDER BY day"
    ).fetchall()


def test_a_step_that_fails_leaves_everything_as_it_was(connection: sqlite3.Connection) -> None:
    commit(connection, on_day(1, 0))
    connection.execute("CREATE TRIGGER broken BEFORE UPDATE ON usage_folded BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(sqlite3.IntegrityError):
        fold(connection, EVERY)

    assert (-1, []) == (folded(connection), summed(connection))
    assert not connection.in_transaction


def test_a_call_that_ends_below_the_fold_is_added_with_its_row_and_once(connection: sqlite3.Connection) -> None:
    commit(connection, on_day(5, 0))
    fold(connection, EVERY)
    for _ in range(2):  # a group may be committed twice
        commit(connection, on_day(3, 0), on_day(7, 0))

    assert (5, [(0, 2)]) == (folded(connection), summed(connection))
    assert 3 == calls_of(connection)
    fold(connection, EVERY)
    assert (7, [(0, 3)]) == (folded(connection), summed(connection))
    assert 3 == calls_of(connection, since_ns=MIDNIGHT_NS + 1), "the day knows that its first id is 3"


def test_a_row_that_no_store_can_hold_is_not_added_up(connection: sqlite3.Connection) -> None:
    commit(connection, on_day(9, 0))
    fold(connection, EVERY)
    bad = msgspec.structs.replace(on_day(3, 0), usage=TokenUsage(output=2**63))

    assert [CallId(3)] == commit(connection, bad, on_day(4, 0))
    assert [(0, 2)] == summed(connection)


def test_nothing_is_late_above_the_fold_nor_twice(connection: sqlite3.Connection) -> None:
    commit(connection, on_day(5, 0))
    fold(connection, EVERY)

    assert [] == list(late_of(connection, []))
    assert [] == list(late_of(connection, [CallId(6)]))
    assert [3] == list(late_of(connection, [CallId(6), CallId(3), CallId(5)]))


def test_open_calls_below_the_fold_are_found(connection: sqlite3.Connection) -> None:
    for number in (4, 6):
        connection.execute(sql.OPEN_CALLS[1], open_row(reservation(number), EPOCH, None))
    commit(connection, on_day(5, 0))
    fold(connection, EVERY)

    assert [4] == list(open_late(connection))


@pytest.mark.parametrize("table", ["usage_days", "usage_blocks"])
def test_a_sum_beyond_what_is_held_stays_at_the_largest(connection: sqlite3.Connection, table: str) -> None:
    commit(connection, *(on_day(number, 0, cost=2**63 - 1) for number in (1, 2)), on_day(3, 0))
    fold(connection, EVERY)

    assert [(2**63 - 1, "integer", 3)] == connection.execute(
        f"SELECT cost_nano_usd, typeof(cost_nano_usd), calls FROM {table}"
    ).fetchall()


@pytest.mark.parametrize("cost", [2**52, 2**52 + 1])
def test_large_costs_of_one_step_add_up_to_the_last_unit(connection: sqlite3.Connection, cost: int) -> None:
    commit(connection, *(on_day(number, 0, cost=cost) for number in range(7)))
    fold(connection, EVERY)

    assert [(7 * cost,)] == connection.execute("SELECT cost_nano_usd FROM usage_days").fetchall()
    assert [(7 * cost,)] == connection.execute("SELECT cost_nano_usd FROM usage_blocks").fetchall()


def test_no_step_adds_so_many_calls_that_their_sum_can_fail() -> None:
    assert STEP_CALLS_MAX <= sql.ADDED_CALLS_MAX
    assert sql.ADDED_CALLS_MAX * sql.LARGE < 2**63


def test_days_of_one_block_are_added_to_it_in_the_step_and_one_by_one(connection: sqlite3.Connection) -> None:
    first = -(MIDNIGHT_NS // sql.DAY_NS) % sql.BLOCK_DAYS
    commit(connection, on_day(5, first - 1), on_day(6, first), on_day(7, first + sql.BLOCK_DAYS - 1))
    fold(connection, EVERY)
    commit(connection, on_day(1, first - 1), on_day(2, first + sql.BLOCK_DAYS))
    block = (MIDNIGHT_NS // sql.DAY_NS + first) // sql.BLOCK_DAYS

    assert [(block - 1, 2), (block, 2), (block + 1, 1)] == connection.execute(
        "SELECT block, SUM(calls) FROM usage_blocks GROUP BY block ORDER BY block"
    ).fetchall()


def test_only_old_rows_that_are_added_up_are_deleted(connection: sqlite3.Connection) -> None:
    commit(connection, *(on_day(number, number) for number in range(6)))
    fold(connection, CallId(3))
    before_ns = MIDNIGHT_NS + 5 * sql.DAY_NS

    assert delete_older(connection, before_ns, limit=2)
    assert [2, 3, 4, 5] == ids(connection)
    assert not delete_older(connection, before_ns, limit=2)
    assert not delete_older(connection, before_ns, limit=2)
    assert [3, 4, 5] == ids(connection)
    assert 6 == calls_of(connection)


def test_young_rows_stay(connection: sqlite3.Connection) -> None:
    commit(connection, *(on_day(number, number) for number in range(3)))
    fold(connection, EVERY)
    delete_older(connection, MIDNIGHT_NS + sql.DAY_NS + sql.DAY_NS // 2)

    assert [1, 2] == ids(connection)


def test_a_report_that_needs_a_deleted_row_says_so(connection: sqlite3.Connection) -> None:
    commit(connection, *(on_day(number, number) for number in range(3)))
    fold(connection, EVERY)
    delete_older(connection, MIDNIGHT_NS + sql.DAY_NS)
    whole, cut = report(connection, since_ns=MIDNIGHT_NS), report(connection, since_ns=MIDNIGHT_NS + 1)
    later = report(connection, since_ns=MIDNIGHT_NS + sql.DAY_NS + 1)
    by_row = [
        read_usage_report(connection, UsageQuery(by=("workflow",), since_ns=since_ns))
        for since_ns in (MIDNIGHT_NS, MIDNIGHT_NS + sql.DAY_NS)
    ]

    assert [(3, False), (2, True), (2, False)] == [(one.totals[0].calls, one.partial) for one in (whole, cut, later)]
    assert [(2, True), (2, False)] == [(one.totals[0].calls, one.partial) for one in by_row]


def test_balances_are_left_alone(connection: sqlite3.Connection) -> None:
    group = Group(balances=[("b", "k", 0, 7)])  # type: ignore[list-item]  # a plain name
    commit_group(connection, group)
    commit(connection, on_day(1, 0))
    fold(connection, EVERY)
    delete_older(connection, EVERY)

    assert ([], [("b", "k", 0, 7)]) == (ids(connection), connection.execute("SELECT * FROM balances").fetchall())


def test_a_call_whose_end_only_the_journal_knew_is_added_up_at_the_start(connection: sqlite3.Connection) -> None:
    commit(connection, on_day(5, 0))
    fold(connection, EVERY)
    left = Group()
    for number in (3, 5, 7):
        left.settle(CallId(number), settled_row(on_day(number, 0), EPOCH, 0, None))
    left.open(CallId(4), open_row(reservation(4), EPOCH, None))
    for _ in range(2):  # a journal may be read twice
        start_epoch(connection, left, started_ns=STARTED_NS, host="here", pid=1)

    assert [(0, 3)] == summed(connection)
    assert [3, 4, 5, 7] == ids(connection)
    assert 4 == calls_of(connection)
