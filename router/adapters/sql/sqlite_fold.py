"""Add calls up by day, and delete rows that are old, in steps that no commit has to wait long for.

A call is added up exactly once: the step that passes its id adds it, or the commit that brings its row later.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from router.adapters.sql import sqlite_statements as sql
from router.adapters.sql.sqlite_store import roll_back
from router.domain.ids import CallId

STEP_CALLS_MAX: Final = 2_000
"""Calls of one step: a commit that comes meanwhile waits for no more, about 10 ms."""


def fold(connection: sqlite3.Connection, before: CallId, limit: int = STEP_CALLS_MAX) -> bool:
    """Add up the next calls with ids below `before`, at most `limit`; tells whether there may be more."""
    folded = _folded(connection)
    count, last = connection.execute(sql.NEXT_TO_FOLD, (folded, before, limit)).fetchone()
    if not count:
        return False
    with_calls = (folded, last)
    _in_transaction(connection, [*((add, with_calls) for add in sql.FOLD_STEP), (sql.SET_FOLDED, (last,))])
    return int(count) == limit


def delete_older(connection: sqlite3.Connection, started_before_ns: int, limit: int = STEP_CALLS_MAX) -> bool:
    """Delete the oldest rows among calls that are added up, at most `limit`; tells whether there may be more."""
    oldest = (limit, started_before_ns)
    if connection.execute(sql.FIND_OLD_CALL, oldest).fetchone() is None:
        return False
    return _in_transaction(connection, [(sql.MARK_DELETED, oldest), (sql.DELETE_CALLS, oldest)]) == limit


def late_of(connection: sqlite3.Connection, call_ids: Iterable[CallId]) -> Sequence[CallId]:
    """Find the calls that the fold has passed and whose rows are yet to come. In a transaction of the caller's."""
    folded = _folded(connection)
    if min(call_ids := list(call_ids), default=folded + 1) > folded:
        return ()
    passed = [one for one in call_ids if one <= folded]
    return [one for one in passed if connection.execute(sql.FIND_CALL, (one,)).fetchone() is None]


def open_late(connection: sqlite3.Connection) -> Sequence[CallId]:
    """Find the open calls that the fold has passed."""
    return [CallId(one) for (one,) in connection.execute(sql.PASSED_OPEN_CALLS, (_folded(connection),))]


def add_late(connection: sqlite3.Connection, call_ids: Iterable[CallId]) -> None:
    """Add up those of the late calls that have a row by now, in the transaction that brought it."""
    for one in call_ids:
        for add in sql.FOLD_ONE:
            connection.execute(add, (one,))


def _folded(connection: sqlite3.Connection) -> int:
    (up_to,) = connection.execute(sql.READ_FOLDED).fetchone()
    return int(up_to)


def _in_transaction(connection: sqlite3.Connection, steps: Iterable[tuple[str, Sequence[int]]]) -> int:
    """Execute all or none, and tell how many rows the last one changed. Raises `sqlite3.Error`."""
    connection.execute(sql.BEGIN)
    try:
        changed = 0
        for statement, values in steps:
            changed = connection.execute(statement, values).rowcount
        connection.execute(sql.COMMIT)
    except sqlite3.Error:
        roll_back(connection)
        raise
    return changed
