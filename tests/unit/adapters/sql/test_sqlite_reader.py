"""A reader opens what is there and refuses what it cannot read; what it reads is tested with who writes it."""

import sqlite3
from pathlib import Path

import pytest

from router.adapters.sql.sqlite_reader import open_sqlite_reader
from router.adapters.sql.sqlite_store import StoreUnusable, latest_version, migrate
from router.domain.ids import CallId
from router.ports.ledger import LedgerUnavailable
from tests.support.usage import totals_by


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "calls.db"
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection)
    connection.close()
    return path


async def test_an_empty_store_has_no_call_and_no_usage(path: Path) -> None:
    async with await open_sqlite_reader(f"sqlite:///{path}") as reader:
        assert await reader.read_call(CallId(1)) is None
        assert () == await totals_by(reader, "key")


async def test_a_store_of_an_older_release_is_refused(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA user_version = {latest_version() - 1}")
    connection.close()

    with pytest.raises(StoreUnusable, match=f"this release reads {latest_version()}"):
        await open_sqlite_reader(f"sqlite:///{path}")


async def test_a_store_that_lost_its_tables_is_unavailable(path: Path) -> None:
    async with await open_sqlite_reader(f"sqlite:///{path}") as reader:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("DROP VIEW attempts")
        connection.execute("DROP TABLE calls")
        connection.close()

        with pytest.raises(LedgerUnavailable, match="cannot be read"):
            await reader.read_call(CallId(1))
        with pytest.raises(LedgerUnavailable, match="cannot be read"):
            await totals_by(reader, "key")
