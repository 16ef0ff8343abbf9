"""Whatever a method's function does, its caller has one status that is true, and a reply of its own type or none."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from checkrein.v1.chat_service_pb2 import CreateChatCompletionRequest
from checkrein.v1.common_pb2 import CallContext, Cost
from checkrein.v1.models_pb2 import ListModelsRequest
from google.protobuf.message import Message

from router.domain.faults import Fault, Refusal, RouterError
from router.facades.grpc.asking import Asking
from router.facades.grpc.border import Border, service
from tests.support.fake_rpc import FakeRpc, ask, method
from tests.support.fakes import SECOND
from tests.support.grpc_rig import GrpcRig
from tests.support.waiting import turns

REPLY = Cost(total_nano_usd=7)
Raises = Callable[[], BaseException]


async def serve(request: Message, _asking: Asking) -> Message:
    return REPLY


def raising(make: Raises) -> Any:
    async def serve_badly(_request: Message, _asking: Asking) -> Message:
        raise make()

    return serve_badly


async def call(
    serve: Any,
    rpc: FakeRpc,
    request: Message | bytes | None = None,
    *,
    rig: GrpcRig | None = None,
    stream: bool = False,
    asked: Any = CreateChatCompletionRequest,
) -> bytes | None:
    border = (rig or GrpcRig()).border
    make = border.stream if stream else border.unary
    handler = service("a.Service", {"Do": make(asked, serve)})
    return await ask(method(handler, "/a.Service/Do"), asked() if request is None else request, rpc)


async def test_a_unary_method_returns_its_message_and_trailers() -> None:
    rpc = FakeRpc()

    assert REPLY.SerializeToString() == await call(serve, rpc)
    assert ["x-request-id"] == [name for name, _ in rpc.trailers]
    assert not rpc.aborts


async def test_a_streaming_method_writes_its_last_message_and_returns_nothing() -> None:
    rpc = FakeRpc()

    async def stream(_request: Message, asking: Asking) -> Message:
        await asking.write(Cost(total_nano_usd=1))
        return REPLY

    assert await call(stream, rpc, stream=True) is None
    assert [Cost(total_nano_usd=1).SerializeToString(), REPLY.SerializeToString()] == rpc.written
    assert rpc.trailers


async def test_the_context_of_a_request_is_read_where_it_has_one() -> None:
    agents = []

    async def note(_request: Message, asking: Asking) -> Message:
        agents.append(asking.metadata.labels.agent)
        return REPLY

    await call(note, FakeRpc(), CreateChatCompletionRequest(context=CallContext(agent="a1")))
    await call(note, FakeRpc(), CreateChatCompletionRequest())
    await call(note, FakeRpc(), ListModelsRequest(), asked=ListModelsRequest)

    assert ["a1", None, None] == agents


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_is_its_status(*, stream: bool) -> None:
    rpc = FakeRpc()
    refusal = Refusal(fault=Fault.MODEL_NOT_FOUND, message="Nobody. Ask for another.", param="model")

    assert await call(raising(lambda: RouterError(refusal)), rpc, stream=stream) is None
    assert ("NOT_FOUND", "Nobody. Ask for another.") == (rpc.told.code, rpc.told.message)
    assert rpc.told.trailers["x-request-id"] == rpc.told.info["request_id"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "make", [ZeroDivisionError, ConnectionResetError, TimeoutError, KeyError, lambda: ExceptionGroup("x", [OSError()])]
)
async def test_a_bug_is_internal_says_nothing_of_itself_and_is_logged(
    make: Raises, caplog: pytest.LogCaptureFixture, *, stream: bool
) -> None:
    rpc = FakeRpc()
    with caplog.at_level(logging.ERROR):
        await call(raising(make), rpc, stream=stream)

    assert ("INTERNAL", "INTERNAL") == (rpc.told.code, rpc.told.info["reason"])
    assert type(make()).__name__ not in rpc.told.message
    assert [f"internal error in {rpc.told.info['request_id']}"] == [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("seconds_left", "code"), [(None, "CANCELLED"), (9.0, "CANCELLED"), (0.0, "DEADLINE_EXCEEDED")]
)
async def test_a_cancellation_never_leaks(seconds_left: float | None, code: str, *, stream: bool) -> None:
    """What gRPC does with one that does: its caller waits for ever."""
    rpc = FakeRpc(seconds_left=seconds_left)
    await call(raising(asyncio.CancelledError), rpc, stream=stream)

    assert code == rpc.told.code


async def test_a_stalled_reader_is_told_why() -> None:
    rpc = FakeRpc()
    rpc.before_write = asyncio.Event().wait
    rig = GrpcRig(write_timeout_ns=SECOND // 100)
    async with asyncio.timeout(10):
        await call(serve, rpc, rig=rig, stream=True)

    assert ("CANCELLED", "CLIENT_CLOSED") == (rpc.told.code, rpc.told.info["reason"])
    assert "given up" in rpc.told.message


@pytest.mark.parametrize("fails", [False, True])
async def test_a_stream_that_is_over_leaves_no_timer(*, fails: bool) -> None:
    held: list[Asking] = []

    async def stream(_request: Message, asking: Asking) -> Message:
        held.append(asking)
        await asking.write(REPLY)
        if fails:
            raise ZeroDivisionError
        return REPLY

    await call(stream, FakeRpc(), stream=True)
    timer = held[0]._stall_timer

    assert timer is not None
    assert timer.cancelled()


async def test_bytes_that_are_no_message_are_refused_once_the_key_is_known() -> None:
    known, unknown = FakeRpc(), FakeRpc(())
    await call(serve, known, b"\xff\xff")
    await call(serve, unknown, b"\xff\xff")

    assert ("INVALID_ARGUMENT", "UNAUTHENTICATED") == (known.told.code, unknown.told.code)
    assert "CreateChatCompletionRequest" in known.told.message


async def test_who_is_refused_before_there_is_a_call_is_counted() -> None:
    rig = GrpcRig()
    await call(serve, FakeRpc(()), rig=rig)
    await call(raising(ZeroDivisionError), FakeRpc(), rig=rig)

    assert [Fault.INVALID_KEY, Fault.INTERNAL] == rig.telemetry.rejected


async def test_a_call_that_fails_is_settled_and_not_counted_as_refused_too() -> None:
    rig = GrpcRig()

    async def fail(_request: Message, asking: Asking) -> Message:
        with asking.opened(rig.call()):
            raise ZeroDivisionError

    rpc = FakeRpc()
    await call(fail, rpc, rig=rig)
    await turns(10)

    assert "INTERNAL" == rpc.told.code
    assert rpc.told.trailers["x-checkrein-call"] == rpc.told.info["call_id"]
    assert [] == rig.telemetry.rejected
    assert ["failed"] == [one.outcome for one in rig.telemetry.settled]


async def test_a_service_has_its_methods_under_its_name() -> None:
    handler = service("a.Service", {"Do": GrpcRig().border.unary(CreateChatCompletionRequest, serve)})

    assert isinstance(handler, grpc.ServiceRpcHandler)
    assert "a.Service" == handler.service_name()


async def test_a_reply_that_is_larger_than_a_message_may_be_is_told_of_with_its_size() -> None:
    rpc, rig = FakeRpc(), GrpcRig()
    rig.border = Border(rig.pipeline, write_timeout_ns=SECOND, message_bytes_max=1)

    assert await call(serve, rpc, rig=rig) is None
    assert ("RESOURCE_EXHAUSTED", "REQUEST_TOO_LARGE") == (rpc.told.code, rpc.told.info["reason"])
    assert "2 bytes, and a message at most 1" in rpc.told.message
    assert [Fault.REQUEST_TOO_LARGE] == rig.telemetry.rejected
