"""Call the methods of gRPC services without a server or a socket: what a caller sends, and what it is sent."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Never, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

Said = TypeVar("Said", bound=Message)


class Ended(Exception):
    """The call has ended with a status that is not OK."""

    def __init__(self, code: grpc.StatusCode, message: str, trailers: dict[str, str | bytes]) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.trailers = trailers

    @property
    def info(self) -> ErrorInfo:
        """What programs are told."""
        details = self.trailers["grpc-status-details-bin"]
        assert isinstance(details, bytes)
        info = ErrorInfo()
        assert Status.FromString(details).details[0].Unpack(info)
        return info


class FakeRpc:
    """One call. `sends` are its messages; they end after them, unless it `goes_on`."""

    def __init__(
        self,
        *sends: Message | bytes,
        key: str | None = None,
        peer: str = "ipv4:127.0.0.1:1",
        left_s: float | None = None,
        goes_on: bool = False,
        **metadata: str,
    ) -> None:
        self.sends = [one if isinstance(one, bytes) else one.SerializeToString() for one in sends]
        self.sent: list[bytes] = []
        self.left_s = left_s
        self.room = asyncio.Event()
        """Set while the reader takes what is sent."""
        self.room.set()
        self.gone = False
        """The caller has left; nobody knows it yet."""
        self.began_with: dict[str, str | bytes] = {}
        self.trailers: dict[str, str | bytes] = {}
        self._goes_on = goes_on
        self._peer = peer
        self._metadata = [(name.replace("_", "-"), value) for name, value in metadata.items()]
        if key is not None:
            self._metadata.append(("authorization", f"Bearer {key}"))

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]]:
        return tuple(self._metadata)

    def peer(self) -> str:
        return self._peer

    def time_remaining(self) -> float | None:
        return self.left_s

    def set_trailing_metadata(self, trailing_metadata: Sequence[tuple[str, str | bytes]]) -> None:
        self.trailers = dict(trailing_metadata)

    async def send_initial_metadata(self, initial_metadata: Sequence[tuple[str, str | bytes]]) -> None:
        if self.gone:
            raise grpc.aio.InternalError
        self.began_with = dict(initial_metadata)

    async def read(self) -> object:
        if self.sends:
            return self.sends.pop(0)
        if self._goes_on:
            await asyncio.Event().wait()
        return grpc.aio.EOF

    async def write(self, message: bytes) -> None:
        await self.room.wait()
        self.sent.append(message)

    async def abort(
        self, code: grpc.StatusCode, details: str, trailing_metadata: Sequence[tuple[str, str | bytes]]
    ) -> Never:
        raise Ended(code, details, dict(trailing_metadata))


@dataclass
class _Details:
    method: str
    invocation_metadata: tuple[tuple[str, str], ...] = ()


def method_of(services: grpc.GenericRpcHandler, name: str) -> Any:
    """Return what gRPC would call for `/package.Service/Method`."""
    found = services.service(_Details(name))  # type: ignore[arg-type]  # as far as it is looked at
    assert found is not None, f"{name} is not served"
    return found


async def ask(services: grpc.GenericRpcHandler, name: str, rpc: FakeRpc, said: type[Said]) -> Said:
    """Call a method of one message each way. Raises `Ended`."""
    raw: bytes = await method_of(services, name).unary_unary(rpc.sends.pop(0), rpc)
    return said.FromString(raw)
