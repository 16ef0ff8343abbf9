"""Send HTTP through a router's gRPC, as a caller does that has no HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from checkrein.v1.passthrough_pb2 import ForwardRequest, ForwardResponse, Header
from checkrein.v1.passthrough_pb2_grpc import PassthroughServiceStub

from tests.support.running import KEY, RunningRouter
from tests.support.waiting import until


@dataclass
class Forwarded:
    """What came back."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    code: grpc.StatusCode | None = None
    parts: list[int] = field(default_factory=list)
    """How long each message's piece of the body was."""


@contextlib.asynccontextmanager
async def channel_to(router: RunningRouter, **options: int) -> AsyncIterator[grpc.aio.Channel]:
    """Connect to a router whose gRPC serves. `options` are gRPC's, with `_` for the dot after `grpc`."""
    await until(lambda: router.lifecycle._phase.not_ready is None, within_s=10)
    said = [(f"grpc.{name}", value) for name, value in options.items()]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{router.grpc_port}", options=said) as channel:
        yield channel


def bearer(key: str = KEY) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"),)


def head_of(target: str, method: str = "POST", headers: Mapping[str, str | bytes] | None = None) -> ForwardRequest:
    said = [
        Header(name=name, value=value if isinstance(value, bytes) else value.encode())
        for name, value in (headers or {"content-type": "application/json"}).items()
    ]
    return ForwardRequest(head=ForwardRequest.Head(method=method, target=target, headers=said))


def begin(
    channel: grpc.aio.Channel, metadata: Sequence[tuple[str, str]] | None = None, timeout: float | None = 20
) -> Any:
    """Begin a call, of which nothing is sent."""
    return PassthroughServiceStub(channel).Forward(  # type: ignore[no-untyped-call]  # what protoc wrote
        metadata=bearer() if metadata is None else metadata, timeout=timeout
    )


async def read_reply(call: Any) -> Forwarded:
    """Read all that comes and the status."""
    came = Forwarded()
    body = bytearray()
    try:
        while (said := await call.read()) is not grpc.aio.EOF:
            assert isinstance(said, ForwardResponse)
            if said.HasField("head"):
                assert not came.status, "one head"
                came.status = said.head.status
                came.headers = {one.name: one.value.decode("latin-1") for one in said.head.headers}
            else:
                assert came.status, "the head comes first"
                came.parts.append(len(said.body))
                body += said.body
    except grpc.aio.AioRpcError as exc:
        came.code = exc.code()
    else:
        came.code = await call.code()
    came.body = bytes(body)
    return came


async def forward(
    channel: grpc.aio.Channel,
    target: str,
    *parts: bytes,
    method: str = "POST",
    headers: Mapping[str, str | bytes] | None = None,
    metadata: Sequence[tuple[str, str]] | None = None,
    timeout: float | None = 20,
) -> Forwarded:
    """Send a request in these pieces and read its reply."""
    call = begin(channel, metadata, timeout)
    reply = asyncio.ensure_future(read_reply(call))
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # it may be answered before it is whole
        await call.write(head_of(target, method, headers))
        for part in parts:
            await call.write(ForwardRequest(body=part))
        await call.done_writing()
    return await reply
