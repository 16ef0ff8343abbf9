"""A stream whose provider says nothing is kept alive by comments, and still tells how it ended."""

import asyncio
from dataclasses import replace

import pytest

from tests.support import fake_upstream as fake
from tests.support.fake_upstream import Gap, Reply, Request
from tests.support.running import chat
from tests.support.stage import Stage
from tests.support.wire import Answer, post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

STREAM = chat(stream=True)
PING = b": keep-alive\n\n"
PING_S = 0.2
TICK_S = 0.005
"""The loop's own clock counts milliseconds, and may call a timer early by as much."""


@pytest.fixture(scope="module")
def sections() -> dict[str, object]:
    return {"http": {"stream_ping": "200ms"}}


async def released(stage: Stage, gate: asyncio.Event, *, after_pings: int) -> tuple[float, Answer]:
    """Ask, let the provider go on once there were so many pings; return how long they took, and the whole reply."""
    loop = asyncio.get_running_loop()
    async with wire(stage.router.http_port) as client:
        began = loop.time()
        await client.send(post(body=STREAM))
        await client.answer_until(lambda reply: reply.body.count(PING) == after_pings)
        took_s = loop.time() - began
        gate.set()
        return took_s, await client.answer()


async def test_a_silent_stream_is_kept_alive_by_comments(stage: Stage) -> None:
    """T21b: a ping every 200 ms while the provider is silent, then the reply."""
    gate = asyncio.Event()
    stage.upstream.script(lambda request: replace(fake.stream(request, 5), before_head=(gate,)))
    took_s, reply = await released(stage, gate, after_pings=3)
    row = await stage.router.call(reply.call_id)

    assert 3 * PING_S - TICK_S <= took_s < 20 * PING_S
    assert 3 == reply.body.count(PING)
    assert reply.body.startswith(PING * 3)
    assert (fake.text(5), "[DONE]") == (reply.text, reply.events[-1])
    assert ("completed", 5) == (row["outcome"], row["output_tokens"])


async def test_a_pause_inside_a_stream_is_kept_alive_too(stage: Stage) -> None:
    """T21b: between two tokens as before the first."""
    gate = asyncio.Event()

    def pausing(request: Request) -> Reply:
        first, second = (fake.chunk(request, {"content": fake.word(index)}) for index in (0, 1))
        return fake.event_stream(first, gate, second, *fake.ending(request, 2))

    stage.upstream.script(pausing)
    took_s, reply = await released(stage, gate, after_pings=3)

    assert 3 * PING_S - TICK_S <= took_s < 20 * PING_S
    assert 3 == reply.body.count(PING)
    assert not reply.body.startswith(PING)
    assert (fake.text(2), "[DONE]") == (reply.text, reply.events[-1])


async def test_openai_s_sdk_reads_a_stream_with_pings(stage: Stage) -> None:
    """T21b: 0 errors, every token."""
    stage.upstream.script(lambda request: replace(fake.stream(request, 5), before_head=(Gap(3.5 * PING_S),)))
    async with stage.sdk() as sdk:
        stream = await sdk.chat.completions.create(
            model="small", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        said = [chunk.choices[0].delta.content or "" async for chunk in stream]

    assert fake.text(5) == "".join(said)


async def test_an_error_within_the_first_ping_interval_keeps_its_status(stage: Stage) -> None:
    """T21b: nothing was promised yet."""
    refusal = fake.error(429, "slow down")
    stage.upstream.script(Reply(status=429, headers=refusal.headers, steps=refusal.steps, before_head=(Gap(0.08),)))
    reply = await stage.ask(STREAM)

    assert (429, "upstream_rate_limited") == (reply.status, reply.error["code"])


async def test_an_error_after_the_first_ping_is_an_error_event(stage: Stage) -> None:
    """T21b: 200 is out, so the stream says what came of it and ends."""
    refusal = fake.error(429, "slow down")
    stage.upstream.script(Reply(status=429, headers=refusal.headers, steps=refusal.steps, before_head=(Gap(0.3),)))
    async with wire(stage.router.http_port) as client:
        reply = await client.ask(STREAM)
        stage.forgive()  # a rate limit keeps the next call away
        again = await client.ask(STREAM)
    row = await stage.router.call(reply.call_id)

    assert (200, True) == (reply.status, reply.complete)
    assert reply.body.startswith(PING)
    assert 1 == len(reply.events), "one error event, no [DONE]"
    assert reply.error["message"]
    assert 200 == again.status
    assert ("failed", 0, 0) == (row["outcome"], row["output_tokens"], row["cost_nano_usd"])
