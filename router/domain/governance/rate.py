"""Decide whether a call fits its rate limits, and keep what they have taken.

Rates follow GCRA (ITU-T I.371, the leaky bucket as a virtual schedule): a limit keeps one number, the theoretical
arrival time (TAT) at which all that was charged will have drained. The laws:

- What is charged in any window, less what is given back in it, is at most `burst + limit * window / period`.
- All limits of a call are checked before any is charged: a refused call takes nothing.
- Nothing is rounded. A unit takes `period / limit` ns to drain, which is seldom whole, so a TAT is kept in ns * limit:
  a unit is `period_ns` of these, and a nanosecond drains `limit`. Only a reload that changes a period rounds, upward.
- A TAT in the past decides as none at all does, so idle limits are forgotten.
- A limit that is only observed holds nobody up. Where one would, none of the observed ones is charged, as none would be
  by a call that is refused; those that are enforced are charged as if they were alone.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from itertools import islice
from typing import Final, NamedTuple

SWEPT_AT_A_BIRTH: Final = 2
"""Limits looked at for each new one that is kept: two for one, so that forgetting outruns remembering."""
SWEPT_AT_ONCE_MAX: Final = 256


class Unit(IntEnum):
    """What a limit counts; also its place in `Costs`."""

    REQUESTS = 0
    INPUT_TOKENS = 1
    OUTPUT_TOKENS = 2
    TOKENS = 3
    """Input and output together."""


class Costs(NamedTuple):
    """What one call takes of each unit. Make it with `costs_of`, which keeps the sum right."""

    requests: int
    input_tokens: int
    output_tokens: int
    tokens: int


NOTHING: Final = Costs(0, 0, 0, 0)


def costs_of(*, requests: int, input_tokens: int, output_tokens: int) -> Costs:
    assert min(requests, input_tokens, output_tokens) >= 0
    return Costs(requests, input_tokens, output_tokens, input_tokens + output_tokens)


class Smoothing(Enum):
    BURST = auto()
    """An idle limit lets a whole period's worth pass at once."""
    LEAKY = auto()
    """A burst of one call: the next passes when the last has drained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """So much of one unit a period. State is kept under `id`, which must be stable across reloads."""

    id: str
    scope_kind: str
    scope_value: str
    unit: Unit
    limit: int
    period_ns: int
    smoothing: Smoothing = Smoothing.BURST
    observe: bool = False
    """It counts and tells, and refuses nothing."""

    def __post_init__(self) -> None:
        assert min(self.limit, self.period_ns) >= 1, f"{self.id!r} lets nothing pass; that is no rate"

    @property
    def burst(self) -> int:
        """The largest cost that can ever pass. A leaky limit on tokens lets one call pass whole, up to its limit."""
        return 1 if self.smoothing is Smoothing.LEAKY and self.unit is Unit.REQUESTS else self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimited:
    """Not now. Of all limits that refuse, the one that refuses longest; the narrowest of equals."""

    limit_id: str
    scope_kind: str
    unit: Unit
    limit_value: int
    remaining: int
    retry_after_ns: int
    """After exactly so long the same call passes, if nobody else takes anything."""
    observed: bool = False
    """The limit is only observed: the call passes, and only what is enforced is charged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostTooLarge:
    """Never: the call costs more than its limit lets pass at once. Waiting does not help."""

    limit_id: str
    scope_kind: str
    unit: Unit
    limit_value: int
    cost: int
    cost_max: int
    observed: bool = False
    """As of `RateLimited`."""


class Standing(NamedTuple):
    """What `x-ratelimit-*` tells of one unit."""

    unit: Unit
    limit_value: int
    remaining: int
    reset_ns: int
    """Until nothing of what was taken counts any more."""


class _Bucket:
    """One limit's state. `tat` counts ns * limit, since the same origin as `now`."""

    __slots__ = ("at_once", "debt", "limit", "of", "period", "tat")

    def __init__(self, of: RateLimit, backlog: int, now: int) -> None:
        self.of = of
        self.limit = of.limit
        self.period = of.period_ns
        self.at_once = (of.limit if of.smoothing is Smoothing.BURST else 1) * of.period_ns
        self.debt = self.at_once + of.limit * of.period_ns
        self.tat = now * of.limit + min(backlog, self.debt)

    def backlog(self, now: int) -> int:
        backlog = self.tat - now * self.limit
        return backlog if backlog > 0 else 0

    def excess(self, cost: int, now: int) -> int:
        """Return how much must drain before `cost` passes; nothing or less: it passes."""
        backlog = self.backlog(now)
        if self.of.smoothing is Smoothing.LEAKY:
            return backlog
        return backlog + cost * self.period - self.at_once

    def remaining(self, backlog: int) -> int:
        """Return the largest cost that passes beside a backlog."""
        if self.of.smoothing is Smoothing.LEAKY:
            return 0 if backlog else self.of.burst
        return (self.at_once - backlog) // self.period if backlog < self.at_once else 0


def enforced(limits: Sequence[RateLimit]) -> tuple[RateLimit, ...]:
    """Leave out the limits that are only observed."""
    return tuple([limit for limit in limits if not limit.observe])


