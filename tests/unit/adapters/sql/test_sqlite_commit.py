"""A group of rows is committed whole, but for the rows that no store could hold."""

import sqlite3

import pytest

from router.adapters.sql.sqlite_commit import Rejected, commit_group, start_epoch
from router.adapters.sql.sqlite_rows import read_call
from router.domain.ids import CallId, Epoch
from router.domain.settlement import Outcome
from router.domain.usage import TokenUsage
from tests.support.ledger_facts import attempt, open_record, reservation, settled_record, settlement

EPOCH = Epoch(1)


def test_a_group_is_committed_in_the_order_of_a_call(connection: sqlite3.Connection) -> None:
    rejected = commit_group(connection, [reservation(1, hold=5), reservation(2)], [settlement(1)], EPOCH)

    assert Rejected() == rejected
    assert not connection.in_transaction
    assert settled_record(1, hold=5, attempts=(attempt(1),)) == read_call(connection, CallId(1))
    assert open_record(2) == read_call(connection, CallId(2))
    assert [(2,)] == connection.execute("SELECT id FROM open_calls").fetchall()


def test_rows_that_cannot_be_held_are_named_and_the_others_are_committed(connection: sqlite3.Connection) -> None:
    commit_group(connection, [reservation(1)], [], EPOCH)
    rejected = commit_group(
        connection,
        [reservation(2), reservation(1), reservation(3), reservation(2**63)],
        [settlement(4), settlement(5, request_id="\ud800"), settlement(6, usage=TokenUsage(output=2**63))],
        EPOCH,
    )

    assert Rejected(opens=(1, 3), settlements=(1, 2)) == rejected
    assert [(1,), (2,), (3,)] == connection.execute("SELECT id FROM open_calls").fetchall()
    assert [(4,)] == connection.execute("SELECT id FROM calls").fetchall()


def test_an_error_of_the_store_commits_nothing_and_leaves_no_transaction(connection: sqlite3.Connection) -> None:
    connection.execute("DROP TABLE calls")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        commit_group(connection, [reservation(1)], [settlement(2)], EPOCH)

    assert not connection.in_transaction
    assert [] == connection.execute("SELECT id FROM open_calls").fetchall()


def test_a_start_numbers_itself_and_closes_what_was_open(connection: sqlite3.Connection) -> None:
    assert EPOCH == start_epoch(connection, 17, "host", 4711)
    commit_group(connection, [reservation(1, hold=5), reservation(2)], [settlement(3)], EPOCH)

    assert Epoch(2) == start_epoch(connection, 18, "host", 4712)
    assert [(1, 17, "host", 4711), (2, 18, "host", 4712)] == connection.execute("SELECT * FROM epochs").fetchall()
    assert [] == connection.execute("SELECT id FROM open_calls").fetchall()
    held, unheld = read_call(connection, CallId(1)), read_call(connection, CallId(2))
    assert held is not None
    assert (Outcome.RECOVERED_HELD, 5, 5) == (held.outcome, held.hold_nano_usd, held.cost_nano_usd)
    assert unheld is not None
    assert (Outcome.RECOVERED_HELD, 0, None) == (unheld.outcome, unheld.hold_nano_usd, unheld.cost_nano_usd)
    assert settled_record(3, attempts=(attempt(1),)) == read_call(connection, CallId(3))


def test_a_start_forgets_an_open_row_of_a_call_that_has_ended(connection: sqlite3.Connection) -> None:
    commit_group(connection, [], [settlement(1)], EPOCH)
    commit_group(connection, [reservation(1)], [], EPOCH)
    start_epoch(connection, 17, "host", 4711)

    assert [] == connection.execute("SELECT id FROM open_calls").fetchall()
    assert settled_record(1, attempts=(attempt(1),)) == read_call(connection, CallId(1))


def test_a_start_that_fails_changes_nothing(connection: sqlite3.Connection) -> None:
    commit_group(connection, [reservation(1)], [], EPOCH)
    connection.execute("DROP TABLE epochs")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        start_epoch(connection, 17, "host", 4711)

    assert not connection.in_transaction
    assert open_record(1) == read_call(connection, CallId(1))
