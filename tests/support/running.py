"""Run a whole router in the test's own loop: real listeners, a real SQLite ledger, real sockets."""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from textwrap import dedent
from typing import Any, cast

import httpx
import yaml

from router import bootstrap
from router.bootstrap import Router, Running
from router.config import Sources, load
from router.domain.ids import CallId
from router.lifecycle import Lifecycle
from router.ports.clock import Clock
from tests.support.fake_upstream import FakeUpstream
from tests.support.waiting import until

KEY = "sk-test-key"
ADMIN = "sk-test-admin"
UPSTREAM_KEY = "sk-upstream-canary-0123456789"
"""The provider's credential. No caller, log line, row or metric may ever see it."""

PRICE = {"input": 2.0, "cached_input": 0.2, "cache_write": 2.5, "output": 10.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningRouter:
    http_port: int
    ops_port: int
    grpc_port: int
    """0: it is not served."""
    folder: Path
    running: Running

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def ops_url(self) -> str:
        return f"http://127.0.0.1:{self.ops_port}"

    def client(self, key: str | None = KEY) -> httpx.AsyncClient:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return http_client(self.url, headers)

    async def call(self, call_id: str) -> dict[str, object]:
        """Read one call's row as its operator sees it."""
        async with self.client(ADMIN) as client:
            reply = await client.get(f"/checkrein/v1/calls/{call_id}")
        assert 200 == reply.status_code, reply.text
        row: dict[str, object] = reply.json()
        return row

    async def accounts(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Read how every account stands, by the kind and the value of its scope."""
        async with self.client(ADMIN) as client:
            page = (await client.get("/admin/v1/accounts", params={"limit": 1_000})).json()
        assert page["next"] is None
        return {(row["scope"]["kind"], row["scope"]["value"]): row for row in page["data"]}

    @property
    def lifecycle(self) -> Lifecycle:
        """What runs behind the ports, for tests that look at what no wire tells."""
        owner: Lifecycle = self.running.stop.__self__  # type: ignore[attr-defined]  # a bound method
        return owner

    @property
    def open_calls(self) -> int:
        return len(self.lifecycle._pipeline.open_calls)

    def rows(self) -> list[dict[str, object]]:
        """All settled calls as the store has them now, oldest first."""
        with contextlib.closing(sqlite3.connect(self.folder / "ledger.db")) as store:
            store.row_factory = sqlite3.Row
            return [dict(row) for row in store.execute("SELECT * FROM calls ORDER BY id")]

    async def metric(self, sample: str) -> float:
        """Read one sample of `/metrics`, labels included in its name; 0 when it is not there yet."""
        async with http_client(self.ops_url) as client:
            lines = (await client.get("/metrics")).text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == sample)

    async def idle(self, *, within_s: float = 1.0) -> None:
        """Wait until nothing is in flight and every call has its row; what stays open fails the test."""
        await until(lambda: not self.open_calls, within_s=within_s)
        await self.lifecycle._pipeline.ledger.read_call(CallId(0))  # what was settled before is committed then
        assert 0 == self._unsettled()
        assert 0 == await self.metric("checkrein_calls_in_flight")

    def _unsettled(self) -> int:
        with contextlib.closing(sqlite3.connect(self.folder / "ledger.db")) as store:
            count: int = store.execute("SELECT count(*) FROM open_calls").fetchone()[0]
            return count


def http_client(url: str, headers: Mapping[str, str] | None = None) -> httpx.AsyncClient:
    """Return a client that asks nobody but `url`; reading all authorities of this machine would take it 25 ms."""
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=20, trust_env=False, verify=False)


def config_for(upstream: FakeUpstream, **sections: object) -> dict[str, object]:
    """A configuration with one provider that is `upstream`; `sections` replace whole sections or provider members."""
    provider: dict[str, object] = {
        "name": "fake",
        "kind": "openai_compatible",
        "base_url": upstream.base_url,
        "api_key": UPSTREAM_KEY,
        "network": {"allow_private": True},
    }
    provider |= {name: sections.pop(name) for name in ("timeouts",) if name in sections}
    http = sections.pop("http", {})
    assert isinstance(http, Mapping)
    config: dict[str, object] = {
        "version": 1,
        "server": {
            "http": {"port": 0, **http},
            "ops": {"port": 0},
            "grpc": {"port": 0},
            "drain": sections.pop("drain", {"grace": "2s"}),
        },
        "providers": [provider],
        "models": [
            {
                "name": "small",
                "deployments": [{"provider": "fake", "model": "fake-model", "price": PRICE}],
            }
        ],
        "keys": [
            {"name": "test", "key": KEY, "models": ["*"]},
            {"name": "admin", "key": ADMIN, "models": ["*"], "permissions": ["admin"]},
        ],
        # One attempt a call, and no breaker: what becomes of it is told without what comes after.
        "retry": {"attempts_total": 1},
        "breaker": {"min_calls": 1_000_000, "consecutive_failures": 1_000_000},
    }
    return config | sections


class MovableClock:
    """Its wall clock stands still until a test moves it; timers and deadlines go by real time, and what is skipped."""

    def __init__(self, wall: datetime) -> None:
        self._skipped_ns = 0
        self.move_to(wall)

    def monotonic_ns(self) -> int:
        return time.monotonic_ns() + self._skipped_ns

    def wall_ns(self) -> int:
        return self._wall_ns

    def move_to(self, wall: datetime) -> None:
        self._wall_ns = round(wall.timestamp()) * 10**9

    def skip(self, seconds: float) -> None:
        """Let so much time have passed; what the loop has been told to do later is not done sooner."""
        span_ns = round(seconds * 10**9)
        self._wall_ns += span_ns
        self._skipped_ns += span_ns


@contextlib.asynccontextmanager
async def running_router(
    config: Mapping[str, object], folder: Path, *, clock: Clock | None = None
) -> AsyncIterator[RunningRouter]:
    """Serve `config` from `folder` until the block is left, then drain."""
    file = folder / "checkrein.yaml"
    file.write_text(yaml.safe_dump(dict(config), sort_keys=False))
    nowhere = folder / "nowhere.yaml"
    store = {"store.url": f"sqlite:///{folder / 'ledger.db'}"}
    sources = Sources(
        explicit=file, env=dict(os.environ), overrides=store, system=nowhere, user=nowhere, project=nowhere
    )
    with _clock_is(clock):
        router = Router(load(sources), sources=sources, first_key="sk-unused")
    started: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(router.serve(started.set_result))
        done, _ = await asyncio.wait([serving, started], return_when=asyncio.FIRST_COMPLETED)
        if started not in done:
            return
        running = started.result()
        try:
            router_now = RunningRouter(
                http_port=running.http_port,
                ops_port=running.ops_port,
                grpc_port=running.grpc_port or 0,
                folder=folder,
                running=running,
            )
            await until(lambda: router_now.lifecycle._phase.not_ready is None, within_s=20)  # gRPC comes after HTTP
            yield router_now
        finally:
            running.stop()
            # Here, because the group would cancel the router of a test that failed instead of letting it drain.
            await asyncio.wait([serving])


@contextlib.contextmanager
def _clock_is(clock: Clock | None) -> Iterator[None]:
    """Have what is put together in this block go by `clock`; None: by the system's."""
    module = cast(Any, bootstrap)
    own = module.SystemClock
    module.SystemClock = own if clock is None else lambda: clock
    try:
        yield
    finally:
        module.SystemClock = own


def chat(**members: object) -> dict[str, object]:
    """A chat request with sensible members; `members` replace or add."""
    return {"model": "small", "messages": [{"role": "user", "content": "hi"}], **members}


def sse(text: str) -> list[str]:
    """The data of each event of a stream, checked to be nothing but data lines and comments."""
    events = []
    for block in dedent(text).split("\n\n")[:-1]:
        lines = block.split("\n")
        assert all(line.startswith((":", "data:")) for line in lines), block
        data = [line[5:].strip() for line in lines if line.startswith("data:")]
        if data:
            events.append("\n".join(data))
    return events
