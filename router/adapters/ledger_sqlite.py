"""Keep the ledger in one SQLite file, which one server writes, behind a journal that answers for it meanwhile.

Laws: a reservation that returned survives `kill -9`, and with durability `power` a power cut. A settlement is
written once or kept and tried again. Nothing leaves the journal before it is committed, and every row is committed
by the one writer task, in the order of the calls (docs/adr/0007).
"""

import asyncio
import os
import socket
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Final

from router.adapters.sql.journal import Journal
from router.adapters.sql.journal_records import (
    UNWRITABLE,
    extended_record,
    left_behind,
    new_journal,
    open_record,
    settled_record,
)
from router.adapters.sql.sqlite_commit import Balance, Group, commit_group
from router.adapters.sql.sqlite_history import SqliteHistory
from router.adapters.sql.sqlite_reader import SqliteReader
from router.adapters.sql.sqlite_recovery import read_balances, start_epoch
from router.adapters.sql.sqlite_rows import INTEGER_MAX, BookedTexts, extended_row, open_row, settled_row
from router.adapters.sql.sqlite_store import (
    Durability,
    SqliteThread,
    StoreUnusable,
    checkpoint,
    configure,
    lock_store,
    migrate,
    open_reader,
    open_writer,
    sqlite_path,
)
from router.adapters.sql.sqlite_upkeep import SqliteUpkeep
from router.domain.governance.account import AccountKey, AccountState
from router.domain.governance.accounts import NO_HOLD, Accounts
from router.domain.governance.budget import Amounts, Budget, BudgetId, Crossed, Exhausted, Stale, Standing, State
from router.domain.governance.ledger import hold, is_held, post, room_of
from router.domain.governance.sizing import Room
from router.domain.ids import CallId, Epoch
from router.domain.settlement import Outcome, Reservation, Settlement, StoredRecord
from router.ports.clock import Clock
from router.ports.ledger import CallRecord, LedgerUnavailable
from router.ports.telemetry import Anomaly, Telemetry

COMMIT_EVERY_S: Final = 0.1
"""How long rows gather in the journal while nobody waits for them."""
HURRY_SHARE: Final = 0.25
"""A journal fuller than this is committed at once."""
OPENS_SHARE_MAX: Final = 0.75
"""The rest of a half is kept for the settlements of the calls that are open."""
BACKOFF_S_MIN: Final = 0.05
BACKOFF_S_MAX: Final = 2.0
CLOSE_RETRIES: Final = 5

_BEHIND: Final = "the ledger has fallen behind its journal, and catches up by itself"
_FREE: Final = (State.UNKNOWN, State.REFUSED)
_ENDED: Final = (State.POSTED, State.VOIDED, State.EXPIRED)


@dataclass(slots=True)
class _Batch:
    """What one commit writes, and who waits for it."""

    group: Group = field(default_factory=Group)
    waiters: list[asyncio.Future[None]] = field(default_factory=list)
    unkept: int = 0
    """Settlements that are in memory only."""

    def __bool__(self) -> bool:
        return bool(self.group or self.waiters)


