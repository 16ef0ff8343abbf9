"""Decide which deployments may serve a request now. Every one that is dropped carries its reason."""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from router.domain.catalog import Deployment
from router.domain.ids import TargetId
from router.domain.planning.needs import Needs


class DropReason(StrEnum):
    CAPABILITY = "capability"
    CONTEXT_WINDOW = "context_window"
    RESTING = "resting"
    """Its breaker is open, or the provider has asked us to wait."""
    FULL = "full"
    """As many calls as it may have are under way."""
    NO_ROOM = "no_room"
    """Its limits, ours or its provider's, leave no room for the call: it comes after those that have some."""


TIMED: Final = frozenset({DropReason.RESTING, DropReason.NO_ROOM})
"""Reasons that hold until a time."""


class Dropped(NamedTuple):
    deployment: Deployment
    reason: DropReason
    detail: str | int | None = None
    """The capabilities that it lacks; its window; or until when it holds, in monotonic nanoseconds."""


class Sifted(NamedTuple):
    kept: list[Deployment]
    dropped: list[Dropped]


def free_at(dropped: Iterable[Dropped]) -> int | None:
    """Return when the first of those that rest may be asked again; None: nobody knows."""
    ends = [one.detail for one in dropped if one.reason is DropReason.RESTING and isinstance(one.detail, int)]
    return min(ends, default=None)


def sift(
    deployments: Iterable[Deployment],
    needs: Needs,
    *,
    rests_until: Callable[[TargetId], int | None],
    is_full: Callable[[Deployment], bool],
    keep_one: bool = True,
) -> Sifted:
    """Tell who may be asked from who may not.

    `keep_one`: a prompt that seems too long for all of them is left to the largest, for an estimate refuses nobody.
    """
    kept: list[Deployment] = []
    dropped: list[Dropped] = []
    wanted, tokens = needs.capabilities, needs.tokens
    for one in deployments:
        until = rests_until(one.target)
        if until is not None:
            dropped.append(Dropped(one, DropReason.RESTING, until))
        elif one.lacks and (lacking := one.lacks & wanted):
            dropped.append(Dropped(one, DropReason.CAPABILITY, ",".join(sorted(lacking))))
        elif one.context_window is not None and tokens > one.context_window:
            dropped.append(Dropped(one, DropReason.CONTEXT_WINDOW, one.context_window))
        elif (one.concurrency_limits or one.adaptive) and is_full(one):
            dropped.append(Dropped(one, DropReason.FULL))
        else:
            kept.append(one)
    if keep_one and not kept:
        kept = _largest(dropped)
        dropped = [one for one in dropped if one.deployment not in kept]
    return Sifted(kept, dropped)


def set_back(kept: Sequence[Deployment], wait_ns: Callable[[Deployment], int], now: int) -> Sifted:
    """Tell who certainly has no room for a call now, soonest first, from the others.

    What a provider said of its limits may be old, so nobody is left out for it: where none has room, none is set back.
    """
    behind = [Dropped(one, DropReason.NO_ROOM, now + span_ns) for one in kept if (span_ns := wait_ns(one)) > 0]
    if not behind or len(behind) == len(kept):
        return Sifted(list(kept), [])
    behind.sort(key=_until)
    without = {one.deployment.target for one in behind}
    return Sifted([one for one in kept if one.target not in without], behind)


def _until(dropped: Dropped) -> int:
    assert isinstance(dropped.detail, int), "it has a time"
    return dropped.detail


def _largest(dropped: Sequence[Dropped]) -> list[Deployment]:
    """Return the largest of those that are dropped for their window alone."""
    small = [one.deployment for one in dropped if one.reason is DropReason.CONTEXT_WINDOW]
    window = max([one.context_window or 0 for one in small], default=0)
    return [one for one in small if one.context_window == window]
