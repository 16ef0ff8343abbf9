"""Write what administrators change as one transaction with its audit row, and read the audit."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from router.adapters.sql.sqlite_store import roll_back
from router.ports.keys import AuditRow, Change
from router.ports.records import AuditFilter

KEY: Final = "key"
"""The kind of audit rows that are about keys."""

_READ_REVISION: Final = "SELECT number FROM revision"
_WRITE_AUDIT: Final = (
    "INSERT INTO audit (kind, subject, revision, actor, action, at_ns, before, after) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_READ_AUDIT: Final = (
    "SELECT id, kind, subject, revision, actor, action, at_ns, before, after FROM audit{where} ORDER BY id DESC LIMIT ?"
)

_FORGET_AUDIT: Final = "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at_ns < ? ORDER BY at_ns LIMIT ?)"
STEP_CHANGES_MAX: Final = 200
"""Audit rows that are deleted at once: of the largest, whose settings are 64 KiB, for about as long as calls."""


@contextmanager
def transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    """Commit what is done inside, or nothing of it."""
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise


def read_revision(connection: sqlite3.Connection) -> int:
    (number,) = connection.execute(_READ_REVISION).fetchone()
    return int(number)


def write_audit(connection: sqlite3.Connection, kind: str, subject: str, revision: int, change: Change) -> None:
    what = (change.actor, change.action, change.at_ns, change.before, change.after)
    connection.execute(_WRITE_AUDIT, (kind, subject, revision, *what))


def read_audit(connection: sqlite3.Connection, sought: AuditFilter, limit: int) -> list[AuditRow]:
    """Return what a filter lets through, newest first."""
    wanted: dict[str, str | int | None] = {
        "kind = ?": sought.kind,
        "subject = ?": sought.subject,
        "actor = ?": sought.actor,
        "action = ?": sought.action,
        "at_ns >= ?": sought.since_ns,
        "at_ns < ?": sought.until_ns,
        "id < ?": sought.before_id,
    }
    said = {term: value for term, value in wanted.items() if value is not None}
    where = f" WHERE {' AND '.join(said)}" if said else ""
    return [
        AuditRow(
            id=number,
            kind=kind,
            subject=subject,
            revision=revision,
            change=Change(actor=actor, action=action, at_ns=at_ns, before=before, after=after),
        )
        for number, kind, subject, revision, actor, action, at_ns, before, after in connection.execute(
            _READ_AUDIT.format(where=where), (*said.values(), limit)
        )
    ]


def forget_changes(connection: sqlite3.Connection, made_before_ns: int, limit: int = STEP_CHANGES_MAX) -> bool:
    """Delete the oldest audit rows, at most `limit`; tells whether there may be more."""
    return connection.execute(_FORGET_AUDIT, (made_before_ns, limit)).rowcount == limit
