"""Each wait for a provider has its own limit, and each holds: connect, first event, idle, total, the caller's.

The numbers are those one would configure divided by ten, total by twenty, so that the file takes seconds.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest

from tests.support import fake_upstream as fake
from tests.support.fake_upstream import FakeUpstream, Gap, Handler, Reply, Request, Step
from tests.support.running import chat, config_for, running_router
from tests.support.stage import Stage
from tests.support.wire import Answer, post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

CONNECT_S, FIRST_EVENT_S, IDLE_S, TOTAL_S = 0.1, 0.2, 0.5, 1.5
TIMEOUTS = {"connect": "5s", "stream_first_event": "200ms", "stream_idle": "500ms", "total": "1500ms"}
LATE_S = 2.0
"""How much later than its limit a cut may be seen on a busy machine; which limit it was, the message tells."""
TICK_S = 0.005
"""The loop's own clock counts milliseconds, and may call a timer early by as much."""
STREAM = chat(stream=True)


@pytest.fixture(scope="module")
def sections() -> dict[str, object]:
    return {"timeouts": TIMEOUTS}


async def timed(stage: Stage, request: dict[str, object], *lines: str) -> tuple[float, Answer]:
    loop = asyncio.get_running_loop()
    async with wire(stage.router.http_port) as client:
        began = loop.time()
        reply = await client.ask(request, *lines)
        return loop.time() - began, reply


def cut_at(limit_s: float, took_s: float) -> bool:
    return limit_s - TICK_S <= took_s <= limit_s + LATE_S


def tells(reply: Answer, words: str) -> bool:
    """Whether the error names the limit that was passed, its length included."""
    return f"fake {words}" in str(reply.error["message"])


def assert_timed_out(reply: Answer) -> None:
    assert (504, "server_error", "timeout") == (reply.status, reply.error["type"], reply.error["code"])