class Rates:
    """What all limits have taken. `now` is monotonic nanoseconds; the limits of one call have distinct ids."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def charge(self, limits: Sequence[RateLimit], costs: Costs, now: int) -> RateLimited | CostTooLarge | None:
        """Take `costs` of every limit, or of none and say why. What costs nothing is not held up.

        Where only an observed limit would refuse, it says so and takes `costs` of all that are enforced.
        """
        find = self._buckets.get
        taken = []
        fresh: tuple[_Bucket, ...] = ()
        for limit in limits:
            cost = costs[limit.unit]
            if not cost:
                continue
            bucket = find(limit.id)
            if bucket is None or bucket.of is not limit:
                bucket = self._look(limit, now)
                fresh += (bucket,)
            at = now * bucket.limit
            tat = bucket.tat
            if tat < at:
                tat = at
            tat += cost * bucket.period
            # A leaky limit on tokens lets a call of many tokens pass when it is idle: only the slow look knows that.
            if tat - at > bucket.at_once and (cost > limit.burst or bucket.excess(cost, now) > 0):
                refusal = self.peek(limits, costs, now)
                if refusal is not None and refusal.observed:
                    self.charge(enforced(limits), costs, now)
                return refusal
            taken.append((bucket, tat))
        for bucket, tat in taken:
            bucket.tat = tat
        if fresh:
            self._keep(fresh, now)
        return None

    def peek(self, limits: Sequence[RateLimit], costs: Costs, now: int) -> RateLimited | CostTooLarge | None:
        """Say what `charge` would, and take nothing."""
        alone = enforced(limits)
        refusal = self._peek(alone, costs, now)
        if refusal is not None or len(alone) == len(limits):
            return refusal
        return self._peek([limit for limit in limits if limit.observe], costs, now)

    def _peek(self, limits: Sequence[RateLimit], costs: Costs, now: int) -> RateLimited | CostTooLarge | None:
        refusal: RateLimited | None = None
        for limit in limits:
            cost = costs[limit.unit]
            if cost > limit.burst:
                return CostTooLarge(
                    limit_id=limit.id,
                    scope_kind=limit.scope_kind,
                    unit=limit.unit,
                    limit_value=limit.limit,
                    cost=cost,
                    cost_max=limit.burst,
                    observed=limit.observe,
                )
            bucket = self._look(limit, now)
            excess = bucket.excess(cost, now) if cost else 0
            wait_ns = -(-excess // limit.limit)
            if wait_ns > (refusal.retry_after_ns if refusal else 0):
                refusal = RateLimited(
                    limit_id=limit.id,
                    scope_kind=limit.scope_kind,
                    unit=limit.unit,
                    limit_value=limit.limit,
                    remaining=bucket.remaining(bucket.backlog(now)),
                    retry_after_ns=wait_ns,
                    observed=limit.observe,
                )
        return refusal

    def correct(self, limits: Sequence[RateLimit], charged: Costs, actual: Costs, now: int) -> None:
        """Put what a call really took in the place of what it was charged.

        Never gives back more than was charged, nor to a limit more than it still holds. More than was charged is a
        debt, of at most one period beyond the burst. The limit's figures in force count, not those of the charge.
        """
        find = self._buckets.get
        for limit in limits:
            unit = limit.unit
            delta = actual[unit] - charged[unit]
            if not delta:
                continue
            bucket = find(limit.id)
            if bucket is None:
                if delta < 0:
                    continue
                bucket = _Bucket(limit, 0, now)
                self._keep((bucket,), now)
            at = now * bucket.limit
            tat = bucket.tat
            if tat < at:
                tat = at
            tat += delta * bucket.period
            bucket.tat = tat if tat - at < bucket.debt else at + bucket.debt

    def standings(self, limits: Sequence[RateLimit], now: int) -> list[Standing]:
        """Report each unit's tightest limit: the one with least remaining, of equals the one that resets last.

        Keeps and forgets nothing, so that another thread may ask.
        """
        find = self._buckets.get
        tightest: dict[Unit, Standing] = {}
        for limit in limits:
            bucket = find(limit.id)
            if bucket is None or bucket.of is not limit:
                bucket = self._look(limit, now)
            backlog = bucket.tat - now * bucket.limit
            if backlog <= 0:
                remaining, reset_ns = limit.burst, 0
            else:
                remaining, reset_ns = bucket.remaining(backlog), -(-backlog // bucket.limit)
            unit = limit.unit
            known = tightest.get(unit)
            if known is None or (remaining, known.reset_ns) < (known.remaining, reset_ns):
                tightest[unit] = Standing(unit, limit.limit, remaining, reset_ns)
        return list(tightest.values())

    def sweep(self, now: int, examined: int = SWEPT_AT_ONCE_MAX) -> None:
        """Forget idle limits among those not looked at for longest, so that memory follows the busy ones."""
        for name in list(islice(self._buckets, examined)):
            if self._buckets[name].backlog(now):
                self._buckets.move_to_end(name)
            else:
                del self._buckets[name]

    def _look(self, limit: RateLimit, now: int) -> _Bucket:
        """Return the limit's state, not yet kept if it is new. If a reload changed its figures, what is taken stays."""
        bucket = self._buckets.get(limit.id)
        if bucket is None:
            return _Bucket(limit, 0, now)
        if bucket.of is limit:
            return bucket
        if bucket.of == limit:
            bucket.of = limit
            return bucket
        return _Bucket(limit, -(-bucket.backlog(now) * limit.period_ns // bucket.period), now)

    def _keep(self, fresh: Sequence[_Bucket], now: int) -> None:
        self.sweep(now, SWEPT_AT_A_BIRTH * len(fresh))
        for bucket in fresh:
            self._buckets[bucket.of.id] = bucket
