"""Keep the rows of all calls: the only authority on money."""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from router.domain.ids import CallId, Epoch
from router.domain.settlement import AttemptRow, Outcome, Reservation, Settlement

UsageGroup = Literal["key", "model", "agent"]


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
    attempts: tuple[AttemptRow, ...] = ()


class UsageTotal(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over settled calls. `unpriced_calls` have no known cost and add nothing to it."""

    group: str
    calls: int
    failed_calls: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost_nano_usd: int
    unpriced_calls: int


class Ledger(Protocol):
    @property
    def epoch(self) -> Epoch:
        """This start of this process."""
        ...

    async def reserve(self, reservation: Reservation) -> None:
        """Put the call's open row on record, as durable as configured. Raises `LedgerUnavailable`."""
        ...

    def settle(self, settlement: Settlement) -> None:
        """Record how the call ended; never blocks. Kept until committed; the first settlement wins."""
        ...

    async def read_call(self, call_id: CallId) -> CallRecord | None:
        """Read a call; sees every settlement made before. Raises `LedgerUnavailable`."""
        ...

    async def usage(self, group: UsageGroup, since_ns: int) -> Sequence[UsageTotal]:
        """Sum the calls that started at or after `since_ns`, dearest group first. Raises `LedgerUnavailable`."""
        ...

    async def close(self) -> None:
        """Commit everything that was settled, then release the store."""
        ...
