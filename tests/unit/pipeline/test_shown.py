"""A key sees the models that it may use and the calls that it made; a key that administers sees every call."""

from dataclasses import replace

import pytest

from router.adapters.ledger_memory import MemoryLedger
from router.domain.faults import Fault, RouterError
from router.domain.ids import CallId, Epoch, KeyId, ModelName, format_call_id
from router.domain.principal import Permission, Principal
from router.domain.stream import Event, EventKind
from router.pipeline.shown import call_for, model_for, models_for
from router.ports.ledger import CallRecord, LedgerUnavailable
from tests.support.fakes import principal, snapshot
from tests.support.pipeline import Rig

OTHER = replace(principal("*"), key_id=KeyId("other"))
ADMIN = replace(OTHER, permissions=frozenset({Permission.ADMIN}))


async def settled(on: Rig) -> str:
    """Serve a call and return its id."""
    on.upstream().feed(Event(EventKind.COMPLETE, b'{"choices":[]}'))
    call = on.call('{"model":"small","messages":[]}')
    with on.pipeline.open(call) as reply:
        await reply.read()
    return format_call_id(call.id)


def test_models_are_those_of_the_key_by_name() -> None:
    assert ["hidden", "small"] == [one.name for one in models_for(principal("*"), snapshot())]
    assert [("small", ("up",), 1_800_000_000)] == models_for(principal("small"), snapshot())


@pytest.mark.parametrize("name", ["hidden", "none", ""])
def test_a_model_of_others_is_as_one_that_is_not_there(name: str) -> None:
    assert "small" == model_for(principal("small"), snapshot(), "small").name
    with pytest.raises(RouterError) as caught:
        model_for(principal("small"), snapshot(), name)

    assert (Fault.MODEL_NOT_FOUND, "model") == (caught.value.refusal.fault, caught.value.refusal.param)
    assert repr(ModelName(name)) in caught.value.refusal.message


@pytest.mark.parametrize("caller", [principal("*"), ADMIN])
async def test_a_call_is_shown_to_its_key_and_to_who_administers(caller: Principal) -> None:
    on = Rig()
    call_id = await settled(on)

    assert "small" == (await call_for(caller, on.ledger, call_id)).asked_model


@pytest.mark.parametrize("call_id", [None, "call_0", "", "nonsense"])
async def test_a_call_of_others_is_as_one_that_is_not_there(call_id: str | None) -> None:
    on = Rig()
    with pytest.raises(RouterError) as caught:
        await call_for(OTHER, on.ledger, await settled(on) if call_id is None else call_id)

    assert Fault.NOT_FOUND is caught.value.refusal.fault


async def test_a_ledger_that_cannot_be_read_says_so() -> None:
    class Shut(MemoryLedger):
        async def read_call(self, call_id: CallId) -> CallRecord | None:
            raise LedgerUnavailable("shut")

    with pytest.raises(RouterError) as caught:
        await call_for(OTHER, Shut(epoch=Epoch(1)), format_call_id(CallId(7)))

    assert Fault.OVERLOADED is caught.value.refusal.fault
