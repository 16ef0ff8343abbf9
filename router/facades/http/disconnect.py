"""Notice that the caller is gone: at once and at no cost under our own listener, by a watching task elsewhere."""

from asyncio import Task, TaskGroup, current_task
from collections.abc import Callable
from types import TracebackType

from router.facades.http.asgi import Receive, Scope
from router.facades.http.protocol import connection_of


class CallerWatch:
    """While entered, cancels the serving task when its caller goes; `gone` tells that from any other cancellation.

    Enter it after the request's body was read: from then on `receive` has only the disconnect to tell.
    """

    __slots__ = ("_connection", "_group", "_on_gone", "_receive", "_task", "_watcher", "gone")

    def __init__(self, scope: Scope, receive: Receive, on_gone: Callable[[], None]) -> None:
        self._connection = connection_of(scope)
        self._receive = receive
        self._on_gone = on_gone
        self._task: Task[object] | None = None
        self._group: TaskGroup | None = None
        self._watcher: Task[None] | None = None
        self.gone = False

    async def __aenter__(self) -> "CallerWatch":
        self._task = current_task()
        if self._connection is None:
            self._group = await TaskGroup().__aenter__()
            self._watcher = self._group.create_task(self._watch())
        elif self._connection.transport.is_closing():
            self._leave()
        else:
            self._connection.on_gone = self._leave
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.on_gone = None
        if self._group is not None and self._watcher is not None:
            self._watcher.cancel()
            await self._group.__aexit__(kind, exc, trace)

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _leave(self) -> None:
        self.gone = True
        self._on_gone()
        assert self._task is not None, "entered"
        self._task.cancel()
