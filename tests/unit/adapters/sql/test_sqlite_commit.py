"""A group of rows is committed whole, but for the rows that no store could hold."""

import json
import sqlite3
from collections.abc import Iterable

import pytest

from router.adapters.sql.sqlite_commit import Group, commit_group
from router.adapters.sql.sqlite_rows import extended_row, open_row, read_call, settled_row
from router.adapters.sql.sqlite_statements import ROWS
from router.domain.governance.budget import Amounts, BudgetId
from router.domain.ids import CallId, Epoch
from router.domain.settlement import Reservation, Settlement
from router.domain.usage import TokenUsage
from tests.support.ledger_facts import attempt, open_record, reservation, settled_record, settlement

EPOCH = Epoch(1)


def group(opens: Iterable[Reservation] = (), settlements: Iterable[Settlement] = (), *, hold: int = 0) -> Group:
    made = Group()
    for opened in opens:
        made.open(opened.id, open_row(opened, EPOCH, None))
    for settled in settlements:
        made.settle(settled.id, settled_row(settled, EPOCH, hold, None))
    return made


def ids(connection: sqlite3.Connection, table: str) -> list[int]:
    return [row[0] for row in connection.execute(f"SELECT id FROM {table} ORDER BY id")]


def balances(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    return connection.execute("SELECT * FROM balances ORDER BY budget, value, start_ns").fetchall()


def test_a_group_without_rows_is_false() -> None:
    assert not group()
    assert Group(balances=[(BudgetId("b"), "k", 0, 1)])
    assert Group(extended={CallId(1): (1, 5, "[5,0,0,0]")})
    assert group([reservation(1)])
    assert group([], [settlement(1)])


def test_a_call_that_began_and_ended_in_a_group_was_never_open(connection: sqlite3.Connection) -> None:
    written: list[str] = []
    connection.set_trace_callback(written.append)

    assert [] == commit_group(connection, group([reservation(1)], [settlement(1)], hold=5))
    assert [] == [statement for statement in written if "open_calls" in statement]
    assert not connection.in_transaction
    assert settled_record(1, hold=5, attempts=(attempt(1),)) == read_call(connection, CallId(1))


def test_a_call_that_an_earlier_group_opened_is_closed_by_its_end(connection: sqlite3.Connection) -> None:
    commit_group(connection, group([reservation(1), reservation(2)]))
    assert open_record(1) == read_call(connection, CallId(1))
    commit_group(connection, group([], [settlement(1)]))

    assert [2] == ids(connection, "open_calls")
    assert settled_record(1, attempts=(attempt(1),)) == read_call(connection, CallId(1))


@pytest.mark.parametrize("calls", sorted({max(1, rows + more) for rows in ROWS for more in (-1, 0, 1)} | {301}))
def test_every_row_of_a_group_arrives(connection: sqlite3.Connection, calls: int) -> None:
    numbers = [*range(1, calls + 1)]
    commit_group(connection, group([reservation(number) for number in numbers]))
    opened = ids(connection, "open_calls")
    commit_group(connection, group([], [settlement(number) for number in numbers]))

    assert numbers == opened
    assert [] == ids(connection, "open_calls")
    assert numbers == ids(connection, "calls")
    assert settled_record(calls, attempts=(attempt(1),)) == read_call(connection, CallId(calls))


def test_the_first_settlement_wins_within_a_group_and_after_it(connection: sqlite3.Connection) -> None:
    commit_group(connection, group([reservation(1)], [settlement(1), settlement(1, cost=1, attempts=2)]))
    commit_group(connection, group([], [settlement(1, cost=2, attempts=3)]))

    assert settled_record(1, attempts=(attempt(1),)) == read_call(connection, CallId(1))


def test_a_group_may_be_committed_twice(connection: sqlite3.Connection) -> None:
    earlier, later = group([reservation(1), reservation(2)], [settlement(3)]), group([reservation(4)], [settlement(1)])
    for each in (earlier, earlier, later, later):
        assert [] == commit_group(connection, each)

    assert [2, 4] == ids(connection, "open_calls")
    assert [1, 3] == ids(connection, "calls")


def test_rows_that_cannot_be_held_are_named_and_the_others_are_committed(connection: sqlite3.Connection) -> None:
    commit_group(connection, group([reservation(1), reservation(6)]))
    bad = [settlement(5, request_id="\ud800"), *(settlement(n, usage=TokenUsage(output=2**63)) for n in (6, 7, 8))]
    mixed = group([reservation(2), reservation(7)], [settlement(1), settlement(4), *bad])
    mixed.open(CallId(9), (*open_row(reservation(9), EPOCH, None)[:-1], 2**63))
    rejected = commit_group(connection, mixed)

    assert [5, 6, 7, 8, 9] == sorted(rejected)
    assert not connection.in_transaction
    assert [1, 4] == ids(connection, "calls")
    # Their end is unknown to the store, so what was held for them is recovered at the next start.
    assert [2, 6, 7] == ids(connection, "open_calls")


def test_the_balances_of_a_group_arrive_with_it_and_the_later_ones_count(connection: sqlite3.Connection) -> None:
    for posted in (5, 7):
        settled = group([], [settlement(posted)])
        settled.balances = [(BudgetId("b"), "k", 0, posted), (BudgetId("b"), "k", posted, 1)]
        commit_group(connection, settled)

    assert [("b", "k", 0, 7), ("b", "k", 5, 1), ("b", "k", 7, 1)] == balances(connection)


def test_an_extension_reaches_a_call_of_its_own_group_and_of_an_earlier_one(connection: sqlite3.Connection) -> None:
    commit_group(connection, group([reservation(1, hold=1)]))
    later = group([reservation(2, hold=2), reservation(3)], [settlement(3)])
    for number in (1, 2, 3):
        later.extend(CallId(number), extended_row(CallId(number), Amounts(usd=9)))
    commit_group(connection, later)

    assert [(1, 9, "[9,0,0,0]"), (2, 9, "[9,0,0,0]")] == connection.execute(
        "SELECT id, hold_nano_usd, held FROM open_calls ORDER BY id"
    ).fetchall()


def test_a_call_whose_end_is_left_out_holds_no_money_that_the_balances_have(connection: sqlite3.Connection) -> None:
    booked = [["b", "k", 0, 0]]
    rows = {n: open_row(reservation(n, hold=5), EPOCH, json.dumps(booked)) for n in (1, 2, 3)}
    earlier = Group(opens={CallId(1): rows[1]})
    commit_group(connection, earlier)
    later = Group(opens={CallId(2): rows[2], CallId(3): rows[3]}, balances=[(BudgetId("b"), "k", 0, 10)])
    for number in (1, 2):
        later.settle(CallId(number), settled_row(settlement(number, cost=2**63), EPOCH, 5, json.dumps(booked)))
    later.extend(CallId(2), extended_row(CallId(2), Amounts(usd=5)))

    assert [1, 2] == commit_group(connection, later)
    assert [(1, None, None), (2, None, None), (3, json.dumps(booked), "[5,0,0,0]")] == connection.execute(
        "SELECT id, booked, held FROM open_calls ORDER BY id"
    ).fetchall()


def test_an_error_of_the_store_commits_nothing_and_leaves_no_transaction(connection: sqlite3.Connection) -> None:
    connection.execute("DROP TABLE calls")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        commit_group(connection, group([reservation(1)], [settlement(2)]))

    assert not connection.in_transaction
    assert [] == connection.execute("SELECT id FROM open_calls").fetchall()
