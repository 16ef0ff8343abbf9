"""Hold, spend and give back money over many accounts at once, so that no limit is ever passed.

Laws:
1. No `reserve` or `extend` makes `posted + pending` pass a limit in any of its accounts: all of them change, or none.
2. A reservation ends once, as `_NEXT` says. Whatever comes later changes nothing and is told so.
3. Money stays in the bucket that admitted it, however late it is posted. A bucket neither counted nor held is dropped.
4. `posted` passes a limit only by an overrun (more was spent than held), a correction or a lowered limit.
5. Time only moves on: a moment before the current bucket counts in the current bucket.
6. A threshold fires once, when reached from below. A new bucket or another limit arms it again where the sum is below.

A path names accounts narrowest first. An account that it names twice (`other` stands for many) is charged twice.
At start: every `load` and `adopt`, in any order, then the first `reserve`. Nothing waits, so an operation is atomic.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from router.domain.governance.budget import (
    EACH,
    NOTHING,
    Amounts,
    Budget,
    BudgetId,
    Crossed,
    Elsewhere,
    Exhausted,
    Move,
    Scope,
    Settled,
    Stale,
    Standing,
    State,
    Threshold,
    Unit,
)
from router.domain.governance.windows import bucket_at, counted_from, leaves_at

OTHER: Final = "other"
"""The account that all values share which come after the first `VALUES_MAX` of a budget."""
VALUES_MAX: Final = 10_000
"""Accounts of one budget."""
ENDED_MAX: Final = 16_384
"""Reservations that are remembered after their end, oldest forgotten first. Pending ones are never forgotten."""

AccountKey = tuple[BudgetId, str]

_COLUMN: Final = {unit: column for column, unit in enumerate(Unit)}
_OUT_OF_REACH: Final = 1 << 127


_NEXT: Final = {  # all else changes nothing
    (State.PENDING, Move.POST): State.POSTED,
    (State.PENDING, Move.VOID): State.VOIDED,
    (State.PENDING, Move.EXPIRE): State.EXPIRED,
}


_SETTLED: Final = {state: Settled(state=state) for state in _NEXT.values()}  # the usual end, made once


class _Bucket:
    """The money of one account that was admitted in one span of time."""

    __slots__ = ("account", "pending", "posted", "start_ns")

    def __init__(self, account: "Account", start_ns: int) -> None:
        self.account = account
        self.start_ns = start_ns
        self.posted = 0
        self.pending = 0

    def add(self, posted: int, pending: int) -> None:
        """Change the bucket, and the sums of its account while it counts there."""
        self.posted += posted
        self.pending += pending
        account = self.account
        if self.start_ns >= account.floor_ns:
            account.posted += posted
            account.pending += pending


class _Hold(msgspec.Struct, gc=False):
    """A pending reservation: one bucket for each account of its path, and what it holds in every one of them."""

    buckets: list[_Bucket]
    amounts: Amounts


class _Terms:
    """A budget as it is now, what tops it up and until when, and its accounts by value."""

    __slots__ = ("accounts", "budget", "top_ups")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.top_ups: list[tuple[int, int]] = []
        self.accounts: dict[str, Account] = {}

    def account(self, value: str) -> "Account":
        if value not in self.accounts:
            self.accounts[value] = Account(self, value)
        return self.accounts[value]

    def refresh(self) -> None:
        for account in self.accounts.values():
            account.refresh()


class Account:
    """One budget's money for one value of its scope. Look it up once and keep it; only `Accounts` changes it."""

    __slots__ = (
        "alert_at",
        "bucket",
        "buckets",
        "column",
        "end_ns",
        "fired",
        "floor_ns",
        "key",
        "limit",
        "next_ns",
        "pending",
        "posted",
        "terms",
    )

    def __init__(self, terms: _Terms, value: str) -> None:
        self.terms = terms
        self.key: AccountKey = (terms.budget.id, value)
        self.column = _COLUMN[terms.budget.unit]
        self.buckets: dict[int, _Bucket] = {}
        self.bucket = _Bucket(self, -1)  # of no moment: the first use finds the real one
        self.floor_ns = self.end_ns = 0
        self.fired: set[Threshold] = set()
        self.refresh()

    def refresh(self) -> None:
        """Work out from scratch what follows from the buckets and the terms."""
        counted = self._counted()
        self.posted = sum(bucket.posted for bucket in counted)
        self.pending = sum(bucket.pending for bucket in counted)
        self.limit = self.terms.budget.limit + sum(amount for amount, _ in self.terms.top_ups)
        self.next_ns = min([self.end_ns, *(until_ns for _, until_ns in self.terms.top_ups)])
        self.fired.intersection_update(self._reached())
        self._aim()

    def advance(self, wall_ns: int) -> None:
        """Move on to a moment at or after `next_ns`: into a new bucket, past the end of a top-up, or both."""
        if wall_ns >= self.end_ns:
            window = self.terms.budget.window
            start_ns, self.end_ns = bucket_at(window, wall_ns)
            self.floor_ns = counted_from(window, start_ns)
            self.bucket = self.keep(start_ns)
            kept = self.buckets.items()
            self.buckets = {start: one for start, one in kept if start >= self.floor_ns or one.pending}
        self.terms.top_ups = [one for one in self.terms.top_ups if one[1] > wall_ns]
        self.refresh()

    def keep(self, start_ns: int) -> _Bucket:
        return self.buckets.setdefault(start_ns, _Bucket(self, start_ns))

    def cross(self) -> tuple[Crossed, ...]:
        """Fire the thresholds that are reached and have not fired."""
        new = [one for one in self._reached() if one not in self.fired]
        self.fired.update(new)
        self._aim()
        budget, value = self.key
        return tuple(Crossed(budget=budget, value=value, at_pct=one.at_pct, action=one.action) for one in new)

    def refuse(self, sums: "Account | _Bucket", wanted: int) -> Exhausted:
        budget = self.terms.budget
        return Exhausted(
            budget=budget.id,
            scope=Scope(kind=budget.scope.kind, value=self.key[1]),
            unit=budget.unit,
            limit_value=self.limit,
            used=sums.posted,
            reserved=sums.pending,
            wanted=wanted,
            resets_at_ns=self._resets_at(wanted) if sums is self else None,
        )

    def standing(self) -> Standing:
        used = self.posted + self.pending
        return Standing(
            actions=tuple(dict.fromkeys(one.action for one in self._reached() if one.counts_pending)),
            used_pct=used * 100 // self.limit if self.limit else 100,
            room=self.limit - used,
            resets_at_ns=self._resets_at(0),
        )

    def _counted(self) -> list[_Bucket]:
        return [self.buckets[start] for start in sorted(self.buckets) if start >= self.floor_ns]

    def _reached(self) -> list[Threshold]:
        return self.terms.budget.reached(self.limit, self.posted, self.pending)

    def _aim(self) -> None:
        """Keep the lowest level that may still fire at hand: the hot path compares one integer."""
        armed = (one.level(self.limit) for one in self.terms.budget.thresholds if one not in self.fired)
        self.alert_at = min(armed, default=_OUT_OF_REACH)

    def _resets_at(self, wanted: int) -> int | None:
        excess = self.posted + self.pending + wanted - self.limit
        leaves_ns = None
        for bucket in self._counted():
            leaves_ns = leaves_at(self.terms.budget.window, bucket.start_ns)
            excess -= bucket.posted + bucket.pending
            if excess <= 0:
                break
        return leaves_ns


