"""A reply is never taken faster from its provider than its reader takes it from us."""

import asyncio
import json
import math

import pytest

from router.adapters.transport.connection import BUFFER_BYTES_MAX
from tests.support import fake_upstream as fake
from tests.support.fake_upstream import Reply, Request
from tests.support.running import RunningRouter, chat
from tests.support.stage import Stage
from tests.support.wire import post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

STREAM = chat(stream=True)
PUSHED = 48 * 1024 * 1024


@pytest.fixture(scope="module")
def sections() -> dict[str, object]:
    return {"http": {"write_timeout": "500ms"}}


def flood(request: Request) -> Reply:
    event = fake.chunk(request, {"content": "x" * 32_000})
    return fake.event_stream(*[event] * math.ceil(PUSHED / len(event)), *fake.ending(request, 1))


def buffered_bytes(router: RunningRouter) -> int:
    """What the router holds of replies: not yet written to callers, not yet taken from providers."""
    lifecycle = router.lifecycle
    unsent = sum(
        connection.transport.get_write_buffer_size() for connection in lifecycle._http.server_state.connections
    )
    flights = [attempt.flight for call in lifecycle._pipeline.open_calls.values() for attempt in call.attempts]
    return unsent + sum(flight._stream._reply.buffered_bytes for flight in flights if flight)  # type: ignore[attr-defined]


async def test_a_reader_that_takes_nothing_stalls_the_provider_and_is_cut(stage: Stage) -> None:
    """T29: bounded bytes in the router, back-pressure upstream, an end after write_timeout, and a row of it."""
    stage.upstream.script(flood)
    async with wire(stage.router.http_port, receive_buffer=4096) as client:
        await client.send(post(body=STREAM))
        asked = await stage.upstream.received(1)
        loop = asyncio.get_running_loop()
        began, most, sent, stalled_at = loop.time(), 0, -1, 0.0
        while not asked.closed.is_set() and loop.time() - began < 20:
            most = max(most, buffered_bytes(stage.router))
            if asked.sent_bytes != sent:
                sent, stalled_at = asked.sent_bytes, loop.time()
            await asyncio.sleep(0.005)  # a sample: what is held sends no event
        assert asked.closed_at is not None, "never cut"
        stalled_s = asked.closed_at - stalled_at
        await stage.router.idle()

    # Beyond the bound: one read of the socket on each side, and the write buffer's high-water mark.
    assert most <= 4 * BUFFER_BYTES_MAX
    assert sent < PUSHED
    assert 0.3 <= stalled_s <= 3
    assert [("client_cancelled", 1)] == [(row["outcome"], row["usage_estimated"]) for row in stage.rows()]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
async def test_a_slow_reader_that_keeps_taking_is_served_to_the_end(stage: Stage, stream: bool) -> None:
    """T29: write_timeout is for readers that take nothing; a slow one may need longer for the whole reply."""
    size = 12_000_000

    def large(request: Request) -> Reply:
        if stream:
            events = [fake.chunk(request, {"content": "x" * 30_000})] * (size // 30_000)
            return fake.event_stream(*events, *fake.ending(request, 1))
        choice = {"index": 0, "message": {"role": "assistant", "content": "x" * size}, "finish_reason": "stop"}
        return Reply(steps=(json.dumps({"choices": [choice]}).encode(),))

    stage.upstream.script(large)
    async with wire(stage.router.http_port, receive_buffer=65_536) as client:
        await client.send(post(body=chat(stream=stream)))
        for goal in range(700_000, size, 700_000):
            await asyncio.sleep(0.1)  # how the client reads: in all longer than `write_timeout`, each time shorter
            await client.answer_until(lambda reply, goal=goal: len(reply.body) >= goal)  # type: ignore[misc]
        reply = await client.answer()
    await stage.router.idle()

    assert (200, True) == (reply.status, reply.complete)
    assert size <= reply.body.count(b"x")
    assert ["completed"] == [row["outcome"] for row in stage.rows()]
