"""Run the SQLite ledger on the loop, on virtual time, and keep its files as a crash would leave them.

The seam is the ledger's own: `open_writer`, `open_reader` and `new_journal` give it its threads and its journal.
A commit begins, ends and is heard of when the run says so, hence no thread's timing decides anything.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path
from typing import Any, Self, cast

from router.adapters import ledger_sqlite
from router.adapters.sql.journal import Journal, create_journal
from router.adapters.sql.sqlite_commit import commit_group
from router.adapters.sql.sqlite_store import configure, latest_version
from tests.support.fakes import FakeClock

NAME = "calls.db"
KEPT = ("", "-wal", ".journal")
"""What the kernel keeps of a store; the rest is made again."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its timers go by the clock of the run. Nothing may wait for real: the run always has a callback ready."""

    def __init__(self, clock: FakeClock) -> None:
        self._virtual = clock
        super().__init__()

    def time(self) -> float:
        return self._virtual.monotonic / 1e9


class Commit(Enum):
    """What becomes of the next commit."""

    DONE = auto()
    UNHEARD = auto()
    """It is in the file, and the loop has not heard of it."""
    FAILED = auto()


class Disk:
    """The store of one life of the router: where it lies, and which of its commits may go on."""

    def __init__(self, folder: Path, *, half_bytes: int) -> None:
        self.path = folder / NAME
        self.half_bytes = half_bytes
        self.open_freely = True
        """Commits go through by themselves."""
        self.dies_into: Path | None = None
        """The start is killed after its commit, before it has a journal of its own; this is where its files go."""
        self._waiting: list[asyncio.Future[Commit]] = []
        self._unheard: list[asyncio.Future[None]] = []

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._unheard)

    def copy(self, folder: Path) -> "Disk":
        """Keep what a `kill -9` keeps at this moment."""
        copy = Disk(folder, half_bytes=self.half_bytes)
        folder.mkdir()
        for suffix in KEPT:
            source = self.path.with_name(NAME + suffix)
            if source.exists():
                shutil.copyfile(source, copy.path.with_name(NAME + suffix))
        return copy

    def go_on(self, how: Commit) -> bool:
        """Let the commit that waits go on; False if none does."""
        for gates in (self._unheard, self._waiting):
            while gates:
                gate = cast("asyncio.Future[Any]", gates.pop(0))
                if not gate.done():
                    gate.set_result(how)
                    return True
        return False

    async def commit(self, work: Callable[[], object]) -> object:
        how = Commit.DONE
        if not self.open_freely:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            how = await waiting
        if how is Commit.FAILED:
            raise sqlite3.OperationalError("disk I/O error, says the run")
        result = work()
        if how is Commit.UNHEARD:
            unheard = asyncio.get_running_loop().create_future()
            self._unheard.append(unheard)
            await unheard
        return result

    def new_journal(self, store: Path | None) -> Journal:
        assert store == self.path
        if self.dies_into is not None:
            self.copy(self.dies_into)
            raise sqlite3.OperationalError("killed, says the run")
        path = store.with_name(NAME + ".journal")
        return create_journal(path, layout=latest_version(), half_bytes=self.half_bytes)


class SteppedThread:
    """A `SqliteThread` without a thread."""

    def __init__(self, disk: Disk, target: str) -> None:
        self._disk = disk
        self._target = target
        self._connection: sqlite3.Connection | None = None

    async def run(self, work: Callable[..., object], *args: object, **kwargs: object) -> object:
        connection = self._connection
        assert connection is not None
        if work is commit_group:
            return await self._disk.commit(lambda: work(connection, *args, **kwargs))
        result = work(connection, *args, **kwargs)
        if work is configure:
            connection.execute("PRAGMA synchronous = OFF")  # no run cuts the power
        return result

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    async def __aenter__(self) -> Self:
        self._connection = sqlite3.connect(self._target, uri=True, isolation_level=None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Tasks:
    """A `TaskGroup` that can be killed."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[Any]] = []

    def create_task(self, work: Awaitable[Any], *, name: str | None = None) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(cast(Any, work), name=name)
        self._tasks.append(task)
        return task

    def kill(self) -> None:
        for task in self._tasks:
            task.cancel()


@contextmanager
def seams(disk: Callable[[], Disk]) -> Iterator[None]:
    """Have every ledger that is opened in this block live on the disk of the moment."""
    module = cast(Any, ledger_sqlite)
    own = {name: getattr(module, name) for name in ("open_writer", "open_reader", "new_journal")}
    module.open_writer = lambda path: SteppedThread(disk(), f"file:{path}")
    module.open_reader = lambda path: SteppedThread(disk(), f"file:{path}?mode=ro")
    module.new_journal = lambda store: disk().new_journal(store)
    try:
        yield
    finally:
        for name, value in own.items():
            setattr(module, name, value)
