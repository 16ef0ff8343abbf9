"""Decide what a team's administrator may give to a key: nothing that its own key has not."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from router.domain.principal import Permission

_WILD: Final = frozenset("*?[")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyGrants:
    """What a key may, as far as one key can give it to another."""

    team: str | None = None
    """`organization/team`"""
    user: str | None = None
    permissions: frozenset[Permission] = frozenset({Permission.INFERENCE})
    models: tuple[str, ...] = ()
    observed: bool = False
    """By its own setting."""
    allowed: frozenset[str] = frozenset()
    """The members of `allow` that are true."""
    urgency: int = 0
    """Place of the highest class that its calls may have; 0 is the highest of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """What a key would get that its maker may not give."""

    param: str
    message: str


def is_plain(grants: KeyGrants) -> bool:
    """Tell whether a key only calls models: no team's administrator touches another kind."""
    return grants.permissions <= {Permission.INFERENCE}


def excess_of(own: KeyGrants, wanted: KeyGrants) -> Excess | None:
    """Return the first thing that `wanted` has beyond what the key of a team's administrator may give."""
    return next(_excesses(own, wanted), None)


def _excesses(own: KeyGrants, wanted: KeyGrants) -> Iterator[Excess]:
    if own.team is None or wanted.team != own.team:
        yield Excess(param="team", message=f"keys of the team {own.team} only")
    if not is_plain(wanted):
        yield Excess(param="permissions", message="keys without permissions only")
    beyond = next((one for one in wanted.models if not _covers(own.models, one)), None)
    if beyond is not None:
        yield Excess(param="models", message=f"models that it may call itself only, and not {beyond!r}")
    if wanted.observed:
        yield Excess(param="mode", message="keys whose limits are enforced only")
    lacking = sorted(wanted.allowed - own.allowed)
    if lacking:
        yield Excess(param=f"allow.{lacking[0]}", message=f"what it is allowed itself only, and not {lacking[0]}")
    if wanted.user != own.user and "set_attribution" not in own.allowed:
        yield Excess(param="user", message="its own user only")
    if wanted.urgency < own.urgency:
        yield Excess(param="priority", message="classes that its own calls may have only: set `profile` or `priority`")


def _covers(own: tuple[str, ...], wanted: str) -> bool:
    """Tell whether every name that a pattern matches is granted. Where that is hard to say, it is not."""
    return any(_includes(pattern, wanted) for pattern in own)


def _includes(pattern: str, wanted: str) -> bool:
    if pattern in ("*", wanted):
        return True
    if not _WILD & set(wanted):
        return fnmatchcase(wanted, pattern)
    start = pattern.removesuffix("*")
    return pattern.endswith("*") and not _WILD & set(start) and wanted.startswith(start)
