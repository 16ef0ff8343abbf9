"""Show administrators who changed what: keys, tenants, budgets and top-ups, page by page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from router.admin.moments import Moment, moment_ns
from router.admin.storing import require_admin, told
from router.domain.faults import Fault, refuse
from router.domain.principal import Principal
from router.ports.keys import AuditRow
from router.ports.records import AuditFilter, Records

PAGE_ROWS: Final = 100
PAGE_ROWS_MAX: Final = 1_000
_ID_DIGITS_MAX: Final = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditAsked:
    """What an administrator looks for, as it was written. None: anything."""

    kind: str | None = None
    subject: str | None = None
    actor: str | None = None
    action: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    after: str | None = None
    """The `next` of the page before."""
    limit: int = PAGE_ROWS
    """Brought into its bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    rows: Sequence[AuditRow]
    next: str | None
    """Where the next page goes on; None: this is the last."""


class AuditAdmin:
    """What every façade offers of the audit. Every method raises `RouterError`."""

    def __init__(self, store: Records) -> None:
        self._store = store

    async def list(self, caller: Principal, asked: AuditAsked) -> AuditPage:
        """Return changes, newest first."""
        require_admin(caller, "the audit")
        limit = min(max(asked.limit, 1), PAGE_ROWS_MAX)
        sought = AuditFilter(
            kind=asked.kind,
            subject=asked.subject,
            actor=asked.actor,
            action=asked.action,
            since_ns=moment_ns(asked.since, "since"),
            until_ns=moment_ns(asked.until, "until"),
            before_id=_place(asked.after),
        )
        with told("audit"):
            rows = await self._store.audit(sought, limit + 1)
        more = len(rows) > limit
        return AuditPage(rows=rows[:limit], next=str(rows[limit - 1].id) if more else None)


def _place(after: str | None) -> int | None:
    if after is None:
        return None
    if not (after.isascii() and after.isdigit() and len(after) <= _ID_DIGITS_MAX):
        raise refuse(Fault.INVALID_REQUEST, "No page ends there. Send the `next` of the page before.", param="after")
    return int(after)
