"""Notice that the caller is gone: at once and at no cost under our own listener, by a watching task elsewhere."""

from asyncio import CancelledError, Task, TaskGroup, current_task
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TypeVar

from router.domain.faults import RouterError
from router.domain.settlement import Outcome
from router.facades.http.asgi import Receive
from router.facades.http.body import CallerGone
from router.facades.http.protocol import FrontProtocol
from router.pipeline.call import Call

T = TypeVar("T")


class Polled:
    """Stands in for a connection under a server whose connections do not tell: it asks `receive`."""

    __slots__ = ("_receive", "on_gone")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.on_gone: Callable[[], None] | None = None

    @property
    def is_gone(self) -> bool:
        return False

    async def watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self.on_gone is not None:
            self.on_gone()


@asynccontextmanager
async def polled(receive: Receive) -> AsyncIterator[Polled]:
    """Poll while the block runs. Enter it after the body was read: then `receive` has only the end to tell."""
    connection = Polled(receive)
    async with TaskGroup() as tasks:
        watcher = tasks.create_task(connection.watch())
        try:
            yield connection
        finally:
            watcher.cancel()


async def while_there(receive: Receive, work: Callable[[], Awaitable[T]]) -> T:
    """Return what `work` does, for a request that is no call. Raises its `RouterError`, or `CallerGone` once it is
    cancelled.

    Begin it after the body was read, as `polled`.
    """
    task, gone = current_task(), False
    refused: RouterError | None = None
    assert task is not None, "a request has a task"

    def leave() -> None:
        nonlocal gone
        gone = True
        task.cancel()

    async with polled(receive) as connection:
        connection.on_gone = leave
        try:
            return await work()
        except RouterError as exc:
            refused = exc  # which the group of tasks would wrap
        except CancelledError:
            if not gone:
                raise
            task.uncancel()
        finally:
            connection.on_gone = None
    raise CallerGone if refused is None else refused


class CallerWatch:
    """While entered, closes the call and cancels its task when its caller goes; `gone` tells that from other ends."""

    __slots__ = ("_call", "_connection", "_task", "gone")

    def __init__(self, connection: FrontProtocol | Polled, call: Call) -> None:
        self._connection = connection
        self._call = call
        self._task: Task[object] | None = None
        self.gone = False

    def __enter__(self) -> "CallerWatch":
        self._task = current_task()
        if self._connection.is_gone:
            self._leave()
        else:
            self._connection.on_gone = self._leave
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _exc: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._connection.on_gone = None

    def _leave(self) -> None:
        self.gone = True
        self._call.close(Outcome.CLIENT_CANCELLED)
        assert self._task is not None, "entered"
        self._task.cancel()
