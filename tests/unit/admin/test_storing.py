"""What a store raises is said in the one shape of errors, without the place that it was raised at."""

import pytest

from router.admin.storing import BODY_BYTES_MAX, conflict, decoded, encode, members_of, require_admin, told
from router.domain.faults import Fault, RouterError
from router.domain.ids import KeyId
from router.domain.principal import Permission, Principal
from router.ports.keys import KeyChanged, KeyExists, KeysUnavailable, StoreFull
from router.ports.records import RecordChanged, RecordExists


@pytest.mark.parametrize(
    ("noun", "raised", "fault", "said"),
    [
        ("key", KeysUnavailable("at /secret/place"), Fault.OVERLOADED, "store of the keys"),
        ("team", KeysUnavailable("at /secret/place"), Fault.OVERLOADED, "store of the teams"),
        ("key", KeyExists("x"), Fault.CONFLICT, "used once"),
        ("team", RecordExists("x"), Fault.CONFLICT, "There is a team 'x' already"),
        ("key", KeyChanged("x"), Fault.CONFLICT, "The key 'x' was changed meanwhile"),
        ("team", RecordChanged("x"), Fault.CONFLICT, "The team 'x' was changed meanwhile"),
        ("key", StoreFull(), Fault.CONFLICT, "10000 keys, revoked ones included"),
        ("team", StoreFull(), Fault.CONFLICT, "10000 tenants and budgets"),
    ],
)
def test_what_a_store_raises_is_told(noun: str, raised: Exception, fault: Fault, said: str) -> None:
    with pytest.raises(RouterError) as refused, told(noun, "x"):
        raise raised

    refusal = refused.value.refusal
    assert (fault, True, False) == (refusal.fault, said in refusal.message, "secret" in refusal.message)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"[" * 30_000, b"\xff"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(RouterError, match="not a JSON object"):
        members_of(body)


def test_a_body_has_a_bound_whoever_brings_it() -> None:
    members_of(b'{"x":"%s"}' % (b"x" * (BODY_BYTES_MAX - 8)))
    with pytest.raises(RouterError) as refused:
        members_of(b'{"x":"%s"}' % (b"x" * (BODY_BYTES_MAX - 7)))

    assert Fault.REQUEST_TOO_LARGE is refused.value.refusal.fault


def test_what_is_written_is_read_again_and_what_is_broken_is_nothing() -> None:
    assert {"name": "é"} == members_of(encode({"name": "é"}).encode()) == decoded(encode({"name": "é"}))
    assert decoded("nonsense") is None


def test_a_conflict_names_its_member() -> None:
    assert (Fault.CONFLICT, "name") == (
        conflict("no", param="name").refusal.fault,
        conflict("no", param="name").refusal.param,
    )


def test_only_administrators_administer() -> None:
    require_admin(Principal(key_id=KeyId("boss"), permissions=frozenset({Permission.ADMIN})), "teams")
    for permissions in (frozenset(), frozenset({Permission.INFERENCE, Permission.TEAM_ADMIN})):
        with pytest.raises(RouterError, match="may not administer teams"):
            require_admin(Principal(key_id=KeyId("user"), permissions=permissions), "teams")
