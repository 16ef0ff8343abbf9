"""Nothing is dispatched that is not on record."""

import pytest

from router.domain.faults import Fault, RouterError
from router.pipeline.admit import admit
from tests.support.pipeline import Rig


async def test_an_admitted_call_is_on_record_and_open() -> None:
    rig = Rig()
    call = rig.call()
    await admit(call, rig.ledger)
    record = await rig.ledger.read_call(call.id)

    assert record is not None
    assert ("r1", "ci", "small", "a1", None) == (
        record.request_id,
        record.key_id,
        record.asked_model,
        record.agent,
        record.outcome,
    )


async def test_a_store_that_cannot_record_refuses() -> None:
    rig = Rig()
    rig.ledger.broken = True
    with pytest.raises(RouterError) as caught:
        await admit(rig.call(), rig.ledger)

    assert Fault.OVERLOADED is caught.value.refusal.fault
