"""A router that is told to stop, told twice, or killed: what its callers, its probes and its ledger see.

These are real processes and real signals; nothing here shares memory with the router.
"""

import asyncio
import contextlib
import functools
import os
import re
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from tests.support import fake_upstream as fake
from tests.support.fake_upstream import FakeUpstream
from tests.support.raw_http import RawClient
from tests.support.running import ADMIN, chat, config_for, until

pytestmark = pytest.mark.slow

STREAM = chat(stream=True)
_SERVING = re.compile(rb"serving http://127\.0\.0\.1:(\d+)/v1")
_PROBES = re.compile(rb"probes on http://127\.0\.0\.1:(\d+)")


@dataclass
class Served:
    process: Process
    http_port: int
    ops_port: int
    folder: Path
    stderr: bytearray

    async def probe(self, path: str) -> int | None:
        """Ask the ops listener; None when it is gone."""
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.ops_port}", trust_env=False) as client:
            try:
                return (await client.get(path)).status_code
            except httpx.TransportError:
                return None

    async def exit_code(self, *, within_s: float) -> int:
        async with asyncio.timeout(within_s):
            return await self.process.wait()

    def outcomes(self) -> list[tuple[str, str | None]]:
        with contextlib.closing(sqlite3.connect(self.folder / "ledger.db")) as store:
            assert 0 == store.execute("SELECT count(*) FROM open_calls").fetchone()[0], "a call without a row"
            return store.execute("SELECT outcome, fault FROM calls ORDER BY id").fetchall()


@contextlib.asynccontextmanager
async def served(upstream: FakeUpstream, folder: Path, drain: dict[str, str]) -> AsyncIterator[Served]:
    """Run `checkrein serve` in `folder` until it ends by itself or the block is left."""
    file = folder / "checkrein.yaml"
    config = config_for(upstream, drain=drain) | {"store": {"url": f"sqlite:///{folder / 'ledger.db'}"}}
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "router", "serve", "--config", str(file), cwd=folder, stdout=PIPE, stderr=PIPE,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    said = bytearray()
    try:
        async with asyncio.TaskGroup() as tasks:
            http_port = ops_port = None
            async with asyncio.timeout(20):
                while http_port is None or ops_port is None:
                    line = await process.stderr.readline()
                    assert line, f"it did not start: {bytes(said).decode()}"
                    said += line
                    http_port, ops_port = http_port or _SERVING.search(line), ops_port or _PROBES.search(line)
            pumps = [
                tasks.create_task(_pump(process.stdout, bytearray())),
                tasks.create_task(_pump(process.stderr, said)),
            ]
            yield Served(process, int(http_port[1]), int(ops_port[1]), folder, said)
            if process.returncode is None:
                process.kill()
            await asyncio.wait(pumps)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _pump(pipe: asyncio.StreamReader, into: bytearray) -> None:
    while data := await pipe.read(65_536):
        into += data


async def open_streams(router: Served, stack: contextlib.AsyncExitStack, count: int) -> list[RawClient]:
    """Start so many streams and wait until each has its first token."""
    clients = [await stack.enter_async_context(RawClient(router.http_port)) for _ in range(count)]
    for client in clients:
        client.send(STREAM)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(client.read_until(lambda reply: b'"w0"' in reply.body))
    return clients


async def test_a_drain_completes_every_stream(tmp_path: Path) -> None:
    """T22: 20 streams of 2 s, SIGTERM: readiness 503 within 0.5 s, liveness 200, accepting during delay, exit 0."""
    gap_s = 0.1
    async with FakeUpstream(handler=functools.partial(fake.stream, tokens=20, gap_s=gap_s)) as upstream:
        drain = {"delay": "800ms", "grace": "10s"}
        async with served(upstream, tmp_path, drain) as router, contextlib.AsyncExitStack() as stack:
            ready = await router.probe("/readyz")
            clients = await open_streams(router, stack, 20)
            told = asyncio.get_running_loop().time()
            router.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(2):
                while await router.probe("/readyz") != 503:
                    pass
            unready_s = asyncio.get_running_loop().time() - told
            late = await stack.enter_async_context(RawClient(router.http_port))
            late.send(STREAM)
            alive = await router.probe("/livez")
            async with asyncio.timeout(10):
                replies = [await client.reply() for client in [*clients, late]]
            code = await router.exit_code(within_s=3)

    assert 200 == ready
    assert unready_s <= 0.5
    assert 200 == alive
    assert [(200, True, fake.text(20), "[DONE]")] * 21 == [
        (reply.status, reply.complete, reply.text, reply.events[-1]) for reply in replies
    ]
    assert 0 == code, bytes(router.stderr).decode()
    assert [("completed", None)] * 21 == router.outcomes()


