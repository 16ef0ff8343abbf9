"""Bring a store to the state that was promised when its last server died, and number the next start.

What is in the journal and not yet in `calls` happened after the last commit, so the balances do not know of it. Calls
that are still open then are posted in full: what they held may have been spent.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Final

from router.adapters.sql import sqlite_statements as sql
from router.adapters.sql.sqlite_commit import ROW_ERRORS, Balance, Group
from router.adapters.sql.sqlite_fold import add_late, late_of, open_late
from router.adapters.sql.sqlite_rows import INTEGER_MAX, Row, read_amounts, read_booking
from router.adapters.sql.sqlite_store import roll_back
from router.domain.governance.budget import Amounts, BudgetId
from router.domain.governance.windows import ROLLING_BUCKETS
from router.domain.ids import CallId, Epoch
from router.domain.instants import NS_PER_S

BALANCES_KEPT_NS: Final = 400 * 86_400 * NS_PER_S
"""How long after its start the balance of a bucket is kept. The latest that a window may still count stay for ever."""

Key = tuple[BudgetId, str, int]


def start_epoch(
    connection: sqlite3.Connection, left: Group, *, started_ns: int, host: str, pid: int
) -> tuple[Epoch, int]:
    """Replay what a journal `left`, close what is open, number this start; all or nothing, and as often as need be.

    Returns the epoch, and how many rows no store could hold.
    """
    connection.execute(sql.BEGIN)
    try:
        posted: Counter[Key] = Counter()
        late = late_of(connection, chain(left.settlements, left.opens, open_late(connection)))
        rejected = _replay(connection, left, posted)
        for booked, held in connection.execute(sql.OPEN_BOOKINGS).fetchall():
            _post(posted, booked, held)
        connection.execute(sql.RECOVER_CALLS)
        connection.execute(sql.FORGET_OPEN_CALLS)
        add_late(connection, late)
        added = [(*key, min(amount, INTEGER_MAX)) for key, amount in sorted(posted.items()) if amount]
        connection.executemany(sql.ADD_TO_BALANCE, added)
        connection.execute(sql.FORGET_BALANCES, (started_ns - BALANCES_KEPT_NS, ROLLING_BUCKETS))
        epoch = connection.execute(sql.ADD_EPOCH, (started_ns, host, pid)).lastrowid
        connection.execute(sql.COMMIT)
    except sqlite3.Error:
        roll_back(connection)
        raise
    assert epoch is not None, "an insert has a rowid"
    return Epoch(epoch), rejected


def _replay(connection: sqlite3.Connection, left: Group, posted: Counter[Key]) -> int:
    rejected = 0
    for call_id, row in _unknown(connection, left.settlements):
        try:
            connection.execute(sql.SETTLE_CALLS[1], row)
        except ROW_ERRORS:
            rejected += 1
            if call_id in left.ended:
                left.opens[call_id] = left.ended[call_id]  # its end cannot be kept, so it is as if it had not ended
            continue
        *_, booked, spent = row
        _post(posted, booked, spent)
    for _, row in _unknown(connection, left.opens):
        try:
            connection.execute(sql.OPEN_CALLS[1], row)
        except ROW_ERRORS:
            rejected += 1
    for call_id, row in left.extended.items():
        _extend(connection, call_id, row)
    return rejected


def _extend(connection: sqlite3.Connection, call_id: CallId, row: Row) -> None:
    """Raise a hold: after a power cut the journal may be older than the store, and a hold only grows."""
    found = connection.execute(sql.FIND_HOLD, (call_id,)).fetchone()
    if found is not None and _size(*found) < _size(*row[1:]):
        connection.execute(sql.EXTEND_CALL, row)


def _size(hold_nano_usd: object, held: object) -> int:
    assert isinstance(hold_nano_usd, int)
    return hold_nano_usd + sum(_amounts(held))


def _unknown(connection: sqlite3.Connection, rows: dict[CallId, Row]) -> Iterator[tuple[CallId, Row]]:
    """Yield the rows of calls whose end the store does not know."""
    for call_id, row in rows.items():
        try:
            known = connection.execute(sql.FIND_CALL, (call_id,)).fetchone()
        except ROW_ERRORS:
            known = None
        if known is None:
            yield call_id, row


def _post(posted: Counter[Key], booked: object, amounts: object) -> None:
    assert booked is None or isinstance(booked, str)
    spent = _amounts(amounts)
    for budget, value, start_ns, member in read_booking(booked):
        posted[budget, value, start_ns] += spent[member]


def _amounts(text: object) -> Amounts:
    assert text is None or isinstance(text, str)
    return read_amounts(text)


def read_balances(connection: sqlite3.Connection) -> list[Balance]:
    """Read the latest balances of each account, as many as a window can count."""
    return connection.execute(sql.READ_BALANCES, (ROLLING_BUCKETS,)).fetchall()
