"""Hold one call of a method while it is answered: its caller, what it asks of the pipeline, what it is sent."""

from asyncio import CancelledError, TimerHandle, current_task, get_running_loop
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Never, Protocol

import grpc
from checkrein.v1.common_pb2 import CallContext
from google.protobuf.message import Message

from router.domain.dialects.request import Request
from router.domain.faults import Fault, Refusal, RouterError
from router.domain.ids import DeploymentId, format_call_id
from router.domain.instants import NS_PER_S
from router.domain.metadata import Metadata
from router.domain.principal import Principal
from router.domain.settlement import Labels
from router.facades.grpc.errors import Trailers
from router.facades.grpc.inbound import Pairs, is_local, known_of, pairs_of, read_inbound
from router.pipeline.announce import limit_headers
from router.pipeline.call import Call
from router.pipeline.open import OpenCall, Pipeline

_NO_METADATA: Final = Metadata(labels=Labels())
_LATE: Final = Refusal(
    fault=Fault.TIMEOUT, message="The deadline passed before the reply was whole. Allow the call more time."
)
_GONE: Final = Refusal(fault=Fault.CLIENT_CLOSED, message="The caller is gone.")
_STALLED: Final = Refusal(
    fault=Fault.CLIENT_CLOSED,
    message="Nothing of this stream was taken for so long that it was given up. Read it as it comes.",
)


class Rpc(Protocol):
    """What of `grpc.aio.ServicerContext` is used here. It brings and takes bytes: messages are ours to read."""

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]] | None: ...
    def peer(self) -> str: ...
    def time_remaining(self) -> float | None: ...
    def set_trailing_metadata(self, trailing_metadata: Trailers) -> None: ...
    async def send_initial_metadata(self, initial_metadata: Trailers) -> None: ...
    async def read(self) -> object: ...
    async def write(self, message: bytes) -> None: ...
    async def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: Trailers) -> Never: ...


class Asking:
    """One call of a method, from its arrival to its status."""

    __slots__ = (
        "_arrived",
        "_pipeline",
        "_stall_timer",
        "_stalled",
        "_write_began",
        "_write_timeout_s",
        "call",
        "counted",
        "metadata",
        "principal",
        "request_id",
        "rpc",
    )

    def __init__(self, rpc: Rpc, pipeline: Pipeline, *, write_timeout_ns: int) -> None:
        self.rpc = rpc
        self._pipeline = pipeline
        self._arrived = pipeline.clock.monotonic_ns()
        self.metadata = _NO_METADATA
        self.request_id = "-"
        self.principal: Principal
        """Who calls. Known to every method's function."""
        self.call: Call | None = None
        self.counted = False
        """Whatever becomes of it is counted without the border."""
        self._write_timeout_s = write_timeout_ns / NS_PER_S
        self._write_began: float | None = None
        self._stall_timer: TimerHandle | None = None
        self._stalled = False

    def enter(self, context: CallContext | None) -> None:
        """Read what is said of the call and recognise who calls. Raises `RouterError`."""
        known = known_of(self.rpc.invocation_metadata() or ())
        metadata = read_inbound(known, context, self.rpc.time_remaining())
        self.request_id = self._pipeline.request_id(metadata if isinstance(metadata, Metadata) else _NO_METADATA)
        if isinstance(metadata, Refusal):
            raise RouterError(metadata)
        self.metadata = metadata
        self.principal = self._pipeline.authenticate(metadata, peer_local=is_local(self.rpc.peer()))

    def leave(self) -> None:
        """Say what goes with a good end."""
        self.rpc.set_trailing_metadata(self.trailers())

    def close(self) -> None:
        """Stop the timer, whatever became of the call."""
        if self._stall_timer is not None:
            self._stall_timer.cancel()

    @property
    def pairs(self) -> Pairs:
        """The metadata, as headers."""
        return pairs_of(self.rpc.invocation_metadata() or ())

    @property
    def call_id(self) -> str | None:
        return None if self.call is None else format_call_id(self.call.id)

    @property
    def deployment(self) -> DeploymentId | None:
        """Which was asked last."""
        return self.call.attempts[-1].deployment.id if self.call is not None and self.call.attempts else None

    def trailers(self) -> Trailers:
        """Return what HTTP says in the headers of any reply."""
        said: list[tuple[str, str | bytes]] = [("x-request-id", self.request_id)]
        if self.call is not None:
            said.append(("x-checkrein-call", format_call_id(self.call.id)))
            said += [(name.decode(), value.decode()) for name, value in limit_headers(self.call)]
        return tuple(said)

    def call_for(self, request: Request, route: str, passed_headers: tuple[tuple[bytes, bytes], ...] = ()) -> Call:
        """Make the call of a request. Raises `RouterError`."""
        return self._pipeline.call(
            request,
            principal=self.principal,
            metadata=self.metadata,
            request_id=self.request_id,
            route=route,
            arrived=self._arrived,
            passed_headers=passed_headers,
        )

    def opened(self, call: Call) -> "_Opened":
        """Hold `call` open. One whose caller's deadline passes ends as it does over HTTP: too late, not abandoned."""
        self.call = call
        return _Opened(self, self._pipeline.open(call))

    async def is_there(self) -> bool:
        """Tell whether the caller is there still, once, before anything is written.

        When its messages end they are all there, or it is gone: gRPC says the same of both, and only later that it was
        the second. What is sent to one that is gone fails, or waits until this task is cancelled.
        """
        try:
            await self.rpc.send_initial_metadata((("x-request-id", self.request_id),))
        except grpc.aio.BaseError:
            return False
        return True

    async def write(self, message: Message) -> None:
        """Send one message of a stream, waiting until its reader has room for it, but not for ever."""
        if self._stall_timer is None:
            self._watch()
        self._write_began = get_running_loop().time()
        await self.rpc.write(message.SerializeToString())
        self._write_began = None

    def why_cancelled(self) -> Refusal:
        if self._stalled:
            return _STALLED
        return _LATE if self.is_late else _GONE

    @property
    def is_late(self) -> bool:
        """The caller's deadline has passed, at which gRPC cancels us."""
        left_s = self.rpc.time_remaining()
        return left_s is not None and left_s <= 0

    def _watch(self) -> None:
        """Have one timer look after all writes, instead of one after each."""
        loop, task = get_running_loop(), current_task()
        assert task is not None, "a method has a task"

        def look() -> None:
            waited_s = 0.0 if self._write_began is None else loop.time() - self._write_began
            if waited_s < self._write_timeout_s:
                self._stall_timer = loop.call_later(self._write_timeout_s - waited_s, look)
                return
            self._stalled = True
            task.cancel()

        self._stall_timer = loop.call_later(self._write_timeout_s, look)


class _Opened:
    """A call that is held open, and what becomes of it when its caller's deadline passes."""

    __slots__ = ("_asking", "_held")

    def __init__(self, asking: Asking, held: OpenCall) -> None:
        self._asking = asking
        self._held = held

    def __enter__(self) -> OpenCall:
        return self._held.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(exc, CancelledError) and self._asking.is_late:
            late = RouterError(_LATE)
            self._held.__exit__(RouterError, late, trace)
            raise late from None
        self._held.__exit__(kind, exc, trace)
