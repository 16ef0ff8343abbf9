"""Measure what a call costs the router over gRPC, beside the same over HTTP and beside a gRPC server that does nothing.

`python -m load_tests.grpc_bench [ROUNDS]`, about a minute, on loopback. Router, provider, bare server and load are
processes of their own; kinds of calls take turns, so that what else the machine does befalls all of them. CPU time is
that of the whole process, user and system, all threads. Ends with 1 if a call failed; CPU time is told beside its goal
and not judged, as machines differ.
"""

import asyncio
import gc
import json
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import uvloop
import yaml
from checkrein.v1.chat_pb2 import ChatCompletionRequest
from checkrein.v1.chat_service_pb2 import (
    ChunkJsonList,
    CreateChatCompletionRequest,
    StreamChatCompletionRequest,
    StreamChatCompletionResponse,
)

from clients.examples.local_router import KEY, LocalRouter, local_router
from load_tests.grpc_peers import PATHS, Peer, peer
from load_tests.loopback import require_loopback
from load_tests.raw_http1 import Http1Connection
from load_tests.raw_http2 import End, Http2Connection, Take
from router.facades.grpc.encode import encoded

ROUNDS: Final = 3
SPAN_S = 1.5  # shorter in the test
"""Of one kind of calls in one round."""
AT_ONCE: Final = 64
PACED: Final = 100
"""Streams at once whose tokens come one by one."""
PARALLEL = 1_000
_CONNECTIONS: Final = 8
"""Over which gRPC's calls are spread."""
_PATIENCE_S: Final = 30.0
_TICKS_S: Final = os.sysconf("SC_CLK_TCK")

UNARY_MAX_US: Final = 300
MESSAGE_MAX_US: Final = 60
UNARY: Final = "gRPC, unary, JSON"
STREAM: Final = "gRPC, stream, JSON"
"""The kinds that have goals."""

_WORDS: Final = " ".join(["word"] * 200)
_CHUNK: Final = StreamChatCompletionResponse(
    chunks_json=ChunkJsonList(
        chunks=[b'{"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"word "}}]}']
    )
).SerializeToString()


