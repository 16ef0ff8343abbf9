"""Keep keys in the ledger's SQLite file, over a connection of their own.

Every change and its audit row are one transaction, as durable as the disk allows: a revoked key must not come back
after a power cut, whatever durability the calls have.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Concatenate, Final, ParamSpec, TypeVar

import msgspec

from router.adapters.sql.sqlite_changes import KEY, read_audit, read_revision, transaction, write_audit
from router.adapters.sql.sqlite_store import (
    SqliteThread,
    StoreUnusable,
    configure,
    migrate,
    open_writer,
    sqlite_path,
)
from router.ports.keys import (
    KEYS_MAX,
    AuditRow,
    Change,
    KeyChanged,
    KeyExists,
    KeysUnavailable,
    SecretDigest,
    StoredKey,
    StoredKeys,
    StoreFull,
)
from router.ports.records import AuditFilter

P = ParamSpec("P")
T = TypeVar("T")

_COUNT: Final = "SELECT count(*) FROM stored_keys"
_READ: Final = (
    "SELECT name, public_id, secrets, settings, created_ns, updated_ns, revision FROM stored_keys ORDER BY name"
)
_INSERT: Final = (
    "INSERT INTO stored_keys (public_id, secrets, settings, created_ns, updated_ns, revision, name)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_REPLACE: Final = (
    "UPDATE stored_keys SET public_id = ?, secrets = ?, settings = ?, created_ns = ?, updated_ns = ?, revision = ?"
    " WHERE name = ? AND revision = ?"
)

_secrets = msgspec.json.Decoder(tuple[SecretDigest, ...])


class SqliteKeys:
    """The keys of one file. Made by `open_sqlite_keys`."""

    def __init__(self, thread: SqliteThread, held: AsyncExitStack) -> None:
        self._thread = thread
        self._held = held
        self._closed = False

    async def revision(self) -> int:
        return await self._run(read_revision)

    async def read(self) -> StoredKeys:
        return await self._run(_read)

    async def insert(self, key: StoredKey, change: Change) -> StoredKey:
        return await self._run(_insert, key, change)

    async def replace(self, key: StoredKey, change: Change) -> StoredKey:
        return await self._run(_replace, key, change)

    async def audit(self, name: str, limit: int) -> Sequence[AuditRow]:
        return await self._run(read_audit, AuditFilter(kind=KEY, subject=name), limit)

    async def close(self) -> None:
        self._closed = True
        await self._held.aclose()

    async def _run(self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._closed:
            raise KeysUnavailable("the store of the keys is closed")
        try:
            return await self._thread.run(work, *args, **kwargs)
        except sqlite3.Error as exc:
            raise KeysUnavailable(f"the store of the keys cannot be used now: {exc}") from exc


async def open_sqlite_keys(url: str) -> SqliteKeys:
    """Open the store, whose schema is brought up to date. Raises `StoreUnusable`."""
    path = sqlite_path(url)
    async with AsyncExitStack() as stack:
        try:
            thread = await stack.enter_async_context(open_writer(path))
            await thread.run(configure, "power")
            await thread.run(migrate)
        except (sqlite3.Error, OSError) as exc:
            raise StoreUnusable(f"the store {url} cannot be opened: {exc}. Check the file and its directory") from exc
        return SqliteKeys(thread, stack.pop_all())


def _read(connection: sqlite3.Connection) -> StoredKeys:
    with transaction(connection, "BEGIN"):
        return StoredKeys(revision=read_revision(connection), keys=tuple(map(_key, connection.execute(_READ))))


def _key(row: tuple[str, str, str, str, int, int, int]) -> StoredKey:
    name, public_id, secrets, settings, created_ns, updated_ns, revision = row
    try:
        digests = _secrets.decode(secrets)
    except msgspec.DecodeError:
        digests = ()  # somebody broke this row: it has no secret that works, and the others are read all the same
    return StoredKey(
        name=name,
        public_id=public_id,
        secrets=digests,
        settings_json=settings,
        created_ns=created_ns,
        updated_ns=updated_ns,
        revision=revision,
    )


def _insert(connection: sqlite3.Connection, key: StoredKey, change: Change) -> StoredKey:
    try:
        with transaction(connection, "BEGIN IMMEDIATE"):
            if connection.execute(_COUNT).fetchone()[0] >= KEYS_MAX:
                raise StoreFull(f"there are {KEYS_MAX} keys")
            written = msgspec.structs.replace(key, revision=read_revision(connection) + 1)
            connection.execute(_INSERT, _columns(written))
            write_audit(connection, KEY, written.name, written.revision, change)
    except sqlite3.IntegrityError as exc:
        raise KeyExists(key.name) from exc
    return written


def _replace(connection: sqlite3.Connection, key: StoredKey, change: Change) -> StoredKey:
    with transaction(connection, "BEGIN IMMEDIATE"):
        written = msgspec.structs.replace(key, revision=read_revision(connection) + 1)
        if not connection.execute(_REPLACE, (*_columns(written), key.revision)).rowcount:
            raise KeyChanged(key.name)
        write_audit(connection, KEY, written.name, written.revision, change)
    return written


def _columns(key: StoredKey) -> tuple[str | int, ...]:
    secrets = msgspec.json.encode(key.secrets).decode()
    return key.public_id, secrets, key.settings_json, key.created_ns, key.updated_ns, key.revision, key.name
