"""Run each method between the wire and the pipeline: who asks, and a status that is true, whatever happens."""

import logging
from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from typing import Final, Never, Protocol, TypeAlias, TypeVar

import grpc
from checkrein.v1.common_pb2 import CallContext
from google.protobuf.message import DecodeError, Message

from router.domain.faults import Fault, Refusal, RouterError, refuse
from router.facades.grpc.asking import Asking, Rpc
from router.facades.grpc.errors import ending_of
from router.pipeline.open import INTERNAL, Pipeline

_log = logging.getLogger(__name__)

_MESSAGE_BYTES_MAX: Final = 32 << 20

Asked = TypeVar("Asked", bound=Message)
Said = TypeVar("Said")
Taken = TypeVar("Taken")
Given = TypeVar("Given")
Serve: TypeAlias = Callable[[Asked, Asking], Awaitable[Message]]
"""Does what a method is for. Raises `RouterError`."""
Converse: TypeAlias = Callable[[Asking], Awaitable[None]]
"""Reads and writes by itself, and recognises who calls, if that is asked here. Raises `RouterError`."""
Method: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"


class _WithContext(Protocol):
    """A request that says more of its call than its metadata do."""

    context: CallContext


class Border:
    """Makes methods of functions, which do all that they do through the `Asking` that they are given.

    Messages are taken apart and put together here, not by gRPC: what cannot be read then has a status of its own.
    """

    def __init__(
        self, pipeline: Pipeline, *, write_timeout_ns: int, message_bytes_max: int = _MESSAGE_BYTES_MAX
    ) -> None:
        """`write_timeout_ns`: how long a caller may take nothing of a stream. `message_bytes_max`: what gRPC sends."""
        self._pipeline = pipeline
        self._write_timeout_ns = write_timeout_ns
        self._message_bytes_max = message_bytes_max

    def unary(self, asked: type[Asked], serve: Serve[Asked]) -> Method:
        """Make a method that returns one reply."""

        async def answer(raw: bytes, rpc: Rpc) -> bytes:
            asking = self._asking(rpc)
            reply = (await self._answered(asking, asked, raw, serve)).SerializeToString()
            if len(reply) > self._message_bytes_max:
                await self._refuse(asking, _too_large(len(reply), self._message_bytes_max))
            return reply

        return grpc.unary_unary_rpc_method_handler(answer)

    def stream(self, asked: type[Asked], serve: Serve[Asked]) -> Method:
        """Make a method that writes replies with `Asking.write`, and returns the last one."""

        async def serve_and_send(request: Asked, asking: Asking) -> Message:
            last = await serve(request, asking)
            asking.leave()
            await asking.write(last)
            return last

        async def answer(raw: bytes, rpc: Rpc) -> None:
            asking = self._asking(rpc)
            try:
                await self._answered(asking, asked, raw, serve_and_send)
            finally:
                asking.close()

        return grpc.unary_stream_rpc_method_handler(answer)

    def conversation(self, converse: Converse) -> Method:
        """Make a method of messages in both directions, which are its own affair."""

        async def answer(_requests: object, rpc: Rpc) -> None:
            asking = self._asking(rpc)
            try:
                await self._ended(asking, converse(asking))
            finally:
                asking.close()

        return grpc.stream_stream_rpc_method_handler(answer)

    def _asking(self, rpc: Rpc) -> Asking:
        return Asking(rpc, self._pipeline, write_timeout_ns=self._write_timeout_ns)

    async def _answered(self, asking: Asking, asked: type[Asked], raw: bytes, serve: Serve[Asked]) -> Message:
        async def entered() -> Message:
            return await serve(_entered(asking, asked, raw), asking)

        return await self._ended(asking, entered())

    async def _ended(self, asking: Asking, served: Awaitable[Said]) -> Said:
        """Serve, and return the reply; or end with the status of what went wrong, and raise what gRPC wants then.

        A cancelled task may be one whose caller is gone, whom no status reaches; or one that something else cancelled,
        and a caller of that would wait for ever, so both get one.
        """
        try:
            reply = await served
            asking.leave()
        except RouterError as exc:
            refusal = exc.refusal
        except CancelledError:
            refusal = asking.why_cancelled()
        except Exception:
            # The border: a bug costs its own caller an honest error, and nobody else anything.
            _log.exception("internal error in %s", asking.request_id)
            refusal = INTERNAL
        else:
            return reply
        return await self._refuse(asking, refusal)

    async def _refuse(self, asking: Asking, refusal: Refusal) -> Never:
        """End with the status of what went wrong, and raise what gRPC wants then."""
        if asking.call is None and not asking.counted:
            self._pipeline.telemetry.request_rejected(refusal.fault)
        ending = ending_of(refusal, request_id=asking.request_id, call_id=asking.call_id, deployment=asking.deployment)
        await asking.rpc.abort(ending.code, ending.message, (*asking.trailers(), *ending.trailers))


def _too_large(size: int, most: int) -> Refusal:
    return Refusal(
        fault=Fault.REQUEST_TOO_LARGE,
        message=f"The reply has {size} bytes, and a message at most {most}. Ask for less at a time, or over HTTP.",
    )


def service(name: str, methods: "dict[str, grpc.RpcMethodHandler[Taken, Given]]") -> grpc.ServiceRpcHandler:
    """Put the methods of one service together under their names."""
    handler = grpc.method_handlers_generic_handler(name, methods)
    assert isinstance(handler, grpc.ServiceRpcHandler), "it knows its name"
    return handler


def _entered(asking: Asking, asked: type[Asked], raw: bytes) -> Asked:
    """Read a request and recognise its caller, whose key is looked at whatever the request is. Raises `RouterError`."""
    try:
        request = asked.FromString(raw)
    except DecodeError:
        request = None
    named = request is not None and "context" in asked.DESCRIPTOR.fields_by_name and request.HasField("context")
    asking.enter(request.context if named else None)  # type: ignore[union-attr]  # it has such a field
    if request is None:
        raise refuse(
            Fault.INVALID_REQUEST, f"The message is no {asked.DESCRIPTOR.name}. Send what its proto file says."
        )
    return request