class SqliteLedger:
    """The ledger of the one server that owns the file. Made by `open_sqlite_ledger`."""

    def __init__(
        self,
        *,
        epoch: Epoch,
        durability: Durability,
        journal: Journal,
        writer: SqliteThread,
        reader: SqliteReader,
        telemetry: Telemetry,
        held: AsyncExitStack,
        balances: Iterable[Balance],
    ) -> None:
        self._epoch = epoch
        self._survives_power = durability == "power"
        self._journal = journal
        self._writer = writer
        self._reader = reader
        self.history = SqliteHistory(reader, self._catch_up)
        self._telemetry = telemetry
        self._held = held
        self._accounts, self._booked = Accounts(), BookedTexts()
        self._stored: dict[BudgetId, list[tuple[str, int, int]]] = {}
        """Balances of budgets that are not in force, or not yet."""
        for budget, value, start_ns, posted in balances:
            self._stored.setdefault(budget, []).append((value, start_ns, posted))
        self._batch = _Batch()
        """Comes in now. Bounded by the journal, but for settlements of calls that were open when it was full."""
        self._sealed: _Batch | None = None
        """Is being committed, or could not be and is tried again; the journal's other half holds it."""
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._stopped = asyncio.Event()
        self._accepts = True
        self._linger: asyncio.TimerHandle | None = None
        self._down = False

    @property
    def epoch(self) -> Epoch:
        return self._epoch

    async def reserve(self, reservation: Reservation, wall_ns: int) -> tuple[Crossed, ...] | Exhausted:
        if not self._accepts:
            raise LedgerUnavailable("the ledger is closed")
        if self._survives_power and self._down:
            raise LedgerUnavailable("the ledger cannot commit now; it tries again by itself")
        call_id, accounts = reservation.id, self._accounts
        if accounts.find(call_id) not in _FREE:
            raise LedgerUnavailable("there is a call with this id")
        if self._journal.used > HURRY_SHARE:
            self._wake.set()
            self._require_room()
        answer = hold(accounts, reservation, wall_ns)
        if answer and not is_held(answer):
            return answer
        try:
            row = open_row(reservation, self._epoch, self._booked.of(accounts.pending(call_id).buckets))
            kept = self._journal.append(open_record(row))
        except UNWRITABLE as exc:
            accounts.withdraw(call_id)
            raise LedgerUnavailable(f"the ledger cannot hold the call: {exc}") from exc
        if not kept:
            accounts.withdraw(call_id)
            raise LedgerUnavailable(_BEHIND)
        self._batch.group.open(call_id, row)
        if self._survives_power:
            # Cancelling this wait leaves the row in its group: the call was opened, and its settlement follows.
            await self._next_commit()
        elif self._linger is None:
            self._queue()
        return answer

    def extend(self, call_id: CallId, amounts: Amounts, wall_ns: int) -> tuple[Crossed, ...] | Exhausted | Stale:
        self._require_room()
        accounts = self._accounts
        try:
            row = extended_row(call_id, accounts.pending(call_id).amounts.plus(amounts))
            record = extended_record(row)
        except UNWRITABLE as exc:
            raise LedgerUnavailable(f"the ledger cannot hold so much: {exc}") from exc
        answer = accounts.extend(call_id, amounts, wall_ns)
        if is_held(answer):
            kept = self._journal.append(record)
            assert kept, "there was room for far more"
            self._batch.group.extend(call_id, row)
            if self._linger is None:
                self._queue()
        return answer

    def settle(self, settlement: Settlement) -> tuple[Crossed, ...]:
        accounts, call_id = self._accounts, settlement.id
        held = accounts.pending(call_id)
        if held is NO_HOLD and accounts.find(call_id) in _ENDED:
            return ()
        moneyless = held is NO_HOLD and settlement.outcome is Outcome.REFUSED and not settlement.attempts
        try:
            row = settled_row(settlement, self._epoch, held.amounts.usd, self._booked.of(held.buckets))
            record = settled_record(row)
        except UNWRITABLE:
            # The hold stays with the open row, and both are posted at the next start: no money is lost or doubled.
            self._telemetry.noticed(Anomaly.LEDGER_ROW_DROPPED)
            return ()
        # A row that says nothing of money must not take the room of one that does, nor memory without end.
        kept = not (moneyless and self._journal.used >= OPENS_SHARE_MAX) and self._journal.append(record)
        if not kept:
            if moneyless or self._journal.closed:
                self._telemetry.noticed(Anomaly.LEDGER_ROW_DROPPED)
                return ()
            self._batch.unkept += 1
        self._batch.group.settle(call_id, row)
        if self._linger is None:
            self._queue()
        return post(accounts, settlement)

    def room(self, path: Sequence[AccountKey], wall_ns: int, *, observed: bool = False) -> Room:
        return room_of(self._accounts, path, wall_ns, observed=observed)

    def standing(self, key: AccountKey, wall_ns: int) -> Standing:
        return self._accounts.state_of(self._accounts.of(*key), wall_ns)

    def account_states(self, of: Iterable[BudgetId], after: AccountKey, limit: int, wall_ns: int) -> list[AccountState]:
        return self._accounts.states(of, after, limit, wall_ns)

    def set_budgets(self, budgets: Iterable[Budget]) -> None:
        for budget in budgets:
            self._accounts.replace_budget(budget)
            for value, start_ns, posted in self._stored.pop(budget.id, ()):
                self._accounts.load((budget.id, value), start_ns, posted)

    def _require_room(self) -> None:
        """Refuse what would take the part of the journal that is kept for settlements. Raises `LedgerUnavailable`."""
        if self._journal.closed or self._journal.used >= OPENS_SHARE_MAX:
            raise LedgerUnavailable(_BEHIND)

    async def read_call(self, call_id: CallId) -> CallRecord | None:
        return await self.history.read_call(call_id)

    async def read_stored(self, reply_id: str) -> StoredRecord | None:
        return await self.history.read_stored(reply_id)

    async def close(self) -> None:
        """Commit what is left, close the file, give up the lock. Raises `LedgerUnavailable` if rows were left."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._accepts = False
        self._wake.set()
        await self._stopped.wait()
        async with self._held:
            await self._drain()
            self._journal.discard()
            with suppress(sqlite3.Error):  # the log is as durable as the file; the next start reads it
                await self._writer.run(checkpoint)

    def start(self, tasks: asyncio.TaskGroup, upkeep: SqliteUpkeep) -> None:
        """Start the writer, and what works beside it. Done once, by `open_sqlite_ledger`."""
        tasks.create_task(upkeep.run(self._closing), name="ledger-upkeep")
        # A callback, for a task that is cancelled before its first step never reaches its own clean-up.
        tasks.create_task(self._write_until_closed(), name="ledger-writer").add_done_callback(self._writer_ended)

    def _queue(self) -> None:
        """Have what came in committed soon. The journal keeps it meanwhile, and larger groups cost less."""
        self._linger = asyncio.get_running_loop().call_later(COMMIT_EVERY_S, self._wake.set)

    async def _write_until_closed(self) -> None:
        backoff_s = BACKOFF_S_MIN
        while not self._closing.is_set():
            await self._wake.wait()
            self._wake.clear()
            self._stop_linger()
            if await self._commit():
                backoff_s = BACKOFF_S_MIN
                continue
            await _elapse(backoff_s, unless=self._closing)
            backoff_s = min(backoff_s * 2, BACKOFF_S_MAX)
            self._wake.set()

    def _stop_linger(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None

    def _writer_ended(self, _: asyncio.Task[None]) -> None:
        self._stopped.set()
        self._accepts = False
        self._stop_linger()
        for batch in (self._sealed, self._batch):
            if batch is not None:
                _refuse(batch)

    async def _commit(self) -> bool:
        """Commit what came in first; False, with nothing lost, if the store cannot."""
        batch = self._sealed
        if batch is None:
            batch, self._batch = self._batch, _Batch()
            batch.group.balances = [
                (*key, start_ns, min(posted, INTEGER_MAX)) for key, start_ns, posted in self._accounts.touched()
            ]
            self._sealed = batch
            self._journal.turn()
        try:
            rejected = await self._writer.run(commit_group, batch.group) if batch.group else ()
        except (sqlite3.Error, asyncio.CancelledError) as exc:
            self._down = True
            _refuse(batch)
            _refuse(self._batch)
            if isinstance(exc, asyncio.CancelledError):
                raise
            self._telemetry.noticed(Anomaly.LEDGER_RETRY)
            return False
        self._sealed = None
        self._down = False
        if rejected:
            self._telemetry.noticed(Anomaly.LEDGER_ROW_DROPPED, len(rejected))
        for waiter in batch.waiters:
            if not waiter.done():  # its call was cancelled
                waiter.set_result(None)
        if self._batch and self._linger is None:
            self._wake.set()
        return True

    async def _drain(self) -> None:
        backoff_s = BACKOFF_S_MIN
        failures = 0
        while self._sealed is not None or self._batch:
            if await self._commit():
                continue
            failures += 1
            if failures == CLOSE_RETRIES:
                unkept = self._batch.unkept + (self._sealed.unkept if self._sealed is not None else 0)
                if unkept:
                    self._telemetry.noticed(Anomaly.LEDGER_ROW_DROPPED, unkept)
                raise LedgerUnavailable("the store took no more rows: the next start writes them from the journal")
            await _elapse(backoff_s, unless=asyncio.Event())
            backoff_s *= 2

    async def _catch_up(self) -> None:
        """Wait until everything that was queued before is committed."""
        if self._sealed is None and not self._batch:
            return
        if self._down or self._stopped.is_set():
            raise LedgerUnavailable("the ledger cannot commit now, so it cannot say how the latest calls ended")
        await self._next_commit()

    async def _next_commit(self) -> None:
        """Wait until what has come in by now is committed. Raises `LedgerUnavailable`."""
        committed = asyncio.get_running_loop().create_future()
        self._batch.waiters.append(committed)
        self._wake.set()
        await committed


async def open_sqlite_ledger(
    url: str,
    *,
    durability: Durability,
    clock: Clock,
    telemetry: Telemetry,
    tasks: asyncio.TaskGroup,
    keep_ns: int | None = None,
    keep_audit_ns: int | None = None,
) -> SqliteLedger:
    """Open or create the store, and start its writer in `tasks`. Raises `StoreUnusable`.

    `close` ends the writer: call it before leaving `tasks`, which waits for it. Calls older than `keep_ns`
    and changes older than `keep_audit_ns` are deleted.
    """
    path = sqlite_path(url)
    async with AsyncExitStack() as stack:
        try:
            if path is not None:
                stack.callback(lock_store(path))
            # Read before the schema is touched: the release that wrote it may have to come back.
            left = Group() if path is None else left_behind(path)
            writer = await stack.enter_async_context(open_writer(path))
            await writer.run(configure, durability)
            await writer.run(migrate)
            epoch, rejected = await writer.run(
                start_epoch, left, started_ns=clock.wall_ns(), host=socket.gethostname(), pid=os.getpid()
            )
            if rejected:
                telemetry.noticed(Anomaly.LEDGER_ROW_DROPPED, rejected)
            balances = await writer.run(read_balances)
            # A database in memory belongs to its connection, so there the writer reads too.
            reads = writer if path is None else await stack.enter_async_context(open_reader(path))
            journal = new_journal(path)
            stack.callback(journal.close)
        except (sqlite3.Error, OSError) as exc:
            raise StoreUnusable(f"the store {url} cannot be opened: {exc}. Check the file and its directory") from exc
        ledger = SqliteLedger(
            epoch=epoch,
            durability=durability,
            journal=journal,
            writer=writer,
            reader=SqliteReader(reads),
            telemetry=telemetry,
            held=stack.pop_all(),
            balances=balances,
        )
    ledger.start(tasks, SqliteUpkeep(writer=writer, clock=clock, keep_ns=keep_ns, keep_audit_ns=keep_audit_ns))
    return ledger


async def _elapse(span_s: float, *, unless: asyncio.Event) -> None:
    """Let `span_s` pass, or less when the event comes first."""
    with suppress(TimeoutError):
        async with asyncio.timeout(span_s):
            await unless.wait()


def _refuse(batch: _Batch) -> None:
    for waiter in batch.waiters:
        if not waiter.done():
            waiter.set_exception(LedgerUnavailable("the ledger could not commit"))
    batch.waiters.clear()
