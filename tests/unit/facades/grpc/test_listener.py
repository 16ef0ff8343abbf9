"""The port of gRPC is ours before anything is served, and in nobody else's way once it was given up."""

import asyncio
import socket

import grpc
import pytest

from router.facades.grpc.limits import GrpcLimits
from router.facades.grpc.listener import GrpcListener
from router.facades.grpc.server import GrpcServer
from tests.support.fakes import SECOND

LIMITS = GrpcLimits(
    max_message=1_000, write_timeout_ns=SECOND, connection_age_ns=SECOND, connection_grace_ns=SECOND, reflection=False
)


def build(address: str) -> GrpcServer:
    return GrpcServer([], address, LIMITS, None)


async def answers(port: int) -> bool:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            await channel.unary_unary("/nobody/Nothing")(b"", timeout=10)
        except grpc.aio.AioRpcError as exc:
            return exc.code() is grpc.StatusCode.UNIMPLEMENTED
    return False


async def test_port_0_becomes_a_real_one_that_answers_once_it_is_started() -> None:
    listener = GrpcListener("127.0.0.1", 0, build)
    port = listener.port
    with socket.socket() as early:
        early.settimeout(1)
        assert 0 != early.connect_ex(("127.0.0.1", port)), "held, and not listened at"
    await listener.start()
    try:
        assert 0 < port == listener.port
        assert await answers(port)
    finally:
        await listener.stop(None)


def test_a_port_in_use_is_named_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"^127.0.0.1:{port}: Address already in use. Stop what listens there or"):
            GrpcListener("127.0.0.1", port, build)


async def test_a_port_is_in_use_as_soon_as_it_is_held() -> None:
    """Two routers that start at once must not share it: calls would come to either."""
    listener = GrpcListener("127.0.0.1", 0, build)
    try:
        with pytest.raises(OSError, match="Address already in use"):
            GrpcListener("127.0.0.1", listener.port, build)
        await listener.start()
        with pytest.raises(OSError, match="Address already in use"):
            GrpcListener("127.0.0.1", listener.port, build)
        with pytest.raises(OSError, match="Address already in use"):
            socket.create_server(("127.0.0.1", listener.port))
    finally:
        await listener.stop(None)


async def test_a_port_can_be_had_again_once_it_is_given_up() -> None:
    """Also while connections of before are still being forgotten."""
    first = GrpcListener("127.0.0.1", 0, build)
    await first.start()
    assert await answers(first.port)
    await first.stop(None)
    never_started = GrpcListener("127.0.0.1", first.port, build)
    await never_started.stop(None)
    again = GrpcListener("127.0.0.1", first.port, build)
    await again.start()
    try:
        assert await answers(again.port)
    finally:
        await again.stop(None)


async def test_before_its_start_it_can_be_told_anything() -> None:
    listener = GrpcListener("127.0.0.1", 0, build)
    await listener.say_not_serving()
    await listener.stop(0)
    await listener.stop(None)


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
async def test_addresses_of_ipv6_are_written_in_brackets() -> None:
    addresses = []

    def note(address: str) -> GrpcServer:
        addresses.append(address)
        return build(address)

    try:
        listener = GrpcListener("::1", 0, note)
    except OSError:
        pytest.skip("this machine has no ::1")
    await listener.start()
    await listener.stop(None)

    assert [f"[::1]:{listener.port}"] == addresses


async def test_a_server_that_cannot_be_built_says_so_to_who_starts_it() -> None:
    def fail(_address: str) -> GrpcServer:
        raise OSError("no such certificate")

    listener = GrpcListener("127.0.0.1", 0, fail)
    with pytest.raises(OSError, match="no such certificate"):
        await listener.start()
    async with asyncio.timeout(5):
        await listener.stop(None)
