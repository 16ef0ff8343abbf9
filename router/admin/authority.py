"""Say what a caller may do with keys: everything, or with those of its own team what its own key could."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from router.domain.delegation import KeyGrants, excess_of, is_plain
from router.domain.faults import Fault, refuse
from router.domain.principal import Permission, Principal

_INHERITED: Final = ("team", "user", "models", "profile", "priority")
"""What a key that a team's administrator makes has of its maker's, where nothing else is said."""
_ALLOW: Final = "allow"


def require_key_admin(caller: Principal) -> None:
    """Refuse who may administer no keys at all, before more is read of the request."""
    if not caller.permissions & {Permission.ADMIN, Permission.TEAM_ADMIN}:
        message = "This key may not administer keys. Use one with the permission `admin`, or its team's `team_admin`."
        raise refuse(Fault.PERMISSION_DENIED, message)


def team_of(caller: Principal) -> str | None:
    """Return the team whose keys a caller administers, as `organization/team`; None: no team's alone."""
    if Permission.ADMIN in caller.permissions or Permission.TEAM_ADMIN not in caller.permissions:
        return None
    return None if caller.team is None else f"{caller.organization}/{caller.team}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """`own` is what the key of a team's administrator has; None: an administrator of everything."""

    own: KeyGrants | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    """Those of the key of a team's administrator."""

    def sees(self, team: str | None) -> bool:
        """Tell whether keys of a team are there for the caller; None: of no team."""
        return self.own is None or (team is not None and team == self.own.team)

    def filled(self, members: Mapping[str, object]) -> dict[str, object]:
        """Return the settings of a new key, what is not said being as the maker's own."""
        if self.own is None:
            return dict(members)
        inherited = {name: self.settings[name] for name in _INHERITED if name in self.settings}
        if "profile" in members or "priority" in members:
            inherited.pop("profile", None)
            inherited.pop("priority", None)
        allow, own_allow = members.get(_ALLOW, {}), self.settings.get(_ALLOW)
        if isinstance(allow, dict) and isinstance(own_allow, dict):
            inherited[_ALLOW] = {**own_allow, **allow}
            members = {name: value for name, value in members.items() if name != _ALLOW}
        return {**inherited, **members}

    def require_change(self, grants: KeyGrants) -> None:
        """Refuse to touch a key that administers something, whoever's it is."""
        if self.own is not None and not is_plain(grants):
            message = "A team's administrator may not touch keys that have permissions. Ask a key with `admin`."
            raise refuse(Fault.PERMISSION_DENIED, message, param="permissions")

    def require_gift(self, grants: KeyGrants) -> None:
        """Refuse a key that may more than its maker."""
        excess = None if self.own is None else excess_of(self.own, grants)
        if excess is not None:
            message = f"A team's administrator may give {excess.message}."
            raise refuse(Fault.PERMISSION_DENIED, message, param=excess.param)
