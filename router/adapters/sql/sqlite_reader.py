"""Read a ledger beside the server that writes it, or without one."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Concatenate, Final, ParamSpec, Self, TypeVar

from router.adapters.sql.sqlite_rows import (
    read_attempts_page,
    read_call,
    read_calls_page,
    read_observed_totals,
    read_stored,
)
from router.adapters.sql.sqlite_store import (
    SqliteThread,
    StoreUnusable,
    latest_version,
    open_reader,
    schema_version,
    sqlite_path,
)
from router.adapters.sql.sqlite_usage import read_usage_report
from router.domain.ids import CallId
from router.domain.settlement import StoredRecord
from router.ports.ledger import CallRecord, LedgerUnavailable
from router.ports.ledger_pages import AttemptPlace, AttemptRecord, CallFilter
from router.ports.observed import ObservedGroup, ObservedTotal
from router.ports.usage import UsageQuery, UsageReport

P = ParamSpec("P")
T = TypeVar("T")

_READ_ERRORS: Final = (sqlite3.Error, ValueError)  # aiosqlite says ValueError when its connection was closed


class SqliteReader:
    """Reads a ledger through its own connection and never waits for the writer."""

    def __init__(self, thread: SqliteThread) -> None:
        self._thread = thread

    async def read_call(self, call_id: CallId) -> CallRecord | None:
        return await self._read(read_call, call_id)

    async def read_stored(self, reply_id: str) -> StoredRecord | None:
        return await self._read(read_stored, reply_id)

    async def read_calls(self, sought: CallFilter, before: CallId, limit: int) -> Sequence[CallRecord]:
        return await self._read(read_calls_page, sought, before, limit)

    async def read_attempts(self, sought: CallFilter, after: AttemptPlace, limit: int) -> Sequence[AttemptRecord]:
        return await self._read(read_attempts_page, sought, after, limit)

    async def usage(self, asked: UsageQuery) -> UsageReport:
        return await self._read(read_usage_report, asked)

    async def observed(self, group: ObservedGroup, since_ns: int) -> Sequence[ObservedTotal]:
        return await self._read(read_observed_totals, group, since_ns)

    async def _read(
        self, read: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        try:
            return await self._thread.run(read, *args, **kwargs)
        except _READ_ERRORS as exc:
            raise LedgerUnavailable(f"the ledger cannot be read: {exc}") from exc

    async def close(self) -> None:
        await self._thread.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def open_sqlite_reader(url: str) -> SqliteReader:
    """Open a store read-only, beside a server or without one. Raises `StoreUnusable`."""
    path = sqlite_path(url)
    if path is None or not path.exists():
        raise StoreUnusable(f"there is no store at {url}: start the server once, or name its store.url")
    async with AsyncExitStack() as stack:
        try:
            thread = await stack.enter_async_context(open_reader(path))
            version = await thread.run(schema_version)
        except sqlite3.Error as exc:
            raise StoreUnusable(f"the store {url} cannot be read: {exc}. Check the file and its directory") from exc
        if version != latest_version():
            raise StoreUnusable(
                f"the store has schema {version}, this release reads {latest_version()}: use the server's release"
            )
        stack.pop_all()
    return SqliteReader(thread)
