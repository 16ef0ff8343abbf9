"""Ways for a test to let others run: turns of the loop, moments for its sockets, until something is so."""

import asyncio
from collections.abc import Callable
from pathlib import Path


async def turns(count: int = 1) -> None:
    """Let the loop go round, so that what is ready runs."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        turned = loop.create_future()
        loop.call_soon(turned.set_result, None)
        await turned


async def turn() -> None:
    """Let the loop look at its sockets."""
    await pause(0.001)


async def pause(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def until(condition: Callable[[], object], *, within_s: float) -> None:
    """Wait for what sends no event, such as a count; `TimeoutError` when it does not come."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.005)


def footprint() -> tuple[int, int]:
    """Open files and sockets of this process, and its tasks."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir()), len(asyncio.all_tasks())


async def back_to(baseline: tuple[int, int]) -> None:
    """Wait until no more is open than there was."""
    await until(lambda: all(now <= before for now, before in zip(footprint(), baseline, strict=True)), within_s=5)