async def test_streams_that_outlast_the_grace_end_with_an_error_event(tmp_path: Path) -> None:
    """T22: beyond the grace a terminal error event, not a reset; every row settled; the providers let go; exit 0."""
    never = asyncio.Event()
    async with FakeUpstream(handler=lambda request: fake.stream(request, 5, last=[never])) as upstream:
        drain = {"delay": "0s", "grace": "500ms"}
        async with served(upstream, tmp_path, drain) as router, contextlib.AsyncExitStack() as stack:
            clients = await open_streams(router, stack, 5)
            waiting = await stack.enter_async_context(RawClient(router.http_port))
            upstream.handler = lambda _: fake.silence(never)
            waiting.send(chat())
            await upstream.received(6)
            told = asyncio.get_running_loop().time()
            router.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(5):
                replies = [await client.reply() for client in clients]
                refused = await waiting.reply()
            took_s = asyncio.get_running_loop().time() - told
            code = await router.exit_code(within_s=3)

    assert 0.5 <= took_s <= 2.0
    assert [(200, True, fake.text(5), "overloaded")] * 5 == [
        (reply.status, reply.complete, reply.text, reply.error["code"]) for reply in replies
    ]
    assert all(b"[DONE]" not in reply.body for reply in replies)
    assert (503, "overloaded") == (refused.status, refused.error["code"])
    assert "retry-after" in refused.headers
    assert 0 == code, bytes(router.stderr).decode()
    assert [("interrupted", "overloaded")] * 6 == router.outcomes()
    assert all(asked.closed.is_set() for asked in upstream.requests)


@pytest.mark.parametrize("delay", ["0s", "20s"], ids=["in grace", "in delay"])
async def test_a_second_signal_hurries(tmp_path: Path, delay: str) -> None:
    """T22: an operator who cannot wait says so again; the streams still get their error event."""
    never = asyncio.Event()
    async with FakeUpstream(handler=lambda request: fake.stream(request, 5, last=[never])) as upstream:
        drain = {"delay": delay, "grace": "20s"}
        async with served(upstream, tmp_path, drain) as router, contextlib.AsyncExitStack() as stack:
            clients = await open_streams(router, stack, 3)
            router.process.send_signal(signal.SIGTERM)
            await until(lambda: b"draining" in router.stderr, within_s=2)
            router.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(3):
                replies = [await client.reply() for client in clients]
            code = await router.exit_code(within_s=3)

    assert [(True, "overloaded")] * 3 == [(reply.complete, reply.error["code"]) for reply in replies]
    assert 0 == code, bytes(router.stderr).decode()
    assert [("interrupted", "overloaded")] * 3 == router.outcomes()


async def test_calls_that_were_open_at_a_kill_are_recovered_at_the_next_start(tmp_path: Path) -> None:
    """T22, T3a: kill -9 with 3 streams open; the next start shows them as `recovered_held`, and serves."""
    never = asyncio.Event()
    async with FakeUpstream() as upstream:
        async with served(upstream, tmp_path, {"grace": "1s"}) as router, contextlib.AsyncExitStack() as stack:
            async with RawClient(router.http_port) as client:
                whole = await client.ask(STREAM)
            upstream.handler = lambda request: fake.stream(request, 5, last=[never])
            clients = await open_streams(router, stack, 3)
            calls = [(await client.read_until(lambda _: True)).call_id for client in clients]
            router.process.kill()
            killed = await router.exit_code(within_s=3)
        upstream.handler = fake.answer
        async with served(upstream, tmp_path, {"grace": "1s"}) as router:
            headers = {"authorization": f"Bearer {ADMIN}"}
            url = f"http://127.0.0.1:{router.http_port}"
            async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as client_:
                rows = [(await client_.get(f"/checkrein/v1/calls/{call}")).json() for call in [whole.call_id, *calls]]
            async with RawClient(router.http_port) as client:
                again = await client.ask(STREAM)
            router.process.terminate()
            code = await router.exit_code(within_s=3)

    assert -signal.SIGKILL == killed
    assert ["completed"] + ["recovered_held"] * 3 == [row["outcome"] for row in rows]
    assert (200, 0) == (again.status, code)
    assert 5 == len(router.outcomes())
