"""Read what the server's own ledger has on record, the latest included."""

from collections.abc import Awaitable, Callable, Sequence

from router.adapters.sql.sqlite_reader import SqliteReader
from router.domain.ids import CallId
from router.domain.settlement import StoredRecord
from router.ports.ledger import CallRecord
from router.ports.ledger_pages import AttemptPlace, AttemptRecord, CallFilter
from router.ports.usage import UsageQuery, UsageReport


class SqliteHistory:
    """Waits before each reading but one until what was settled before it is committed."""

    def __init__(self, reader: SqliteReader, catch_up: Callable[[], Awaitable[None]]) -> None:
        """`catch_up` raises `LedgerUnavailable` while the ledger cannot commit."""
        self._reader = reader
        self._catch_up = catch_up

    async def read_call(self, call_id: CallId) -> CallRecord | None:
        await self._catch_up()
        return await self._reader.read_call(call_id)

    async def read_stored(self, reply_id: str) -> StoredRecord | None:
        """Without waiting, for ids are looked up before limits are: nobody is to hurry the commits by naming some."""
        return await self._reader.read_stored(reply_id)

    async def read_calls(self, sought: CallFilter, before: CallId, limit: int) -> Sequence[CallRecord]:
        await self._catch_up()
        return await self._reader.read_calls(sought, before, limit)

    async def read_attempts(self, sought: CallFilter, after: AttemptPlace, limit: int) -> Sequence[AttemptRecord]:
        await self._catch_up()
        return await self._reader.read_attempts(sought, after, limit)

    async def usage(self, asked: UsageQuery) -> UsageReport:
        await self._catch_up()
        return await self._reader.usage(asked)
