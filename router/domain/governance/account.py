"""Keep the money of one account by the moment that admitted it, and know when it passes what.

Only `accounts` changes these objects; its laws hold here too. Sums are kept at hand for the hot path: `refresh` works
them out from scratch whenever the window or the terms change.
"""

from dataclasses import dataclass
from typing import Final

from router.domain.governance.budget import EACH, Budget, BudgetId, Crossed, Exhausted, Scope, Standing, Threshold, Unit
from router.domain.governance.windows import bucket_at, counted_from, leaves_at

AccountKey = tuple[BudgetId, str]
"""A budget, and one value of its scope."""
Booking = tuple[BudgetId, str, int, int]
"""Where money is held or posted: account, start of the bucket, member of `Amounts`. All that a store must know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """How one account stands, in the unit of its budget."""

    budget: Budget
    value: str
    limit: int
    """What tops it up included."""
    used: int
    """Posted in this window."""
    reserved: int
    """Held by calls that are still open."""
    resets_at_ns: int | None


_COLUMN: Final = {unit: column for column, unit in enumerate(Unit)}
_OUT_OF_REACH: Final = 1 << 127


class Bucket:
    """The money of one account that was admitted in one span of time."""

    __slots__ = ("account", "booking", "pending", "posted", "start_ns")

    def __init__(self, account: "Account", start_ns: int) -> None:
        self.account = account
        self.start_ns = start_ns
        self.booking: Booking = (*account.key, start_ns, account.column)
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


class Terms:
    """A budget as it is now, and its accounts by value."""

    __slots__ = ("accounts", "budget")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
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
        "ceiling",
        "column",
        "end_ns",
        "fired",
        "floor_ns",
        "key",
        "limit",
        "next_ns",
        "pending",
        "posted",
        "seen_ns",
        "terms",
        "unit",
    )

    def __init__(self, terms: Terms, value: str) -> None:
        self.terms = terms
        self.key: AccountKey = (terms.budget.id, value)
        self.unit = terms.budget.unit
        self.column = _COLUMN[terms.budget.unit]
        self.buckets: dict[int, Bucket] = {}
        self.bucket = Bucket(self, -1)  # of no moment: the first use finds the real one
        self.floor_ns = self.end_ns = self.seen_ns = 0
        self.fired: set[Threshold] = set()
        self.refresh()

    def refresh(self) -> None:
        """Work out from scratch what follows from the buckets and the terms."""
        counted = self._counted()
        self.posted = sum(bucket.posted for bucket in counted)
        self.pending = sum(bucket.pending for bucket in counted)
        budget, (_, value) = self.terms.budget, self.key
        more = [one for one in budget.top_ups if one.value in (EACH, value) and one.until_ns > self.seen_ns]
        self.limit = budget.limit + sum(one.amount for one in more)
        self.ceiling = budget.ceiling(self.limit)
        self.next_ns = min([self.end_ns, *(one.until_ns for one in more)])
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
        self.seen_ns = max(self.seen_ns, wall_ns)
        self.refresh()

    def keep(self, start_ns: int) -> Bucket:
        return self.buckets.setdefault(start_ns, Bucket(self, start_ns))

    def cross(self) -> tuple[Crossed, ...]:
        """Fire the thresholds that are reached and have not fired."""
        new = [one for one in self._reached() if one not in self.fired]
        self.fired.update(new)
        self._aim()
        budget, value = self.key
        return tuple(Crossed(budget=budget, value=value, at_pct=one.at_pct, action=one.action) for one in new)

    def refuse(self, sums: "Account | Bucket", wanted: int) -> Exhausted:
        """Say why it does not fit; that it is held nevertheless, where the budget is only observed."""
        budget = self.terms.budget
        return Exhausted(
            budget=budget.id,
            scope=Scope(kind=budget.scope.kind, value=self.key[1]),
            unit=budget.unit,
            limit_value=self.ceiling,
            used=sums.posted,
            reserved=sums.pending,
            wanted=wanted,
            resets_at_ns=self._resets_at(wanted) if sums is self else None,
            held=budget.observe,
        )

    def standing(self) -> Standing:
        used, observed = self.posted + self.pending, self.terms.budget.observe
        reached = () if observed else self._reached()
        return Standing(
            actions=tuple(dict.fromkeys(one.action for one in reached if one.counts_pending)),
            limit=self.limit,
            used=self.posted,
            reserved=self.pending,
            used_pct=used * 100 // self.limit if self.limit else 100,
            room=self.ceiling - used,
            resets_at_ns=self._resets_at(0),
            observed=observed,
        )

    def state(self) -> AccountState:
        return AccountState(
            budget=self.terms.budget,
            value=self.key[1],
            limit=self.limit,
            used=self.posted,
            reserved=self.pending,
            resets_at_ns=self._resets_at(0),
        )

    def _counted(self) -> list[Bucket]:
        return [self.buckets[start] for start in sorted(self.buckets) if start >= self.floor_ns]

    def _reached(self) -> list[Threshold]:
        return self.terms.budget.reached(self.limit, self.posted, self.pending)

    def _aim(self) -> None:
        """Keep the lowest level that may still fire at hand: the hot path compares one integer."""
        armed = (one.level(self.limit) for one in self.terms.budget.thresholds if one not in self.fired)
        self.alert_at = min(armed, default=_OUT_OF_REACH)

    def _resets_at(self, wanted: int) -> int | None:
        excess = self.posted + self.pending + wanted - self.ceiling
        leaves_ns = None
        for bucket in self._counted():
            if not bucket.posted + bucket.pending and bucket is not self.bucket:
                continue  # no money leaves with it
            leaves_ns = leaves_at(self.terms.budget.window, bucket.start_ns)
            excess -= bucket.posted + bucket.pending
            if excess <= 0:
                break
        return leaves_ns
