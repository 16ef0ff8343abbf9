"""Keep the ledger in dictionaries, for tests and simulations: it forgets everything when its process ends."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import product
from typing import Final

import msgspec

from router.domain.governance.account import AccountKey, AccountState
from router.domain.governance.accounts import Accounts
from router.domain.governance.budget import Amounts, Budget, BudgetId, Crossed, Exhausted, Stale, Standing
from router.domain.governance.ledger import hold, is_held, post, room_of
from router.domain.governance.sizing import Room
from router.domain.ids import CallId, Epoch
from router.domain.instants import NS_PER_S
from router.domain.settlement import Outcome, Reservation, Settlement, StoredRecord, tag_values
from router.domain.stream import ReplyMode
from router.ports.ledger import CallRecord, LedgerUnavailable
from router.ports.usage import UsageGroup, UsageQuery, UsageReport, UsageTotal

_VALUES: Final[dict[UsageGroup, Callable[[CallRecord], Sequence[str]]]] = {
    "key": lambda call: [call.key_id],
    "team": lambda call: ["/".join(filter(None, (call.organization, call.team))) if call.team else ""],
    "organization": lambda call: [call.organization or ""],
    "user": lambda call: [call.user or ""],
    "agent": lambda call: [call.agent or ""],
    "workflow": lambda call: [call.workflow_id or ""],
    "model": lambda call: [call.asked_model],
    "deployment": lambda call: [call.served_deployment or ""],
    "tag": lambda call: tag_values(call.tags) or [""],
    "day": lambda call: [datetime.fromtimestamp(call.started_ns // NS_PER_S, UTC).date().isoformat()],
}
_NO_FAILURE: Final = frozenset({Outcome.COMPLETED, Outcome.CLIENT_CANCELLED})


class MemoryLedger:
    """Grows without bound, which is why no server uses it."""

    def __init__(self, epoch: Epoch) -> None:
        self._epoch = epoch
        self._calls: dict[CallId, CallRecord] = {}
        self._stored: dict[str, StoredRecord] = {}
        self._accounts = Accounts()
        self._closed = False

    @property
    def epoch(self) -> Epoch:
        return self._epoch

    async def reserve(self, reservation: Reservation, wall_ns: int) -> tuple[Crossed, ...] | Exhausted:
        if self._closed or reservation.id in self._calls:
            raise LedgerUnavailable("the ledger could not commit the call")
        answer = hold(self._accounts, reservation, wall_ns)
        if is_held(answer):
            self._calls[reservation.id] = _open_record(reservation)
        return answer

    def extend(self, call_id: CallId, amounts: Amounts, wall_ns: int) -> tuple[Crossed, ...] | Exhausted | Stale:
        if self._closed:
            raise LedgerUnavailable("the ledger is closed")
        answer = self._accounts.extend(call_id, amounts, wall_ns)
        if is_held(answer):
            held = self._accounts.pending(call_id).amounts
            self._calls[call_id] = msgspec.structs.replace(self._calls[call_id], hold_nano_usd=held.usd)
        return answer

    def settle(self, settlement: Settlement) -> tuple[Crossed, ...]:
        opened = self._calls.get(settlement.id)
        if opened is not None and opened.outcome is not None:
            return ()
        hold_nano_usd = self._accounts.pending(settlement.id).amounts.usd
        self._calls[settlement.id] = _settled_record(settlement, hold_nano_usd)
        if settlement.stored is not None:
            self._stored[settlement.stored.id] = StoredRecord(
                key_id=settlement.key_id, started_ns=settlement.started_ns, reply=settlement.stored
            )
        return post(self._accounts, settlement)

    def room(self, path: Sequence[AccountKey], wall_ns: int, *, observed: bool = False) -> Room:
        return room_of(self._accounts, path, wall_ns, observed=observed)

    def standing(self, key: AccountKey, wall_ns: int) -> Standing:
        return self._accounts.state_of(self._accounts.of(*key), wall_ns)

    def account_states(
        self, of: Iterable[BudgetId], after: AccountKey, limit: int, wall_ns: int
    ) -> Sequence[AccountState]:
        return self._accounts.states(of, after, limit, wall_ns)

    def set_budgets(self, budgets: Iterable[Budget]) -> None:
        for budget in budgets:
            self._accounts.replace_budget(budget)

    async def read_call(self, call_id: CallId) -> CallRecord | None:
        return self._calls.get(call_id)

    async def read_stored(self, reply_id: str) -> StoredRecord | None:
        return self._stored.get(reply_id)

    async def usage(self, asked: UsageQuery) -> UsageReport:
        groups: dict[tuple[str, ...], list[CallRecord]] = {}
        for call in self._calls.values():
            if call.outcome is not None and _is_asked_for(asked, call):
                for values in product(*(_VALUES[group](call) for group in asked.by)):
                    groups.setdefault(values, []).append(call)
        totals = sorted((_total(*group) for group in groups.items()), key=lambda one: (-one.cost_nano_usd, one.group))
        return UsageReport(totals=tuple(totals[: asked.limit]), truncated=len(totals) > asked.limit, partial=False)

    async def close(self) -> None:
        self._closed = True


def _open_record(reservation: Reservation) -> CallRecord:
    labels = reservation.labels
    return CallRecord(
        id=reservation.id,
        request_id=reservation.request_id,
        key_id=reservation.key_id,
        workflow_id=labels.workflow_id,
        parent_call_id=labels.parent_call_id,
        agent=labels.agent,
        tags=labels.tags,
        asked_model=reservation.asked_model,
        started_ns=reservation.started_ns,
        hold_nano_usd=reservation.hold_nano_usd,
    )


def _settled_record(settlement: Settlement, hold_nano_usd: int) -> CallRecord:
    labels = settlement.labels
    usage = settlement.usage
    return CallRecord(
        id=settlement.id,
        request_id=settlement.request_id,
        key_id=settlement.key_id,
        organization=settlement.organization,
        team=settlement.team,
        user=settlement.user,
        workflow_id=labels.workflow_id,
        parent_call_id=labels.parent_call_id,
        agent=labels.agent,
        tags=labels.tags,
        route=settlement.route,
        stream=settlement.mode is ReplyMode.STREAM,
        asked_model=settlement.asked_model,
        served_deployment=settlement.served_deployment,
        served_model=settlement.served_model,
        started_ns=settlement.started_ns,
        duration_ns=settlement.duration_ns,
        first_token_ns=settlement.first_token_ns,
        outcome=settlement.outcome,
        fault=settlement.fault,
        input_tokens=usage.input,
        cached_input_tokens=usage.cached_input,
        cache_write_tokens=usage.cache_write,
        output_tokens=usage.output,
        reasoning_tokens=usage.reasoning,
        usage_estimated=usage.estimated,
        hold_nano_usd=hold_nano_usd,
        cost_nano_usd=settlement.cost_nano_usd,
        price_version=settlement.price_version,
        would_refuse=settlement.would_refuse,
        priority=settlement.priority,
        decision=settlement.decision,
        substituted=None if settlement.substituted is None else settlement.substituted.text,
        attempts=settlement.attempts,
    )


def _is_asked_for(asked: UsageQuery, call: CallRecord) -> bool:
    wanted = [
        (asked.key, call.key_id),
        (asked.agent, call.agent),
        (asked.workflow, call.workflow_id),
        (asked.model, call.asked_model),
    ]
    teams = (None, call.team, *_VALUES["team"](call))
    return (
        all(text is None or text == found for text, found in wanted)
        and (asked.team in teams)
        and (asked.since_ns is None or call.started_ns >= asked.since_ns)
        and (asked.until_ns is None or call.started_ns < asked.until_ns)
    )


def _total(group: tuple[str, ...], calls: Sequence[CallRecord]) -> UsageTotal:
    return UsageTotal(
        group=group,
        calls=len(calls),
        failed_calls=sum(call.outcome not in _NO_FAILURE for call in calls),
        input_tokens=sum(call.input_tokens for call in calls),
        cached_input_tokens=sum(call.cached_input_tokens for call in calls),
        output_tokens=sum(call.output_tokens for call in calls),
        reasoning_tokens=sum(call.reasoning_tokens for call in calls),
        cost_nano_usd=sum(call.cost_nano_usd or 0 for call in calls),
        unpriced_calls=sum(call.cost_nano_usd is None for call in calls),
    )
