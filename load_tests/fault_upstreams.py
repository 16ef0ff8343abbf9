"""Serve the providers of the fault bench from a process of its own, which fail as often as they are told to.

The parent writes one JSON object a line, how large the share of failures of each provider is, or `null` to ask what has
arrived; the answer is one line as well.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from random import Random
from typing import Final, NamedTuple

import uvloop

from tests.support.fake_upstream import Cut, FakeUpstream, Gap, Reply, Request, completion, raw, stream

UPSTREAMS: Final = 3
_TOKENS: Final = 8
_WORK: Final = Gap(0.02)
"""Before a reply begins, so that calls are under way together."""
_LINE_BYTES_MAX: Final = 1 << 22
_EXIT_S_MAX: Final = 10.0


class Arrival(NamedTuple):
    """A request that a provider received. `at_ns`: monotonic, one clock for all processes of a machine."""

    at_ns: int
    good: bool
    """It was answered well."""


class Providers:
    """The providers, seen from the process that breaks them."""

    def __init__(self, process: asyncio.subprocess.Process, ports: list[int]) -> None:
        self._process = process
        self.ports = ports

    async def fail(self, shares: dict[int, float]) -> int:
        """Have these providers fail that often, the others never. Return when, in monotonic nanoseconds."""
        when: int = await self._ask({str(number): share for number, share in shares.items()})
        return when

    async def arrivals(self) -> list[list[Arrival]]:
        """Return what each received since it was asked last."""
        return [[Arrival(*one) for one in each] for each in await self._ask(None)]

    async def _ask(self, what: dict[str, float] | None):  # type: ignore[no-untyped-def] # whatever the child says
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        return await _heard(self._process)


@asynccontextmanager
async def providers() -> AsyncIterator[Providers]:
    """Run the providers until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "load_tests.fault_upstreams",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES_MAX,
    )
    try:
        yield Providers(process, await _heard(process))
    finally:
        assert process.stdin is not None
        process.stdin.close()  # its end of input is its end
        try:
            await asyncio.wait_for(process.wait(), _EXIT_S_MAX)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _heard(process: asyncio.subprocess.Process):  # type: ignore[no-untyped-def] # whatever the child says
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise SystemExit("the providers of the bench have ended")
    return json.loads(line)


class Failing:
    """One provider."""

    def __init__(self, number: int) -> None:
        self._random = Random(number)
        self.share = 0.0
        self.arrivals: list[Arrival] = []

    def answer(self, request: Request) -> Reply:
        good = self._random.random() >= self.share
        self.arrivals.append(Arrival(time.monotonic_ns(), good))
        if not good:
            return raw(Cut.RESET)
        reply = stream(request, _TOKENS) if request.json.get("stream") else completion(request, _TOKENS)
        return Reply(steps=reply.steps, headers=reply.headers, framing=reply.framing, before_head=(_WORK,))


async def serve() -> None:
    """Serve until the end of input."""
    failing = [Failing(number) for number in range(UPSTREAMS)]
    async with AsyncExitStack() as stack:
        fakes = [await stack.enter_async_context(FakeUpstream(handler=one.answer)) for one in failing]
        say([fake.port for fake in fakes])
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, partial(sys.stdin.readline)):
            shares = json.loads(line)
            if shares is None:
                say([one.arrivals for one in failing])
                for one in failing:
                    one.arrivals = []
                continue
            for number, one in enumerate(failing):
                one.share = shares.get(str(number), 0.0)
            say(time.monotonic_ns())


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
