"""What the SQLite store of keys does beside its port's contract: it shares a file and obeys nobody's cache."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from router.adapters.keys_sqlite import open_sqlite_keys
from router.adapters.sql.sqlite_store import StoreUnusable
from router.ports.keys import KeysUnavailable
from tests.support.keys import change, stored


async def test_keys_outlive_the_connection(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'keys.db'}"
    first = await open_sqlite_keys(url)
    written = await first.insert(stored(), change())
    await first.close()
    second = await open_sqlite_keys(url)
    try:
        assert (written,) == (await second.read()).keys
    finally:
        await second.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stored_keys SET settings = '{}'",
        "DELETE FROM stored_keys",
        "INSERT INTO stored_keys SELECT 'x', 'y', '[]', '{}', 1, 1, 1",
    ],
)
async def test_an_operators_own_sql_counts_as_a_change(statement: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    keys = await open_sqlite_keys(f"sqlite:///{path}")
    try:
        before = (await keys.insert(stored(), change())).revision
        with contextlib.closing(sqlite3.connect(path)) as store, store:
            store.execute(statement)

        assert before + 1 == await keys.revision()
    finally:
        await keys.close()


async def test_a_change_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    keys = await open_sqlite_keys(f"sqlite:///{path}")
    try:
        with contextlib.closing(sqlite3.connect(path)) as store, store:
            store.execute("DROP TABLE audit")
        with pytest.raises(KeysUnavailable):
            await keys.insert(stored(), change())

        assert () == (await keys.read()).keys
    finally:
        await keys.close()


async def test_secrets_that_cannot_be_read_are_none_and_keep_no_other_key_from_being_read(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    keys = await open_sqlite_keys(f"sqlite:///{path}")
    try:
        for name in ("bad", "good"):
            await keys.insert(stored(name), change())
        with contextlib.closing(sqlite3.connect(path)) as store, store:
            store.execute("UPDATE stored_keys SET secrets = 'nonsense' WHERE name = 'bad'")

        bad, good = (await keys.read()).keys
        assert ((), stored().secrets) == (bad.secrets, good.secrets)
    finally:
        await keys.close()


async def test_a_store_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="nowhere"):
        await open_sqlite_keys(f"sqlite:///{tmp_path / 'nowhere' / 'keys.db'}")
