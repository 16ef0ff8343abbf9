"""Hold the port of the gRPC server, which is imported and started once HTTP listens: it takes a tenth of a second."""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from router.facades.tls import Tls

if TYPE_CHECKING:
    from router.facades.grpc.server import GrpcServer

_log = logging.getLogger(__name__)

Build = Callable[[str], "GrpcServer"]


class GrpcListener:
    """A port that is ours from the beginning, and a server at it from `start` on."""

    def __init__(self, host: str, port: int, build: Build, *, tls: Tls | None = None) -> None:
        """`build` makes the server for an address, at `start`; `tls` is what it will serve with. Raises `OSError`."""
        if tls is not None:
            tls.read()
        self._build = build
        self._held = _hold(host, port)
        self.port: int = self._held.getsockname()[1]
        self._address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self._server: GrpcServer | None = None

    async def start(self) -> None:
        """Raises `OSError`."""
        await asyncio.to_thread(_load)
        self._server = self._build(self._address)
        await self._server.start()
        _log.info("serving gRPC on %s", self._address)

    async def say_not_serving(self) -> None:
        if self._server is not None:
            await self._server.say_not_serving()

    async def stop(self, grace_s: float | None) -> None:
        """Take no more calls and wait for those there are, at most for the grace. Harmless before `start`."""
        self._held.close()
        if self._server is not None:
            await self._server.stop(grace_s)


def _load() -> None:
    import router.facades.grpc.server  # noqa: F401 - its modules, beside the loop


def _hold(host: str, port: int) -> socket.socket:
    """Bind without listening: a port in use is said before anything is served, and nobody takes it meanwhile.

    gRPC binds by itself and only beside sockets that share their port, so ours does, after it was seen to be alone.
    It has no SO_REUSEADDR, or another router that starts at this moment would be let pass beside it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as alone:
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind((host, port))
            port = alone.getsockname()[1]
        held = socket.socket(family, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            held.bind((host, port))
        except OSError:
            held.close()
            raise
    except OSError as exc:
        raise OSError(f"{host}:{port}: {exc.strerror}. Stop what listens there or choose another port") from exc
    return held
