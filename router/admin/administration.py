"""Put together all that can be administered, once, for every façade."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from router.admin.audit import AuditAdmin
from router.admin.breakers import BreakerAdmin
from router.admin.budgets import BudgetAdmin
from router.admin.keys import KeyAdmin
from router.admin.ledger import LedgerAdmin
from router.admin.limits import LimitAdmin
from router.admin.tenants import TenantAdmin
from router.admin.top_ups import TopUpAdmin
from router.admin.usage import UsageAdmin
from router.domain.dispatch.breakers import Breakers
from router.ports.account_states import AccountStates
from router.ports.clock import Clock
from router.ports.keys import KeyRules, Keys
from router.ports.ledger_pages import LedgerPages
from router.ports.limit_states import LimitStates
from router.ports.records import RecordRules, Records
from router.ports.snapshots import Snapshots
from router.ports.usage import Usage


class Rules(KeyRules, RecordRules, Snapshots, Protocol):
    """The configuration in force: what it says of anything that is administered."""


class History(LedgerPages, Usage, Protocol):
    """What is on record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Administration:
    """What façades offer to administrators."""

    keys: KeyAdmin
    tenants: TenantAdmin
    top_ups: TopUpAdmin
    audit: AuditAdmin
    budgets: BudgetAdmin
    limits: LimitAdmin
    breakers: BreakerAdmin
    usage: UsageAdmin
    ledger: LedgerAdmin


def administer(
    *,
    keys: Keys,
    records: Records,
    rules: Rules,
    refresh: Callable[[], Awaitable[None]],
    accounts: AccountStates,
    history: History,
    limits: LimitStates,
    breakers: Breakers,
    clock: Clock,
    draw_bytes: Callable[[int], bytes],
) -> Administration:
    """`refresh` brings in force what is stored; `draw_bytes` gives randomness fit for secrets."""
    turn = asyncio.Lock()  # one change of what is stored is checked and made at a time
    return Administration(
        keys=KeyAdmin(store=keys, rules=rules, refresh=refresh, clock=clock, draw_bytes=draw_bytes, turn=turn),
        tenants=TenantAdmin(store=records, rules=rules, refresh=refresh, clock=clock, turn=turn),
        top_ups=TopUpAdmin(
            store=records,
            rules=rules,
            snapshots=rules,
            refresh=refresh,
            clock=clock,
            draw_bytes=draw_bytes,
            turn=turn,
        ),
        audit=AuditAdmin(records),
        budgets=BudgetAdmin(accounts=accounts, snapshots=rules, clock=clock),
        limits=LimitAdmin(states=limits, snapshots=rules),
        breakers=BreakerAdmin(breakers=breakers, clock=clock),
        usage=UsageAdmin(history),
        ledger=LedgerAdmin(history),
    )
