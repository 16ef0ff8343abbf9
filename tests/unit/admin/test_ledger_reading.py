"""Moments are read exactly, only administrators read, and a ledger that is away is told as such."""

import pytest

from router.admin.ledger_reading import instant_ns, require_reader, told
from router.domain.faults import Fault, RouterError
from router.domain.ids import KeyId
from router.domain.principal import Permission, Principal
from router.ports.ledger import LedgerUnavailable
from tests.support.fakes import principal

NEW_YEAR_NS = 1_798_761_600 * 10**9  # 2027-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2027-01-01T00:00:00Z", NEW_YEAR_NS),
        ("2027-01-01 00:00:00Z", NEW_YEAR_NS),
        ("2027-01-01T02:00:00+02:00", NEW_YEAR_NS),
        ("2027-01-01T02:00:00 02:00", NEW_YEAR_NS),
        ("2027-01-01T00:00:00.000001Z", NEW_YEAR_NS + 1_000),
        ("1798761600", NEW_YEAR_NS),
        ("1798761600.000000007", NEW_YEAR_NS + 7),
        ("0", 0),
        ("0001-01-01T00:00:00Z", 0),
        ("9999-12-31T23:59:59Z", 2**63 - 1),
        ("9999999999", 2**63 - 1),
    ],
)
def test_a_moment_is_read_exactly(text: str, read: int) -> None:
    assert read == instant_ns(text, "since")


def test_no_moment_is_none() -> None:
    assert instant_ns(None, "since") is None


@pytest.mark.parametrize("text", ["", "yesterday", "2027-01-01T00:00:00", "1798761600000"])
def test_what_is_no_moment_is_refused_by_name(text: str) -> None:
    with pytest.raises(RouterError) as refused:
        instant_ns(text, "until")

    assert (Fault.INVALID_REQUEST, "until") == (refused.value.refusal.fault, refused.value.refusal.param)


def test_only_administrators_read() -> None:
    require_reader(Principal(key_id=KeyId("boss"), permissions=frozenset({Permission.ADMIN})))
    with pytest.raises(RouterError) as refused:
        require_reader(principal())

    assert Fault.PERMISSION_DENIED == refused.value.refusal.fault


def test_a_ledger_that_is_away_is_told() -> None:
    with pytest.raises(RouterError) as refused, told():
        raise LedgerUnavailable("broken by the test")

    assert Fault.OVERLOADED == refused.value.refusal.fault
