"""A caller that hangs up stops the provider within a second, is recorded, and leaves nothing behind.

Every test runs twice: under our own listener protocol, and under uvicorn's plain one, where only ASGI tells of it.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from router import lifecycle
from tests.support import fake_upstream as fake
from tests.support.fake_upstream import FakeUpstream
from tests.support.running import RunningRouter, chat, config_for, running_router
from tests.support.stage import Stage
from tests.support.waiting import back_to, footprint, until
from tests.support.wire import CHAT, Answer, Wire, head, post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

CALLERS = 20
GONE_S = 1.0
"""The provider sees the connection close within this."""
STREAM = chat(stream=True)
LEFT = 'checkrein_requests_rejected_total{fault="client_closed"}'


def plain_protocol(*arguments: object, limits: object, hot: object, **named: object) -> HttpToolsProtocol:
    return HttpToolsProtocol(*arguments, **named)  # type: ignore[arg-type]  # uvicorn's own arguments


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["own", "plain"])
async def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    with pytest.MonkeyPatch.context() as patches:
        if request.param == "plain":
            patches.setattr(lifecycle, "FrontProtocol", plain_protocol)
        folder = tmp_path_factory.mktemp("router")
        async with FakeUpstream() as upstream, running_router(config_for(upstream), folder) as router:
            yield Stage(upstream=upstream, router=router)


async def warmed(router: RunningRouter) -> tuple[int, int]:
    """Return the footprint of a router that has served before: its pools and threads are there."""
    async with wire(router.http_port) as client:
        await client.ask(chat(model="unknown"))
    await router.idle()
    return footprint()


def called(stage: Stage) -> list[dict[str, object]]:
    """The rows of calls that were dispatched."""
    return [row for row in stage.rows() if row["outcome"] != "refused"]


async def hang_up(
    stage: Stage,
    request: dict[str, object],
    *,
    after: Callable[[Answer], bool] | None,
    leave: Callable[[Wire], object],
) -> float:
    """Let all callers ask, and leave at the same moment; return how long the slowest provider saw nothing."""
    upstream = stage.upstream
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(wire(stage.router.http_port)) for _ in range(CALLERS)]
        for client in clients:
            await client.send(post(body=request))
        await upstream.received(CALLERS)
        if after is not None:
            async with asyncio.TaskGroup() as tasks:
                for client in clients:
                    tasks.create_task(client.answer_until(after))
        left = asyncio.get_running_loop().time()
        for client in clients:
            leave(client)
    async with asyncio.timeout(5):
        for asked in upstream.requests:
            await asked.closed.wait()
    return max(asked.closed_at or 0 for asked in upstream.requests) - left


@pytest.mark.parametrize("leave", [Wire.close, Wire.reset])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
async def test_a_caller_that_leaves_before_the_first_byte_stops_the_provider(
    stage: Stage, stream: bool, leave: Callable[[Wire], object]
) -> None:
    """T9a, T9c: the provider has the request and has not answered."""
    baseline = await warmed(stage.router)
    never = asyncio.Event()
    stage.upstream.handler = lambda _: fake.silence(never)
    gone_s = await hang_up(stage, chat(stream=stream), after=None, leave=leave)
    await stage.router.idle()
    await back_to(baseline)

    rows = called(stage)
    assert gone_s <= GONE_S
    assert [("client_cancelled", "client_closed", 0)] * CALLERS == [
        (row["outcome"], row["fault"], row["output_tokens"]) for row in rows
    ]
    assert 0 == stage.upstream.open_connections
    assert CALLERS == len(stage.upstream.requests), "nobody asks again for a caller that left"


async def test_a_caller_that_leaves_a_running_stream_pays_for_what_came(stage: Stage) -> None:
    """T9b, T3c: about 30 of 100 tokens were read."""
    stage.upstream.handler = functools.partial(fake.stream, tokens=100, gap_s=0.02)
    baseline = await warmed(stage.router)
    gone_s = await hang_up(stage, STREAM, after=lambda reply: b" w29" in reply.body, leave=Wire.close)
    await stage.router.idle()
    await back_to(baseline)

    rows = called(stage)
    assert gone_s <= GONE_S
    assert CALLERS == len(rows)
    assert {("client_cancelled", 1)} == {(row["outcome"], row["usage_estimated"]) for row in rows}
    assert all(30 <= row["output_tokens"] <= 35 for row in rows), [row["output_tokens"] for row in rows]  # type: ignore[operator]
    assert sum(asked.tokens for asked in stage.upstream.requests) - sum(row["output_tokens"] for row in rows) <= CALLERS  # type: ignore[misc]
    assert 0 == stage.upstream.open_connections


async def test_a_caller_that_leaves_a_silent_stream_stops_the_provider(stage: Stage) -> None:
    """T9b: in a pause there is no write that could fail, so the connection itself must be watched."""
    never = asyncio.Event()
    stage.upstream.handler = lambda request: fake.stream(request, 30, last=[never])
    gone_s = await hang_up(stage, STREAM, after=lambda reply: b" w29" in reply.body, leave=Wire.reset)
    await stage.router.idle()

    assert gone_s <= GONE_S
    assert [("client_cancelled", 30)] * CALLERS == [(row["outcome"], row["output_tokens"]) for row in called(stage)]


async def test_a_caller_that_leaves_during_a_unary_reply_stops_the_provider(stage: Stage) -> None:
    """T9c: the reply has begun to arrive and the caller cannot know."""
    never = asyncio.Event()
    stage.upstream.handler = lambda _: fake.raw(b'HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{"id":', never)
    gone_s = await hang_up(stage, chat(), after=None, leave=Wire.close)
    await stage.router.idle()

    assert gone_s <= GONE_S
    assert ["client_cancelled"] * CALLERS == [row["outcome"] for row in called(stage)]


async def test_a_caller_that_leaves_while_it_still_sends_is_no_call(stage: Stage) -> None:
    """T9: half a body is nobody's call: nothing is dispatched, nothing recorded but a rejected request."""
    left_before = await stage.router.metric(LEFT)
    baseline = await warmed(stage.router)
    async with AsyncExitStack() as stack:
        for _ in range(CALLERS):
            client = await stack.enter_async_context(wire(stage.router.http_port))
            await client.send(head("POST", CHAT, "content-length: 1000") + b'{"model":"small","messages":[')
        # Each is being served by a task, which waits for the rest.
        await until(lambda: len(asyncio.all_tasks()) >= baseline[1] + CALLERS, within_s=5)
    await back_to(baseline)

    assert CALLERS == await stage.router.metric(LEFT) - left_before
    assert [] == called(stage)
    assert [] == stage.upstream.requests


async def test_the_router_serves_on_after_many_callers_left(stage: Stage) -> None:
    """T9: and a whole exchange on a kept connection is not mistaken for a caller that left."""
    never = asyncio.Event()
    stage.upstream.handler = lambda _: fake.silence(never)
    await hang_up(stage, STREAM, after=None, leave=Wire.close)
    stage.upstream.handler = fake.answer
    async with wire(stage.router.http_port) as client:
        replies = [await client.ask(chat(stream=bool(turn % 2))) for turn in range(6)]
    await stage.router.idle()

    assert [(200, True)] * 6 == [(reply.status, reply.complete) for reply in replies]
    assert [fake.text(60)] * 3 == [reply.text for reply in replies[1::2]]
    assert ["completed"] * 6 == [row["outcome"] for row in called(stage)[CALLERS:]]
