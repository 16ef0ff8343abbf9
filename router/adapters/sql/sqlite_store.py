"""Open the file of a SQLite ledger: find it, lock it, bring its schema up to date, give it a thread."""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Concatenate, Final, Literal, ParamSpec, Self, TypeVar

import aiosqlite

from router.adapters.sql import sqlite_statements as sql
from router.ports.ledger import LedgerUnavailable

Durability = Literal["process", "power"]

_SCHEME: Final = "sqlite:///"
_MEMORY: Final = ":memory:"
_SYNCHRONOUS: Final[dict[Durability, str]] = {
    "process": "PRAGMA synchronous = NORMAL",
    "power": "PRAGMA synchronous = FULL",
}
_BUSY_S: Final = 1.0
"""How long a commit waits for somebody else's lock, such as a backup tool's; calls wait as long."""
_FETCH_ROWS: Final = 64

P = ParamSpec("P")
T = TypeVar("T")


class StoreUnusable(LedgerUnavailable):
    """The store cannot be opened as it is; the message says what to do about it."""


class SqliteThread(aiosqlite.Connection):
    """A connection and the thread that owns it: a unit of work is one hop, however many statements it takes."""

    _ended: asyncio.Future[object] | None = None

    def stop(self) -> asyncio.Future[object] | None:
        self._ended = super().stop()
        return self._ended

    async def __aenter__(self) -> Self:
        try:
            await super().__aenter__()
        except sqlite3.Error:
            # Expected: a connection that could not be opened leaves nothing behind. Actual: aiosqlite 0.22 ends its
            # thread without waiting for it, which may then talk to a loop that is closed.
            if self._ended is not None:
                await self._ended
            raise
        return self

    async def run(self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `work` with the connection on the thread. Cancelling the wait does not stop the work."""
        # aiosqlite offers single statements only: a hop each, where a commit of the ledger needs four.
        result: T = await self._execute(work, self._conn, *args, **kwargs)  # type: ignore[no-untyped-call]  # untyped
        return result


def sqlite_path(url: str) -> Path | None:
    """Read `sqlite:///relative`, `sqlite:////absolute`; None for `sqlite:///:memory:`. ValueError for others."""
    name = url.removeprefix(_SCHEME)
    if name == url or not name:
        raise ValueError(f"{url!r} is not a SQLite store: write sqlite:///./checkrein.db or sqlite:////absolute.db")
    return None if name == _MEMORY else Path(name)


def latest_version() -> int:
    return len(_migrations())


def open_writer(path: Path | None) -> SqliteThread:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(path or _MEMORY, timeout=_BUSY_S, isolation_level=None)

    return SqliteThread(connect, _FETCH_ROWS)


def open_reader(path: Path) -> SqliteThread:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S, isolation_level=None)

    return SqliteThread(connect, _FETCH_ROWS)


def lock_store(path: Path) -> Callable[[], None]:
    """Make this process the only server of the store; return what gives it up. The lock dies with the process."""
    lock = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise StoreUnusable(
            f"{lock} cannot be written: {exc.strerror}. Create its directory or change store.url"
        ) from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(descriptor)
        raise StoreUnusable(f"another server uses {path}: stop it, or give this one its own store.url") from exc
    return lambda: os.close(descriptor)


def configure(connection: sqlite3.Connection, durability: Durability) -> None:
    """Readers go on while the writer commits; how long a commit waits for the disk is the operator's choice."""
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute(_SYNCHRONOUS[durability])


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema to the newest version, one transaction a step."""
    migrations = _migrations()
    version = schema_version(connection)
    if version > len(migrations):
        raise StoreUnusable(
            f"the store has schema {version}, this release knows {len(migrations)}: start the newer release again"
        )
    for number, text in enumerate(migrations[version:], start=version + 1):
        try:
            connection.executescript(f"{sql.BEGIN};\n{text}\nPRAGMA user_version = {number};\n{sql.COMMIT};")
        except sqlite3.Error:
            roll_back(connection)
            raise


def schema_version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def checkpoint(connection: sqlite3.Connection) -> None:
    """Move the write-ahead log into the file, so that the file alone is the store."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def roll_back(connection: sqlite3.Connection) -> None:
    """End a failed transaction, unless SQLite has ended it already, as it does when the disk is full."""
    if connection.in_transaction:
        connection.execute(sql.ROLLBACK)


def _migrations() -> list[str]:
    folder = files("router.adapters.sql") / "sqlite_migrations"
    scripts = {entry.name: entry for entry in folder.iterdir() if entry.name.endswith(".sql")}
    return [scripts[name].read_text("utf-8") for name in sorted(scripts)]
