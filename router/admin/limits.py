"""Show administrators every limit on speed in force and how it stands, and what providers say of theirs on us."""

import base64
import binascii
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from router.domain.catalog import Snapshot
from router.domain.faults import Fault, refuse
from router.domain.governance.permits import ConcurrencyLimit
from router.domain.governance.rate import RateLimit, Smoothing, Unit
from router.domain.principal import Permission, Principal
from router.ports.limit_states import LimitStates, UpstreamStanding
from router.ports.snapshots import Snapshots

PAGE_LIMITS: Final = 100
PAGE_LIMITS_MAX: Final = 1_000
KINDS: Final = ("deployment", "key", "organization", "team", "user")
_NAMES: Final = {
    Unit.REQUESTS: "rpm",
    Unit.TOKENS: "tpm",
    Unit.INPUT_TOKENS: "input_tpm",
    Unit.OUTPUT_TOKENS: "output_tpm",
}
_CONCURRENCY: Final = "concurrency"

Limit = RateLimit | ConcurrencyLimit
Place = tuple[str, ...]
"""Of a limit its scope's kind and value and its name; of an upstream its deployment and credential."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitState:
    """How one limit stands: a rate says what remains, of calls at once it is said how many are in use."""

    scope_kind: str
    scope_value: str
    limit: str
    limit_value: int
    remaining: int | None = None
    in_use: int | None = None
    reset_ns: int | None = None
    smoothing: Smoothing | None = None
    observed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitPage:
    limits: tuple[LimitState, ...]
    next: str | None
    """Where the next page goes on; None: this is the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamPage:
    upstreams: tuple[UpstreamStanding, ...]
    next: str | None


class LimitAdmin:
    """What every façade offers of limits. Every method raises `RouterError`."""

    def __init__(self, *, states: LimitStates, snapshots: Snapshots) -> None:
        self._states = states
        self._snapshots = snapshots
        self._listed: tuple[Snapshot | None, list[tuple[Place, Limit]]] = None, []
        """The limits of a snapshot in order: with 10,000 keys they are too many to collect for each page."""

    def list(
        self,
        caller: Principal,
        *,
        kind: str | None = None,
        value: str | None = None,
        after: str | None = None,
        limit: int = PAGE_LIMITS,
    ) -> LimitPage:
        """Return limits by scope and name, those of one kind or one value if wanted.

        A limit out of bounds is brought into them.
        """
        _check_admin(caller)
        if kind is not None and kind not in KINDS:
            message = f"There is no such kind of scope. Use one of {', '.join(KINDS)}."
            raise refuse(Fault.INVALID_REQUEST, message, param="kind")
        wanted = [
            listed for listed in self._in_force() if kind in (None, listed[0][0]) and value in (None, listed[0][1])
        ]
        rows, more = _page([place for place, _ in wanted], after, 3, limit)
        return LimitPage(limits=tuple([self._state(*wanted[row]) for row in rows]), next=more)

    def upstreams(self, caller: Principal, *, after: str | None = None, limit: int = PAGE_LIMITS) -> UpstreamPage:
        """Return what providers said by deployment and credential. A limit out of bounds is brought into them."""
        _check_admin(caller)
        upstreams = self._states.upstreams()
        rows, more = _page([(one.deployment, one.credential) for one in upstreams], after, 2, limit)
        return UpstreamPage(upstreams=tuple([upstreams[row] for row in rows]), next=more)

    def _in_force(self) -> Sequence[tuple[Place, Limit]]:
        snapshot, listed = self._listed
        if snapshot is not self._snapshots.current:
            snapshot = self._snapshots.current
            named = {(limit.scope_kind, limit.scope_value, _name(limit)): limit for limit in _limits_of(snapshot)}
            listed = sorted(named.items())
            self._listed = snapshot, listed
        return listed

    def _state(self, place: Place, limit: Limit) -> LimitState:
        kind, value, name = place
        if isinstance(limit, ConcurrencyLimit):
            in_use = self._states.in_use(limit)
            return LimitState(
                scope_kind=kind,
                scope_value=value,
                limit=name,
                limit_value=limit.limit,
                in_use=in_use,
                observed=limit.observe,
            )
        standing = self._states.standing(limit)
        return LimitState(
            scope_kind=kind,
            scope_value=value,
            limit=name,
            limit_value=limit.limit,
            remaining=standing.remaining,
            reset_ns=standing.reset_ns,
            smoothing=limit.smoothing,
            observed=limit.observe,
        )


def _check_admin(caller: Principal) -> None:
    if Permission.ADMIN not in caller.permissions:
        message = "This key may not look at limits. Use one with the permission `admin`."
        raise refuse(Fault.PERMISSION_DENIED, message)


def _name(limit: Limit) -> str:
    return _CONCURRENCY if isinstance(limit, ConcurrencyLimit) else _NAMES[limit.unit]


def _limits_of(snapshot: Snapshot) -> Iterator[Limit]:
    """Yield what a call may meet: limits of keys and of those they spend for, of users who may be named, of models."""
    for entry in snapshot.keys.values():
        if not entry.revoked:
            yield from entry.principal.rate_limits
            yield from entry.principal.concurrency_limits
    for bounds in snapshot.users.values():
        yield from bounds.rate_limits
        yield from bounds.concurrency_limits
    for model in snapshot.models.values():
        for deployment in model.deployments:
            yield from deployment.rate_limits
            yield from deployment.concurrency_limits


def _page(places: Sequence[Place], after: str | None, length: int, limit: int) -> tuple[range, str | None]:
    """Return the rows of the page that follows `after`, and where the next one goes on."""
    first = 0 if after is None else bisect_right(places, _place(after, length))
    last = min(first + min(max(limit, 1), PAGE_LIMITS_MAX), len(places))
    return range(first, last), _cursor(places[last - 1]) if last < len(places) else None


def _cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _place(after: str, length: int) -> Place:
    try:
        text = base64.b64decode(after + "=" * (-len(after) % 4), altchars=b"-_", validate=True)
        place = msgspec.json.decode(text, type=Place)
    except (binascii.Error, ValueError, RecursionError):
        place = ()
    if len(place) != length:
        message = "No page ends there. Send the `next` of the page before."
        raise refuse(Fault.INVALID_REQUEST, message, param="after")
    return place
