"""What an upload writes, chunk by chunk. How it ends on a network is in the contract suite."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from router.adapters.transport.upload import upload
from router.domain.dispatch.failure import FailureKind
from router.ports.transport import HttpRequest, TransportFailed
from tests.support.connection_stage import Stage
from tests.support.waiting import turns

HEAD = b"POST /t HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
ANSWER = b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\n{}"


def asking(body: AsyncIterator[bytes]) -> HttpRequest:
    return HttpRequest(target=b"/t", head=b"host: h\r\n", body=body)


async def gated(*gates: asyncio.Event) -> AsyncIterator[bytes]:
    for number, gate in enumerate(gates):
        await gate.wait()
        yield b"%d" % number


async def test_each_piece_is_written_as_it_comes_and_the_next_waits_until_it_is_taken() -> None:
    stage, gates = Stage(), [asyncio.Event() for _ in range(3)]
    body = gated(*gates)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(upload(stage.connection, asking(body), body))
        gates[0].set()
        await turns(3)
        assert [HEAD, b"1\r\n0\r\n"] == stage.socket.written
        stage.connection.pause_writing()
        gates[1].set()
        gates[2].set()
        await turns(3)
        assert [b"1\r\n1\r\n"] == stage.socket.written[2:]
        stage.connection.resume_writing()

    assert [b"1\r\n2\r\n", b"0\r\n\r\n"] == stage.socket.written[3:]
    stage.receive(ANSWER % 200)
    assert 1 == stage.idle


async def test_an_answer_that_is_no_refusal_waits_for_the_end_of_the_body() -> None:
    stage, gate = Stage(), asyncio.Event()
    body = gated(gate)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(upload(stage.connection, asking(body), body))
        await turns(2)
        stage.receive((ANSWER % 200)[:-1])
        gate.set()

    assert b"0\r\n\r\n" == stage.socket.written[-1]
    stage.receive(b"}")
    assert (1, False) == (stage.idle, stage.socket.aborted)


async def test_an_answer_that_is_over_before_the_body_spends_the_connection() -> None:
    stage, gate = Stage(), asyncio.Event()
    body = gated(gate)
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(upload(stage.connection, asking(body), body))
        await turns(2)
        stage.receive(ANSWER % 200)
        assert (0, True) == (stage.idle, stage.socket.aborted)
        stage.connection.connection_lost(None)

    assert b"{}" == await sending.result().read()
    assert [HEAD] == stage.socket.written


async def test_a_refusal_ends_the_body_before_all_of_it_is_there() -> None:
    stage, gate = Stage(), asyncio.Event()
    body = gated(gate)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(upload(stage.connection, asking(body), body))
        await turns(2)
        stage.receive((ANSWER % 413)[:-1])

    assert 413 == sending.result().status
    assert not stage.socket.aborted
    stage.receive(b"}")
    assert (0, True) == (stage.idle, stage.socket.aborted)


async def test_a_peer_that_takes_a_little_in_time_is_waited_for() -> None:
    stage, gate = Stage(), asyncio.Event()
    gate.set()
    body = gated(gate)
    stage.connection.pause_writing()
    stage.socket.unsent_bytes = 3

    def take_a_little() -> int:
        stage.socket.unsent_bytes -= 1
        return max(0, stage.socket.unsent_bytes)

    stage.socket.get_write_buffer_size = take_a_little  # type: ignore[method-assign]
    with pytest.raises(TransportFailed) as caught:
        await upload(stage.connection, asking(body), body, stall_ns=1_000_000)

    assert FailureKind.IDLE_TIMEOUT is caught.value.kind
    assert stage.socket.unsent_bytes <= 0, "as long as it took some it was waited for"
    assert stage.socket.aborted


@pytest.mark.parametrize("length", [0, 2])
async def test_more_or_less_than_was_announced_costs_the_connection(length: int) -> None:
    stage, gate = Stage(), asyncio.Event()
    gate.set()
    body = gated(gate)
    request = HttpRequest(target=b"/t", head=b"", body=body, length=length)
    with pytest.raises(AssertionError):
        await upload(stage.connection, request, body)

    assert stage.socket.aborted
