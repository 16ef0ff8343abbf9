"""Start and stop the listeners in the right order, in one TaskGroup, and say meanwhile whether traffic is welcome."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import uvicorn

from router.domain.faults import Fault, Refusal
from router.domain.instants import NS_PER_S
from router.facades.grpc.listener import GrpcListener
from router.facades.http.asgi import App
from router.facades.http.exchange import HotRoutes
from router.facades.http.limits import HttpLimits
from router.facades.http.protocol import FrontProtocol
from router.facades.tls import Tls
from router.pipeline.open import Pipeline

_log = logging.getLogger(__name__)

_KEEP_ALIVE_S: Final = 75
_TICK_S: Final = 1.0
_LAST_WORDS_S: Final = 5.0
"""After a drain's grace: how long interrupted replies get to reach their readers."""

_DRAINED: Final = Refusal(
    fault=Fault.OVERLOADED,
    message="The router is stopping and this reply took longer than its grace. Send the request again.",
    retry_after_ms=1_000,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    host: str
    port: int
    tls: Tls | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Nanoseconds. `delay_ns`: still accepting, so that balancers can notice; `grace_ns`: running calls finish."""

    delay_ns: int
    grace_ns: int


class Phase:
    """Where the process is in its life: what the probes report."""

    def __init__(self) -> None:
        self.not_ready: str | None = "starting"
        self.store_unseen_ns: Callable[[], int] = int
        """For how long nobody could look at the store of the keys; set by whoever knows."""

    @property
    def concern(self) -> str | None:
        unseen_ns = self.store_unseen_ns()
        return f"the store of keys is out of reach since {unseen_ns // NS_PER_S} s" if unseen_ns else None


class Listener(uvicorn.Server):
    """A uvicorn server that leaves signals to us and is bound before it serves."""

    def __init__(self, app: App, address: Address, limits: HttpLimits, *, hot: HotRoutes | None = None) -> None:
        tls = address.tls
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(FrontProtocol, limits=limits, hot=hot),  # type: ignore[arg-type] # called, never subclassed
                interface="asgi3",  # uvicorn would guess from the signature, and `Front` is a plain function of it
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                ssl_certfile=tls.cert_file if tls else None,
                ssl_keyfile=tls.key_file if tls else None,
                ssl_ca_certs=tls.client_ca_file if tls else None,
                ssl_cert_reqs=ssl.CERT_REQUIRED if tls and tls.client_ca_file else ssl.CERT_NONE,
            )
        )
        self.config.load()  # here, not while serving: a certificate that cannot be read is said at once
        self._told = asyncio.Event()
        self._socket = _bind(address)
        self.port: int = self._socket.getsockname()[1]

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        """Keep the date header right; uvicorn's own loop looks ten times a second whether it should stop."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await self._told.wait()

    def tell_to_stop(self) -> None:
        self.should_exit = True
        self._told.set()

    def unbind(self) -> None:
        """Give the port back; for a listener that will not serve."""
        self._socket.close()

    async def run_until_told(self) -> None:
        await self.serve(sockets=[self._socket])


class Lifecycle:
    """Run `http`, `ops` and `grpc` until told to stop, then drain."""

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        http: Listener,
        ops: Listener,
        grpc: GrpcListener | None,
        phase: Phase,
        drain: Drain,
    ) -> None:
        """`grpc`: None where it is not served."""
        self._pipeline = pipeline
        self._http = http
        self._grpc = grpc
        self._ops = ops
        self._phase = phase
        self._drain = drain
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    def told_to_stop(self) -> None:
        """Drain; told again, hurry."""
        (self._hurry if self._stop.is_set() else self._stop).set()

    async def run(self, release: Callable[[], Awaitable[None]]) -> None:
        """Serve; return when everything is stopped and `release` has put the stores away.

        The ops listener goes last, so that probes and metrics tell the truth to the end.
        """
        async with asyncio.TaskGroup() as tasks:
            ops = tasks.create_task(self._ops.run_until_told())
            http = tasks.create_task(self._http.run_until_told())
            if self._grpc is not None:
                await self._grpc.start()
            self._phase.not_ready = None
            _log.info("ready: all listeners are up")
            stopping = tasks.create_task(self._stop.wait())
            await asyncio.wait([stopping, http, ops], return_when=asyncio.FIRST_COMPLETED)
            self._phase.not_ready = "draining"
            stopping.cancel()
            await self._drain_all(http, tasks)
            await release()
            self._ops.tell_to_stop()

    async def _drain_all(self, http: "asyncio.Task[None]", tasks: asyncio.TaskGroup) -> None:
        _log.info("draining: %d calls open", len(self._pipeline.open_calls))
        if self._grpc is not None:
            await self._grpc.say_not_serving()
        await self._pause(self._drain.delay_ns)
        self._http.tell_to_stop()
        serving = {http}
        if self._grpc is not None:
            serving.add(tasks.create_task(self._grpc.stop(self._drain.grace_ns / 1e9 + _LAST_WORDS_S)))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._drain.grace_ns / 1e9):
                await self._finished(serving)
        if not all(task.done() for task in serving):
            _log.warning("grace is over: %d calls interrupted", len(self._pipeline.open_calls))
            self._pipeline.interrupt_all(_DRAINED)
            await asyncio.wait(serving, timeout=_LAST_WORDS_S)
        if not http.done():
            self._http.force_exit = True
        if self._grpc is not None:
            await self._grpc.stop(None)

    async def _finished(self, serving: "set[asyncio.Task[None]]") -> None:
        """Wait for the listeners to end, or for an operator who cannot wait."""
        async with asyncio.TaskGroup() as waiting:
            ended = waiting.create_task(_all(serving))
            hurry = waiting.create_task(self._hurry.wait())
            await asyncio.wait([ended, hurry], return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
            hurry.cancel()

    async def _pause(self, delay_ns: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_ns / 1e9):
                await self._hurry.wait()


async def _all(tasks: "set[asyncio.Task[None]]") -> None:
    await asyncio.wait(tasks)


def _bind(address: Address) -> socket.socket:
    """Bind before anything else is started, so that a port in use is said at once. Raises `OSError`."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((address.host, address.port))
    except OSError as exc:
        bound.close()
        place = f"{address.host}:{address.port}"
        raise OSError(f"{place}: {exc.strerror}. Stop what listens there or choose another port") from exc
    bound.listen()  # who connects as soon as we say where we serve waits a moment instead of being refused
    bound.setblocking(False)  # noqa: FBT003 - its only spelling
    return bound
