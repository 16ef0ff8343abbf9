"""Add up what observing let pass: the calls that would have been refused."""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

ObservedGroup = Literal["reason", "agent", "key"]


class ObservedTotal(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that would have been refused, and what they cost. `unpriced_calls` have no known cost."""

    group: str
    calls: int
    cost_nano_usd: int
    unpriced_calls: int


class Observed(Protocol):
    """What would have been refused. Sees every settlement that is committed."""

    async def observed(self, group: ObservedGroup, since_ns: int) -> Sequence[ObservedTotal]:
        """Sum the calls that started at or after `since_ns`, dearest group first. Raises `LedgerUnavailable`."""
        ...
