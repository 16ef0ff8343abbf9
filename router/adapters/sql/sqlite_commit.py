"""Put a group of rows into the ledger in one transaction, on the connection's own thread."""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

import msgspec

from router.adapters.sql import sqlite_statements as sql
from router.adapters.sql.sqlite_rows import Row, open_row, settled_row
from router.adapters.sql.sqlite_store import roll_back
from router.domain.ids import Epoch
from router.domain.settlement import Reservation, Settlement

ROW_ERRORS: Final = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    OverflowError,
    UnicodeEncodeError,
)
"""Errors that one row has and the store has not: the same row fails for ever, the other rows do not."""

T = TypeVar("T")


class Rejected(msgspec.Struct, frozen=True):
    """Positions of the rows which the store can never hold. The rest of the group is committed."""

    opens: tuple[int, ...] = ()
    settlements: tuple[int, ...] = ()


def commit_group(
    connection: sqlite3.Connection, opens: Sequence[Reservation], settlements: Sequence[Settlement], epoch: Epoch
) -> Rejected:
    """Commit the rows; an error of the store means that nothing was. A row that cannot be held is left out."""
    open_rows = partial(open_row, epoch=epoch)
    settled_rows = partial(settled_row, epoch=epoch)
    try:
        connection.execute(sql.BEGIN)
        try:
            if opens:
                connection.executemany(sql.OPEN_CALL, map(open_rows, opens))
            if settlements:
                connection.executemany(sql.SETTLE_CALL, map(settled_rows, settlements))
            rejected = Rejected()
        except ROW_ERRORS:
            roll_back(connection)
            connection.execute(sql.BEGIN)
            rejected = Rejected(
                opens=_add_each(connection, sql.OPEN_CALL, open_rows, opens),
                settlements=_add_each(connection, sql.SETTLE_CALL, settled_rows, settlements),
            )
        connection.execute(sql.COMMIT)
    except sqlite3.Error:
        roll_back(connection)
        raise
    return rejected


def _add_each(
    connection: sqlite3.Connection, statement: str, row_of: Callable[[T], Row], facts: Sequence[T]
) -> tuple[int, ...]:
    """Add row by row and return the positions of those that failed; a failed statement changes nothing."""
    failed = []
    for position, fact in enumerate(facts):
        try:
            connection.execute(statement, row_of(fact))
        except ROW_ERRORS:
            failed.append(position)
    return tuple(failed)


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
