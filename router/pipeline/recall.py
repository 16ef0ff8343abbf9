"""Recall where the replies are stored that requests build on, and whose they are.

What a settlement says of it is kept in memory and, with the call's own row, in the ledger: so it is as durable as the
row, goes with it, and costs no write of its own. The ledger is read only where memory does not know an id.
"""

from router.domain.faults import Fault, Refusal, RouterError
from router.domain.ids import KeyId
from router.domain.planning.stored import Basis, StoredReplies, is_over, named_in, unknown
from router.domain.settlement import Settlement, StoredRecord, StoredReply
from router.pipeline.call import Call
from router.ports.clock import Clock
from router.ports.ledger import CallHistory, LedgerUnavailable

_STORE_RETRY_MS = 1_000


class Recall:
    """What the calls of a process have stored; one of them a process."""

    __slots__ = ("_clock", "_history", "_known")

    def __init__(self, *, clock: Clock, history: CallHistory) -> None:
        self._clock = clock
        self._history = history
        self._known = StoredReplies()

    def remember(self, settlement: Settlement, stored: StoredReply) -> None:
        self._known.remember(
            StoredRecord(key_id=settlement.key_id, started_ns=settlement.started_ns, reply=stored),
        )

    async def find(self, reply_id: str, key_id: KeyId) -> StoredReply | None:
        """Return where a reply of this key is stored. Raises `RouterError`."""
        record = await self._find(reply_id)
        return None if record is None or record.key_id != key_id else record.reply

    async def basis_of(self, call: Call) -> Basis | None:
        """Return what a call builds on; None: nothing that is stored. Raises `RouterError`."""
        named = named_in(call.request)
        if isinstance(named, Refusal):
            raise RouterError(named)
        if named is None:
            return None
        record = await self._find(named.id) if named.is_reply else None
        if record is None:
            return Basis(named.member, None)
        if record.key_id != call.principal.key_id:
            raise RouterError(unknown(named.member))
        return Basis(named.member, record.reply)

    async def _find(self, reply_id: str) -> StoredRecord | None:
        record = self._known.find(reply_id)
        if record is None:
            try:
                record = await self._history.read_stored(reply_id)
            except LedgerUnavailable as exc:
                raise RouterError(
                    Refusal(
                        fault=Fault.OVERLOADED,
                        message="The router cannot look up now what is stored where. Try again shortly.",
                        retry_after_ms=_STORE_RETRY_MS,
                    )
                ) from exc
            if record is not None:
                self._known.remember(record)
        return None if record is None or is_over(record, self._clock.wall_ns()) else record
