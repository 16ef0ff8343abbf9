"""Show administrators what is on record, page by page: read what they ask for, keep pages within their bounds."""

import re
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from router.admin.ledger_reading import require_reader, told
from router.admin.moments import Moment, moment_ns
from router.domain.faults import Fault, refuse
from router.domain.ids import CallId, format_call_id, parse_call_id
from router.domain.instants import INSTANT_NS_MAX
from router.domain.principal import Principal
from router.domain.settlement import Outcome
from router.ports.ledger import CallRecord
from router.ports.ledger_pages import AttemptPlace, AttemptRecord, CallFilter, LedgerPages

PAGE_ROWS: Final = 100
PAGE_ROWS_MAX: Final = 1_000
OPEN: Final = "open"
_NEWEST: Final = CallId(INSTANT_NS_MAX)
_OUTCOMES: Final = (OPEN, *Outcome)
_ATTEMPT: Final = re.compile(r"(call_[0-9a-f]{16})-(\d{1,9})", re.ASCII)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an administrator looks for, as it was written. None: anything."""

    key: str | None = None
    team: str | None = None
    agent: str | None = None
    workflow: str | None = None
    model: str | None = None
    outcome: str | None = None
    fault: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    after: str | None = None
    """The `next` of the page before."""
    limit: int = PAGE_ROWS
    """Brought into its bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    rows: tuple[T, ...]
    next: str | None
    """Where the next page goes on; None: this is the last."""


class LedgerAdmin:
    """What every façade offers of the ledger. Every method raises `RouterError`."""

    def __init__(self, pages: LedgerPages) -> None:
        self._pages = pages

    async def calls(self, caller: Principal, asked: Asked) -> Page[CallRecord]:
        """Return calls, open and settled, newest first."""
        require_reader(caller)
        sought, limit = _filter_of(asked), _limit_of(asked)
        before = _NEWEST if asked.after is None else parse_call_id(asked.after)
        if before is None:
            raise _no_place()
        with told():
            rows = await self._pages.read_calls(sought, before, limit + 1)
        more = len(rows) > limit
        return Page(rows=tuple(rows[:limit]), next=format_call_id(rows[limit - 1].id) if more else None)

    async def attempts(self, caller: Principal, asked: Asked) -> Page[AttemptRecord]:
        """Return attempts of settled calls, the newest call first and its attempts in their order."""
        require_reader(caller)
        sought, limit = _filter_of(asked), _limit_of(asked)
        with told():
            rows = await self._pages.read_attempts(sought, _attempt_place(asked.after), limit + 1)
        last = rows[limit - 1] if len(rows) > limit else None
        onward = None if last is None else f"{format_call_id(last.call_id)}-{last.number}"
        return Page(rows=tuple(rows[:limit]), next=onward)


def _filter_of(asked: Asked) -> CallFilter:
    if asked.outcome is not None and asked.outcome not in _OUTCOMES:
        message = f"There is no such outcome. Use one of {', '.join(_OUTCOMES)}."
        raise refuse(Fault.INVALID_REQUEST, message, param="outcome")
    return CallFilter(
        key=asked.key,
        team=asked.team,
        agent=asked.agent,
        workflow=asked.workflow,
        model=asked.model,
        outcome=asked.outcome,
        fault=asked.fault,
        since_ns=moment_ns(asked.since, "since"),
        until_ns=moment_ns(asked.until, "until"),
    )


def _limit_of(asked: Asked) -> int:
    return min(max(asked.limit, 1), PAGE_ROWS_MAX)


def _attempt_place(after: str | None) -> AttemptPlace:
    if after is None:
        return _NEWEST, 0
    match = _ATTEMPT.fullmatch(after)
    call_id = None if match is None else parse_call_id(match[1])
    if match is None or call_id is None:
        raise _no_place()
    return call_id, int(match[2])


def _no_place() -> Exception:
    return refuse(Fault.INVALID_REQUEST, "No page ends there. Send the `next` of the page before.", param="after")
