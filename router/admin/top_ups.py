"""Give a budget more for a while, and take it back. Budgets of the file are topped up as well.

A top-up ends by itself. It is purged from the store a week later, when the next one is made or the router starts.
"""

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from router.admin.storing import conflict, encode, members_of, require_admin, told
from router.admin.tenants import change_of
from router.domain.faults import Fault, RouterError, refuse
from router.domain.governance.budget import EACH, Budget, BudgetId, Unit
from router.domain.instants import NS_PER_S, parse_duration_ns, parse_moment_ns
from router.domain.money import nano_usd
from router.domain.principal import Principal
from router.ports.clock import Clock
from router.ports.keys import Change, SettingsRefused
from router.ports.records import Record, RecordKind, RecordRules, Records, TopUpTerms
from router.ports.snapshots import Snapshots

TOP_UPS_MAX: Final = 100
"""Top-ups of one budget that have not ended."""
SPAN_NS_MAX: Final = 366 * 86_400 * NS_PER_S
"""How long a top-up may last."""
KEPT_NS: Final = 7 * 86_400 * NS_PER_S
"""How long it is shown after its end."""
USD_MAX: Final = 1_000_000_000
AMOUNT_MAX: Final = 1_000_000_000_000_000
REASON_CHARS_MAX: Final = 500
ROUTER: Final = "checkrein"
"""The actor of what nobody asked for."""
_ID_BYTES: Final = 10
_log = logging.getLogger(__name__)