async def test_a_provider_that_does_not_accept_is_given_up_after_connect(tmp_path: Path) -> None:
    """T6: the listen queue is full, so the connection never opens."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):  # Linux takes one more than the backlog
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        async with FakeUpstream() as upstream:
            config = config_for(upstream, timeouts=TIMEOUTS | {"connect": "100ms"})
            config["providers"][0]["base_url"] = f"http://127.0.0.1:{full.getsockname()[1]}/v1"  # type: ignore[index]
            async with running_router(config, tmp_path) as router:
                took_s, reply = await timed(Stage(upstream=upstream, router=router), STREAM)
                row = await router.call(reply.call_id)

    assert_timed_out(reply)
    assert cut_at(CONNECT_S, took_s)
    assert tells(reply, "did not accept a connection within 100ms")
    assert ("failed", "timeout", 0) == (row["outcome"], row["fault"], row["cost_nano_usd"])


async def test_a_provider_that_takes_the_request_and_says_nothing_is_given_up_after_first_event(
    stage: Stage,
) -> None:
    """T6: silent accept."""
    stage.upstream.script(fake.silence(asyncio.Event()))
    took_s, reply = await timed(stage, STREAM)
    async with asyncio.timeout(5):
        await stage.upstream.requests[0].closed.wait()

    assert_timed_out(reply)
    assert cut_at(FIRST_EVENT_S, took_s)
    assert tells(reply, "did not begin its answer within 200ms")


def head_only() -> Reply:
    return fake.event_stream(asyncio.Event())


def comments_only() -> Reply:
    return fake.event_stream(*[b": still thinking\n\n", Gap(0.05)] * 20)


@pytest.mark.parametrize("reply_of", [head_only, comments_only])
async def test_neither_a_head_nor_comments_are_a_first_event(stage: Stage, reply_of: Callable[[], Reply]) -> None:
    """T6: what says nothing does not count as an answer."""
    stage.upstream.script(reply_of())
    took_s, reply = await timed(stage, STREAM)

    assert_timed_out(reply)
    assert cut_at(FIRST_EVENT_S, took_s)
    assert tells(reply, "did not begin its answer within 200ms")


def tokens_then(*last: Step, count: int = 20) -> Handler:
    return lambda request: fake.stream(request, count, last=last)


async def test_a_stream_that_falls_silent_is_cut_after_idle(stage: Stage) -> None:
    """T6: 20 tokens, then nothing."""
    stage.upstream.script(tokens_then(asyncio.Event()))
    took_s, reply = await timed(stage, STREAM)

    assert (200, True, fake.text(20)) == (reply.status, reply.complete, reply.text)
    assert "timeout" == reply.error["code"]
    assert cut_at(IDLE_S, took_s)
    assert tells(reply, "sent nothing more for 500ms")


async def test_the_provider_s_pings_do_not_reset_the_idle_limit(stage: Stage) -> None:
    """T6: a comment every 100 ms proves a connection, not a model."""
    stage.upstream.script(tokens_then(*[b": ping\n\n", Gap(0.1)] * 20))
    took_s, reply = await timed(stage, STREAM)

    assert (fake.text(20), "timeout") == (reply.text, reply.error["code"])
    assert cut_at(IDLE_S, took_s)
    assert tells(reply, "sent nothing more for 500ms")


async def test_a_steady_stream_is_not_cut(stage: Stage) -> None:
    """T6: one token every 100 ms for 0.8 s, longer than first event and idle."""
    stage.upstream.script(lambda request: fake.stream(request, 8, gap_s=0.1))
    took_s, reply = await timed(stage, STREAM)

    assert (fake.text(8), "[DONE]") == (reply.text, reply.events[-1])
    assert took_s > max(FIRST_EVENT_S, IDLE_S) + 0.2, "it was as slow as meant"


async def test_a_drip_is_cut_at_total(stage: Stage) -> None:
    """T6: one token every 100 ms for 3 s."""
    stage.upstream.script(lambda request: fake.stream(request, 30, gap_s=0.1))
    took_s, reply = await timed(stage, STREAM)

    assert (200, "timeout") == (reply.status, reply.error["code"])
    assert cut_at(TOTAL_S, took_s)
    assert tells(reply, "did not finish its answer within 1500ms")
    assert 5 <= len(reply.text.split()) <= 15


async def test_a_slow_unary_reply_is_waited_for(stage: Stage) -> None:
    """T6: first event and idle limit streams only; a unary reply may think until total."""

    def slowly(request: Request) -> Reply:
        whole = fake.completion(request)
        return Reply(before_head=(Gap(IDLE_S + FIRST_EVENT_S + 0.2),), steps=whole.steps)

    stage.upstream.script(slowly)
    _, reply = await timed(stage, chat())

    assert 200 == reply.status


async def test_a_unary_reply_is_cut_at_total(stage: Stage) -> None:
    """T6: head at once, body never."""
    stage.upstream.script(fake.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{", asyncio.Event()))
    took_s, reply = await timed(stage, chat())

    assert_timed_out(reply)
    assert cut_at(TOTAL_S, took_s)
    assert tells(reply, "did not finish its answer within 1500ms")


@pytest.mark.parametrize("request_", [STREAM, chat()], ids=["stream", "unary"])
async def test_the_caller_s_own_limit_holds_where_it_is_tighter(stage: Stage, request_: dict[str, object]) -> None:
    """T6: `x-checkrein-timeout` in seconds, before the first byte."""
    stage.upstream.script(fake.silence(asyncio.Event()))
    took_s, reply = await timed(stage, request_, "x-checkrein-timeout: 0.12")

    assert_timed_out(reply)
    assert cut_at(0.12, took_s)
    assert tells(reply, "did not finish its answer within 120ms")


async def test_the_caller_s_own_limit_ends_a_running_stream(stage: Stage) -> None:
    """T6: `x-checkrein-timeout` bounds the whole attempt."""
    stage.upstream.script(lambda request: fake.stream(request, 40, gap_s=0.1))
    took_s, reply = await timed(stage, STREAM, "x-checkrein-timeout: 0.6")

    assert (200, "timeout") == (reply.status, reply.error["code"])
    assert cut_at(0.6, took_s)
    assert tells(reply, "did not finish its answer within 600ms")


async def test_the_caller_cannot_widen_the_operator_s_limit(stage: Stage) -> None:
    """T6: the provider's own limits stay."""
    stage.upstream.script(tokens_then(asyncio.Event()))
    took_s, reply = await timed(stage, STREAM, "x-checkrein-timeout: 60")

    assert "timeout" == reply.error["code"]
    assert cut_at(IDLE_S, took_s)
    assert tells(reply, "sent nothing more for 500ms")


async def test_stalled_streams_of_one_deployment_do_not_slow_another(tmp_path: Path) -> None:
    """T6: 200 callers wait for A, which is silent; B answers all the while."""
    never = asyncio.Event()
    async with AsyncExitStack() as stack:
        stalled = await stack.enter_async_context(FakeUpstream(handler=lambda _: fake.silence(never)))
        healthy = await stack.enter_async_context(FakeUpstream())
        config = config_for(stalled, timeouts={"stream_first_event": "20s"})
        other = dict(config_for(healthy)["providers"][0], name="other")  # type: ignore[index]
        config["providers"].append(other)  # type: ignore[attr-defined]
        deployment = {"provider": "other", "model": "m", "price": {"input": 1, "output": 1}}
        config["models"].append({"name": "well", "deployments": [deployment]})  # type: ignore[attr-defined]
        router = await stack.enter_async_context(running_router(config, tmp_path))
        clients = [await stack.enter_async_context(wire(router.http_port)) for _ in range(200)]
        for client in clients:
            await client.send(post(body=STREAM))
        await stalled.received(200)
        took = [await timed(Stage(upstream=healthy, router=router), chat(model="well", stream=True)) for _ in range(20)]
        waiting = router.open_calls
        await stack.pop_all().aclose()

    assert 200 == waiting
    assert [200] * 20 == [reply.status for _, reply in took]
    assert sorted(took_s for took_s, _ in took)[18] < 2, "generous: alone it is some 3 ms, held up it were 20 s"
