"""Decide which deployments may serve a request now. Every one that is dropped carries its reason.

Deployments that are slow or fail at times are ejected as long as half of those that can serve the request are well.
With more than half of them out for whatever reason, the ejected ones are asked after the others: a slow reply is better
than none, and calls that all go to the few that are left would bring those down too.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from router.domain.catalog import Deployment
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


class Dropped(NamedTuple):
    deployment: Deployment
    reason: DropReason
    detail: str | int | None = None
    """The capabilities that it lacks; the dialect; its window; or until when it rests, in monotonic nanoseconds."""

    @property
    def until_ns(self) -> int | None:
        """Until when it rests; None: it does not, or nobody knows."""
        rests = self.reason in (DropReason.RESTING, DropReason.EJECTED)
        return self.detail if rests and isinstance(self.detail, int) else None


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


class Sifted(NamedTuple):
    kept: Sequence[Deployment]
    dropped: Sequence[Dropped]
    spared: frozenset[TargetId]
    """Of those that are kept, those that would be left alone if fewer were."""


def free_at(dropped: Iterable[Dropped]) -> int | None:
    """Return when the first of those that rest may be asked again; None: nobody knows."""
    return min([one.until_ns for one in dropped if one.until_ns is not None], default=None)


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
    for one in deployments:
        why = _why_not(one, needs, health, now, is_full)
        if why is None:
            kept.append(one)
        else:
            dropped.append(why)
    spared: list[Deployment] = []
    if any(one.reason is DropReason.EJECTED for one in dropped) and _most_are_out(deployments, needs, health, now):
        ejected = [one.deployment for one in dropped if one.reason is DropReason.EJECTED]
        spared = [one for one in ejected if not _is_full(one, is_full)]
        dropped = [one for one in dropped if one.reason is not DropReason.EJECTED]
        dropped += [Dropped(one, DropReason.FULL) for one in ejected if one not in spared]
        kept += spared
    if keep_one and not kept:
        kept = _largest(dropped)
        dropped = [one for one in dropped if one.deployment not in kept]
    return Sifted(kept, dropped, frozenset([one.target for one in spared]))


def _most_are_out(deployments: Iterable[Deployment], needs: Needs, health: Health, now: int) -> bool:
    """Tell whether more than half of those that can serve the request are out."""
    out = [health.is_out(one.target, now) for one in deployments if _lacks(one, needs) is None]
    return 2 * out.count(True) > len(out)


def _why_not(
    one: Deployment, needs: Needs, health: Health, now: int, is_full: Callable[[Deployment], bool]
) -> Dropped | None:
    until = health.peek(one.target, now)
    if until is not None and not health.is_ejected(one.target, now):
        return Dropped(one, DropReason.RESTING, until)
    if (lacks := _lacks(one, needs)) is not None:
        return lacks
    if until is not None:
        return Dropped(one, DropReason.EJECTED, until)
    return Dropped(one, DropReason.FULL) if _is_full(one, is_full) else None


def _lacks(one: Deployment, needs: Needs) -> Dropped | None:
    if needs.dialect not in one.dialects and spoken_for(needs.dialect, one.dialects) is None:
        return Dropped(one, DropReason.DIALECT, needs.dialect)
    if one.lacks and (lacking := one.lacks & needs.capabilities):
        return Dropped(one, DropReason.CAPABILITY, ",".join(sorted(lacking)))
    if one.context_window is not None and needs.tokens > one.context_window:
        return Dropped(one, DropReason.CONTEXT_WINDOW, one.context_window)
    return None


def _is_full(one: Deployment, is_full: Callable[[Deployment], bool]) -> bool:
    return bool(one.concurrency_limits or one.adaptive) and is_full(one)


def _largest(dropped: Sequence[Dropped]) -> list[Deployment]:
    """Return the largest of those that are dropped for their window alone."""
    small = [one.deployment for one in dropped if one.reason is DropReason.CONTEXT_WINDOW]
    window = max([one.context_window or 0 for one in small], default=0)
    return [one for one in small if one.context_window == window]
