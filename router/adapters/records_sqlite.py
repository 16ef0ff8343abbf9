"""Keep tenants, budgets and top-ups in the ledger's SQLite file, over a connection of their own.

Every change and its audit row are one transaction, as durable as the disk allows: as with keys.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Concatenate, Final, ParamSpec, TypeVar

import msgspec

from router.adapters.sql.sqlite_changes import read_audit, read_revision, transaction, write_audit
from router.adapters.sql.sqlite_store import (
    SqliteThread,
    StoreUnusable,
    configure,
    migrate,
    open_writer,
    sqlite_path,
)
from router.ports.keys import AuditRow, Change, KeysUnavailable, StoreFull
from router.ports.records import (
    RECORDS_MAX,
    AuditFilter,
    Record,
    RecordChanged,
    RecordExists,
    RecordKind,
    StoredRecords,
)

P = ParamSpec("P")
T = TypeVar("T")

_COUNT: Final = "SELECT count(*) FROM records"
_READ: Final = "SELECT kind, name, settings, created_ns, updated_ns, revision FROM records ORDER BY kind, name"
_INSERT: Final = (
    "INSERT INTO records (settings, created_ns, updated_ns, revision, kind, name) VALUES (?, ?, ?, ?, ?, ?)"
)
_REPLACE: Final = (
    "UPDATE records SET settings = ?, created_ns = ?, updated_ns = ?, revision = ?"
    " WHERE kind = ? AND name = ? AND revision = ?"
)
_DELETE: Final = "DELETE FROM records WHERE kind = ? AND name = ? AND revision = ?"
_KINDS: Final = frozenset(RecordKind)


class SqliteRecords:
    """The records of one file. Made by `open_sqlite_records`."""

    def __init__(self, thread: SqliteThread, held: AsyncExitStack) -> None:
        self._thread = thread
        self._held = held
        self._closed = False

    async def read(self) -> StoredRecords:
        return await self._run(_read)

    async def insert(self, record: Record, change: Change) -> Record:
        return await self._run(_insert, record, change)

    async def replace(self, record: Record, change: Change) -> Record:
        return await self._run(_replace, record, change)

    async def delete(self, record: Record, change: Change) -> None:
        await self._run(_delete, record, change)

    async def audit(self, sought: AuditFilter, limit: int) -> Sequence[AuditRow]:
        return await self._run(read_audit, sought, limit)

    async def close(self) -> None:
        self._closed = True
        await self._held.aclose()

    async def _run(self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._closed:
            raise KeysUnavailable("the store of the tenants is closed")
        try:
            return await self._thread.run(work, *args, **kwargs)
        except sqlite3.Error as exc:
            raise KeysUnavailable(f"the store of the tenants cannot be used now: {exc}") from exc


async def open_sqlite_records(url: str) -> SqliteRecords:
    """Open the store, whose schema is brought up to date. Raises `StoreUnusable`."""
    path = sqlite_path(url)
    async with AsyncExitStack() as stack:
        try:
            thread = await stack.enter_async_context(open_writer(path))
            await thread.run(configure, "power")
            await thread.run(migrate)
        except (sqlite3.Error, OSError) as exc:
            raise StoreUnusable(f"the store {url} cannot be opened: {exc}. Check the file and its directory") from exc
        return SqliteRecords(thread, stack.pop_all())


def _read(connection: sqlite3.Connection) -> StoredRecords:
    with transaction(connection, "BEGIN"):
        rows = connection.execute(_READ)
        records = tuple(_record(row) for row in rows if row[0] in _KINDS)  # others: a later release's, or a slip
        return StoredRecords(revision=read_revision(connection), records=records)


def _record(row: tuple[str, str, str, int, int, int]) -> Record:
    kind, name, settings, created_ns, updated_ns, revision = row
    return Record(
        kind=RecordKind(kind),
        name=name,
        settings_json=settings,
        created_ns=created_ns,
        updated_ns=updated_ns,
        revision=revision,
    )


def _insert(connection: sqlite3.Connection, record: Record, change: Change) -> Record:
    try:
        with transaction(connection, "BEGIN IMMEDIATE"):
            if connection.execute(_COUNT).fetchone()[0] >= RECORDS_MAX:
                raise StoreFull(f"there are {RECORDS_MAX} records")
            written = msgspec.structs.replace(record, revision=read_revision(connection) + 1)
            connection.execute(_INSERT, _columns(written))
            write_audit(connection, written.kind, written.name, written.revision, change)
    except sqlite3.IntegrityError as exc:
        raise RecordExists(record.name) from exc
    return written


def _replace(connection: sqlite3.Connection, record: Record, change: Change) -> Record:
    with transaction(connection, "BEGIN IMMEDIATE"):
        written = msgspec.structs.replace(record, revision=read_revision(connection) + 1)
        if not connection.execute(_REPLACE, (*_columns(written), record.revision)).rowcount:
            raise RecordChanged(record.name)
        write_audit(connection, written.kind, written.name, written.revision, change)
    return written


def _delete(connection: sqlite3.Connection, record: Record, change: Change) -> None:
    with transaction(connection, "BEGIN IMMEDIATE"):
        revision = read_revision(connection) + 1
        if not connection.execute(_DELETE, (record.kind, record.name, record.revision)).rowcount:
            raise RecordChanged(record.name)
        write_audit(connection, record.kind, record.name, revision, change)


def _columns(record: Record) -> tuple[str | int, ...]:
    return (
        record.settings_json,
        record.created_ns,
        record.updated_ns,
        record.revision,
        record.kind,
        record.name,
    )
