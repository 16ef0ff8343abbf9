"""Who may open a SQLite ledger: one server, readers beside it, and nobody what is not ours."""

import sqlite3
from pathlib import Path

import pytest

from router.adapters.ledger_sqlite import open_sqlite_reader
from router.adapters.sql.sqlite_store import StoreUnusable, latest_version
from router.domain.ids import CallId, Epoch
from router.ports.ledger import LedgerUnavailable
from tests.support.ledger_facts import attempt, open_record, reservation, settled_record, settlement
from tests.support.sqlite_ledger import opened


async def enter_and_leave(path: Path) -> None:
    async with opened(path):
        pass


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.db"


async def test_a_second_server_is_refused_until_the_first_is_gone(path: Path) -> None:
    async with opened(path):
        with pytest.raises(ExceptionGroup) as group:
            await enter_and_leave(path)
        assert group.group_contains(StoreUnusable, match="another server uses")

    async with opened(path) as ledger:
        assert Epoch(2) == ledger.epoch


async def test_a_store_of_a_newer_release_is_refused_and_left_alone(path: Path) -> None:
    await enter_and_leave(path)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {latest_version() + 1}")
    connection.close()

    with pytest.raises(StoreUnusable, match=f"schema {latest_version() + 1}"):
        await open_sqlite_reader(f"sqlite:///{path}")
    with pytest.raises(ExceptionGroup) as group:
        await enter_and_leave(path)
    assert group.group_contains(StoreUnusable, match=f"schema {latest_version() + 1}")
    with sqlite3.connect(path) as connection:
        assert (1,) == connection.execute("SELECT COUNT(*) FROM epochs").fetchone()
    connection.close()


async def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("not a database" * 100)  # noqa: ASYNC240 - nothing else runs yet

    with pytest.raises(ExceptionGroup) as group:
        await enter_and_leave(path)
    assert group.group_contains(StoreUnusable, match="cannot be opened")


async def test_a_directory_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExceptionGroup) as group:
        await enter_and_leave(tmp_path / "missing" / "calls.db")
    assert group.group_contains(StoreUnusable, match="Create its directory")


async def test_a_reader_reads_beside_the_server_and_cannot_write(path: Path) -> None:
    async with opened(path) as ledger, await open_sqlite_reader(f"sqlite:///{path}") as reader:
        await ledger.reserve(reservation(1))
        assert open_record(1) == await reader.read_call(CallId(1))

        ledger.settle(settlement(1))
        await ledger.read_call(CallId(1))
        assert [1] == [total.calls for total in await reader.usage("model", 0)]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await reader._thread.run(lambda connection: connection.execute("DELETE FROM calls"))


async def test_a_reader_reads_a_store_that_no_server_holds(path: Path) -> None:
    async with opened(path) as ledger:
        ledger.settle(settlement(1))

    async with await open_sqlite_reader(f"sqlite:///{path}") as reader:
        assert settled_record(1, attempts=(attempt(1),)) == await reader.read_call(CallId(1))


@pytest.mark.parametrize("url", ["sqlite:////nowhere/calls.db", "sqlite:///:memory:"])
async def test_a_reader_of_nothing_is_refused(url: str) -> None:
    with pytest.raises(StoreUnusable, match="there is no store"):
        await open_sqlite_reader(url)


async def test_a_reader_that_was_closed_is_unavailable(path: Path) -> None:
    async with opened(path):
        async with await open_sqlite_reader(f"sqlite:///{path}") as reader:
            pass
        with pytest.raises(LedgerUnavailable):
            await reader.read_call(CallId(1))
