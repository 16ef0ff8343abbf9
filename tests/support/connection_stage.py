"""A connection without a network: what it wrote, and what its owner was told."""

import asyncio
from collections.abc import Callable
from typing import cast

from router.adapters.transport.connection import Connection
from router.adapters.transport.reply import Reply
from router.ports.transport import HttpRequest

REQUEST = HttpRequest(target=b"/t", head=b"host: h\r\n", body=b"{}")


class RecordingSocket:
    """The side of a loop's transport that a connection uses."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.on_write: Callable[[], None] = lambda: None
        self.aborted = False
        self._reading = True
        self.unsent_bytes = 0

    def is_reading(self) -> bool:
        return self._reading

    def write(self, data: bytes) -> None:
        self.written.append(data)
        self.on_write()

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True


class Stage:
    """A connection without a network, and what its owner was told."""

    def __init__(self) -> None:
        self.socket = RecordingSocket()
        self.idle = self.closed = self.opened = 0
        self.connection = Connection(self)
        self.connection.connection_made(cast(asyncio.Transport, self.socket))

    def connection_opened(self, connection: Connection) -> None:
        self.opened += 1

    def connection_idle(self, connection: Connection) -> None:
        self.idle += 1

    def connection_closed(self, connection: Connection) -> None:
        self.closed += 1

    def send(self) -> Reply:
        return self.connection.request(REQUEST, b"{}")

    def receive(self, data: bytes) -> None:
        self.connection.data_received(data)
