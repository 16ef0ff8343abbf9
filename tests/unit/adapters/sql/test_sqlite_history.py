"""All readings of the server's own ledger but one wait for what was settled. What they read: the contract suites."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router.adapters.sql.sqlite_history import SqliteHistory
from router.adapters.sql.sqlite_reader import SqliteReader
from router.adapters.sql.sqlite_store import migrate, open_writer
from router.domain.ids import CallId
from router.ports.ledger import LedgerUnavailable
from router.ports.ledger_pages import CallFilter
from router.ports.usage import UsageQuery


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[SqliteReader]:
    async with open_writer(tmp_path / "calls.db") as thread:
        await thread.run(migrate)
        yield SqliteReader(thread)


async def test_a_ledger_that_cannot_catch_up_is_not_read(reader: SqliteReader) -> None:
    async def fail() -> None:
        raise LedgerUnavailable("broken by the test")

    history = SqliteHistory(reader, fail)
    with pytest.raises(LedgerUnavailable):
        await history.read_call(CallId(1))
    with pytest.raises(LedgerUnavailable):
        await history.read_calls(CallFilter(), CallId(1), 1)
    with pytest.raises(LedgerUnavailable):
        await history.read_attempts(CallFilter(), (CallId(1), 1), 1)
    with pytest.raises(LedgerUnavailable):
        await history.usage(UsageQuery(by=("key",)))


async def test_where_a_reply_is_stored_is_read_without_waiting(reader: SqliteReader) -> None:
    async def fail() -> None:
        raise LedgerUnavailable("nobody is to ask for this")

    assert await SqliteHistory(reader, fail).read_stored("resp_1") is None
