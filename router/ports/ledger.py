"""Keep the rows of all calls: the only authority on money."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from router.domain.governance.account import AccountKey
from router.domain.governance.budget import Amounts, Budget, Crossed, Exhausted, Stale, Standing
from router.domain.governance.sizing import Room
from router.domain.ids import CallId, Epoch
from router.domain.settlement import AttemptRow, Outcome, Reservation, Settlement, StoredRecord


class LedgerUnavailable(Exception):
    """The store cannot commit now. A call that meets it is refused, not served unrecorded."""


class CallRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A call as the ledger holds it. Still open: no outcome, and only what its reservation said."""

    id: CallId
    request_id: str
    key_id: str
    organization: str | None = None
    team: str | None = None
    user: str | None = None
    workflow_id: str | None = None
    parent_call_id: str | None = None
    agent: str | None = None
    tags: str | None = None
    route: str | None = None
    stream: bool | None = None
    asked_model: str
    served_deployment: str | None = None
    served_model: str | None = None
    started_ns: int
    duration_ns: int | None = None
    first_token_ns: int | None = None
    outcome: Outcome | None = None
    fault: str | None = None
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    usage_estimated: bool = False
    hold_nano_usd: int = 0
    cost_nano_usd: int | None = None
    price_version: str | None = None
    would_refuse: str | None = None
    """What would have refused the call, had its key, or what refuses, not only been observed."""
    priority: str | None = None
    """Its class; None: it is open, was refused before it had one, or was never settled."""
    decision: str | None = None
    """Why it went where it went, in JSON; None: there was no choice."""
    substituted: str | None = None
    """`asked->served;reason`; None: the model that was asked for served, or nobody."""
    attempts: tuple[AttemptRow, ...] = ()


class CallHistory(Protocol):
    """What is on record. Sees every settlement made before."""

    async def read_call(self, call_id: CallId) -> CallRecord | None:
        """Raises `LedgerUnavailable`."""
        ...

    async def read_stored(self, reply_id: str) -> StoredRecord | None:
        """Find the latest settled call whose reply is kept under this id. Raises `LedgerUnavailable`.

        What was settled a moment ago may be missing, as what is not committed yet: `Recall` remembers it meanwhile.
        """
        ...


class Ledger(CallHistory, Protocol):
    """Two phases: `reserve` before a call is dispatched, `settle` after, each once a call."""

    @property
    def epoch(self) -> Epoch:
        """This start of this process."""
        ...

    async def reserve(self, reservation: Reservation, wall_ns: int) -> tuple[Crossed, ...] | Exhausted:
        """Hold the amounts in every account of the path and put the open row on record, or change nothing.

        As durable as configured when it returns; never waits unless it must survive a power cut. An `observed`
        reservation holds in any case, and so does one that only observed accounts have no room for: both are told
        what they would have been (`held`). Raises `LedgerUnavailable`.
        """
        ...

    def extend(self, call_id: CallId, amounts: Amounts, wall_ns: int) -> tuple[Crossed, ...] | Exhausted | Stale:
        """Hold more for an open call, in the same accounts, or change nothing; on record when it returns.

        A power cut soon after may forget it. Raises `LedgerUnavailable`.
        """
        ...

    def settle(self, settlement: Settlement) -> tuple[Crossed, ...]:
        """Record how the call ended and post what it spent; never blocks, and kept until it is committed.

        The first settlement wins.
        """
        ...

    def room(self, path: Sequence[AccountKey], wall_ns: int, *, observed: bool = False) -> Room:
        """Say what the fullest account of each unit has left; of observed ones too, if `observed`."""
        ...

    def standing(self, key: AccountKey, wall_ns: int) -> Standing:
        """Say how an account stands; it has one from the first time that somebody asks."""
        ...

    def set_budgets(self, budgets: Iterable[Budget]) -> None:
        """Have these budgets in force from the next reservation on; their accounts keep what they hold."""
        ...

    async def close(self) -> None:
        """Commit everything that was settled, then release the store."""
        ...
