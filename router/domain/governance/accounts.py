"""Hold, spend and give back money over many accounts at once, so that no limit is ever passed.

Laws:
1. No `reserve` or `extend` makes `posted + pending` pass a limit in any of its accounts, nor where a threshold blocks
   before it: all of them change, or none. Accounts that are only observed are told of, and refuse nothing.
2. A reservation ends once, as `_NEXT` says. Whatever comes later changes nothing and is told so. One over no account is
   forgotten as it ends: it has no money that could be posted twice.
3. Money stays in the bucket that admitted it, however late it is posted. A bucket neither counted nor held is dropped.
4. `posted` passes a limit only by an overrun (more was spent than held), a correction or a lowered limit.
5. Time only moves on: a moment before the current bucket counts in the current bucket.
6. A threshold fires once, when reached from below. A new bucket or another limit arms it again where the sum is below.

A path names accounts narrowest first. An account that it names twice (`other` stands for many) is charged twice.
At start: every `load` and `adopt`, in any order, then the first `reserve`. Nothing waits, so an operation is atomic.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from router.domain.governance.account import Account, AccountKey, AccountState, Bucket, Terms
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
    Settled,
    Stale,
    Standing,
    State,
)
from router.domain.governance.windows import bucket_at

OTHER: Final = "other"
"""The account that all values share which come after the first `VALUES_MAX` of a budget."""
VALUES_MAX: Final = 10_000
"""Accounts of one budget."""
ENDED_MAX: Final = 16_384
"""Reservations that are remembered after their end, oldest forgotten first. Pending ones are never forgotten."""


_NEXT: Final = {  # all else changes nothing
    (State.PENDING, Move.POST): State.POSTED,
    (State.PENDING, Move.VOID): State.VOIDED,
    (State.PENDING, Move.EXPIRE): State.EXPIRED,
}


# The usual ends, made once, as is the way to them: a table of enums is slow to read.
_PENDING: Final = State.PENDING
_POSTED: Final = Settled(state=_NEXT[State.PENDING, Move.POST])
_VOIDED: Final = Settled(state=_NEXT[State.PENDING, Move.VOID])
_EXPIRED: Final = Settled(state=_NEXT[State.PENDING, Move.EXPIRE])


class Hold(msgspec.Struct, gc=False):
    """A pending reservation: one bucket for each account of its path, and what it holds in every one of them."""

    buckets: tuple[Bucket, ...]
    amounts: Amounts


NO_HOLD: Final = Hold((), NOTHING)
"""Of a reservation that does not pend."""


class Accounts:
    """All accounts of one process, and every reservation that is open over them."""

    __slots__ = ("_ended", "_holds", "_known", "_terms", "_touched")

    def __init__(self, budgets: Iterable[Budget] = ()) -> None:
        self._terms: dict[BudgetId, Terms] = {}
        self._known: dict[AccountKey, Account] = {}
        self._holds: dict[int, Hold] = {}
        self._ended: OrderedDict[int, State | Exhausted] = OrderedDict()
        self._touched: dict[Bucket, None] = {}
        for budget in budgets:
            self.replace_budget(budget)

    # --- budgets and their accounts ---

    def replace_budget(self, budget: Budget) -> None:
        """Add a budget, or change its limit, top-ups, thresholds and mode at once, over whatever is open."""
        terms = self._terms.setdefault(budget.id, Terms(budget))
        was = terms.budget
        assert (was.unit, was.window, was.scope) == (budget.unit, budget.window, budget.scope), budget.id
        terms.budget = budget
        terms.refresh()

    def of(self, budget: BudgetId, value: str) -> Account:
        """Return the account of a value; new values past `VALUES_MAX` share `other`."""
        known = self._known.get((budget, value))
        if known is not None:
            return known
        terms = self._terms[budget]
        assert terms.budget.scope.value in (EACH, value), f"budget {budget!r} is not for {value!r}"
        full = len(terms.accounts) >= VALUES_MAX and value not in terms.accounts
        account = terms.account(OTHER if full else value)
        self._known[account.key] = account
        return account

    def path(self, keys: Sequence[AccountKey]) -> list[Account]:
        """Return the accounts of keys."""
        known = self._known
        return [known.get(key) or self.of(*key) for key in keys]

    def state_of(self, account: Account, wall_ns: int) -> Standing:
        if wall_ns >= account.next_ns:
            account.advance(wall_ns)
        return account.standing()

    def states(self, budgets: Iterable[BudgetId], after: AccountKey, limit: int, wall_ns: int) -> list[AccountState]:
        """Say how at most `limit` accounts of these budgets stand, in the order of their keys, from `after` on.

        A budget for one value has its account from the first time that somebody asks.
        """
        found: list[AccountState] = []
        for budget in sorted(budgets):
            if len(found) >= limit:
                break
            terms = self._terms.get(budget)
            if terms is None or budget < after[0]:
                continue
            if terms.budget.scope.value != EACH:
                self.of(budget, terms.budget.scope.value)
            values = sorted(value for value in terms.accounts if (budget, value) > after)
            for account in [terms.accounts[value] for value in values[: limit - len(found)]]:
                if wall_ns >= account.next_ns:
                    account.advance(wall_ns)
                found.append(account.state())
        return found

    # --- one reservation, from its start to its end ---

    def reserve(
        self, rid: int, path: Sequence[Account], amounts: Amounts, wall_ns: int
    ) -> tuple[Crossed, ...] | Exhausted:
        """Hold amounts in every account of a path. The same id again gets the same answer and changes nothing."""
        if rid in self._holds or rid in self._ended:
            known = self._ended.get(rid)
            return known if isinstance(known, Exhausted) else ()
        if not path:
            self._holds[rid] = Hold((), amounts)
            return ()
        buckets = []
        for account in path:
            if wall_ns >= account.next_ns:
                account.advance(wall_ns)
            buckets.append(account.bucket)
        answer = _hold(buckets, amounts)
        if isinstance(answer, Exhausted) and not answer.held:
            self._remember(rid, answer)
        else:
            self._holds[rid] = Hold(tuple(buckets), amounts)
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
        if not isinstance(answer, Exhausted) or answer.held:
            hold.amounts = hold.amounts.plus(amounts)
        return answer

    def withdraw(self, rid: int) -> None:
        """Take a pending reservation back as if it had never been made; what it crossed may be crossed again."""
        hold = self._holds.pop(rid)
        for bucket in hold.buckets:
            bucket.add(0, -hold.amounts[bucket.account.column])
            bucket.account.refresh()

    def post(self, rid: int, actual: Amounts) -> Settled | Stale:
        """End a reservation with what was really spent, be it more than was held."""
        return self._end(rid, _POSTED, actual)

    def void(self, rid: int) -> Settled | Stale:
        """End a reservation of which nothing was spent."""
        return self._end(rid, _VOIDED, NOTHING)

    def expire(self, rid: int) -> Settled | Stale:
        """End a reservation that nobody ended: what it held may have been spent, so all of it is posted."""
        hold = self._holds.get(rid)
        return self._end(rid, _EXPIRED, hold.amounts if hold else NOTHING)

    def find(self, rid: int) -> State:
        if rid in self._holds:
            return _PENDING
        known = self._ended.get(rid)
        if known is None:
            return State.UNKNOWN
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
        terms = self._terms[budget]
        account = terms.account(value)  # all that is stored: `VALUES_MAX` keeps out new values only
        bucket = account.keep(start_ns)
        bucket.add(posted - bucket.posted, 0)
        # Told before the start, until the first use finds the window, and with it what is no longer reached.
        account.fired.update(terms.budget.thresholds)
        account.next_ns = 0

    def pending(self, rid: int) -> Hold:
        """Say where a pending reservation holds its money, and how much; `NO_HOLD` if it does not pend."""
        return self._holds.get(rid, NO_HOLD)

    def adopt(self, rid: int, path: Sequence[Account], amounts: Amounts, wall_ns: int) -> tuple[Crossed, ...]:
        """Hold whatever the limits say: an open row from before the start, or a call that is only observed.

        A refused reservation may be adopted; one that pends or has ended stays as it is. What an open row crosses was
        told before the start.
        """
        if self.find(rid) not in (State.UNKNOWN, State.REFUSED):
            return ()
        self._ended.pop(rid, None)
        starts = [bucket_at(account.terms.budget.window, wall_ns).start_ns for account in path]
        buckets = tuple(
            account.bucket if start_ns < account.bucket.start_ns else account.keep(start_ns)
            for account, start_ns in zip(path, starts, strict=True)
        )
        for bucket in buckets:
            bucket.add(0, amounts[bucket.account.column])
        self._holds[rid] = Hold(buckets, amounts)
        return tuple(crossed for bucket in buckets for crossed in bucket.account.cross())

    def _end(self, rid: int, usual: Settled, actual: Amounts) -> Settled | Stale:
        assert min(actual) >= 0, actual
        hold = self._holds.pop(rid, None)
        if hold is None:
            return Stale(state=self.find(rid))
        if not hold.buckets:
            return usual
        self._remember(rid, usual.state)
        amounts, touched = hold.amounts, self._touched
        crossed: tuple[Crossed, ...] = ()
        overrun = False
        for bucket in hold.buckets:
            account = bucket.account
            column = account.column
            held, spent = amounts[column], actual[column]
            if spent:
                if spent > held:
                    overrun = True
                touched[bucket] = None
            bucket.posted += spent
            bucket.pending -= held
            if bucket.start_ns >= account.floor_ns:
                account.posted += spent
                account.pending -= held
            elif not bucket.pending:
                account.buckets.pop(bucket.start_ns, None)
            if account.posted + account.pending >= account.alert_at:
                crossed += account.cross()
        if overrun:
            return Settled(state=usual.state, overrun=actual.beyond(amounts), crossed=crossed)
        return Settled(state=usual.state, crossed=crossed) if crossed else usual

    def _remember(self, rid: int, end: State | Exhausted) -> None:
        self._ended[rid] = end
        if len(self._ended) > ENDED_MAX:
            self._ended.popitem(last=False)


def _hold(buckets: Sequence[Bucket], amounts: Amounts) -> tuple[Crossed, ...] | Exhausted:
    """Add to what is pending in every bucket, or in none. The only place that compares money with a limit."""
    assert min(amounts) >= 0, amounts
    crosses = False
    passed: Exhausted | None = None
    for place, bucket in enumerate(buckets):
        account = bucket.account
        amount = amounts[account.column]
        # A bucket that has left the window is a window of its own: that of the reservation's admission.
        counts = bucket.start_ns >= account.floor_ns
        sums = account if counts else bucket
        used = sums.posted + sums.pending + amount
        if used > account.ceiling:
            exhausted = account.refuse(sums, amount)
            if not exhausted.held:
                for held in buckets[:place]:
                    held.add(0, -amounts[held.account.column])
                return exhausted
            passed = passed or exhausted
        bucket.pending += amount
        if counts:
            account.pending += amount
        if used >= account.alert_at:
            crosses = True
    crossed: tuple[Crossed, ...] = ()
    if crosses:
        crossed = tuple(crossed for bucket in buckets for crossed in bucket.account.cross())
    return crossed if passed is None else replace(passed, crossed=crossed)
