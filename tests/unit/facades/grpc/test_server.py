"""The server has its services, health and reflection, keeps its bounds, and says what is wrong with its certificate."""

import socket
from asyncio import TaskGroup
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from checkrein.v1.chat_service_pb2 import CreateChatCompletionRequest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from router.domain.stream import Event, EventKind
from router.facades.grpc.limits import GrpcLimits
from router.facades.grpc.server import GrpcServer
from router.facades.tls import Tls
from tests.support.certificate import make_certificate
from tests.support.fake_rpc import BEARER
from tests.support.fakes import SECOND
from tests.support.grpc_rig import GrpcRig, chat_server
from tests.support.waiting import pause, until

LIMITS = GrpcLimits(
    max_message=100_000,
    write_timeout_ns=SECOND,
    connection_age_ns=60 * SECOND,
    connection_grace_ns=SECOND,
)
CREATE = "/checkrein.v1.ChatService/CreateChatCompletion"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def serving(
    rig: GrpcRig | None = None, limits: GrpcLimits = LIMITS, tls: Tls | None = None
) -> AsyncIterator[tuple[GrpcServer, int]]:
    port = free_port()
    server = chat_server((rig or GrpcRig()).pipeline, f"localhost:{port}", limits, tls)
    await server.start()
    try:
        yield server, port
    finally:
        await server.stop(None)


async def code_of(call: grpc.aio.UnaryUnaryCall[bytes, bytes]) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as exc:
        return exc.code().name
    return "OK"


async def listed(port: int) -> list[str] | str:
    async with grpc.aio.insecure_channel(f"localhost:{port}") as channel:
        ask = ServerReflectionStub(channel).ServerReflectionInfo(iter([ServerReflectionRequest(list_services="")]))
        try:
            reply = await ask.read()
        except grpc.aio.AioRpcError as exc:
            return exc.code().name
    return sorted(one.name for one in reply.list_services_response.service)


async def test_services_are_listed_where_that_is_wanted() -> None:
    async with serving() as (_, port):
        names = await listed(port)
    async with serving(limits=replace(LIMITS, reflection=False)) as (_, port):
        nothing = await listed(port)

    assert {"checkrein.v1.ChatService", "grpc.health.v1.Health"} <= set(names)
    assert "UNIMPLEMENTED" == nothing


async def test_health_is_said_of_each_service_and_changes_before_the_end() -> None:
    async with serving() as (server, port), grpc.aio.insecure_channel(f"localhost:{port}") as channel:
        check = HealthStub(channel).Check
        asked = [HealthCheckRequest(service=name) for name in ("", "checkrein.v1.ChatService")]
        before = [(await check(one)).status for one in asked]
        await server.say_not_serving()
        after = [(await check(one)).status for one in asked]
        still = await code_of(channel.unary_unary(CREATE)(b"", metadata=(), timeout=10))

    assert [HealthCheckResponse.SERVING] * 2 == before
    assert [HealthCheckResponse.NOT_SERVING] * 2 == after
    assert "UNAUTHENTICATED" == still, "calls are taken still"


async def test_sizes_are_bounded_in_both_directions_and_metadata_too() -> None:
    rig = GrpcRig()
    rig.upstream().feed(Event(EventKind.COMPLETE, b'{"model":"up-1","choices":[],"x":"' + b"x" * 200_000 + b'"}'))
    asks = CreateChatCompletionRequest(chat_json=b'{"model":"small","messages":[]}').SerializeToString()
    async with serving(rig) as (_, port), grpc.aio.insecure_channel(f"localhost:{port}") as channel:
        create = channel.unary_unary(CREATE)
        too_large = await code_of(create(b"x" * 100_001, metadata=BEARER, timeout=10))
        reply_too_large = await code_of(create(asks, metadata=BEARER, timeout=10))
        heads = await code_of(create(asks, metadata=(*BEARER, ("x-much", "x" * 40_000)), timeout=10))
        room = await code_of(create(b"", metadata=(("x-much", "x" * 20_000),), timeout=10))

    assert ["RESOURCE_EXHAUSTED"] * 3 == [too_large, reply_too_large, heads]
    assert "UNAUTHENTICATED" == room, "it came to the method"


async def test_stopping_waits_for_what_runs_and_cuts_what_takes_too_long() -> None:
    rig = GrpcRig()
    slow, never = rig.upstream(), rig.upstream()
    asks = CreateChatCompletionRequest(chat_json=b'{"model":"small","messages":[]}').SerializeToString()
    said = []
    for patience, stream in ((5.0, slow), (0.05, never)):
        async with (
            serving(rig) as (server, port),
            grpc.aio.insecure_channel(f"localhost:{port}") as channel,
            TaskGroup() as tasks,
        ):
            asked = len(rig.upstreams.requests)
            running = tasks.create_task(code_of(channel.unary_unary(CREATE)(asks, metadata=BEARER, timeout=10)))
            await until(lambda asked=asked: len(rig.upstreams.requests) > asked, within_s=5)
            stopping = tasks.create_task(server.stop(patience))
            await pause(0.02)
            if stream is slow:
                slow.feed(Event(EventKind.COMPLETE, b'{"model":"up-1","choices":[]}'))
            await stopping
            said.append(await running)

    assert ["OK", "UNAVAILABLE"] == said


async def test_an_address_that_cannot_be_had_is_named() -> None:
    with pytest.raises(OSError, match=r"192.0.2.1:1: .*Stop what listens there or choose another port"):
        chat_server(GrpcRig().pipeline, "192.0.2.1:1", LIMITS)


async def test_a_certificate_that_cannot_be_read_is_said() -> None:
    tls = Tls(cert_file="none.pem", key_file="none.pem")
    with pytest.raises(OSError, match="No such file"):
        chat_server(GrpcRig().pipeline, "localhost:0", LIMITS, tls)


async def test_a_certificate_serves_and_another_authority_is_asked_for_its_own(tmp_path: Path) -> None:
    made = make_certificate(tmp_path, "localhost")
    files = {"cert_file": str(made.certificate), "key_file": str(made.key)}
    said = []
    for ca in (None, str(made.authority)):
        async with serving(tls=Tls(**files, client_ca_file=ca)) as (_, port):
            for shown in (None, made):
                credentials = grpc.ssl_channel_credentials(
                    made.authority.read_bytes(),
                    None if shown is None else shown.key.read_bytes(),
                    None if shown is None else shown.certificate.read_bytes(),
                )
                async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
                    said.append(await code_of(channel.unary_unary(CREATE)(b"", timeout=10)))

    assert ["UNAUTHENTICATED", "UNAUTHENTICATED", "UNAVAILABLE", "UNAUTHENTICATED"] == said
