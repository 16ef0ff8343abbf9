"""Services that are described and not there say so, each method of them, to whoever has a key."""

import grpc
import pytest
from checkrein.v1 import approvals_pb2, events_pb2, workflow_pb2

from router.facades.grpc.not_yet import not_yet_services
from tests.support.grpc_stage import KEY, GrpcStage
from tests.support.rpcs import Ended, FakeRpc, method_of

METHODS = [
    method
    for file in (workflow_pb2.DESCRIPTOR, approvals_pb2.DESCRIPTOR, events_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
    for method in service.methods
]


async def ended_of(name: str, *, stream: bool, key: str = KEY) -> Ended:
    (services,) = [
        one
        for one in not_yet_services(GrpcStage().border)
        if isinstance(one, grpc.ServiceRpcHandler) and name.startswith(f"/{one.service_name()}/")
    ]
    method = method_of(services, name)
    with pytest.raises(Ended) as ended:
        await (method.unary_stream if stream else method.unary_unary)(b"", FakeRpc(key=key))
    return ended.value


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
async def test_each_method_says_that_it_is_not_there_yet(method: object) -> None:
    assert isinstance(method, type(METHODS[0]))
    service, _, name = method.full_name.rpartition(".")
    ended = await ended_of(f"/{service}/{name}", stream=method.server_streaming)

    assert (grpc.StatusCode.UNIMPLEMENTED, "ROUTE_NOT_FOUND") == (ended.code, ended.info.reason)
    assert method.full_name in ended.message


def test_they_are_all_there() -> None:
    names = {
        one.service_name() for one in not_yet_services(GrpcStage().border) if isinstance(one, grpc.ServiceRpcHandler)
    }

    assert {f"checkrein.v1.{name}Service" for name in ("Workflow", "Approval", "Event")} == names
    assert len(METHODS) == 9


async def test_nobody_is_told_anything() -> None:
    ended = await ended_of("/checkrein.v1.EventService/WatchEvents", stream=True, key="sk-nobody")

    assert grpc.StatusCode.UNAUTHENTICATED is ended.code
