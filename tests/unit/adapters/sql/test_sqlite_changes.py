"""A change is written whole with its audit row, or not at all; the audit is found by every column that is named."""

import sqlite3
from collections.abc import Iterator

import pytest

from router.adapters.sql.sqlite_changes import read_audit, read_revision, transaction, write_audit
from router.adapters.sql.sqlite_store import migrate
from router.ports.records import AuditFilter
from tests.support.keys import change


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    migrate(opened)
    yield opened
    opened.close()


def test_what_fails_inside_a_transaction_leaves_nothing(connection: sqlite3.Connection) -> None:
    def fail() -> None:
        with transaction(connection, "BEGIN IMMEDIATE"):
            write_audit(connection, "key", "ci", 1, change())
            raise ValueError("now")

    with pytest.raises(ValueError, match="now"):
        fail()

    assert [] == read_audit(connection, AuditFilter(), 10)
    assert not connection.in_transaction


def test_an_audit_row_does_not_count_as_a_change(connection: sqlite3.Connection) -> None:
    with transaction(connection, "BEGIN IMMEDIATE"):
        write_audit(connection, "user", "ann", 7, change())
    (row,) = read_audit(connection, AuditFilter(kind="user", subject="ann", actor="boss"), 10)

    assert (1, "user", "ann", 7, change()) == (row.id, row.kind, row.subject, row.revision, row.change)
    assert 0 == read_revision(connection)
    assert [] == read_audit(connection, AuditFilter(kind="user", before_id=1), 10)