class Connection(Protocol):
    async def ready(self) -> None: ...
    def call(self, message: bytes, take: Take, end: End) -> None: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class Counted:
    """What a round was, and what it took."""

    calls: int = 0
    errors: int = 0
    messages: int = 0
    chunks: int = 0
    cpu_s: float = 0.0
    loop_s: float = 0.0
    """Of `cpu_s`: the thread of the event loop."""
    span_s: float = 0.0
    rss_mb: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A way to call, which is measured by itself."""

    name: str
    port: int
    process_id: int
    request: bytes
    path: bytes
    grpc: bool = True
    at_once: int = AT_ONCE
    count: Callable[[bytes], tuple[int, int]] | None = None
    """Says how many messages and chunks there are in what was taken; None: nothing is counted."""
    once: bool = False
    """Each caller calls once, and all begin at once."""
    rounds: list[Counted] = field(default_factory=list)

    def connection(self) -> Connection:
        said = [(b"authorization", b"Bearer " + KEY.encode())]
        if not self.grpc:
            return Http1Connection(self.path, [*said, (b"content-type", b"application/json")])
        said = [(b"content-type", b"application/grpc"), (b"te", b"trailers"), (b"grpc-timeout", b"30S"), *said]
        return Http2Connection(self.path, [*said, (b"user-agent", b"grpc-python/1.80.0 grpc-c/51.0.0 (linux; chttp2)")])

    @property
    def cost(self) -> float:
        """CPU time of a call, in µs."""
        return self.median(lambda one: 1e6 * one.cpu_s / one.calls)

    @property
    def message(self) -> float | None:
        """CPU time of a message of a stream, in µs, with its share of the call."""
        return self.median(lambda one: 1e6 * one.cpu_s / one.messages) if self.count else None

    @property
    def chunk(self) -> float | None:
        return self.median(lambda one: 1e6 * one.cpu_s / one.chunks) if self.count else None

    def median(self, figure: Callable[[Counted], float]) -> float:
        return statistics.median(figure(one) for one in self.rounds)


async def run(kind: Kind, span_s: float) -> Counted:
    """Call for a while with so many callers at once, and see what it takes of the server."""
    require_loopback(f"http://127.0.0.1:{kind.port}")
    loop = asyncio.get_running_loop()
    connections: list[Connection] = []
    for _ in range(_CONNECTIONS if kind.grpc else kind.at_once):
        _, one = await loop.create_connection(kind.connection, "127.0.0.1", kind.port)
        await one.ready()
        connections.append(one)
    counted = Counted()
    done = loop.create_future()
    under_way = kind.at_once

    def take(message: bytes) -> None:
        if kind.count is not None:
            messages, chunks = kind.count(message)
            counted.messages += messages
            counted.chunks += chunks

    def call(connection: Connection) -> None:
        def end(errors: int) -> None:
            nonlocal under_way
            counted.calls += 1
            counted.errors += errors
            if not errors and not kind.once and loop.time() < until:
                connection.call(kind.request, take, end)
                return
            under_way -= 1
            if not under_way and not done.done():
                done.set_result(None)

        connection.call(kind.request, take, end)

    gc.collect()
    cpu_s, loop_s, began = _cpu_s(kind.process_id), _loop_s(kind.process_id), loop.time()
    until = began + span_s
    for number in range(kind.at_once):
        call(connections[number % len(connections)])
    try:
        await asyncio.wait_for(done, span_s + _PATIENCE_S)
    except TimeoutError:
        counted.errors += under_way
    counted.span_s = loop.time() - began
    counted.cpu_s, counted.loop_s = _cpu_s(kind.process_id) - cpu_s, _loop_s(kind.process_id) - loop_s
    counted.rss_mb = _rss_mb(kind.process_id)
    for one in connections:
        one.close()
    await asyncio.sleep(0)
    return counted


def _cpu_s(process_id: int) -> float:
    """Return what a process took, its ended threads included."""
    return _taken_s(Path(f"/proc/{process_id}/stat"))


def _loop_s(process_id: int) -> float:
    """Return what its first thread took, which has the event loop."""
    return _taken_s(Path(f"/proc/{process_id}/task/{process_id}/stat"))


def _taken_s(stat: Path) -> float:
    fields = stat.read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_S  # user, system


def _rss_mb(process_id: int) -> float:
    pages = int(Path(f"/proc/{process_id}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _in_sse(data: bytes) -> tuple[int, int]:
    return 1, data.count(b'"object":"chat.completion.chunk"')


def _in_message(raw: bytes) -> tuple[int, int]:
    told = StreamChatCompletionResponse.FromString(raw)
    return 1, len(told.chunks.chunks) + len(told.chunks_json.chunks)


def _in_echo(_raw: bytes) -> tuple[int, int]:
    return 1, 1


def _body(model: str, **members: object) -> bytes:
    members = {"model": model, "messages": [{"role": "user", "content": _WORDS}], **members}
    return json.dumps(members, separators=(",", ":")).encode()


def _typed(body: bytes) -> ChatCompletionRequest:
    typed = encoded(ChatCompletionRequest, body)
    assert typed is not None
    return typed


def kinds(router: LocalRouter, echo: Peer) -> list[Kind]:
    """List what is measured, each over HTTP before it is over gRPC."""
    http = partial(
        Kind,
        port=urlsplit(router.url).port or 0,
        process_id=router.process_id,
        path=b"/v1/chat/completions",
        grpc=False,
    )
    ours = partial(Kind, port=router.grpc_port, process_id=router.process_id)
    whole = partial(ours, path=b"/checkrein.v1.ChatService/CreateChatCompletion")
    streamed = partial(ours, path=b"/checkrein.v1.ChatService/StreamChatCompletion", count=_in_message)
    bare = partial(Kind, port=echo.port, process_id=echo.process_id)
    unary, paced, burst = _body("whole"), _body("paced"), _body("burst")
    one, one_typed = CreateChatCompletionRequest(chat_json=unary), CreateChatCompletionRequest(chat=_typed(unary))
    slow, slow_typed = StreamChatCompletionRequest(chat_json=paced), StreamChatCompletionRequest(chat=_typed(paced))
    fast, fast_typed = StreamChatCompletionRequest(chat_json=burst), StreamChatCompletionRequest(chat=_typed(burst))
    return [
        http(name="HTTP, unary", request=unary),
        whole(name=UNARY, request=one.SerializeToString()),
        whole(name="gRPC, unary, typed", request=one_typed.SerializeToString()),
        bare(name="bare gRPC, unary", path=PATHS[0], request=unary),
        http(name="HTTP, stream", request=_body("paced", stream=True), at_once=PACED, count=_in_sse),
        streamed(name=STREAM, request=slow.SerializeToString(), at_once=PACED),
        streamed(name="gRPC, stream, typed", request=slow_typed.SerializeToString(), at_once=PACED),
        bare(name="bare gRPC, stream", path=PATHS[1], request=_CHUNK, at_once=PACED, count=_in_echo),
        http(name="HTTP, burst", request=_body("burst", stream=True), count=_in_sse),
        streamed(name="gRPC, burst", request=fast.SerializeToString()),
        streamed(name="gRPC, burst, typed", request=fast_typed.SerializeToString()),
        streamed(name="gRPC, many streams", request=slow.SerializeToString(), at_once=PARALLEL, once=True),
    ]


def config(provider: int) -> dict[str, object]:
    """A key in a team in an organization, each with a budget and limits that nobody reaches."""
    far: dict[str, object] = {
        "budget": {"limit_usd": 1_000_000, "window": "day"},
        "limits": {"rpm": 1_000_000_000, "tpm": 1_000_000_000_000, "concurrency": 100_000},
    }
    price = {"input": 2.0, "output": 10.0}
    models = [
        {"name": name, "deployments": [{"provider": "up", "model": name, "price": price}]}
        for name in ("whole", "paced", "burst")
    ]
    return {
        "version": 1,
        "providers": [
            {
                "name": "up",
                "kind": "openai_compatible",
                "base_url": f"http://127.0.0.1:{provider}/v1",
                "api_key": "none",
                "network": {"allow_private": True},
            }
        ],
        "models": models,
        "organizations": [{"name": "acme", **far, "teams": [{"name": "lab", **far}]}],
        "keys": [{"name": "load", "key": KEY, "team": "acme/lab", **far}],
    }


def print_table(rows: Sequence[Kind]) -> None:
    """Medians of the rounds; calls and errors of all."""
    print(f"{'':20}   calls errors  µs a call  x HTTP  µs a message  µs a chunk   loop, %  of a core, %  RSS, MB")
    beside = rows[0].cost
    for row in rows:
        beside = beside if row.grpc else row.cost
        print(
            f"{row.name:20} {sum(one.calls for one in row.rounds):7} {sum(one.errors for one in row.rounds):6}"
            f" {row.cost:10.0f} {row.cost / beside:7.2f} {_us(row.message):>13} {_us(row.chunk):>11}"
            f" {row.median(lambda one: 100 * one.loop_s / one.cpu_s):9.0f}"
            f" {row.median(lambda one: 100 * one.cpu_s / one.span_s):13.0f} {row.median(lambda one: one.rss_mb):8.0f}"
        )
    named = {row.name: row for row in rows}
    print(f"goals: {named[UNARY].cost:.0f} of {UNARY_MAX_US} µs a unary call, ", end="")
    print(f"{named[STREAM].message or 0:.0f} of {MESSAGE_MAX_US} µs a message of a stream")


def _us(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.1f}"


async def bench(rounds: int) -> int:
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(peer("provider"))
        echo = await stack.enter_async_context(peer("echo"))
        router = stack.enter_context(local_router(yaml.safe_dump(config(provider.port))))
        rows = kinds(router, echo)
        for row in rows:
            await run(row, SPAN_S / 5)  # fills caches
        for _ in range(rounds):
            for row in rows:
                row.rounds.append(await run(row, SPAN_S))
    print_table(rows)
    return 1 if any(one.errors for row in rows for one in row.rounds) else 0


def main() -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(bench(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))


if __name__ == "__main__":
    sys.exit(main())
