"""Where a SQLite store is, who may have it, how its schema grows."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.adapters.sql.sqlite_store import (
    Durability,
    StoreUnusable,
    checkpoint,
    configure,
    latest_version,
    lock_store,
    migrate,
    open_reader,
    open_writer,
    roll_back,
    schema_version,
    sqlite_path,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("expected", "url"),
    [
        (Path("./checkrein.db"), "sqlite:///./checkrein.db"),
        (Path("/var/lib/checkrein.db"), "sqlite:////var/lib/checkrein.db"),
        (None, "sqlite:///:memory:"),
    ],
)
def test_a_url_names_a_relative_or_an_absolute_file_or_memory(expected: Path | None, url: str) -> None:
    assert expected == sqlite_path(url)


@pytest.mark.parametrize("url", ["sqlite://checkrein.db", "checkrein.db", "postgresql:///x", "sqlite:///"])
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not a SQLite store"):
        sqlite_path(url)


def test_a_lock_is_had_by_one_at_a_time(path: Path) -> None:
    give_up = lock_store(path)
    with pytest.raises(StoreUnusable, match="another server uses"):
        lock_store(path)
    give_up()

    lock_store(path)()


def test_a_lock_in_a_missing_directory_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="Create its directory"):
        lock_store(tmp_path / "missing" / "calls.db")


def test_an_empty_file_gets_the_newest_schema_once(connection: sqlite3.Connection) -> None:
    migrate(connection)
    tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
    migrate(connection)

    assert latest_version() == schema_version(connection)
    assert {("calls",), ("epochs",), ("open_calls",)} <= set(tables)


def test_a_migration_that_fails_leaves_the_schema_it_found(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE calls (id)")
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        migrate(connection)

    assert 0 == schema_version(connection)
    assert not connection.in_transaction
    assert [("calls",)] == connection.execute("SELECT name FROM sqlite_schema").fetchall()


def test_a_newer_schema_is_refused(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA user_version = {latest_version() + 1}")

    with pytest.raises(StoreUnusable, match=f"schema {latest_version() + 1}"):
        migrate(connection)


def test_a_store_with_sums_of_days_gets_those_of_blocks(connection: sqlite3.Connection) -> None:
    migrate(connection)
    for made in ("TRIGGER usage_added_to_both", "VIEW usage_added", "TABLE usage_blocks"):
        connection.execute(f"DROP {made}")
    connection.execute("PRAGMA user_version = 10")
    for day, cost in ((63, 1), (64, 2), (95, 2**63 - 1)):
        values = (day, *"kotuamdg", 1, 2, 3, 4, 5, 6, cost, 7)
        connection.execute(f"INSERT INTO usage_days VALUES ({', '.join('?' * len(values))})", values)
    migrate(connection)

    assert [
        (1, *"kotuamdg", 1, 2, 3, 4, 5, 6, 1, 7),
        (2, *"kotuamdg", 2, 4, 6, 8, 10, 12, 2**63 - 1, 14),
    ] == connection.execute("SELECT * FROM usage_blocks").fetchall()


@pytest.mark.parametrize(("expected", "durability"), [(1, "process"), (2, "power")])
def test_durability_says_when_the_disk_is_waited_for(
    connection: sqlite3.Connection, expected: int, durability: Durability
) -> None:
    configure(connection, durability)

    assert (expected,) == connection.execute("PRAGMA synchronous").fetchone()
    assert ("wal",) == connection.execute("PRAGMA journal_mode").fetchone()


def test_a_checkpoint_empties_the_log(connection: sqlite3.Connection, path: Path) -> None:
    configure(connection, "process")
    migrate(connection)
    log = path.with_name(path.name + "-wal")
    assert 0 < log.stat().st_size
    checkpoint(connection)

    assert 0 == log.stat().st_size


def test_rolling_back_ends_a_transaction_if_there_is_one(connection: sqlite3.Connection) -> None:
    roll_back(connection)
    connection.execute("BEGIN")
    roll_back(connection)

    assert not connection.in_transaction


async def test_a_unit_of_work_runs_on_the_connections_own_thread(path: Path) -> None:
    async with open_writer(path) as writer:
        await writer.run(migrate)
        async with open_reader(path) as reader:
            assert latest_version() == await reader.run(schema_version)
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                await reader.run(lambda connection: connection.execute("DELETE FROM calls"))


async def test_a_file_that_cannot_be_opened_leaves_no_thread(path: Path) -> None:
    reader = open_reader(path)
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        await reader.__aenter__()
    assert reader._ended is not None

    assert reader._ended.done()
