"""A call of a gRPC method without gRPC: what its caller sent, and all that it is told."""

from collections.abc import Callable, Sequence
from typing import Any, Never

import grpc
from google.protobuf.message import Message

from router.facades.grpc.errors import DETAILS_KEY, Trailers
from tests.support.grpc_calls import Told
from tests.support.running import KEY

BEARER = (("authorization", f"Bearer {KEY}"),)


class Aborted(Exception):
    """What gRPC raises to end a method whose status is said."""


class FakeRpc:
    """`Rpc` that remembers. `seconds_left`: until the caller's deadline; None: it has none."""

    def __init__(
        self,
        metadata: Sequence[tuple[str, str | bytes]] | None = BEARER,
        *,
        peer: str = "ipv4:127.0.0.1:5",
        seconds_left: float | None = None,
    ) -> None:
        self.metadata = metadata
        self.address = peer
        self.seconds_left = seconds_left
        self.written: list[bytes] = []
        self.trailers: Trailers = ()
        self.aborts: list[tuple[grpc.StatusCode, str]] = []
        self.before_write: Callable[[], Any] = lambda: None
        """Waited for before a message is taken: a reader that is slow."""

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]] | None:
        return self.metadata

    def peer(self) -> str:
        return self.address

    def time_remaining(self) -> float | None:
        return self.seconds_left

    def set_trailing_metadata(self, trailing_metadata: Trailers) -> None:
        self.trailers = trailing_metadata

    async def read(self) -> object:
        raise AssertionError("no method reads more than its request")

    async def write(self, message: bytes) -> None:
        waiting = self.before_write()
        if waiting is not None:
            await waiting
        self.written.append(message)

    async def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: Trailers) -> Never:
        assert code is not grpc.StatusCode.OK
        self.aborts.append((code, details))
        self.trailers = trailing_metadata
        raise Aborted(details)

    @property
    def told(self) -> Told:
        """How the call ended."""
        told = Told()
        if self.aborts:
            ((code, message),) = self.aborts
            told.end(code, message, self.trailers)
            assert DETAILS_KEY in told.trailers
        else:
            told.end(grpc.StatusCode.OK, None, self.trailers)
        return told


def method(handler: grpc.GenericRpcHandler, name: str) -> Any:
    """Return the function of a service's method, as gRPC calls it."""

    class Details:
        method = name
        invocation_metadata = ()

    found = handler.service(Details())  # type: ignore[arg-type]  # all that is read of it
    assert found is not None, name
    return found.unary_stream if found.response_streaming else found.unary_unary


async def ask(serve: Any, request: Message | bytes, rpc: FakeRpc) -> bytes | None:
    """Call a method as gRPC does. None: a stream, or it ended in `rpc.aborts`."""
    raw = request if isinstance(request, bytes) else request.SerializeToString()
    try:
        reply: bytes | None = await serve(raw, rpc)
    except Aborted:
        return None
    return reply
