"""A start closes what was open, replays what only the journal had, and makes every balance whole, once."""

import json
import sqlite3
from collections.abc import Sequence
from datetime import timedelta

import pytest

from router.adapters.sql.sqlite_commit import Group, commit_group
from router.adapters.sql.sqlite_recovery import BALANCES_KEPT_NS, read_balances, start_epoch
from router.adapters.sql.sqlite_rows import Row, extended_row, open_row, read_call, settled_row
from router.domain.governance.budget import Amounts, BudgetId
from router.domain.governance.windows import ROLLING_BUCKETS
from router.domain.ids import CallId, Epoch
from router.domain.settlement import Outcome
from tests.support.ledger_facts import STARTED_NS, attempt, open_record, reservation, settled_record, settlement

EPOCH = Epoch(1)
BOOKED = json.dumps([["key", "k", 100, 0], ["team", "t", 0, 1]])


def start(connection: sqlite3.Connection, left: Group | None = None, at_ns: int = 17) -> tuple[Epoch, int]:
    return start_epoch(connection, left or Group(), started_ns=at_ns, host="host", pid=4711)


def opened(number: int, usd: int, tokens: int = 0) -> Row:
    return open_row(reservation(number, amounts=Amounts(usd=usd, tokens=tokens)), EPOCH, BOOKED)


def ended(number: int, usd: int, tokens: int = 0, *, cost: int = 1) -> Row:
    spent = Amounts(usd=usd, tokens=tokens)
    return settled_row(settlement(number, cost=cost, spent=spent), EPOCH, 0, BOOKED)


def group(opens: Sequence[Row] = (), extended: Sequence[Row] = (), settled: Sequence[Row] = ()) -> Group:
    made = Group()
    for row in opens:
        made.open(id_of(row), row)
    for row in extended:
        made.extend(id_of(row), row)
    for row in settled:
        made.settle(id_of(row), row)
    return made


def id_of(row: Row) -> CallId:
    assert isinstance(row[0], int)
    return CallId(row[0])


def balances(connection: sqlite3.Connection) -> list[int]:
    """What `key` and `team` have posted."""
    rows = connection.execute("SELECT budget, value, start_ns, posted FROM balances").fetchall()
    found = {(budget, value, start_ns): posted for budget, value, start_ns, posted in rows}
    assert set(found) <= {("key", "k", 100), ("team", "t", 0)}
    return [found.get(("key", "k", 100), 0), found.get(("team", "t", 0), 0)]


def test_a_start_numbers_itself_and_closes_what_was_open(connection: sqlite3.Connection) -> None:
    assert (EPOCH, 0) == start(connection)
    commit_group(
        connection,
        group(
            [open_row(reservation(1, hold=5), EPOCH, None), open_row(reservation(2), EPOCH, None)],
            settled=[settled_row(settlement(3), EPOCH, 0, None)],
        ),
    )

    assert (Epoch(2), 0) == start(connection, at_ns=18)
    assert [(1, 17, "host", 4711), (2, 18, "host", 4711)] == connection.execute("SELECT * FROM epochs").fetchall()
    assert [] == connection.execute("SELECT id FROM open_calls").fetchall()
    held, unheld = read_call(connection, CallId(1)), read_call(connection, CallId(2))
    assert held is not None
    assert (Outcome.RECOVERED_HELD, 5, 5) == (held.outcome, held.hold_nano_usd, held.cost_nano_usd)
    assert unheld is not None
    assert (Outcome.RECOVERED_HELD, 0, None) == (unheld.outcome, unheld.hold_nano_usd, unheld.cost_nano_usd)
    assert settled_record(3, attempts=(attempt(1),)) == read_call(connection, CallId(3))


def test_a_start_forgets_an_open_row_of_a_call_that_has_ended_and_posts_nothing_for_it(
    connection: sqlite3.Connection,
) -> None:
    commit_group(connection, group(settled=[ended(1, 3)]))
    commit_group(connection, group([opened(1, 5)]))
    start(connection)

    assert [] == connection.execute("SELECT id FROM open_calls").fetchall()
    assert [0, 0] == balances(connection)


def test_a_start_that_fails_changes_nothing(connection: sqlite3.Connection) -> None:
    commit_group(connection, group([opened(1, 5)]))
    connection.execute("DROP TABLE epochs")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        start(connection, group(settled=[ended(2, 3)]))

    assert not connection.in_transaction
    assert open_record(1, hold=5) == read_call(connection, CallId(1))
    assert read_call(connection, CallId(2)) is None
    assert [0, 0] == balances(connection)


