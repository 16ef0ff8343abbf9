"""A router that is told to stop, told twice, or killed: what its callers, its probes and its ledger see.

These are real processes and real signals; nothing here shares memory with the router.
"""

import asyncio
import contextlib
import functools
import signal
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from tests.support import fake_upstream as fake
from tests.support.fake_upstream import FakeUpstream
from tests.support.process import Served, served
from tests.support.running import ADMIN, chat, config_for, http_client
from tests.support.wire import Wire, post, wire

pytestmark = pytest.mark.slow

STREAM = chat(stream=True)


@contextlib.asynccontextmanager
async def draining(upstream: FakeUpstream, folder: Path, **drain: str) -> AsyncIterator[Served]:
    """Run a router that drains so."""
    file = folder / "checkrein.yaml"
    config = config_for(upstream, drain=drain, store={"url": "sqlite:///./ledger.db"})
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    async with served(folder, "--config", str(file)) as router:
        yield router


async def probe(router: Served, path: str) -> int:
    async with http_client(router.ops_url) as client:
        return (await client.get(path)).status_code


def outcomes(folder: Path) -> list[tuple[str, str | None]]:
    with contextlib.closing(sqlite3.connect(folder / "ledger.db")) as store:
        assert 0 == store.execute("SELECT count(*) FROM open_calls").fetchone()[0], "a call without a row"
        return store.execute("SELECT outcome, fault FROM calls ORDER BY id").fetchall()


async def open_streams(router: Served, stack: contextlib.AsyncExitStack, count: int) -> list[Wire]:
    """Start so many streams and wait until each has its first token."""
    clients = [await stack.enter_async_context(wire(router.http_port)) for _ in range(count)]
    for client in clients:
        await client.send(post(body=STREAM))
    async with asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(client.answer_until(lambda reply: b'"w0"' in reply.body))
    return clients


async def test_a_drain_completes_every_stream(tmp_path: Path) -> None:
    """T22: 20 streams of 2 s, SIGTERM: readiness 503 at once, liveness 200, accepting during delay, exit 0."""
    async with (
        FakeUpstream(handler=functools.partial(fake.stream, tokens=20, gap_s=0.1)) as upstream,
        draining(upstream, tmp_path, delay="1500ms", grace="20s") as router,
        contextlib.AsyncExitStack() as stack,
    ):
        ready = await probe(router, "/readyz")
        clients = await open_streams(router, stack, 20)
        told = asyncio.get_running_loop().time()
        router.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            while await probe(router, "/readyz") != 503:
                pass
        unready_s = asyncio.get_running_loop().time() - told
        late = await stack.enter_async_context(wire(router.http_port))
        await late.send(post(body=STREAM))
        alive = await probe(router, "/livez")
        replies = [await client.answer() for client in [*clients, late]]
        code = await router.ended()

    assert 200 == ready
    assert unready_s <= 1
    assert 200 == alive
    assert [(200, True, fake.text(20), "[DONE]")] * 21 == [
        (reply.status, reply.complete, reply.text, reply.events[-1]) for reply in replies
    ]
    assert 0 == code, router.err
    assert [("completed", None)] * 21 == outcomes(tmp_path)


async def test_streams_that_outlast_the_grace_end_with_an_error_event(tmp_path: Path) -> None:
    """T22: beyond the grace a terminal error event, not a reset; every row settled; the providers let go; exit 0."""
    never = asyncio.Event()
    async with (
        FakeUpstream(handler=lambda request: fake.stream(request, 5, last=[never])) as upstream,
        draining(upstream, tmp_path, delay="0s", grace="500ms") as router,
        contextlib.AsyncExitStack() as stack,
    ):
        clients = await open_streams(router, stack, 5)
        waiting = await stack.enter_async_context(wire(router.http_port))
        upstream.handler = lambda _: fake.silence(never)
        await waiting.send(post())
        await upstream.received(6)
        told = asyncio.get_running_loop().time()
        router.process.send_signal(signal.SIGTERM)
        replies = [await client.answer() for client in clients]
        refused = await waiting.answer()
        took_s = asyncio.get_running_loop().time() - told
        code = await router.ended()

    assert 0.5 <= took_s <= 5
    assert [(200, True, fake.text(5), "overloaded")] * 5 == [
        (reply.status, reply.complete, reply.text, reply.error["code"]) for reply in replies
    ]
    assert all(b"[DONE]" not in reply.body for reply in replies)
    assert (503, "overloaded") == (refused.status, refused.error["code"])
    assert "retry-after" in refused.headers
    assert 0 == code, router.err
    assert [("interrupted", "overloaded")] * 6 == outcomes(tmp_path)
    assert all(asked.closed.is_set() for asked in upstream.requests)


@pytest.mark.parametrize("delay", ["0s", "20s"], ids=["in grace", "in delay"])
async def test_a_second_signal_hurries(tmp_path: Path, delay: str) -> None:
    """T22: an operator who cannot wait says so again; the streams still get their error event."""
    never = asyncio.Event()
    async with (
        FakeUpstream(handler=lambda request: fake.stream(request, 5, last=[never])) as upstream,
        draining(upstream, tmp_path, delay=delay, grace="20s") as router,
        contextlib.AsyncExitStack() as stack,
    ):
        clients = await open_streams(router, stack, 3)
        router.process.send_signal(signal.SIGTERM)
        await router.said("draining")
        hurried = asyncio.get_running_loop().time()
        router.process.send_signal(signal.SIGTERM)
        replies = [await client.answer() for client in clients]
        code = await router.ended()
        took_s = asyncio.get_running_loop().time() - hurried

    assert took_s <= 5
    assert [(True, "overloaded")] * 3 == [(reply.complete, reply.error["code"]) for reply in replies]
    assert 0 == code, router.err
    assert [("interrupted", "overloaded")] * 3 == outcomes(tmp_path)


async def test_calls_that_were_open_at_a_kill_are_recovered_at_the_next_start(tmp_path: Path) -> None:
    """T22, T3a: kill -9 with 3 streams open; the next start shows them as `recovered_held`, and serves."""
    never = asyncio.Event()
    async with FakeUpstream() as upstream:
        async with draining(upstream, tmp_path, grace="1s") as router, contextlib.AsyncExitStack() as stack:
            async with wire(router.http_port) as client:
                whole = await client.ask(STREAM)
            upstream.handler = lambda request: fake.stream(request, 5, last=[never])
            clients = await open_streams(router, stack, 3)
            calls = [(await client.answer_until(lambda _: True)).call_id for client in clients]
            router.process.kill()
            killed = await router.ended()
        upstream.handler = fake.answer
        async with draining(upstream, tmp_path, grace="1s") as router:
            async with http_client(router.url, {"authorization": f"Bearer {ADMIN}"}) as admin:
                rows = [(await admin.get(f"/checkrein/v1/calls/{call}")).json() for call in [whole.call_id, *calls]]
            async with wire(router.http_port) as client:
                again = await client.ask(STREAM)
            code = await router.stop()

    assert -signal.SIGKILL == killed
    assert ["completed"] + ["recovered_held"] * 3 == [row["outcome"] for row in rows]
    assert (200, 0) == (again.status, code)
    assert 5 == len(outcomes(tmp_path))
