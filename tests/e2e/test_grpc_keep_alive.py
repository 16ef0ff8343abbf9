"""T26f: a gRPC connection whose peer is gone is found and closed, and one whose peer asks whether we live is kept.

Times are those of `GrpcLimits`, scaled down: 20 s, 8 s and 5 s in production.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import replace

import grpc
import pytest
import pytest_asyncio

from router.facades.grpc.limits import GrpcLimits
from tests.support.fakes import SECOND
from tests.support.grpc_rig import GrpcRig, chat_server
from tests.support.http2 import GOAWAY, PING, SETTINGS, Peer, peer
from tests.support.waiting import pause, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

MS = SECOND // 1_000
PING_S, PONG_S, PINGED_S = 0.4, 0.3, 0.1
LATE_S = 2.0
LIMITS = GrpcLimits(
    max_message=100_000,
    write_timeout_ns=SECOND,
    connection_age_ns=600 * SECOND,
    connection_grace_ns=SECOND,
    reflection=False,
    ping_ns=400 * MS,
    pong_ns=300 * MS,
    pinged_ns_min=100 * MS,
)


@contextlib.asynccontextmanager
async def serving(limits: GrpcLimits) -> AsyncIterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    server = chat_server(GrpcRig().pipeline, f"127.0.0.1:{port}", limits)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port() -> AsyncIterator[int]:
    async with serving(LIMITS) as one:
        yield one


async def test_a_peer_that_answers_no_ping_is_closed(port: int) -> None:
    loop = asyncio.get_running_loop()
    async with peer(port, answers_pings=False) as gone:
        began = loop.time()
        await asyncio.wait_for(gone.closed.wait(), PING_S + PONG_S + LATE_S)
        took_s = loop.time() - began

    assert gone.seen(SETTINGS), "it was a connection of HTTP/2"
    assert [True] == [frame.is_ping for frame in gone.seen(PING)], "asked once, and not idly closed"
    assert took_s >= PING_S


async def test_a_peer_that_answers_stays_though_it_calls_nothing(port: int) -> None:
    async with peer(port, answers_pings=True) as idle:
        await until(lambda: len(idle.seen(PING)) >= 4, within_s=4 * PING_S + LATE_S)

        assert not idle.closed.is_set()
        assert [] == idle.seen(GOAWAY)


async def pings(idle: Peer, count: int, every_s: float) -> None:
    for number in range(count):
        if idle.closed.is_set():
            return
        idle.send(PING, number.to_bytes(8))
        await pause(every_s)


async def test_a_client_may_ask_as_often_as_is_said_while_it_calls_nothing(port: int) -> None:
    """20 pings of an idle client, each answered: no GOAWAY with `too_many_pings`, which would break its calls."""
    async with peer(port, answers_pings=True) as idle:
        await until(lambda: idle.seen(SETTINGS), within_s=LATE_S)
        await pings(idle, 20, PINGED_S * 1.3)
        await until(lambda: len(idle.seen(PING, ack=True)) == 20, within_s=LATE_S)

        assert [] == idle.seen(GOAWAY)
        assert not idle.closed.is_set()


async def test_a_client_that_floods_with_pings_is_sent_away(port: int) -> None:
    async with peer(port, answers_pings=True) as flood:
        await until(lambda: flood.seen(SETTINGS), within_s=LATE_S)
        await pings(flood, 20, PINGED_S / 50)
        await asyncio.wait_for(flood.closed.wait(), LATE_S)

    assert [b"too_many_pings"] == [frame.reason for frame in flood.seen(GOAWAY)]


async def test_a_client_of_grpc_with_usual_keep_alive_is_served_after_a_silence(port: int) -> None:
    options = [
        ("grpc.keepalive_time_ms", 200),
        ("grpc.keepalive_timeout_ms", 200),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        create = channel.unary_unary("/checkrein.v1.ChatService/CreateChatCompletion")
        codes = []
        states = []
        for _ in range(3):
            with pytest.raises(grpc.aio.AioRpcError) as told:
                await create(b"", timeout=10)
            codes.append(told.value.code())
            await pause(1.0)
            states.append(channel.get_state())

    assert [grpc.StatusCode.UNAUTHENTICATED] * 3 == codes
    assert [grpc.ChannelConnectivity.READY] * 3 == states


async def test_an_old_connection_is_asked_to_come_anew() -> None:
    """With a GOAWAY that is no error, so that its client comes again elsewhere."""
    async with serving(replace(LIMITS, connection_age_ns=200 * MS)) as young:
        async with peer(young, answers_pings=True) as old:
            await asyncio.wait_for(old.closed.wait(), LATE_S + 2)

        goaways = old.seen(GOAWAY)
        assert {0} == {int.from_bytes(frame.payload[4:8]) for frame in goaways}
