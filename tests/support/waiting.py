"""Ways for a test to let others run: turns of the loop, moments for its sockets, until something is so."""

import asyncio
from collections.abc import Callable


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
