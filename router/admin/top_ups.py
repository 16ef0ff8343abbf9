"""Give a budget more for a while, and take it back. Budgets of the file are topped up as well.

A top-up ends by itself. It is purged from the store a week later, when the next one is made or the router starts.
"""

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple

from router.admin.storing import conflict, encode, members_of, require_admin, told
from router.admin.tenants import change_of
from router.domain.faults import Fault, RouterError, refuse
from router.domain.governance.budget import EACH, Budget, BudgetId, Unit
from router.domain.instants import NS_PER_S, parse_duration_ns, parse_moment_ns
from router.domain.money import NANO_PER_USD, nano_usd
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


class TopUpNames(NamedTuple):
    """What members are called where the top-up was written, for refusals."""

    amount: str = "amount"
    span: str = "lasting"


_COUNTED: Final = TopUpNames()


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUpAsked:
    """How much more, and until when: one of the two ends."""

    amount: int
    """In the budget's unit, and nano-USD where that is USD."""
    until_ns: int | None = None
    """Unix nanoseconds."""
    span_ns: int | None = None
    """From now on."""
    value: str | None = None
    """Whose account; None and `*`: each that the budget has."""
    reason: str = ""
    names: TopUpNames = _COUNTED


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

    async def create(self, caller: Principal, handle: str, asked: TopUpAsked | bytes) -> TopUpFacts:
        """Give a budget in force more until a moment. It counts from the next reservation on.

        `asked` may be JSON, whose members depend on the budget's unit.
        """
        self.require_admin(caller)
        said = members_of(asked) if isinstance(asked, bytes) else asked
        async with self._turn:
            await self._refresh()
            budget = self._snapshots.current.budgets.get(BudgetId(await self._resolve(handle)))
            if budget is None:
                raise _no_budget()
            now_ns = self._clock.wall_ns()
            terms = _terms_of(said if isinstance(said, TopUpAsked) else _asked_of(said, budget.unit), budget, now_ns)
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


def _asked_of(members: dict[str, object], unit: Unit) -> TopUpAsked:
    """Read the members of a JSON object. Raises `RouterError`."""
    unknown = members.keys() - _MEMBERS
    if unknown:
        raise _invalid(min(unknown), f"is none of {', '.join(sorted(_MEMBERS))}")
    value, reason = members.get("value"), members.get("reason", "")
    if "value" in members and not isinstance(value, str):
        raise _invalid("value", "is no text")
    if not isinstance(reason, str):
        raise _invalid("reason", "is no text")
    name, other = ("amount_usd", "amount") if unit is Unit.USD else ("amount", "amount_usd")
    if other in members:
        raise _invalid(other, f"does not fit: this budget counts {unit}, write `{name}`")
    until, span = members.get("until"), members.get("for")
    return TopUpAsked(
        amount=_amount_of(members.get(name), unit),
        until_ns=None if until is None else _instant_of("until", str(until), parse_moment_ns),
        span_ns=None if span is None else _instant_of("for", str(span), parse_duration_ns),
        value=value if isinstance(value, str) else None,
        reason=reason,
        names=TopUpNames(amount=name, span="for"),
    )


def _amount_of(amount: object, unit: Unit) -> int:
    """Return what was written in the unit; 0, which nobody may give, where it is no amount."""
    if unit is not Unit.USD:
        return amount if isinstance(amount, int) and not isinstance(amount, bool) else 0
    try:
        usd = Decimal(str(amount)) if isinstance(amount, int | float | str) else Decimal(0)
    except InvalidOperation:
        return 0
    # What is beyond is not counted out: an exponent of a few digits would be a number of a million.
    return nano_usd(usd) if usd.is_finite() and 0 < usd <= USD_MAX else 0


def _instant_of(name: str, text: str, parse: Callable[[str], int]) -> int:
    try:
        return parse(text)
    except (ValueError, OverflowError):
        fix = "is no duration such as 2h" if name == "for" else "is no moment: write 2027-01-31T12:00:00Z"
        raise _invalid(name, fix) from None


def _terms_of(asked: TopUpAsked, budget: Budget, now_ns: int) -> TopUpTerms:
    """Keep a top-up within its bounds, whoever wrote it in which way. Raises `RouterError`."""
    names = asked.names
    value = budget.scope.value if asked.value is None or asked.value == EACH else asked.value
    if not value or budget.scope.value not in (EACH, value):
        raise _invalid("value", f"names no account of this budget, which is for {budget.scope.value!r}")
    if len(asked.reason) > REASON_CHARS_MAX:
        raise _invalid("reason", f"is longer than {REASON_CHARS_MAX} characters")
    if budget.unit is Unit.USD and not 0 < asked.amount <= USD_MAX * NANO_PER_USD:
        raise _invalid(names.amount, f"is not an amount above 0, of at most {USD_MAX} USD")
    if budget.unit is not Unit.USD and not 0 < asked.amount <= AMOUNT_MAX:
        raise _invalid(names.amount, f"is not a whole number from 1 to {AMOUNT_MAX}")
    if asked.until_ns is not None and asked.span_ns is None:
        end_ns, name = asked.until_ns, "until"
    elif asked.until_ns is None and asked.span_ns is not None:
        end_ns, name = now_ns + asked.span_ns, names.span
    else:
        raise _invalid("until", f"or `{names.span}`: write one of the two")
    if not now_ns < end_ns <= now_ns + SPAN_NS_MAX:
        raise _invalid(name, "is out of range: a top-up ends in the future, within 366 days")
    return TopUpTerms(budget=budget.id, amount=asked.amount, until_ns=end_ns, value=value, reason=asked.reason)


def _invalid(param: str, message: str) -> RouterError:
    return refuse(Fault.INVALID_REQUEST, f"`{param}` {message}.", param=param)
