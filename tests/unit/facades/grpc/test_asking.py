"""One call of a method knows its caller, says in trailers what HTTP says in headers, and gives up stalled readers."""

import asyncio

import pytest
from checkrein.v1.common_pb2 import CallContext, Cost

from router.domain.faults import Fault, RouterError
from router.domain.ids import format_call_id
from router.facades.grpc.asking import Asking
from tests.support.fake_rpc import BEARER, FakeRpc
from tests.support.fakes import SECOND
from tests.support.grpc_rig import GrpcRig
from tests.support.waiting import pause

MS = SECOND // 1_000
MESSAGE = Cost(total_nano_usd=1)


def asking(rpc: FakeRpc, rig: GrpcRig | None = None, *, write_timeout_ns: int = SECOND) -> Asking:
    return Asking(rpc, (rig or GrpcRig()).pipeline, write_timeout_ns=write_timeout_ns)


def test_who_calls_is_known_by_the_key() -> None:
    known = asking(FakeRpc())
    known.enter(CallContext(agent="a1"))

    assert "test" == known.principal.key_id
    assert "a1" == known.metadata.labels.agent


def test_a_stranger_has_a_request_id_and_is_refused() -> None:
    stranger = asking(FakeRpc((("x-request-id", "mine"), ("authorization", "Bearer nobody"))))
    nobody = asking(FakeRpc(None))
    with pytest.raises(RouterError) as caught:
        stranger.enter(None)
    with pytest.raises(RouterError):
        nobody.enter(None)

    assert Fault.INVALID_KEY is caught.value.refusal.fault
    assert (("x-request-id", "mine"),) == stranger.trailers()
    assert "-" != nobody.request_id


def test_what_cannot_be_read_of_a_call_has_a_request_id_of_ours() -> None:
    unread = asking(FakeRpc((("x-request-id", "mine"),)))
    with pytest.raises(RouterError) as caught:
        unread.enter(CallContext(tags=["a,b"]))

    assert Fault.INVALID_REQUEST is caught.value.refusal.fault
    assert unread.request_id not in {"-", "mine"}


def test_a_key_of_this_machine_is_good_on_this_machine_only() -> None:
    """As over HTTP: also a proxy on this machine that says for whom it asks is not it."""
    rig = GrpcRig(local_only=True)
    asking(FakeRpc(), rig).enter(None)
    far, proxied = FakeRpc(peer="ipv4:10.0.0.1:5"), FakeRpc((*BEARER, ("x-forwarded-for", "10.0.0.1")))

    for rpc in (far, proxied):
        with pytest.raises(RouterError):
            asking(rpc, rig).enter(None)


def test_trailers_name_the_call_once_there_is_one() -> None:
    rig = GrpcRig()
    rpc = FakeRpc()
    one = asking(rpc, rig)
    one.enter(None)
    one.leave()
    assert {"x-request-id"} == set(dict(rpc.trailers))

    one.call = rig.call()
    one.leave()
    assert format_call_id(one.call.id) == dict(rpc.trailers)["x-checkrein-call"] == one.call_id
    assert one.deployment is None


async def test_a_write_that_nobody_takes_for_too_long_cancels_its_method() -> None:
    rpc = FakeRpc()
    rpc.before_write = asyncio.Event().wait
    one = asking(rpc, write_timeout_ns=20 * MS)
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await one.write(MESSAGE)
    one.close()

    refusal = one.why_cancelled()
    assert Fault.CLIENT_CLOSED is refusal.fault
    assert "given up" in refusal.message


async def test_writes_that_are_taken_are_never_too_long_however_many_there_are() -> None:
    """Each has the whole time, and the time between them is nobody's fault."""
    rpc = FakeRpc()
    rpc.before_write = lambda: pause(0.01)
    one = asking(rpc, write_timeout_ns=60 * MS)
    for _ in range(12):
        await one.write(MESSAGE)
    rpc.before_write = lambda: None
    await pause(0.15)  # a provider that thinks, while nothing is to be written
    await one.write(MESSAGE)
    one.close()

    assert [MESSAGE.SerializeToString()] * 13 == rpc.written


async def test_no_timer_is_left_when_a_method_is_over() -> None:
    one = asking(FakeRpc(), write_timeout_ns=10 * MS)
    one.close()
    await one.write(MESSAGE)
    timer = one._stall_timer
    assert timer is not None
    assert not timer.cancelled()
    one.close()

    assert timer.cancelled()


def test_why_a_method_is_cancelled_is_its_deadline_or_its_caller() -> None:
    assert Fault.CLIENT_CLOSED is asking(FakeRpc()).why_cancelled().fault
    assert Fault.CLIENT_CLOSED is asking(FakeRpc(seconds_left=0.001)).why_cancelled().fault
    assert Fault.TIMEOUT is asking(FakeRpc(seconds_left=0.0)).why_cancelled().fault
    assert Fault.TIMEOUT is asking(FakeRpc(seconds_left=-1.0)).why_cancelled().fault


@pytest.mark.parametrize(
    ("seconds_left", "outcome"), [(5.0, "client_cancelled"), (0.0, "refused"), (None, "client_cancelled")]
)
def test_a_call_whose_deadline_passes_ended_too_late_and_is_not_abandoned(
    seconds_left: float | None, outcome: str
) -> None:
    rig = GrpcRig()
    rpc = FakeRpc(seconds_left=seconds_left)
    one = asking(rpc, rig)
    call = rig.call()
    with pytest.raises((asyncio.CancelledError, RouterError)) as caught, one.opened(call):
        raise asyncio.CancelledError

    assert outcome == call.outcome
    assert (outcome == "refused") == isinstance(caught.value, RouterError)
    assert not rig.pipeline.open_calls
