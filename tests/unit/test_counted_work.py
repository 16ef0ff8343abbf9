"""Guard the cost of a request by counting what it does: calls, JSON decodes, tasks. No clock, so no noise.

The bounds are what was counted when they were set, plus a tenth. A change that needs more raises them in the same
commit and says there what it buys; docs/performance.md has the CPU time that goes with them.
"""

import asyncio
import gc
import hashlib
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import pytest
import uvicorn
from uvicorn.server import ServerState

from router.adapters.telemetry_fan_out import FanOutTelemetry
from router.adapters.telemetry_log import LogTelemetry
from router.adapters.telemetry_prometheus import PrometheusTelemetry
from router.adapters.transport.connection import Connection
from router.adapters.transport.dialing import Dialer
from router.adapters.transport_httptools import HttptoolsTransport
from router.adapters.upstreams.http_upstream import HttpUpstream
from router.domain.catalog import Credential, Provider, ProviderKind, Snapshot, Timeouts
from router.domain.dialects.dialect import Dialect
from router.domain.governance.budget import Budget, BudgetId, Scope, ScopeKind, Unit
from router.domain.governance.permits import ConcurrencyLimit
from router.domain.governance.rate import RateLimit
from router.domain.governance.rate import Unit as RateUnit
from router.domain.governance.windows import Calendar, CalendarUnit
from router.domain.ids import ProviderId
from router.domain.principal import KeyEntry, Principal
from router.domain.secret import Secret
from router.facades.http.front import Front
from router.facades.http.limits import HttpLimits
from router.facades.http.protocol import FrontProtocol
from router.pipeline.open import Pipeline
from tests.support.dialects import message, message_events, response, response_events
from tests.support.fakes import (
    SECOND,
    FakeClock,
    FakeDraw,
    FixedSnapshots,
    breakers,
    chunk,
    principal,
    snapshot,
    usage_chunk,
)
from tests.support.sqlite_ledger import opened
from tests.support.transport_calls import LOCAL
from tests.support.waiting import turns

KEY = "sk-test-key"
LIMITS = HttpLimits(
    max_body=1 << 20,
    max_headers=1 << 15,
    read_timeout_ns=SECOND,
    body_timeout_ns=SECOND,
    write_timeout_ns=SECOND,
    stream_ping_ns=60 * SECOND,
)
HEAD = (
    f" HTTP/1.1\r\nhost: 127.0.0.1:8080\r\ncontent-type: application/json\r\n"
    f"authorization: Bearer {KEY}\r\nuser-agent: OpenAI/Python 2.54.0\r\nx-stainless-retry-count: 0\r\n"
)
UNARY = b'{"model":"small","messages":[{"role":"user","content":"hi"}]}'
STREAM = b'{"model":"small","messages":[{"role":"user","content":"hi"}],"stream":true}'
WHOLE = b'{"model":"up","choices":[],"usage":{"prompt_tokens":200,"completion_tokens":180}}'
CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


BUDGETS = [
    Budget(
        id=BudgetId(kind),
        scope=Scope(kind=kind, value="x"),
        unit=Unit.USD,
        limit=10**15,
        window=Calendar(unit=CalendarUnit.DAY, zone=UTC),
    )
    for kind in (ScopeKind.KEY, ScopeKind.TEAM)
]
GOVERNED = replace(
    principal("*"),
    accounts=tuple((budget.id, "x") for budget in BUDGETS),
    rate_limits=tuple(
        RateLimit(id=unit.name, scope_kind="key", scope_value="x", unit=unit, limit=10**9, period_ns=SECOND)
        for unit in (RateUnit.REQUESTS, RateUnit.TOKENS)
    ),
    concurrency_limits=(ConcurrencyLimit(id="at once", scope_kind="key", scope_value="x", limit=100),),
)


def _named_events(dialect: Dialect) -> tuple[bytes, bytes, bytes]:
    """Return how a stream begins, one piece of it, and how it ends."""
    events = message_events("word") if dialect is Dialect.MESSAGES else response_events("word")
    at = next(number for number, event in enumerate(events) if b"delta\n" in event.split(b"data:")[0])
    return b"".join(events[:at]), events[at], b"".join(events[at + 1 :]).replace(b"word", b"end.")


NAMED = {
    Dialect.MESSAGES: (
        ProviderKind.ANTHROPIC,
        b'{"model":"small","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}',
        json.dumps(message("word")).encode(),
        _named_events(Dialect.MESSAGES),
    ),
    Dialect.RESPONSES: (
        ProviderKind.OPENAI_COMPATIBLE,
        b'{"model":"small","input":"hi"}',
        json.dumps(response("word")).encode(),
        _named_events(Dialect.RESPONSES),
    ),
}


