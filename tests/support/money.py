"""Ask for what costs a known amount, of a provider that bills a known amount, and hear how an account stands.

The numbers: a token of input costs 2,000 nano-USD and one of output 10,000, with no dearer rate for what a cache
writes. The router takes the bytes of `messages` and 8 a message for the most input that there can be, so a request of
992 bytes of messages and at most 9,800 tokens of output reserves 1,000 * 2,000 + 9,800 * 10,000 = 100,000,000: $0.10.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Final

from router.domain.governance.input_bound import MESSAGE_FRAME_TOKENS
from tests.support import fake_upstream as fake
from tests.support.fake_upstream import INPUT_NANO_USD, OUTPUT_NANO_USD, Handler, Reply, Request
from tests.support.running import ADMIN, KEY, chat
from tests.support.wire import Answer, Wire, post, wire

USD: Final = 1_000_000_000
PRICE: Final = {"input": 2.0, "cached_input": 0.2, "output": 10.0}
INPUT_BOUND: Final = 1_000
OUTPUT_MAX: Final = 9_800
TEN_CENTS: Final = USD // 10
KEYS: Final = ({"name": "test", "key": KEY}, {"name": "admin", "key": ADMIN, "permissions": ["admin"]})
"""Keys that no budget and no limit holds back."""
_FRAME: Final = len(json.dumps([{"role": "user", "content": ""}])) + MESSAGE_FRAME_TOKENS
_TOO_MANY: Final = 10_000_000
"""Tokens of output that no budget of a test pays for."""


def model(name: str = "small", **members: object) -> dict[str, object]:
    return {"name": name, "deployments": [{"provider": "fake", "model": name, "price": PRICE, **members}]}


def request_of(input_bound: int = INPUT_BOUND, **members: object) -> dict[str, object]:
    """Make a request whose input is taken to be exactly so many tokens at most."""
    return chat(messages=[{"role": "user", "content": "x" * (input_bound - _FRAME)}], **members)


def worst_case(input_bound: int, output_max: int) -> int:
    return input_bound * INPUT_NANO_USD + output_max * OUTPUT_NANO_USD


def billing(input_tokens: int = INPUT_BOUND, output_tokens: int | None = None, *, gap_s: float = 0) -> Handler:
    """Answer, and bill so much; None: as much output as the request allows. `gap_s`: between a stream's tokens."""

    def handler(request: Request) -> Reply:
        request.input_billed = input_tokens
        asked = request.json["max_completion_tokens"] if output_tokens is None else output_tokens
        assert isinstance(asked, int)
        return fake.stream(request, asked, gap_s) if request.json.get("stream") else fake.completion(request, asked)

    return handler


def guessed_input(request: Request) -> int:
    """Return the tokens of input that a reader has to assume where the provider does not say: one for four bytes."""
    members = request.json
    members.pop("stream_options", None)  # the router's own wish
    return -(-len(json.dumps(members).encode()) // 4)


@contextlib.asynccontextmanager
async def callers(port: int, count: int) -> AsyncIterator[list[Wire]]:
    """Connect so many callers, all before any of them asks."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(wire(port)) for _ in range(count)]


async def ask_at_once(crowd: Sequence[Wire], data: bytes) -> list[Answer]:
    """Let all of them ask the same at the same moment, and return all their answers."""
    barrier = asyncio.Barrier(len(crowd))

    async def ask(caller: Wire) -> Answer:
        await barrier.wait()
        await caller.send(data)
        return await caller.answer()

    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(ask(caller)) for caller in crowd]
    return [task.result() for task in asking]


async def account_of(port: int, *lines: str, key: str = KEY) -> tuple[int, int]:
    """Return what the caller's account has posted and what it holds, as the refusal of too large a call says."""
    async with wire(port) as connection:
        await connection.send(post(*lines, body=request_of(max_completion_tokens=_TOO_MANY), key=key))
        refusal = await connection.answer()
    details = refusal.error["details"]
    assert isinstance(details, dict), refusal.error
    return details["used"], details["reserved"]
