"""Under a server that only has `receive`, a task watches it; it never outlives its block."""

import asyncio

import pytest

from router.domain.faults import Fault, RouterError, refuse
from router.domain.settlement import Outcome
from router.facades.http.body import CallerGone
from router.facades.http.disconnect import CallerWatch, polled, while_there
from tests.support.asgi import Exchange
from tests.support.pipeline import Rig
from tests.support.waiting import turns


async def test_a_caller_that_leaves_cancels_the_work() -> None:
    exchange = Exchange()
    call = Rig().call()
    watches: list[CallerWatch] = []
    exchange.hang_up()

    async def work() -> None:
        async with polled(exchange.receive) as connection:
            watches.append(CallerWatch(connection, call))
            with watches[0]:
                await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        await work()

    assert watches[0].gone
    assert Outcome.CLIENT_CANCELLED is call.outcome


async def test_work_that_is_done_first_ends_the_watch() -> None:
    exchange = Exchange()
    call = Rig().call()
    before = len(asyncio.all_tasks())
    async with polled(exchange.receive) as connection:
        with CallerWatch(connection, call) as watch:
            await turns(3)
    exchange.hang_up()
    await turns(3)

    assert not watch.gone
    assert call.outcome is None
    assert before == len(asyncio.all_tasks())


async def test_another_cancellation_is_not_the_callers() -> None:
    exchange = Exchange()
    watches: list[CallerWatch] = []

    async def work() -> None:
        async with polled(exchange.receive) as connection:
            with CallerWatch(connection, Rig().call()) as watch:
                watches.append(watch)
                await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(work())
        await turns(3)
        working.cancel()

    assert working.cancelled()
    assert not watches[0].gone


@pytest.mark.parametrize("first", [True, False])
async def test_work_of_no_call_ends_as_its_caller_leaves(first: bool) -> None:
    exchange, began, left = Exchange(), asyncio.Event(), []

    async def work() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.append(True)

    async def serve() -> str:
        try:
            await while_there(exchange.receive, work)
        except CallerGone:
            task = asyncio.current_task()
            assert task is not None
            assert 0 == task.cancelling()  # it was not cancelled for good
            return "gone"
        return "done"

    before = len(asyncio.all_tasks())
    if first:
        exchange.hang_up()
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve())
        await began.wait()
        exchange.hang_up()

    assert ("gone", [True]) == (serving.result(), left)
    assert before == len(asyncio.all_tasks())


async def test_work_of_no_call_is_done_where_its_caller_stays() -> None:
    exchange = Exchange()

    async def work() -> int:
        await turns(3)
        return 7

    async def refused() -> int:
        raise refuse(Fault.NOT_FOUND, "by the test")

    assert 7 == await while_there(exchange.receive, work)
    with pytest.raises(RouterError, match="by the test"):
        await while_there(exchange.receive, refused)
