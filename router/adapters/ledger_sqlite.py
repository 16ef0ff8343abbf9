"""Keep the ledger in one SQLite file, which one server writes: each commit takes whatever queued during the last.

Laws: a reservation that returned is on disk; one that raised is not. A settlement is written once or kept and
tried again. Every row is written by the one writer task, so the order of the calls is the order of the rows.
"""

import asyncio
import os
import socket
import sqlite3
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import Final, Self

from router.adapters.sql.sqlite_commit import Rejected, commit_group, start_epoch
from router.adapters.sql.sqlite_rows import read_call, read_usage_totals
from router.adapters.sql.sqlite_store import (
    Durability,
    SqliteThread,
    StoreUnusable,
    checkpoint,
    configure,
    latest_version,
    lock_store,
    migrate,
    open_reader,
    open_writer,
    schema_version,
    sqlite_path,
)
from router.domain.ids import CallId, Epoch
from router.domain.settlement import Outcome, Reservation, Settlement
from router.ports.clock import Clock
from router.ports.ledger import CallRecord, LedgerUnavailable, UsageGroup, UsageTotal
from router.ports.telemetry import Anomaly, Telemetry

SETTLE_LINGER_S: Final = 0.05
"""How long a settlement waits for a reservation or a reader to be committed with."""
BACKOFF_S_MIN: Final = 0.05
BACKOFF_S_MAX: Final = 2.0
CLOSE_RETRIES: Final = 5
REFUSALS_KEPT_MAX: Final = 10_000
"""While the store is down every call is refused and wants a row for it; beyond so many they are only counted."""

_READ_ERRORS: Final = (sqlite3.Error, ValueError)  # aiosqlite says ValueError when its connection was closed


