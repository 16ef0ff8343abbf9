"""Read the ledger page by page, newest call first."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from router.domain.ids import CallId
from router.ports.ledger import CallRecord

AttemptPlace = tuple[CallId, int]
"""A call, and the number of one of its attempts."""


class CallFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What every call of a page has; None: anything. An open call has neither team nor fault yet."""

    key: str | None = None
    team: str | None = None
    """Its name, or `organization/name`."""
    agent: str | None = None
    workflow: str | None = None
    model: str | None = None
    """As it was asked for."""
    outcome: str | None = None
    """An `Outcome`, or `open`."""
    fault: str | None = None
    """Of the call in a page of calls, of the attempt in one of attempts."""
    since_ns: int | None = None
    """Started then or later."""
    until_ns: int | None = None
    """Started before."""


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a settled call, with whose it was."""

    call_id: CallId
    request_id: str
    key_id: str
    number: int
    deployment: str
    provider: str
    upstream_model: str
    started_ns: int
    duration_ns: int
    first_token_ns: int | None
    fault: str | None
    upstream_status: int | None
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    usage_estimated: bool
    usage_clamped: bool
    cost_nano_usd: int | None
    price_version: str | None


class LedgerPages(Protocol):
    """Pages of what is on record. Sees every settlement made before."""

    async def read_calls(self, sought: CallFilter, before: CallId, limit: int) -> Sequence[CallRecord]:
        """Return at most `limit` calls with ids below `before`, newest first. Raises `LedgerUnavailable`."""
        ...

    async def read_attempts(self, sought: CallFilter, after: AttemptPlace, limit: int) -> Sequence[AttemptRecord]:
        """Return at most `limit` attempts from `after` on, newest call first. Raises `LedgerUnavailable`."""
        ...
