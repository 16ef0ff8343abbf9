"""Decide which deployments may serve a request now. Every one that is dropped carries its reason.

Deployments that are slow or fail at times are ejected as long as half of those that can serve the request are well.
With more than half of them out for whatever reason, the ejected ones are asked after the others: a slow reply is better
than none, and calls that all go to the few that are left would bring those down too. Those whose limits leave no room
for the call come after all of these: a slow reply is better than a refusal.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

import msgspec

from router.domain.catalog import Deployment, Model
from router.domain.dialects.dialect import spoken_for
from router.domain.ids import TargetId
from router.domain.planning.needs import Needs


class DropReason(StrEnum):
    CAPABILITY = "capability"
    DIALECT = "dialect"
    """What was asked cannot be said to its provider."""
    CONTEXT_WINDOW = "context_window"
    RESTING = "resting"
    """Its breaker is open, or the provider has asked us to wait."""
    EJECTED = "ejected"
    """It answers, but is slow or fails too often, and at least half of the others are well."""
    FULL = "full"
    """As many calls as it may have are under way."""
    NO_ROOM = "no_room"
    """Its limits, ours or its provider's, leave no room for the call: it comes after those that have some."""


_TIMED: Final = (DropReason.RESTING, DropReason.EJECTED, DropReason.NO_ROOM)
NOBODY: Final[frozenset[TargetId]] = frozenset()


class Dropped(NamedTuple):
    deployment: Deployment
    reason: DropReason
    detail: str | int | None = None
    """The capabilities that it lacks; the dialect; its window; or until when it holds, in monotonic nanoseconds."""

    @property
    def until_ns(self) -> int | None:
        """Until when it rests, is ejected or has no room; None: it is dropped for what no time changes."""
        return self.detail if self.reason in _TIMED and isinstance(self.detail, int) else None


class Health(Protocol):
    """What is known of each target."""

    def peek(self, target: TargetId, now: int) -> int | None:
        """Say until when it is left alone; None: it may be asked."""
        ...

    def is_ejected(self, target: TargetId, now: int) -> bool:
        """Tell whether it is left alone though it answers at least sometimes."""
        ...

    def is_out(self, target: TargetId, now: int) -> bool:
        """Tell whether calls cannot count on it: it is left alone, or only being tried."""
        ...


class Sifted(msgspec.Struct, frozen=True):
    kept: Sequence[Deployment]
    dropped: Sequence[Dropped]
    spared: frozenset[TargetId]
    """Of those that are kept or set back, those that would be left alone if fewer were."""


def free_at(dropped: Iterable[Dropped]) -> int | None:
    """Return when the first of those that are left alone may be asked again; None: nobody knows."""
    ends = [one.until_ns for one in dropped if one.until_ns is not None and one.reason is not DropReason.NO_ROOM]
    return min(ends, default=None)


def suits(model: Model, needs: Needs) -> bool:
    """Tell whether each of a model's deployments can do what is asked, and takes any number of calls at once.

    Then `sift` keeps all that are well: mostly nobody need be looked at alone.
    """
    return (
        needs.dialect in model.dialects
        and not model.bounded
        and (model.window is None or needs.tokens <= model.window)
        and needs.capabilities.isdisjoint(model.lacks)
    )


def sift(
    deployments: Sequence[Deployment],
    needs: Needs,
    *,
    health: Health,
    now: int,
    is_full: Callable[[Deployment], bool],
    keep_one: bool = True,
) -> Sifted:
    """Tell who may be asked from who may not.

    `keep_one`: a prompt that seems too long for all of them is left to the largest, for an estimate refuses nobody.
    """
    kept: list[Deployment] = []
    dropped: list[Dropped] = []
    able: list[Deployment] = []
    ejected: list[Deployment] = []
    dialect, wanted, tokens = needs.dialect, needs.capabilities, needs.tokens
    for one in deployments:
        why: Dropped | None = None
        if dialect not in one.dialects and spoken_for(dialect, one.dialects) is None:
            why = Dropped(one, DropReason.DIALECT, dialect)
        elif one.lacks and (lacking := one.lacks & wanted):
            why = Dropped(one, DropReason.CAPABILITY, ",".join(sorted(lacking)))
        elif one.context_window is not None and tokens > one.context_window:
            why = Dropped(one, DropReason.CONTEXT_WINDOW, one.context_window)
        else:
            able.append(one)
        until = health.peek(one.target, now)
        if until is not None:
            if not health.is_ejected(one.target, now):
                why = Dropped(one, DropReason.RESTING, until)
            elif why is None:
                why = Dropped(one, DropReason.EJECTED, until)
                ejected.append(one)
        elif why is None and (one.concurrency_limits or one.adaptive) and is_full(one):
            why = Dropped(one, DropReason.FULL)
        if why is None:
            kept.append(one)
        else:
            dropped.append(why)
    spared: list[Deployment] = []
    if ejected and _most_are_out(able, health, now):
        spared = [one for one in ejected if not is_full(one)]
        dropped = [one for one in dropped if one.reason is not DropReason.EJECTED]
        dropped += [Dropped(one, DropReason.FULL) for one in ejected if one not in spared]
        kept += spared
    if keep_one and not kept:
        kept = _largest(dropped)
        dropped = [one for one in dropped if one.deployment not in kept]
    return Sifted(kept, dropped, frozenset([one.target for one in spared]) if spared else NOBODY)


def _most_are_out(able: Sequence[Deployment], health: Health, now: int) -> bool:
    """Tell whether more than half of those that can serve the request are out."""
    return 2 * [health.is_out(one.target, now) for one in able].count(True) > len(able)


def set_back(sifted: Sifted, wait_ns: Callable[[Deployment], int], now: int) -> Sifted:
    """Take those out that certainly have no room for a call now, soonest first; as soon, the spared last.

    What a provider said of its limits may be old, so nobody is left out for it: they come after all others, and where
    none has room, none is set back.
    """
    kept = sifted.kept
    behind = [Dropped(one, DropReason.NO_ROOM, now + span_ns) for one in kept if (span_ns := wait_ns(one)) > 0]
    if not behind or len(behind) == len(kept):
        return sifted
    behind.sort(key=_until)  # in the order of those kept where alike, and that has the spared last
    without = {one.deployment.target for one in behind}
    return Sifted([one for one in kept if one.target not in without], [*sifted.dropped, *behind], sifted.spared)


def _until(dropped: Dropped) -> int:
    assert dropped.until_ns is not None, "it has a time"
    return dropped.until_ns


def _largest(dropped: Sequence[Dropped]) -> list[Deployment]:
    """Return the largest of those that are dropped for their window alone."""
    small = [one.deployment for one in dropped if one.reason is DropReason.CONTEXT_WINDOW]
    window = max([one.context_window or 0 for one in small], default=0)
    return [one for one in small if one.context_window == window]
