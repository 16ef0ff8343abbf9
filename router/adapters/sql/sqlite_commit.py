"""Put a group of rows into the ledger in one transaction, on the connection's own thread."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Final

import msgspec

from router.adapters.sql import sqlite_statements as sql
from router.adapters.sql.sqlite_fold import add_late, late_of
from router.adapters.sql.sqlite_rows import Row
from router.adapters.sql.sqlite_store import roll_back
from router.domain.governance.budget import BudgetId
from router.domain.ids import CallId

Balance = tuple[BudgetId, str, int, int]
"""Budget, value of its scope, start of the bucket, posted."""

ROW_ERRORS: Final = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    OverflowError,
    UnicodeEncodeError,
)
"""Errors that one row has and the store has not: the same row fails for ever, the other rows do not."""


class Group(msgspec.Struct):
    """Rows that are committed together. A call that began and ended within it was never open for the store."""

    opens: dict[CallId, Row] = msgspec.field(default_factory=dict)
    settlements: dict[CallId, Row] = msgspec.field(default_factory=dict)
    closes: list[CallId] = msgspec.field(default_factory=list)
    """Settled calls whose open row an earlier group brought."""
    ended: dict[CallId, Row] = msgspec.field(default_factory=dict)
    """Open rows of calls that ended here too: needed only where no store can hold the end."""
    extended: dict[CallId, Row] = msgspec.field(default_factory=dict)
    """Larger holds of calls that are open; the last one counts."""
    balances: list[Balance] = msgspec.field(default_factory=list)
    """As they stand with this group."""

    def open(self, call_id: CallId, row: Row) -> None:
        self.opens[call_id] = row

    def extend(self, call_id: CallId, row: Row) -> None:
        self.extended[call_id] = row

    def settle(self, call_id: CallId, row: Row) -> None:
        """Add the end of a call. The first settlement wins."""
        if call_id in self.settlements:
            return
        self.settlements[call_id] = row
        opened = self.opens.pop(call_id, None)
        if opened is None:
            self.closes.append(call_id)
        else:
            self.ended[call_id] = opened

    def __bool__(self) -> bool:
        return bool(self.opens or self.settlements or self.extended or self.balances)


def commit_group(connection: sqlite3.Connection, group: Group) -> Sequence[CallId]:
    """Commit the rows and return the ids of those that no store could hold, which are left out.

    A call whose end is left out stays open, without its money: the balances have what it spent. An error of the store
    means that nothing was committed. A group may be committed twice.
    """
    try:
        connection.execute(sql.BEGIN)
        late = late_of(connection, group.settlements)
        try:
            _add(connection, group)
            rejected: list[CallId] = []
        except ROW_ERRORS:
            roll_back(connection)
            connection.execute(sql.BEGIN)
            rejected = _add_each(connection, sql.SETTLE_CALLS[1], group.settlements.items())
            unended = [(call_id, group.ended[call_id]) for call_id in rejected if call_id in group.ended]
            rejected += _add_each(connection, sql.OPEN_CALLS[1], chain(group.opens.items(), unended))
        settled = group.closes if not rejected else [one for one in group.closes if one not in rejected]
        _execute_in_blocks(connection, sql.CLOSE_CALLS, [(call_id,) for call_id in settled])
        connection.executemany(sql.EXTEND_CALL, group.extended.values())
        connection.executemany(sql.UNBOOK_CALL, [(call_id,) for call_id in rejected if call_id in group.settlements])
        connection.executemany(sql.SET_BALANCE, group.balances)
        add_late(connection, late)
        connection.execute(sql.COMMIT)
    except sqlite3.Error:
        roll_back(connection)
        raise
    return rejected


def _add(connection: sqlite3.Connection, group: Group) -> None:
    _execute_in_blocks(connection, sql.OPEN_CALLS, list(group.opens.values()))
    _execute_in_blocks(connection, sql.SETTLE_CALLS, list(group.settlements.values()))


def _execute_in_blocks(connection: sqlite3.Connection, statements: Mapping[int, str], rows: Sequence[Row]) -> None:
    """Execute a statement over all rows, as many in one as there is a form for. `statements`: largest first."""
    start = 0
    for size, statement in statements.items():
        while len(rows) - start >= size:
            connection.execute(statement, tuple(chain.from_iterable(rows[start : start + size])))
            start += size


def _add_each(connection: sqlite3.Connection, statement: str, rows: Iterable[tuple[CallId, Row]]) -> list[CallId]:
    """Add row by row and return the ids of those that failed; a failed statement changes nothing."""
    failed = []
    for call_id, row in rows:
        try:
            connection.execute(statement, row)
        except ROW_ERRORS:
            failed.append(call_id)
    return failed
