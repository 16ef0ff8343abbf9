"""Hold a request that came whole over our own listener, and what uvicorn asks of one that is being answered.

Nearly every request is one segment. Such a one is answered without a scope, without `receive` and without uvicorn's
record of it, which together cost as much as deciding about it (docs/adr/0008).
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from uvicorn.protocols.http.flow_control import FlowControl

if TYPE_CHECKING:
    from router.facades.http.protocol import FrontProtocol

_NOTHING_TO_RECEIVE: Final = asyncio.Event()
"""Set at each end, as uvicorn does; nobody ever waits for it."""


class Exchange:
    """One request and the state of its reply. The lower half has uvicorn's names: its protocol reads and sets them."""

    __slots__ = (
        "body",
        "connection",
        "default_headers",
        "disconnected",
        "flow",
        "headers",
        "http_version",
        "keep_alive",
        "on_response",
        "response_complete",
        "response_started",
        "scope",
        "target",
        "task",
    )

    message_event: Final = _NOTHING_TO_RECEIVE
    more_body: Final = False
    waiting_for_100_continue: Final = False

    def __init__(
        self,
        connection: "FrontProtocol",
        *,
        target: bytes,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
        http_version: str,
        keep_alive: bool,
        flow: FlowControl,
        default_headers: list[tuple[bytes, bytes]],
        on_response: Callable[[], None],
    ) -> None:
        self.connection = connection
        self.target = target
        self.headers = headers
        self.body = body
        self.http_version = http_version
        self.keep_alive = keep_alive
        self.flow = flow
        self.default_headers = default_headers
        self.on_response = on_response
        self.scope: Mapping[str, object] = MappingProxyType({})
        self.task: asyncio.Task[None] | None = None
        """Answers this request. Held here, because a loop holds its tasks but weakly."""
        self.disconnected = False
        self.response_started = False
        self.response_complete = False


class HotRoutes(NamedTuple):
    """Request targets that are answered whole, and who answers them."""

    targets: frozenset[bytes]
    answer: Callable[[Exchange], Coroutine[None, None, None]]
