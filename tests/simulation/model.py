"""Keep the money of all accounts the naive way: every booking in a list, every sum worked out when it is asked for."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo

from router.domain.governance.budget import Amounts, Budget, BudgetId, Unit
from router.domain.governance.windows import Calendar, CalendarUnit, Rolling

Account = tuple[BudgetId, str]
Place = tuple[BudgetId, str, int]
"""An account and the start of a bucket."""

HOUR_NS = 3_600_000_000_000
MEMBERS = list(Unit)


class Broken(AssertionError):
    """A law does not hold."""


def law(holds: object, text: str) -> None:
    if not holds:
        raise Broken(text)


@dataclass(slots=True, kw_only=True)
class Hold:
    places: list[Place]
    held: Amounts
    observed: bool


@dataclass(slots=True)
class Model:
    budgets: dict[BudgetId, Budget]
    posted: Counter[Place] = field(default_factory=Counter)
    holds: dict[int, Hold] = field(default_factory=dict)
    ended: dict[int, Hold] = field(default_factory=dict)
    excess: Counter[Account] = field(default_factory=Counter)
    """What overruns and observed calls may add beyond a limit."""
    highest: dict[BudgetId, int] = field(default_factory=dict)
    """The highest limit that was ever in force."""
    accounts: dict[Account, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.highest = {name: budget.limit for name, budget in self.budgets.items()}

    def replace(self, budget: Budget) -> None:
        self.budgets[budget.id] = budget
        self.highest[budget.id] = max(self.highest[budget.id], budget.limit)

    def sums(self, account: Account, start_ns: int, wall_ns: int) -> tuple[int, int]:
        """Return what is posted and what is held beside a booking of the bucket at `start_ns`."""
        floor_ns = self.floor(account, wall_ns)
        if start_ns >= floor_ns:
            return self._sum(account, floor_ns, None)
        return self._sum(account, start_ns, start_ns)  # a window of its own

    def now(self, account: Account, wall_ns: int) -> tuple[int, int]:
        return self._sum(account, self.floor(account, wall_ns), None)

    def floor(self, account: Account, wall_ns: int) -> int:
        budget = self.budgets[account[0]]
        start_ns = start_of(budget, wall_ns)
        if isinstance(budget.window, Rolling):
            return start_ns - 59 * budget.window.bucket_ns
        return start_ns

    def fits(self, places: list[Place], amounts: Amounts, wall_ns: int) -> bool:
        """Say whether every account has room; one that is named twice is not drawn by any run."""
        for budget, value, start_ns in places:
            posted, held = self.sums((budget, value), start_ns, wall_ns)
            if posted + held + self.amount(budget, amounts) > self.budgets[budget].limit:
                return False
        return True

    def amount(self, budget: BudgetId, amounts: Amounts) -> int:
        return amounts[MEMBERS.index(self.budgets[budget].unit)]

    def hold(self, call_id: int, places: list[Place], amounts: Amounts, *, observed: bool) -> None:
        law(call_id not in self.holds, f"call {call_id} holds twice")
        self.holds[call_id] = Hold(places=places, held=amounts, observed=observed)
        for budget, value, _ in places:
            self.accounts[budget, value] = None
            if observed:
                self.excess[budget, value] += self.amount(budget, amounts)

    def extend(self, call_id: int, amounts: Amounts) -> None:
        hold = self.holds[call_id]
        hold.held = hold.held.plus(amounts)

    def repost(self, call_id: int, spent: Amounts) -> None:
        """Post all that a call held, though it had ended with less."""
        hold = self.ended[call_id]
        for budget, value, start_ns in hold.places:
            self.posted[budget, value, start_ns] += self.amount(budget, hold.held) - self.amount(budget, spent)
            self.excess[budget, value] += self.amount(budget, hold.held)

    def end(self, call_id: int, spent: Amounts) -> None:
        hold = self.ended[call_id] = self.holds.pop(call_id)
        for budget, value, start_ns in hold.places:
            amount = self.amount(budget, spent)
            self.posted[budget, value, start_ns] += amount
            self.excess[budget, value] += max(0, amount - self.amount(budget, hold.held))

    def check_limits(self, wall_ns: int) -> None:
        for account in self.accounts:
            posted, held = self.now(account, wall_ns)
            most = self.highest[account[0]] + self.excess[account]
            law(posted + held <= most, f"{account}: posted {posted} + held {held} > {most}, which nothing explains")

    def _sum(self, account: Account, first_ns: int, last_ns: int | None) -> tuple[int, int]:
        budget = account[0]

        def counts(place: Place) -> bool:
            return place[:2] == account and place[2] >= first_ns and (last_ns is None or place[2] <= last_ns)

        posted = sum(amount for place, amount in self.posted.items() if counts(place))
        held = sum(
            self.amount(budget, hold.held) for hold in self.holds.values() for place in hold.places if counts(place)
        )
        return posted, held


def start_of(budget: Budget, wall_ns: int) -> int:
    """Find the bucket of a moment the long way round."""
    window = budget.window
    if isinstance(window, Rolling):
        return wall_ns // window.bucket_ns * window.bucket_ns
    if isinstance(window, Calendar):
        span_ns = HOUR_NS if window.unit is CalendarUnit.HOUR else 24 * HOUR_NS
        ahead_ns = _offset_ns(window.zone)
        return (wall_ns + ahead_ns) // span_ns * span_ns - ahead_ns
    return 0


def _offset_ns(zone: tzinfo) -> int:
    """Zones of the runs never change their clocks."""
    offset = zone.utcoffset(datetime(2027, 1, 1, tzinfo=zone))
    assert offset is not None
    return offset // timedelta(microseconds=1) * 1_000