class Socket(asyncio.Transport):
    """The loop's side of a connection: keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        raise AssertionError("nobody is behind")

    def resume_reading(self) -> None:
        pass

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


class Router:
    """Everything between the caller's socket and the provider's, as it is in a server, without a network."""

    def __init__(self, pipeline: Pipeline, transport: HttptoolsTransport) -> None:
        self.pipeline = pipeline
        self.caller, self.provider = Socket(), Socket()
        self._upstream = Connection(transport)
        self._upstream.connection_made(self.provider)
        transport.connection_idle(self._upstream)
        front = Front(pipeline=pipeline, rest=_no_rest, limits=LIMITS)
        config = uvicorn.Config(front, interface="asgi3", log_config=None, access_log=False, lifespan="off")
        config.load()
        loop = asyncio.get_running_loop()
        self._caller = FrontProtocol(config, ServerState(), {}, loop, limits=LIMITS, hot=front.hot_routes)
        self._caller.connection_made(self.caller)

    async def asks(self, body: bytes, path: str = "/v1/chat/completions") -> None:
        self._caller.data_received(f"POST {path}{HEAD}content-length: {len(body)}\r\n\r\n".encode() + body)
        await turns(3)

    async def answers(self, data: bytes) -> None:
        self._upstream.data_received(data)
        await turns(3)

    async def unary(self) -> None:
        await self.asks(UNARY)
        await self.answers(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(WHOLE), WHOLE))
        assert self.caller.written.endswith(WHOLE)

    async def stream(self, chunks: int) -> None:
        self.caller.written = b""
        await self.asks(STREAM)
        await self.answers(CHUNKED)
        for _ in range(chunks):
            await self.answers(_part(chunk("word").raw))
        last = chunk("", finish="stop").raw + usage_chunk(7, chunks).raw + b"data: [DONE]\n\n"
        await self.answers(_part(last) + b"0\r\n\r\n")
        assert self.caller.written.endswith(b"0\r\n\r\n")
        assert chunks == self.caller.written.count(b"word")

    async def named_unary(self, dialect: Dialect) -> None:
        """A reply of a dialect whose events have names, as it is."""
        _, body, reply, _ = NAMED[dialect]
        await self.asks(body, f"/v1/{dialect}")
        await self.answers(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(reply), reply))
        assert self.caller.written.endswith(reply)

    async def named_stream(self, dialect: Dialect, chunks: int) -> None:
        self.caller.written = b""
        _, body, _, (first, piece, last) = NAMED[dialect]
        await self.asks(body[:-1] + b',"stream":true}', f"/v1/{dialect}")
        await self.answers(CHUNKED)
        for data in (first, *[piece] * chunks):
            await self.answers(_part(data))
        await self.answers(_part(last) + b"0\r\n\r\n")
        assert self.caller.written.endswith(b"0\r\n\r\n")
        assert chunks == self.caller.written.count(b"word")

    async def translated_unary(self) -> None:
        """Asked in Chat Completions, of a provider that speaks Messages."""
        _, _, reply, _ = NAMED[Dialect.MESSAGES]
        await self.asks(UNARY)
        await self.answers(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(reply), reply))
        assert b'"object":"chat.completion"' in self.caller.written

    async def translated_stream(self, chunks: int) -> None:
        self.caller.written = b""
        *_, (first, piece, last) = NAMED[Dialect.MESSAGES]
        await self.asks(STREAM)
        await self.answers(CHUNKED)
        for data in (first, *[piece] * chunks):
            await self.answers(_part(data))
        await self.answers(_part(last) + b"0\r\n\r\n")
        assert self.caller.written.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert chunks == self.caller.written.count(b"word")


class OneProvider:
    """The `Upstreams` port over one upstream."""

    def __init__(self, upstream: HttpUpstream) -> None:
        self._upstream = upstream

    def find(self, _provider: ProviderId) -> HttpUpstream:
        return self._upstream


@asynccontextmanager
async def router_on(
    folder: Path, who: Principal | None = None, dialect: Dialect = Dialect.CHAT
) -> AsyncIterator[Router]:
    """`dialect`: the one that the provider speaks."""
    digest = hashlib.sha256(KEY.encode()).digest()
    keys = {digest: KeyEntry(sha256=digest, principal=who or principal("*"))}
    limits = Timeouts(
        connect_ns=SECOND, stream_first_event_ns=60 * SECOND, stream_idle_ns=60 * SECOND, total_ns=60 * SECOND
    )
    provider = Provider(
        id=ProviderId("up"),
        kind=NAMED[dialect][0] if dialect in NAMED else ProviderKind.OPENAI_COMPATIBLE,
        base_url="http://127.0.0.1:1/v1",
        credentials=(Credential(key=Secret("sk-up")),),
        timeouts=limits,
    )
    transport = HttptoolsTransport(Dialer(host="127.0.0.1", port=1, reach=LOCAL), connect_ns=SECOND)
    prometheus = PrometheusTelemetry()
    with (folder / "log").open("wb") as log:
        lines = LogTelemetry(log, beside=prometheus)
        async with opened(folder / "ledger.db") as ledger:
            ledger.set_budgets(BUDGETS)
            pipeline = Pipeline(
                clock=FakeClock(),
                draw=FakeDraw(),
                ledger=ledger,
                telemetry=FanOutTelemetry(prometheus, lines),
                upstreams=OneProvider(HttpUpstream(provider, transport, FakeClock())),
                snapshots=FixedSnapshots(replace(_speaking(dialect), keys=keys)),
                breakers=breakers(),
            )
            yield Router(pipeline, transport)
        lines.close()
        await transport.close()


def _speaking(dialect: Dialect) -> Snapshot:
    held = snapshot()
    models = {
        name: replace(
            model, deployments=tuple(replace(one, dialects=frozenset((dialect,))) for one in model.deployments)
        )
        for name, model in held.models.items()
    }
    return replace(held, models=models)


class Work:
    """What was done while counting."""

    def __init__(self) -> None:
        self.python_calls = 0
        self.decodes = 0
        self.tasks = 0
        self.by_function: Counter[str] = Counter()

    def watch(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and "/router/" in frame.f_code.co_filename:
            self.python_calls += 1
            self.by_function[frame.f_code.co_qualname] += 1
        elif event == "c_call" and isinstance(getattr(argument, "__self__", None), msgspec.json.Decoder):
            self.decodes += 1


@asynccontextmanager
async def counting() -> AsyncIterator[Work]:
    """Count Python calls of ours (a coroutine that goes on is one), decodes and tasks."""
    work = Work()
    loop = asyncio.get_running_loop()

    def make_task(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> "asyncio.Task[Any]":
        work.tasks += 1
        return asyncio.Task(coro, loop=loop, **options)

    loop.set_task_factory(make_task)
    sys.setprofile(work.watch)
    try:
        yield work
    finally:
        sys.setprofile(None)
        loop.set_task_factory(None)


async def _no_rest(_scope: object, _receive: object, _send: object) -> None:
    raise AssertionError("not a hot route")


def _part(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def test_a_unary_request_does_no_more_than_it_did(tmp_path: Path) -> None:
    async with router_on(tmp_path) as router:
        await router.unary()  # fills caches
        async with counting() as work:
            await router.unary()

    assert work.python_calls <= 222, work.by_function.most_common(20)
    assert work.decodes <= 6
    assert 1 == work.tasks


async def test_a_request_under_budgets_and_limits_does_no_more_than_it_did(tmp_path: Path) -> None:
    async with router_on(tmp_path, GOVERNED) as router:
        await router.unary()
        async with counting() as work:
            await router.unary()

    assert work.python_calls <= 272, work.by_function.most_common(20)
    assert work.decodes <= 7


@pytest.mark.parametrize("who", [principal("*"), GOVERNED], ids=["free", "governed"])
async def test_a_request_leaves_nothing_for_the_collector(who: Principal, tmp_path: Path) -> None:
    async with router_on(tmp_path, who) as router:
        await router.unary()
        await router.stream(3)
        while gc.collect():  # what other tests left takes two, where finalizers bring some of it back
            pass
        gc.disable()
        try:
            await router.unary()
            await router.stream(3)
            circles = gc.collect()
        finally:
            gc.enable()

    assert 0 == circles


@pytest.mark.parametrize("chunks", [10, 100])
async def test_a_chunk_costs_the_same_however_long_the_stream(chunks: int, tmp_path: Path) -> None:
    async with router_on(tmp_path) as router:
        await router.stream(1)
        async with counting() as short:
            await router.stream(chunks)
        async with counting() as long:
            await router.stream(chunks * 3)

    calls = (long.python_calls - short.python_calls) / (2 * chunks)
    decodes = (long.decodes - short.decodes) / (2 * chunks)
    assert calls <= 22, long.by_function.most_common(40)
    assert decodes <= 1
