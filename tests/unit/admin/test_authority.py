"""A team's administrator sees its team's keys, touches the plain ones, and makes them like its own."""

import pytest

from router.admin.authority import Authority, require_key_admin
from router.domain.delegation import KeyGrants
from router.domain.faults import Fault, RouterError
from router.domain.ids import KeyId
from router.domain.principal import Permission, Principal

OWN = {
    "team": "acme/lab",
    "models": ["small"],
    "profile": "standard",
    "allow": {"set_attribution": False},
    "mode": "observe",
}
TEAM = Authority(own=KeyGrants(team="acme/lab", models=("small",)), settings={"name": "lead", **OWN})
EVERYTHING = Authority()


def test_who_has_no_permission_for_keys_is_refused() -> None:
    for permission in (Permission.ADMIN, Permission.TEAM_ADMIN):
        require_key_admin(Principal(key_id=KeyId("k"), permissions=frozenset({permission})))
    with pytest.raises(RouterError) as refused:
        require_key_admin(Principal(key_id=KeyId("k")))

    assert Fault.PERMISSION_DENIED is refused.value.refusal.fault


@pytest.mark.parametrize(("team", "seen"), [("acme/lab", True), ("acme/other", False), (None, False)])
def test_other_teams_keys_are_not_there(team: str | None, seen: bool) -> None:
    assert seen == TEAM.sees(team)
    assert EVERYTHING.sees(team)
    assert not Authority(own=KeyGrants()).sees(team)


def test_a_new_key_is_as_its_makers_where_nothing_else_is_said() -> None:
    allow = {"set_attribution": False}

    assert {"name": "ci"} == EVERYTHING.filled({"name": "ci"})
    assert {
        "name": "ci",
        "team": "acme/lab",
        "models": ["small"],
        "profile": "standard",
        "allow": allow,
    } == TEAM.filled({"name": "ci"})
    filled = TEAM.filled({"name": "ci", "models": [], "priority": {"max": "batch"}, "allow": {"keep_partials": True}})
    assert {
        "name": "ci",
        "team": "acme/lab",
        "models": [],
        "priority": {"max": "batch"},
        "allow": {"keep_partials": True, **allow},
    } == filled
    assert "nonsense" == TEAM.filled({"allow": "nonsense"})["allow"]


def test_keys_with_permissions_are_touched_by_administrators_alone() -> None:
    powerful = KeyGrants(team="acme/lab", permissions=frozenset({Permission.TEAM_ADMIN}))
    EVERYTHING.require_change(powerful)
    TEAM.require_change(KeyGrants(team="acme/lab"))
    with pytest.raises(RouterError) as refused:
        TEAM.require_change(powerful)

    assert (Fault.PERMISSION_DENIED, "permissions") == (refused.value.refusal.fault, refused.value.refusal.param)


def test_a_gift_beyond_the_own_key_is_refused_with_what_is_too_much() -> None:
    EVERYTHING.require_gift(KeyGrants(models=("*",)))
    TEAM.require_gift(KeyGrants(team="acme/lab", models=("small",)))
    with pytest.raises(RouterError) as refused:
        TEAM.require_gift(KeyGrants(team="acme/lab", models=("*",)))

    assert (Fault.PERMISSION_DENIED, "models") == (refused.value.refusal.fault, refused.value.refusal.param)