class SqliteReader:
    """Reads a ledger through its own connection and never waits for the writer."""

    def __init__(self, thread: SqliteThread) -> None:
        self._thread = thread

    async def read_call(self, call_id: CallId) -> CallRecord | None:
        try:
            return await self._thread.run(read_call, call_id)
        except _READ_ERRORS as exc:
            raise LedgerUnavailable(f"the ledger cannot be read: {exc}") from exc

    async def usage(self, group: UsageGroup, since_ns: int) -> Sequence[UsageTotal]:
        try:
            return await self._thread.run(read_usage_totals, group, since_ns)
        except _READ_ERRORS as exc:
            raise LedgerUnavailable(f"the ledger cannot be read: {exc}") from exc

    async def close(self) -> None:
        await self._thread.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class SqliteLedger:
    """The ledger of the one server that owns the file. Made by `open_sqlite_ledger`."""

    def __init__(
        self,
        *,
        epoch: Epoch,
        writer: SqliteThread,
        reader: SqliteReader,
        telemetry: Telemetry,
        held: AsyncExitStack,
    ) -> None:
        self._epoch = epoch
        self._writer = writer
        self._reader = reader
        self._telemetry = telemetry
        self._held = held
        # Each entry belongs to a call that waits in `reserve`: their number is bounded by the calls in flight.
        self._opens: list[tuple[Reservation, asyncio.Future[None]]] = []
        # Each entry belongs to a call that is no longer open but was when the store last worked, or was refused
        # since: their number is bounded by the calls that were open then, plus REFUSALS_KEPT_MAX.
        self._settlements: dict[CallId, Settlement] = {}
        # Each entry belongs to a reader that waits for what was queued before it.
        self._readers: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._stopped = asyncio.Event()
        self._linger: asyncio.TimerHandle | None = None
        self._committing = False
        self._down = False

    @property
    def epoch(self) -> Epoch:
        return self._epoch

    async def reserve(self, reservation: Reservation) -> None:
        if self._down or self._closing.is_set() or self._stopped.is_set():
            raise LedgerUnavailable("the ledger cannot commit now; it is tried again by itself")
        committed = asyncio.get_running_loop().create_future()
        self._opens.append((reservation, committed))
        self._wake.set()
        # Cancelling this wait leaves the row in its group: the call was opened, and its settlement follows.
        await committed

    def settle(self, settlement: Settlement) -> None:
        if self._unkept(settlement):
            self._telemetry.noticed(Anomaly.LEDGER_ROW_DROPPED)
            return
        self._settlements.setdefault(settlement.id, settlement)
        # Nobody waits for a settlement, and a commit of its own would cost it more than itself.
        if self._linger is None:
            self._linger = asyncio.get_running_loop().call_later(SETTLE_LINGER_S, self._wake.set)

    async def read_call(self, call_id: CallId) -> CallRecord | None:
        await self._catch_up()
        return await self._reader.read_call(call_id)

    async def usage(self, group: UsageGroup, since_ns: int) -> Sequence[UsageTotal]:
        await self._catch_up()
        return await self._reader.usage(group, since_ns)

    async def close(self) -> None:
        """Commit what is left, close the file, give up the lock. Raises `LedgerUnavailable` if rows were left."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake.set()
        await self._stopped.wait()
        async with self._held:
            await self._drain()
            with suppress(sqlite3.Error):  # the log is as durable as the file; the next start reads it
                await self._writer.run(checkpoint)

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Start the writer. Done once, by `open_sqlite_ledger`."""
        # A callback, for a task that is cancelled before its first step never reaches its own clean-up.
        tasks.create_task(self._write_until_closed(), name="ledger-writer").add_done_callback(self._writer_ended)

    async def _write_until_closed(self) -> None:
        backoff_s = BACKOFF_S_MIN
        while not self._closing.is_set():
            await self._wake.wait()
            self._wake.clear()
            if self._linger is not None:
                self._linger.cancel()
                self._linger = None
            if await self._commit():
                backoff_s = BACKOFF_S_MIN
                continue
            await _elapse(backoff_s, unless=self._closing)
            backoff_s = min(backoff_s * 2, BACKOFF_S_MAX)
            # A settlement that waits is the next attempt. Without one, the next reservation has to be.
            self._down = bool(self._settlements)
            if self._queued():
                self._wake.set()

    def _writer_ended(self, _: asyncio.Task[None]) -> None:
        self._stopped.set()
        if self._linger is not None:
            self._linger.cancel()
        _refuse([waiter for _, waiter in self._opens] + self._readers)
        self._opens, self._readers = [], []

    async def _commit(self) -> bool:
        """Commit everything that is queued; False, with nothing lost, if the store cannot."""
        opens, self._opens = self._opens, []
        settlements, self._settlements = self._settlements, {}
        readers, self._readers = self._readers, []
        waiters = [waiter for _, waiter in opens] + readers
        self._committing = True
        try:
            rejected = await self._write([reservation for reservation, _ in opens], list(settlements.values()))
        except (sqlite3.Error, asyncio.CancelledError) as exc:
            self._keep(settlements)
            self._down = True
            _refuse(waiters)
            if isinstance(exc, asyncio.CancelledError):
                raise
            self._telemetry.noticed(Anomaly.LEDGER_RETRY)
            return False
        finally:
            self._committing = False
        self._down = False
        if rejected.opens:
            _refuse([opens[position][1] for position in rejected.opens])
        if rejected.settlements:
            # The open row stays and is recovered at the next start, so the money that was held for it is not lost.
            self._telemetry.noticed(Anomaly.LEDGER_ROW_DROPPED, len(rejected.settlements))
        _confirm(waiters)
        return True

    async def _write(self, opens: list[Reservation], settlements: list[Settlement]) -> Rejected:
        if not opens and not settlements:
            return Rejected()
        return await self._writer.run(commit_group, opens, settlements, self._epoch)

    async def _drain(self) -> None:
        backoff_s = BACKOFF_S_MIN
        for _ in range(CLOSE_RETRIES):
            if not self._settlements or await self._commit():
                return
            await _elapse(backoff_s, unless=asyncio.Event())
            backoff_s *= 2
        raise LedgerUnavailable(f"{len(self._settlements)} settlements were not written: their calls stay open")

    async def _catch_up(self) -> None:
        """Wait until everything that was queued before is committed."""
        if not (self._queued() or self._committing):
            return
        if self._down or self._stopped.is_set():
            raise LedgerUnavailable("the ledger cannot commit now, so it cannot say how the latest calls ended")
        committed = asyncio.get_running_loop().create_future()
        self._readers.append(committed)
        self._wake.set()
        await committed

    def _queued(self) -> bool:
        return bool(self._opens or self._settlements or self._readers)

    def _keep(self, settlements: dict[CallId, Settlement]) -> None:
        """Put settlements back before those that came meanwhile; of one call the earlier one stays first."""
        for call_id, settlement in self._settlements.items():
            settlements.setdefault(call_id, settlement)
        self._settlements = settlements

    def _unkept(self, settlement: Settlement) -> bool:
        """Tell whether a settlement is not worth its memory: the queue is full and nothing was spent or held."""
        moneyless = settlement.outcome is Outcome.REFUSED and not settlement.attempts
        return self._down and moneyless and len(self._settlements) >= REFUSALS_KEPT_MAX


async def open_sqlite_ledger(
    url: str, *, durability: Durability, clock: Clock, telemetry: Telemetry, tasks: asyncio.TaskGroup
) -> SqliteLedger:
    """Open or create the store, and start its writer in `tasks`. Raises `StoreUnusable`.

    `close` ends the writer: call it before leaving `tasks`, which waits for it.
    """
    path = sqlite_path(url)
    async with AsyncExitStack() as stack:
        try:
            if path is not None:
                stack.callback(lock_store(path))
            writer = await stack.enter_async_context(open_writer(path))
            await writer.run(configure, durability)
            await writer.run(migrate)
            epoch = await writer.run(start_epoch, clock.wall_ns(), socket.gethostname(), os.getpid())
            # A database in memory belongs to its connection, so there the writer reads too.
            reads = writer if path is None else await stack.enter_async_context(open_reader(path))
        except sqlite3.Error as exc:
            raise StoreUnusable(f"the store {url} cannot be opened: {exc}. Check the file and its directory") from exc
        ledger = SqliteLedger(
            epoch=epoch, writer=writer, reader=SqliteReader(reads), telemetry=telemetry, held=stack.pop_all()
        )
    ledger.start(tasks)
    return ledger


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


async def _elapse(span_s: float, *, unless: asyncio.Event) -> None:
    """Let `span_s` pass, or less when the event comes first."""
    with suppress(TimeoutError):
        async with asyncio.timeout(span_s):
            await unless.wait()


def _confirm(waiters: Sequence[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():  # its call was cancelled, or refused alone
            waiter.set_result(None)


def _refuse(waiters: Sequence[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_exception(LedgerUnavailable("the ledger could not commit the call"))
