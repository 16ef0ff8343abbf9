"""Put a group of rows into the ledger in one transaction, on the connection's own thread."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Final

import msgspec

from router.adapters.sql import sqlite_statements as sql
from router.adapters.sql.sqlite_rows import Row
from router.adapters.sql.sqlite_store import roll_back
from router.domain.ids import CallId, Epoch

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

    def open(self, call_id: CallId, row: Row) -> None:
        self.opens[call_id] = row

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
        return bool(self.opens or self.settlements)


def commit_group(connection: sqlite3.Connection, group: Group) -> Sequence[CallId]:
    """Commit the rows and return the ids of those that no store could hold, which are left out.

    A call whose end is left out stays open. An error of the store means that nothing was committed. A group may be
    committed twice.
    """
    try:
        connection.execute(sql.BEGIN)
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
        connection.execute(sql.COMMIT)
    except sqlite3.Error:
        roll_back(connection)
        raise
    return rejected


def start_epoch(connection: sqlite3.Connection, started_ns: int, host: str, pid: int) -> Epoch:
    """Number this start and close what an earlier one left open; call it before the first reservation."""
    connection.execute(sql.BEGIN)
    try:
        connection.execute(sql.RECOVER_CALLS)
        connection.execute(sql.FORGET_OPEN_CALLS)
        epoch = connection.execute(sql.ADD_EPOCH, (started_ns, host, pid)).lastrowid
        connection.execute(sql.COMMIT)
    except sqlite3.Error:
        roll_back(connection)
        raise
    assert epoch is not None, "an insert has a rowid"
    return Epoch(epoch)


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
