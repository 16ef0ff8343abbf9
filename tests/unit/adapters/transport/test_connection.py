"""Races between a reader and its connection that a socket cannot be made to show."""

import asyncio

import pytest

from router.adapters.transport.connection import BUFFER_BYTES_MAX, WRITE_BYTES_MAX
from router.domain.dispatch.failure import FailureKind
from router.ports.transport import TransportFailed
from tests.support.connection_stage import REQUEST, Stage

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"


def test_a_request_is_one_write() -> None:
    stage = Stage()
    stage.send()

    assert [b"POST /t HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{}"] == stage.socket.written


LONG = bytes(range(251)) * (3 * WRITE_BYTES_MAX // 251 + 1)


def sent(stage: Stage) -> bytes:
    return b"".join(stage.socket.written).split(b"\r\n\r\n", 1)[1]


def test_a_long_body_is_written_as_its_peer_takes_it() -> None:
    stage = Stage()
    stage.connection.pause_writing()  # as a transport does whose buffer is full
    stage.connection.request(REQUEST, LONG)
    assert b"content-length: %d\r\n" % len(LONG) in stage.socket.written[0]
    assert LONG[:WRITE_BYTES_MAX] == sent(stage)

    stage.socket.on_write = stage.connection.pause_writing
    for pieces in (2, 3, 4, 4):
        stage.connection.resume_writing()
        assert pieces == len(stage.socket.written)
        assert LONG[: pieces * WRITE_BYTES_MAX] == sent(stage)


def test_a_long_body_that_was_taken_leaves_its_connection_for_the_next() -> None:
    stage = Stage()
    stage.connection.request(REQUEST, LONG)
    assert LONG == sent(stage)
    stage.receive(HEAD % 2 + b"{}")
    assert 1 == stage.idle

    stage.socket.written.clear()
    stage.connection.request(REQUEST, LONG[:WRITE_BYTES_MAX])
    assert 1 == len(stage.socket.written)


@pytest.mark.parametrize("ends", ["answered", "aborted", "lost"])
def test_of_a_long_body_nothing_is_written_after_the_end(ends: str) -> None:
    stage = Stage()
    stage.connection.pause_writing()
    reply = stage.connection.request(REQUEST, LONG)
    if ends == "answered":
        stage.receive(HEAD % 2 + b"{}")
    elif ends == "aborted":
        reply.abort()
    else:
        stage.connection.connection_lost(ConnectionResetError())
    stage.connection.resume_writing()

    assert 1 == len(stage.socket.written)
    assert (ends != "lost", 0) == (stage.socket.aborted, stage.idle)


async def test_data_that_arrives_while_its_reader_is_cancelled_is_kept() -> None:
    stage = Stage()
    reply = stage.send()
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(reply.read())
        asyncio.get_running_loop().call_soon(stage.receive, HEAD % 2 + b"{}")
        asyncio.get_running_loop().call_soon(reading.cancel)

    assert reading.cancelled()
    assert b"{}" == await reply.read()


async def test_a_whole_reply_frees_its_connection_before_it_is_read() -> None:
    stage = Stage()
    reply = stage.send()
    stage.receive(HEAD % 2 + b"{}")

    assert 1 == stage.idle
    assert reply.complete
    second = stage.send()
    reply.abort()
    assert not stage.socket.aborted
    stage.receive(HEAD % 2 + b"[]")
    assert (b"{}", b"[]") == (await reply.read(), await second.read())


async def test_a_paused_socket_is_read_again_when_the_reader_took_what_there_was() -> None:
    stage = Stage()
    reply = stage.send()
    stage.receive(HEAD % (2 * BUFFER_BYTES_MAX) + b"x" * BUFFER_BYTES_MAX)
    assert stage.socket.is_reading()
    stage.receive(b"x")
    assert not stage.socket.is_reading()

    assert BUFFER_BYTES_MAX + 1 == len(await reply.read())
    assert stage.socket.is_reading()


def test_a_connection_goes_back_reading_even_if_its_last_reply_paused_it() -> None:
    stage = Stage()
    stage.send()
    stage.receive(HEAD % (BUFFER_BYTES_MAX + 2) + b"x" * (BUFFER_BYTES_MAX + 1))
    stage.receive(b"x")

    assert 1 == stage.idle
    assert stage.socket.is_reading()


def test_bytes_that_nobody_asked_for_close_the_connection() -> None:
    stage = Stage()
    stage.receive(HEAD % 2 + b"{}")

    assert stage.socket.aborted
    assert 0 == stage.idle


def test_a_reply_before_the_request_was_taken_spends_the_connection() -> None:
    stage = Stage()
    reply = stage.send()
    stage.connection.pause_writing()
    stage.receive(HEAD % 2 + b"{}")

    assert reply.complete
    assert stage.socket.aborted
    assert 0 == stage.idle


async def test_abort_drops_what_was_not_read_and_closes_once() -> None:
    stage = Stage()
    reply = stage.send()
    stage.receive(HEAD % 9 + b"half")
    reply.abort()

    assert stage.socket.aborted
    with pytest.raises(TransportFailed) as caught:
        await reply.read()
    assert FailureKind.ABORTED is caught.value.kind
    stage.connection.connection_lost(None)
    assert 1 == stage.closed
    assert not stage.connection.usable
