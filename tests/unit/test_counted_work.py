"""Guard the cost of a request by counting what it does: calls, JSON decodes, tasks. No clock, so no noise.

The bounds are what was counted when they were set, plus a tenth. A change that needs more raises them in the same
commit and says there what it buys; docs/performance.md has the CPU time that goes with them.
"""

import asyncio
import hashlib
import sys
from collections import Counter
from collections.abc import Callable, MutableMapping
from dataclasses import replace
from types import FrameType
from typing import Any

import msgspec
import pytest

from router.domain.principal import KeyEntry
from router.domain.stream import END_EVENT, Event, EventKind
from router.facades.http.front import Front
from router.facades.http.limits import HttpLimits
from tests.support.fakes import SECOND, chunk, principal, snapshot, usage_chunk
from tests.support.pipeline import Rig

KEY = "sk-test-key"
LIMITS = HttpLimits(
    max_body=1 << 20,
    max_headers=1 << 15,
    read_timeout_ns=SECOND,
    body_timeout_ns=SECOND,
    write_timeout_ns=SECOND,
    stream_ping_ns=SECOND,
)
HEADERS = [
    (b"host", b"127.0.0.1:8080"),
    (b"content-type", b"application/json"),
    (b"authorization", f"Bearer {KEY}".encode()),
    (b"content-length", b"99"),
    (b"user-agent", b"OpenAI/Python 2.54.0"),
    (b"x-stainless-retry-count", b"0"),
]
UNARY = b'{"model":"small","messages":[{"role":"user","content":"hi"}]}'
STREAM = b'{"model":"small","messages":[{"role":"user","content":"hi"}],"stream":true}'
WHOLE = Event(EventKind.COMPLETE, b'{"model":"up","choices":[],"usage":{"prompt_tokens":200,"completion_tokens":180}}')


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


async def count(rig: Rig, body: bytes) -> Work:
    """Serve one request, warm, and count."""
    digest = hashlib.sha256(KEY.encode()).digest()
    keys = {digest: KeyEntry(sha256=digest, principal=principal("*"))}
    rig.snapshots.current = replace(rig.snapshots.current, keys=keys)
    front = Front(pipeline=rig.pipeline, rest=_no_rest, limits=LIMITS)
    scope = {
        "type": "http",
        "path": "/v1/chat/completions",
        "method": "POST",
        "headers": HEADERS,
        "http_version": "1.1",
        "client": ("127.0.0.1", 1),
    }
    arrived = False

    async def receive() -> MutableMapping[str, Any]:
        nonlocal arrived
        if arrived:
            await asyncio.get_running_loop().create_future()  # nobody hangs up
        arrived = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(_message: MutableMapping[str, Any]) -> None:
        pass

    work = Work()
    loop = asyncio.get_running_loop()

    def make_task(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> "asyncio.Task[Any]":
        work.tasks += 1
        return asyncio.Task(coro, loop=loop, **options)

    loop.set_task_factory(make_task)
    sys.setprofile(work.watch)
    try:
        await front(scope, receive, send)
    finally:
        sys.setprofile(None)
        loop.set_task_factory(None)
    return work


async def _no_rest(_scope: object, _receive: object, _send: object) -> None:
    raise AssertionError("not a hot route")


async def served(body: bytes, feed: Callable[[Rig], None]) -> Work:
    """Count the second of two equal requests: the first fills caches."""
    for _ in range(2):
        rig = Rig(snapshot())
        feed(rig)
        work = await count(rig, body)
    return work


def unary(rig: Rig) -> None:
    rig.upstream().feed(WHOLE)


def stream_of(chunks: int) -> Callable[[Rig], None]:
    def feed(rig: Rig) -> None:
        upstream = rig.upstream()
        for _ in range(chunks):
            upstream.feed(chunk("word"))
        upstream.feed(chunk("", finish="stop"), usage_chunk(7, chunks), END_EVENT)

    return feed


async def test_a_unary_request_does_no_more_than_it_did() -> None:
    work = await served(UNARY, unary)

    assert work.python_calls <= 105, work.by_function.most_common(20)
    assert work.decodes <= 6


async def test_a_request_makes_no_task_but_the_one_that_watches_a_foreign_connection() -> None:
    work = await served(UNARY, unary)

    assert 1 == work.tasks  # none under our own listener, whose connection tells by itself


@pytest.mark.parametrize("chunks", [10, 100])
async def test_a_chunk_costs_the_same_however_long_the_stream(chunks: int) -> None:
    short, long = await served(STREAM, stream_of(chunks)), await served(STREAM, stream_of(chunks * 3))

    calls = (long.python_calls - short.python_calls) / (2 * chunks)
    decodes = (long.decodes - short.decodes) / (2 * chunks)
    assert calls <= 16.5, long.by_function.most_common(20)
    assert decodes <= 1