def test_what_is_open_is_posted_as_it_was_held_and_what_was_settled_as_it_was_spent(
    connection: sqlite3.Connection,
) -> None:
    committed = group([opened(1, 1, 10), opened(2, 2, 20), opened(3, 4, 40)])
    committed.balances = [(BudgetId("key"), "k", 100, 1_000)]
    commit_group(connection, committed)
    left = group(
        [opened(4, 8, 80), opened(5, 16, 160)],
        [extended_row(CallId(number), Amounts(usd=100, tokens=50)) for number in (3, 4)],
        [ended(2, 200, 300), ended(5, 400, 0)],
    )

    for _ in range(2):  # the second time, everything in the journal is known
        assert 0 == start(connection, left)[1]
        assert [1_000 + 1 + 200 + 100 + 100 + 400, 10 + 300 + 50 + 50] == balances(connection)
        assert [] == connection.execute("SELECT id FROM open_calls").fetchall()
    assert [(1, "[1,10,0,0]"), (2, "[200,300,0,0]"), (3, "[100,50,0,0]"), (4, "[100,50,0,0]"), (5, "[400,0,0,0]")] == (
        connection.execute("SELECT id, spent FROM calls ORDER BY id").fetchall()
    )


def test_a_settlement_that_was_committed_is_not_posted_again(connection: sqlite3.Connection) -> None:
    committed = group(settled=[ended(1, 5)])
    committed.balances = [(BudgetId("key"), "k", 100, 5)]
    commit_group(connection, committed)
    start(connection, group([opened(1, 9)], settled=[ended(1, 5)]))

    assert [5, 0] == balances(connection)


@pytest.mark.parametrize("bounds", [(7, 3), (3, 7)])
def test_a_hold_never_shrinks_though_the_journal_be_older_than_the_store(
    connection: sqlite3.Connection, bounds: tuple[int, int]
) -> None:
    stored, left = (extended_row(CallId(1), Amounts(usd=1, tokens=tokens)) for tokens in bounds)
    commit_group(connection, group([opened(1, 1, 1)], [stored]))
    start(connection, group(extended=[left]))

    assert [1, 7] == balances(connection)


def test_an_end_that_no_store_can_hold_leaves_the_call_open_with_all_it_held(connection: sqlite3.Connection) -> None:
    extension = extended_row(CallId(1), Amounts(usd=9))
    left = group([opened(1, 5)], [extension], [ended(1, 7, cost=2**63), ended(2, 1, cost=2**63), ended(3, 1)])

    assert (EPOCH, 2) == start(connection, left)
    record = read_call(connection, CallId(1))
    assert record is not None
    assert (Outcome.RECOVERED_HELD, 9) == (record.outcome, record.cost_nano_usd)
    assert read_call(connection, CallId(2)) is None
    assert [10, 0] == balances(connection)


def test_a_balance_stays_at_the_most_that_an_integer_holds(connection: sqlite3.Connection) -> None:
    most = 2**63 - 1
    for number in (1, 2):
        start(connection, group(settled=[ended(2 * number, most), ended(2 * number + 1, most)]))

        assert [most, 0] == balances(connection)


def test_old_balances_are_forgotten_but_for_those_that_a_window_may_count(connection: sqlite3.Connection) -> None:
    assert timedelta(days=400) == timedelta(microseconds=BALANCES_KEPT_NS / 1_000)
    now = STARTED_NS
    old, kept = now - BALANCES_KEPT_NS - 1, now - BALANCES_KEPT_NS
    rows = [("b", "busy", now - age) for age in range(ROLLING_BUCKETS)]
    rows += [("b", "busy", kept), ("b", "busy", old), ("b", "idle", old), ("life", "k", 0)]
    connection.executemany("INSERT INTO balances VALUES (?, ?, ?, 1)", rows)
    start(connection, at_ns=now)

    rows.remove(("b", "busy", old))
    assert (
        sorted(rows)
        == connection.execute(
            "SELECT budget, value, start_ns FROM balances ORDER BY budget, value, start_ns"
        ).fetchall()
    )


def test_as_many_balances_of_an_account_are_read_as_a_window_counts(connection: sqlite3.Connection) -> None:
    commit_group(
        connection, Group(balances=[(BudgetId("b"), value, start, 1) for value in "ac" for start in range(100)])
    )
    found = read_balances(connection)

    assert [("b", value, start, 1) for value in "ac" for start in range(100 - ROLLING_BUCKETS, 100)] == sorted(found)
