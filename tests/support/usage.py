"""Ask for usage in few words."""

import msgspec

from router.adapters.ledger_memory import MemoryLedger
from router.adapters.ledger_sqlite import SqliteLedger
from router.ports.ledger import Ledger, LedgerUnavailable
from router.ports.usage import Usage, UsageGroup, UsageQuery, UsageReport, UsageTotal


async def totals_by(usage: Usage, *by: UsageGroup) -> tuple[UsageTotal, ...]:
    return (await usage.usage(UsageQuery(by=by))).totals


def usage_of(ledger: Ledger) -> Usage:
    """Find what adds up a ledger's own calls."""
    if isinstance(ledger, SqliteLedger):
        return ledger.history
    assert isinstance(ledger, MemoryLedger)
    return ledger


async def calls_on_record(ledger: Ledger) -> int:
    return sum(total.calls for total in await totals_by(usage_of(ledger), "key"))


REPORT = UsageReport(
    totals=(
        UsageTotal(
            group=("=ci",),
            calls=3,
            failed_calls=1,
            input_tokens=100,
            cached_input_tokens=30,
            output_tokens=7,
            reasoning_tokens=2,
            cost_nano_usd=1_500_000_001,
            unpriced_calls=1,
        ),
        UsageTotal(
            group=("",),
            calls=1,
            failed_calls=0,
            input_tokens=0,
            cached_input_tokens=0,
            output_tokens=0,
            reasoning_tokens=0,
            cost_nano_usd=0,
            unpriced_calls=0,
        ),
    ),
    truncated=True,
    partial=False,
)


class FixedUsage:
    """Tells the same of everything, and remembers what it was asked for."""

    def __init__(self, broken: LedgerUnavailable | None = None) -> None:
        self.report = REPORT
        self.asked: list[UsageQuery] = []
        self._broken = broken

    async def usage(self, asked: UsageQuery) -> UsageReport:
        self.asked.append(asked)
        if self._broken is not None:
            raise self._broken
        totals = [msgspec.structs.replace(total, group=total.group[:1] * len(asked.by)) for total in REPORT.totals]
        self.report = msgspec.structs.replace(REPORT, totals=tuple(totals))
        return self.report
