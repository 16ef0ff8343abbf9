"""Tell administrators what was used and what it cost: read what they ask for, keep reports within their bounds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from router.admin.ledger_reading import require_reader, told
from router.admin.moments import Moment, moment_ns
from router.domain.faults import Fault, refuse
from router.domain.principal import Principal
from router.ports.usage import GROUPINGS_MAX, GROUPS_MAX, USAGE_GROUPS, Usage, UsageGroup, UsageQuery, UsageReport

BY: Final = "key"
GROUPS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedUsage:
    """What an administrator wants added up, as it was written. None: anything."""

    by: Sequence[str] = (BY,)
    """Groupings, one or several separated by commas each."""
    key: str | None = None
    team: str | None = None
    agent: str | None = None
    workflow: str | None = None
    model: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    limit: int = GROUPS
    """Brought into its bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldUsage:
    by: tuple[UsageGroup, ...]
    report: UsageReport


class UsageAdmin:
    """What every façade offers of usage. Raises `RouterError`."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage

    async def report(self, caller: Principal, asked: AskedUsage) -> ToldUsage:
        """Add up settled calls, the dearest group first."""
        require_reader(caller)
        try:
            by = groupings(asked.by)
        except ValueError as exc:
            raise refuse(Fault.INVALID_REQUEST, f"{exc}.", param="group_by") from None
        query = UsageQuery(
            by=by,
            key=asked.key,
            team=asked.team,
            agent=asked.agent,
            workflow=asked.workflow,
            model=asked.model,
            since_ns=moment_ns(asked.since, "since"),
            until_ns=moment_ns(asked.until, "until"),
            limit=min(max(asked.limit, 1), GROUPS_MAX),
        )
        with told():
            return ToldUsage(by=by, report=await self._usage.usage(query))


def groupings(texts: Sequence[str]) -> tuple[UsageGroup, ...]:
    """Read `key`, `key,model` and the like. ValueError for no grouping, too many, one twice."""
    names = [name.strip() for text in texts for name in text.split(",")]
    found = tuple(group for name in names for group in USAGE_GROUPS if group == name)
    if len(found) < len(names):
        raise ValueError(f"Calls are grouped by {', '.join(USAGE_GROUPS)}")
    if not 0 < len(set(found)) == len(found) <= GROUPINGS_MAX:
        raise ValueError(f"Calls are grouped by one to {GROUPINGS_MAX} of these, each named once")
    return found
