"""A store in memory with every table, for tests of the statements."""

import sqlite3
from collections.abc import Iterator

import pytest

from router.adapters.sql.sqlite_store import migrate


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    yield connection
    connection.close()
