"""Under a server that only has `receive`, a task watches it; it never outlives its block."""

import asyncio

import pytest

from router.facades.http.disconnect import CallerWatch, polled
from tests.support.asgi import Exchange
from tests.support.waiting import turns


async def test_a_caller_that_leaves_cancels_the_work() -> None:
    exchange = Exchange()
    told: list[str] = []
    watches: list[CallerWatch] = []
    exchange.hang_up()

    async def work() -> None:
        async with polled(exchange.receive) as connection:
            watches.append(CallerWatch(connection, lambda: told.append("gone")))
            with watches[0]:
                await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        await work()

    assert watches[0].gone
    assert ["gone"] == told


async def test_work_that_is_done_first_ends_the_watch() -> None:
    exchange = Exchange()
    told: list[str] = []
    before = len(asyncio.all_tasks())
    async with polled(exchange.receive) as connection:
        with CallerWatch(connection, lambda: told.append("gone")) as watch:
            await turns(3)
    exchange.hang_up()
    await turns(3)

    assert not watch.gone
    assert [] == told
    assert before == len(asyncio.all_tasks())


async def test_another_cancellation_is_not_the_callers() -> None:
    exchange = Exchange()
    watches: list[CallerWatch] = []

    async def work() -> None:
        async with polled(exchange.receive) as connection:
            with CallerWatch(connection, lambda: None) as watch:
                watches.append(watch)
                await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(work())
        await turns(3)
        working.cancel()

    assert working.cancelled()
    assert not watches[0].gone
