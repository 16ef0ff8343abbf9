"""What the SQLite store of records does beside its port's contract: it shares the file and the revision of the keys."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router.adapters.keys_sqlite import open_sqlite_keys
from router.adapters.records_sqlite import SqliteRecords, open_sqlite_records
from router.adapters.sql.sqlite_store import StoreUnusable
from router.ports.keys import KeysUnavailable
from router.ports.records import AuditFilter
from tests.support.keys import change, stored
from tests.support.records import record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
async def records(path: Path) -> AsyncIterator[SqliteRecords]:
    opened = await open_sqlite_records(f"sqlite:///{path}")
    yield opened
    await opened.close()


async def test_keys_and_records_count_up_one_revision_and_share_one_audit(records: SqliteRecords, path: Path) -> None:
    keys = await open_sqlite_keys(f"sqlite:///{path}")
    try:
        first = await keys.insert(stored("acme"), change())
        second = await records.insert(record("acme"), change("make"))

        assert first.revision + 1 == second.revision == await keys.revision() == (await records.read()).revision
        rows = await records.audit(AuditFilter(subject="acme"), 10)
        assert [("organization", "make"), ("key", "create")] == [(row.kind, row.change.action) for row in rows]
        assert ["create"] == [row.change.action for row in await keys.audit("acme", 10)]
    finally:
        await keys.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET settings = '{}'",
        "DELETE FROM records",
        "INSERT INTO records SELECT 'user', 'y', '{}', 1, 1, 1",
    ],
)
async def test_an_operators_own_sql_counts_as_a_change(statement: str, records: SqliteRecords, path: Path) -> None:
    before = (await records.insert(record(), change())).revision
    with contextlib.closing(sqlite3.connect(path)) as store, store:
        store.execute(statement)

    assert before + 1 == (await records.read()).revision


async def test_a_change_that_cannot_be_written_leaves_nothing(records: SqliteRecords, path: Path) -> None:
    written = await records.insert(record("kept"), change())
    with contextlib.closing(sqlite3.connect(path)) as store, store:
        store.execute("DROP TABLE audit")
    for asked in (
        records.insert(record("new"), change()),
        records.replace(written, change()),
        records.delete(written, change()),
    ):
        with pytest.raises(KeysUnavailable):
            await asked

    assert (written,) == (await records.read()).records


async def test_a_kind_that_nobody_knows_keeps_no_other_record_from_being_read(
    records: SqliteRecords, path: Path
) -> None:
    await records.insert(record("good"), change())
    with contextlib.closing(sqlite3.connect(path)) as store, store:
        store.execute("INSERT INTO records SELECT 'planet', 'mars', '{}', 1, 1, 1")

    assert ["good"] == [one.name for one in (await records.read()).records]


async def test_a_store_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="nowhere"):
        await open_sqlite_records(f"sqlite:///{tmp_path / 'nowhere' / 'ledger.db'}")