class Accounts:
    """All accounts of one process, and every reservation that is open over them."""

    __slots__ = ("_ended", "_holds", "_terms", "_touched")

    def __init__(self, budgets: Iterable[Budget] = ()) -> None:
        self._terms: dict[BudgetId, _Terms] = {}
        self._holds: dict[int, _Hold] = {}
        self._ended: OrderedDict[int, State | Exhausted] = OrderedDict()
        self._touched: dict[_Bucket, None] = {}
        for budget in budgets:
            self.replace_budget(budget)

    # --- budgets and their accounts ---

    def replace_budget(self, budget: Budget) -> None:
        """Add a budget, or change its limit, thresholds and mode at once, over whatever is open."""
        terms = self._terms.setdefault(budget.id, _Terms(budget))
        was = terms.budget
        assert (was.unit, was.window, was.scope) == (budget.unit, budget.window, budget.scope), budget.id
        terms.budget = budget
        terms.refresh()

    def top_up(self, budget: BudgetId, amount: int, until_ns: int) -> None:
        """Raise the limit of each of a budget's accounts for a while."""
        terms = self._terms[budget]
        terms.top_ups.append((amount, until_ns))
        terms.refresh()

    def of(self, budget: BudgetId, value: str) -> Account:
        """Return the account of a value; new values past `VALUES_MAX` share `other`."""
        terms = self._terms[budget]
        assert terms.budget.scope.value in (EACH, value), f"budget {budget!r} is not for {value!r}"
        full = len(terms.accounts) >= VALUES_MAX and value not in terms.accounts
        return terms.account(OTHER if full else value)

    def state_of(self, account: Account, wall_ns: int) -> Standing:
        if wall_ns >= account.next_ns:
            account.advance(wall_ns)
        return account.standing()

    # --- one reservation, from its start to its end ---

    def reserve(
        self, rid: int, path: Sequence[Account], amounts: Amounts, wall_ns: int
    ) -> tuple[Crossed, ...] | Exhausted:
        """Hold amounts in every account of a path. The same id again gets the same answer and changes nothing."""
        if rid in self._holds or rid in self._ended:
            known = self._ended.get(rid)
            return known if isinstance(known, Exhausted) else ()
        buckets = []
        for account in path:
            if wall_ns >= account.next_ns:
                account.advance(wall_ns)
            buckets.append(account.bucket)
        answer = _hold(buckets, amounts)
        if isinstance(answer, Exhausted):
            self._remember(rid, answer)
        else:
            self._holds[rid] = _Hold(buckets, amounts)
        return answer

    def extend(self, rid: int, amounts: Amounts, wall_ns: int) -> tuple[Crossed, ...] | Exhausted | Stale:
        """Hold more in the buckets of the reservation. Refused, it stands as it was. Each call adds: it has no id."""
        hold = self._holds.get(rid)
        if hold is None:
            return Stale(state=self.find(rid))
        for bucket in hold.buckets:
            if wall_ns >= bucket.account.next_ns:
                bucket.account.advance(wall_ns)
        answer = _hold(hold.buckets, amounts)
        if not isinstance(answer, Exhausted):
            hold.amounts = hold.amounts.plus(amounts)
        return answer

    def post(self, rid: int, actual: Amounts) -> Settled | Stale:
        """End a reservation with what was really spent, be it more than was held."""
        return self._end(rid, Move.POST, actual)

    def void(self, rid: int) -> Settled | Stale:
        """End a reservation of which nothing was spent."""
        return self._end(rid, Move.VOID, NOTHING)

    def expire(self, rid: int) -> Settled | Stale:
        """End a reservation that nobody ended: what it held may have been spent, so all of it is posted."""
        hold = self._holds.get(rid)
        return self._end(rid, Move.EXPIRE, hold.amounts if hold else NOTHING)

    def find(self, rid: int) -> State:
        if rid in self._holds:
            return State.PENDING
        known = self._ended.get(rid, State.UNKNOWN)
        return State.REFUSED if isinstance(known, Exhausted) else known

    def correct(self, account: Account, delta: int, admitted_ns: int) -> tuple[Crossed, ...] | Elsewhere:
        """Change what an ended reservation posted, in the bucket of its admission. Each call adds: it has no id."""
        start_ns = bucket_at(account.terms.budget.window, admitted_ns).start_ns
        bucket = account.buckets.get(start_ns)
        if bucket is None or bucket.posted + delta < 0:
            return Elsewhere(start_ns=start_ns)
        bucket.add(delta, 0)
        self._touched[bucket] = None
        return account.cross()

    # --- what the store keeps: posted by bucket; pending is the sum of its open rows ---

    def touched(self) -> list[tuple[AccountKey, int, int]]:
        """Drain the balances that changed since the last call: account, start of the bucket, posted."""
        changed = [(bucket.account.key, bucket.start_ns, bucket.posted) for bucket in self._touched]
        self._touched.clear()
        return changed

    def load(self, key: AccountKey, start_ns: int, posted: int) -> None:
        """Take a stored balance: those of the window, and those of buckets that open rows were admitted to."""
        budget, value = key
        account = self._terms[budget].account(value)  # all that is stored: `VALUES_MAX` keeps out new values only
        account.keep(start_ns).posted = posted
        account.refresh()
        account.cross()  # told before the start

    def adopt(self, rid: int, path: Sequence[Account], amounts: Amounts, wall_ns: int) -> None:
        """Take over an open row from before the start, in the buckets of its admission, whatever the limits say now."""
        if self.find(rid) is not State.UNKNOWN:
            return
        buckets = [account.keep(bucket_at(account.terms.budget.window, wall_ns).start_ns) for account in path]
        for bucket in buckets:
            bucket.add(0, amounts[bucket.account.column])
            bucket.account.cross()  # told before the start
        self._holds[rid] = _Hold(buckets, amounts)

    def _end(self, rid: int, move: Move, actual: Amounts) -> Settled | Stale:
        was = self.find(rid)
        state = _NEXT.get((was, move))
        if state is None:
            return Stale(state=was)
        assert min(actual) >= 0, actual
        hold = self._holds.pop(rid)
        self._remember(rid, state)
        crossed: tuple[Crossed, ...] = ()
        overrun = False
        for bucket in hold.buckets:
            account = bucket.account
            held, spent = hold.amounts[account.column], actual[account.column]
            overrun = overrun or spent > held
            bucket.add(spent, -held)
            if spent:
                self._touched[bucket] = None
            if account.posted + account.pending >= account.alert_at:
                crossed += account.cross()
            if bucket.start_ns < account.floor_ns and not bucket.pending:
                account.buckets.pop(bucket.start_ns, None)
        if overrun:
            return Settled(state=state, overrun=actual.beyond(hold.amounts), crossed=crossed)
        return Settled(state=state, crossed=crossed) if crossed else _SETTLED[state]

    def _remember(self, rid: int, end: State | Exhausted) -> None:
        self._ended[rid] = end
        if len(self._ended) > ENDED_MAX:
            self._ended.popitem(last=False)


def _hold(buckets: list[_Bucket], amounts: Amounts) -> tuple[Crossed, ...] | Exhausted:
    """Add to what is pending in every bucket, or in none. The only place that compares money with a limit."""
    assert min(amounts) >= 0, amounts
    crosses = False
    for place, bucket in enumerate(buckets):
        account = bucket.account
        amount = amounts[account.column]
        # A bucket that has left the window is a window of its own: that of the reservation's admission.
        sums = account if bucket.start_ns >= account.floor_ns else bucket
        used = sums.posted + sums.pending + amount
        if used > account.limit:
            for held in buckets[:place]:
                held.add(0, -amounts[held.account.column])
            return account.refuse(sums, amount)
        bucket.add(0, amount)
        crosses = crosses or used >= account.alert_at
    if not crosses:
        return ()
    return tuple(crossed for bucket in buckets for crossed in bucket.account.cross())