_MEMBERS: Final = {"amount_usd", "amount", "until", "for", "value", "reason"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUpFacts:
    id: str
    terms: TopUpTerms
    created_ns: int
    ended: bool


class TopUpAdmin:
    """What every façade offers of top-ups. Every method raises `RouterError`."""

    def __init__(
        self,
        *,
        store: Records,
        rules: RecordRules,
        snapshots: Snapshots,
        refresh: Callable[[], Awaitable[None]],
        clock: Clock,
        draw_bytes: Callable[[int], bytes],
        turn: asyncio.Lock,
    ) -> None:
        """As `TenantAdmin`; `draw_bytes` gives the randomness of ids."""
        self._store = store
        self._rules = rules
        self._snapshots = snapshots
        self._refresh = refresh
        self._clock = clock
        self._draw_bytes = draw_bytes
        self._turn = turn

    def require_admin(self, caller: Principal) -> None:
        """Refuse who may not administer, before more is read of the request."""
        require_admin(caller, "budgets")

    async def list(self, caller: Principal, handle: str) -> tuple[TopUpFacts, ...]:
        """Return the top-ups of a budget, by its id or name, those that ended within `KEPT_NS` included."""
        self.require_admin(caller)
        budget = await self._resolve(handle)
        found = [self._facts(record, terms) for record, terms in await self._stored() if terms.budget == budget]
        if not found and BudgetId(budget) not in self._snapshots.current.budgets:
            raise _no_budget()
        return tuple(found)

    async def create(self, caller: Principal, handle: str, body: bytes) -> TopUpFacts:
        """Give a budget in force more until a moment. It counts from the next reservation on."""
        self.require_admin(caller)
        members = members_of(body)
        async with self._turn:
            await self._refresh()
            budget = self._snapshots.current.budgets.get(BudgetId(await self._resolve(handle)))
            if budget is None:
                raise _no_budget()
            now_ns = self._clock.wall_ns()
            terms = _terms_of(members, budget, now_ns)
            await self._purge()
            stored = [one for _, one in await self._stored() if one.budget == budget.id and one.until_ns > now_ns]
            if len(stored) >= TOP_UPS_MAX:
                raise conflict(f"This budget has {TOP_UPS_MAX} top-ups already. Delete one, or raise the limit.")
            record = Record(
                kind=RecordKind.TOP_UP,
                name=f"top-{base64.b32encode(self._draw_bytes(_ID_BYTES)).decode().lower()}",
                settings_json=encode(terms),
                created_ns=now_ns,
                updated_ns=now_ns,
            )
            with told("top-up", record.name):
                record = await self._store.insert(record, change_of(caller, "create", now_ns, None, record))
            await self._refresh()
        return self._facts(record, terms)

    async def delete(self, caller: Principal, handle: str, name: str) -> None:
        """Take a top-up back. What was reserved with it stays reserved."""
        self.require_admin(caller)
        async with self._turn:
            budget = await self._resolve(handle)
            for record, terms in await self._stored():
                if record.name == name and terms.budget == budget:
                    change = change_of(caller, "delete", self._clock.wall_ns(), record, None)
                    with told("top-up", name):
                        await self._store.delete(record, change)
                    await self._refresh()
                    return
        raise refuse(Fault.NOT_FOUND, "This budget has no such top-up. List its `top_ups`.")

    async def purge(self) -> None:
        """Delete from the store what ended `KEPT_NS` ago or earlier; if it cannot be reached, next time will do."""
        async with self._turn:
            try:
                await self._purge()
            except RouterError as exc:
                _log.warning("top-ups that ended stay in the store: %s", exc)

    async def _purge(self) -> None:
        now_ns = self._clock.wall_ns()
        for record, terms in await self._stored():
            if terms.until_ns + KEPT_NS > now_ns:
                continue
            change = Change(actor=ROUTER, action="purge", at_ns=now_ns, before=record.settings_json)
            with told("top-up", record.name):
                await self._store.delete(record, change)

    async def _stored(self) -> Sequence[tuple[Record, TopUpTerms]]:
        with told("top-up"):
            records = (await self._store.read()).records
        found = []
        for record in records:
            if record.kind is not RecordKind.TOP_UP:
                continue
            try:
                found.append((record, self._rules.top_up_of(record.settings_json)))
            except SettingsRefused:
                continue  # it was left out, with an error in the log
        return found

    async def _resolve(self, handle: str) -> str:
        """Return the id of a budget in force, or of the named one, or what was sent."""
        if BudgetId(handle) in self._snapshots.current.budgets:
            return handle
        kind = RecordKind.BUDGET
        filed = self._rules.filed(kind).get(handle)
        if filed is not None:
            return self._rules.budget_of(kind, filed.settings_json) or handle
        with told("budget"):
            records = (await self._store.read()).records
        for record in records:
            if record.kind is kind and record.name == handle:
                try:
                    return self._rules.budget_of(kind, record.settings_json) or handle
                except SettingsRefused:
                    break
        return handle

    def _facts(self, record: Record, terms: TopUpTerms) -> TopUpFacts:
        ended = terms.until_ns <= self._clock.wall_ns()
        return TopUpFacts(id=record.name, terms=terms, created_ns=record.created_ns, ended=ended)


def _no_budget() -> RouterError:
    message = "There is no such budget in force. See GET /admin/v1/accounts for ids, /admin/v1/budgets for names."
    return refuse(Fault.NOT_FOUND, message)


def _terms_of(members: dict[str, object], budget: Budget, now_ns: int) -> TopUpTerms:
    unknown = members.keys() - _MEMBERS
    if unknown:
        raise _invalid(min(unknown), f"is none of {', '.join(sorted(_MEMBERS))}")
    value, reason = members.get("value", budget.scope.value), members.get("reason", "")
    if not isinstance(value, str) or not value or budget.scope.value not in (EACH, value):
        raise _invalid("value", f"names no account of this budget, which is for {budget.scope.value!r}")
    if not isinstance(reason, str) or len(reason) > REASON_CHARS_MAX:
        raise _invalid("reason", f"is not a text of at most {REASON_CHARS_MAX} characters")
    return TopUpTerms(
        budget=budget.id,
        amount=_amount_of(members, budget.unit),
        until_ns=_end_of(members, now_ns),
        value=value,
        reason=reason,
    )


def _amount_of(members: dict[str, object], unit: Unit) -> int:
    name, other = ("amount_usd", "amount") if unit is Unit.USD else ("amount", "amount_usd")
    if other in members:
        raise _invalid(other, f"does not fit: this budget counts {unit}, write `{name}`")
    amount = members.get(name)
    if unit is not Unit.USD:
        if not isinstance(amount, int) or isinstance(amount, bool) or not 0 < amount <= AMOUNT_MAX:
            raise _invalid(name, f"is not a whole number from 1 to {AMOUNT_MAX}")
        return amount
    try:
        usd = Decimal(str(amount)) if isinstance(amount, int | float | str) else Decimal("nan")
    except InvalidOperation:
        usd = Decimal("nan")
    if not usd.is_finite() or not 0 < usd <= USD_MAX:
        raise _invalid(name, f"is not an amount above 0, of at most {USD_MAX}")
    return nano_usd(usd)


def _end_of(members: dict[str, object], now_ns: int) -> int:
    until, span = members.get("until"), members.get("for")
    if (until is None) == (span is None):
        raise _invalid("until", 'or `for`: write one of the two, such as {"for": "2h"}')
    try:
        if span is not None:
            end_ns, name = now_ns + parse_duration_ns(str(span)), "for"
        else:
            end_ns, name = parse_moment_ns(str(until)), "until"
    except ValueError:
        fix = "is no moment: write 2027-01-31T12:00:00Z" if span is None else "is no duration such as 2h"
        raise _invalid("until" if span is None else "for", fix) from None
    if not now_ns < end_ns <= now_ns + SPAN_NS_MAX:
        raise _invalid(name, "is out of range: a top-up ends in the future, within 366 days")
    return end_ns


def _invalid(param: str, message: str) -> RouterError:
    return refuse(Fault.INVALID_REQUEST, f"`{param}` {message}.", param=param)
