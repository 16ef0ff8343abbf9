"""Only administrators read, and a ledger that is away is told as such."""

import pytest

from router.admin.ledger_reading import require_reader, told
from router.domain.faults import Fault, RouterError
from router.domain.ids import KeyId
from router.domain.principal import Permission, Principal
from router.ports.ledger import LedgerUnavailable
from tests.support.fakes import principal


def test_only_administrators_read() -> None:
    require_reader(Principal(key_id=KeyId("boss"), permissions=frozenset({Permission.ADMIN})))
    with pytest.raises(RouterError) as refused:
        require_reader(principal())

    assert Fault.PERMISSION_DENIED == refused.value.refusal.fault


def test_a_ledger_that_is_away_is_told() -> None:
    with pytest.raises(RouterError) as refused, told():
        raise LedgerUnavailable("broken by the test")

    assert Fault.OVERLOADED == refused.value.refusal.fault
