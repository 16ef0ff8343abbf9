"""Add up what calls used and cost, by any of their properties."""

from typing import Final, Literal, Protocol, get_args

import msgspec

UsageGroup = Literal["key", "team", "organization", "user", "agent", "workflow", "model", "deployment", "tag", "day"]

USAGE_GROUPS: Final[tuple[UsageGroup, ...]] = get_args(UsageGroup)
GROUPINGS_MAX: Final = 3
GROUPS_MAX: Final = 10_000
"""The most groups that one report tells of."""


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which settled calls are added up, and by what. A filter that is None lets every call pass."""

    by: tuple[UsageGroup, ...]
    """One to `GROUPINGS_MAX`, each once. A call with several tags counts in each tag's group."""
    key: str | None = None
    team: str | None = None
    """Its name, or `organization/name`."""
    agent: str | None = None
    workflow: str | None = None
    model: str | None = None
    """As it was asked for."""
    since_ns: int | None = None
    """Started then or later."""
    until_ns: int | None = None
    """Started before."""
    limit: int = GROUPS_MAX


class UsageTotal(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over settled calls. `unpriced_calls` have no known cost and add nothing to it."""

    group: tuple[str, ...]
    """One value a grouping, in their order; empty where calls have none. A team is `organization/team`, a day UTC's."""
    calls: int
    failed_calls: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_nano_usd: int
    unpriced_calls: int


class UsageReport(msgspec.Struct, frozen=True, kw_only=True):
    totals: tuple[UsageTotal, ...]
    """Dearest group first, then by their values."""
    truncated: bool
    """There are more groups than were asked for."""
    partial: bool
    """Rows that it needs were deleted by age: of a day that is cut, or of workflows, it counts what is left."""


class Usage(Protocol):
    """What was used. Sees every settlement made before."""

    async def usage(self, asked: UsageQuery) -> UsageReport:
        """Raises `LedgerUnavailable`."""
        ...
