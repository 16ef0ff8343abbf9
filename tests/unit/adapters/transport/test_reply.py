"""A reply that is decoded, slice by slice, as its reader and its connection see it."""

import asyncio
import gzip

import pytest

from router.adapters.transport.decoding import SLICE_BYTES_MAX, Decoder
from router.adapters.transport.reply import Reply
from router.domain.dispatch.failure import FailureKind
from router.ports.transport import TransportFailed
from tests.support.waiting import turns

BODY = gzip.compress(bytes(3 * SLICE_BYTES_MAX))


class RecordingCarrier:
    """The connection, paused from the beginning."""

    def __init__(self) -> None:
        self.read_paused = True
        self.closed = False

    def resume(self) -> None:
        self.read_paused = False

    def close(self) -> None:
        self.closed = True


def reply_with(*chunks: bytes) -> tuple[Reply, RecordingCarrier]:
    carrier = RecordingCarrier()
    reply = Reply(carrier)
    reply.start(200, (), Decoder("gzip"))
    for chunk in chunks:
        reply.push(chunk)
    return reply, carrier


async def test_the_connection_goes_on_once_all_that_has_arrived_is_decoded() -> None:
    reply, carrier = reply_with(BODY[:-8])
    await reply.read()
    assert carrier.read_paused
    while reply._has_news:
        await reply.read()

    assert not carrier.read_paused
    assert 0 == reply.buffered_bytes


async def test_it_is_complete_with_its_last_slice_and_not_when_it_has_arrived() -> None:
    reply, _ = reply_with(BODY)
    reply.finish()
    seen = []
    while not reply.complete:
        seen.append(len(await reply.read()))

    assert 3 * SLICE_BYTES_MAX == sum(seen)
    assert b"" == await reply.read()


async def test_an_abort_drops_what_is_not_decoded_yet() -> None:
    reply, carrier = reply_with(BODY)
    await reply.read()
    reply.abort()

    with pytest.raises(TransportFailed) as caught:
        await reply.read()
    assert FailureKind.ABORTED is caught.value.kind
    assert carrier.closed


async def test_what_was_decoded_before_a_cut_is_read_before_the_failure() -> None:
    reply, _ = reply_with(BODY[: len(BODY) // 2])
    reply.fail(TransportFailed(FailureKind.CUT, "closed the connection in the middle of its reply"))
    size = 0
    while reply._decoder is not None and (reply._chunks or reply._decoder.pending):
        size += len(await reply.read())

    assert size > SLICE_BYTES_MAX
    with pytest.raises(TransportFailed):
        await reply.read()


async def test_bytes_that_cannot_be_decoded_close_the_connection() -> None:
    reply, carrier = reply_with(b"no")

    for _ in range(2):
        with pytest.raises(TransportFailed) as caught:
            await reply.read()
        assert FailureKind.MALFORMED is caught.value.kind
    assert carrier.closed


async def test_a_taker_gets_one_slice_a_turn() -> None:
    reply, _ = reply_with()
    taken: list[int] = []

    def take(data: bytes) -> bool:
        taken.append(len(data))
        return not reply.complete

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(reply.each(take))
        asyncio.get_running_loop().call_soon(reply.push, BODY)
        asyncio.get_running_loop().call_soon(reply.finish)
        asyncio.get_running_loop().call_soon(reply.nudge)
        asyncio.get_running_loop().call_soon(lambda: taken.append(-1))

    assert [SLICE_BYTES_MAX, -1] == taken[:2]
    assert 3 * SLICE_BYTES_MAX == sum(taken) + 1


async def test_a_taker_that_comes_late_gets_one_slice_a_turn_too() -> None:
    reply, _ = reply_with(BODY)
    reply.finish()
    taken: list[int] = []

    def take(data: bytes) -> bool:
        taken.append(len(data))
        return not reply.complete

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(reply.each(take))
        await turns()
        taken.append(-1)

    assert [SLICE_BYTES_MAX, -1] == taken[:2]
