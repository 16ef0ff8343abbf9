"""Keep a ledger's reports quick and its file bounded: add calls up by day, delete rows by age, beside the commits."""

import asyncio
import logging
import sqlite3
from contextlib import suppress
from typing import Final

from router.adapters.sql.sqlite_changes import forget_changes
from router.adapters.sql.sqlite_fold import delete_older, fold
from router.adapters.sql.sqlite_store import SqliteThread
from router.domain.ids import first_call_id
from router.domain.instants import NS_PER_S
from router.ports.clock import Clock

_log = logging.getLogger(__name__)

EVERY_S: Final = 10.0
PAUSE_S: Final = 0.05
"""Between two steps of a long way: commits have the thread for most of the time."""
LAG_NS: Final = 60 * NS_PER_S
"""Most calls have ended this long after they began; the others are added up one by one as they end."""


class SqliteUpkeep:
    """The background task of one ledger, on the thread of its writer."""

    def __init__(
        self, *, writer: SqliteThread, clock: Clock, keep_ns: int | None, keep_audit_ns: int | None = None
    ) -> None:
        """`keep_ns` is how old a call's row may grow, `keep_audit_ns` a change's; None: as old as it likes."""
        self._writer = writer
        self._clock = clock
        self._keep_ns = keep_ns
        self._keep_audit_ns = keep_audit_ns
        self._failing = False

    async def run(self, closing: asyncio.Event) -> None:
        """Work until the ledger closes. A step that the store does not take is tried again later."""
        while not closing.is_set():
            more = await self._step()
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_S if more else EVERY_S):
                    await closing.wait()

    async def _step(self) -> bool:
        """Take one step of each kind; tells whether there may be more to do at once."""
        now_ns = self._clock.wall_ns()
        try:
            more = await self._writer.run(fold, first_call_id(now_ns - LAG_NS))
            if self._keep_ns is not None:
                more |= await self._writer.run(delete_older, now_ns - self._keep_ns)
            if self._keep_audit_ns is not None:
                more |= await self._writer.run(forget_changes, now_ns - self._keep_audit_ns)
        except sqlite3.Error as exc:
            if not self._failing:
                _log.warning("the ledger's upkeep waits until the store can be written again: %s", exc)
            self._failing = True
            return False
        self._failing = False
        return more
