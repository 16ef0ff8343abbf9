"""Call a router over gRPC and see what a client sees: messages, the status, its details, the trailers."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import grpc
from checkrein.v1.chat_pb2 import ChatCompletionRequest
from checkrein.v1.chat_service_pb2 import (
    CreateChatCompletionRequest,
    CreateChatCompletionResponse,
    StreamChatCompletionRequest,
    StreamChatCompletionResponse,
)
from checkrein.v1.chat_service_pb2_grpc import ChatServiceStub
from checkrein.v1.common_pb2 import CallContext, Cost, Served, Usage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status

from router.facades.grpc.decode import decoded
from router.facades.grpc.encode import encoded
from tests.support.running import KEY

_PATIENCE_S = 30
_DETAILS = (ErrorInfo, BadRequest, QuotaFailure, RetryInfo)


@dataclass(slots=True)
class Told:
    """What became of one call, as its client was told."""

    code: str = "OK"
    message: str = ""
    info: dict[str, str] = field(default_factory=dict)
    """The metadata of `ErrorInfo`, and its reason."""
    details: dict[str, Message] = field(default_factory=dict)
    trailers: dict[str, str | bytes] = field(default_factory=dict)
    bodies: list[bytes] = field(default_factory=list)
    """The reply's JSON, or that of each chunk."""
    messages: list[int] = field(default_factory=list)
    """How many chunks came in each message."""
    served: Served | None = None
    usage: Usage | None = None
    cost: Cost | None = None
    """None: the stream had no summary."""

    @property
    def call_id(self) -> str:
        call_id = self.trailers["x-checkrein-call"]
        assert isinstance(call_id, str)
        return call_id

    def end(self, code: grpc.StatusCode, message: str | None, trailers: Sequence[tuple[str, str | bytes]]) -> None:
        self.code, self.message, self.trailers = code.name, message or "", dict(trailers)
        packed = self.trailers.get("grpc-status-details-bin")
        if packed is None:
            return
        assert isinstance(packed, bytes)
        status = Status.FromString(packed)
        assert (code.value[0], self.message) == (status.code, status.message), "said twice, and the same"
        for one in status.details:
            kind = next(kind for kind in _DETAILS if one.Is(kind.DESCRIPTOR))
            unpacked = kind()
            one.Unpack(unpacked)
            self.details[kind.DESCRIPTOR.name] = unpacked
        info = self.details["ErrorInfo"]
        assert isinstance(info, ErrorInfo)
        self.info = {**info.metadata, "reason": info.reason, "domain": info.domain}


class Chats:
    """`ChatService` as clients call it: with JSON, or with typed messages of the same."""

    def __init__(self, channel: grpc.aio.Channel, key: str | None) -> None:
        self.stub = ChatServiceStub(channel)
        self._metadata = () if key is None else (("authorization", f"Bearer {key}"),)

    async def create(
        self,
        members: Mapping[str, object] | bytes,
        *metadata: tuple[str, str],
        typed: bool = False,
        context: CallContext | None = None,
        timeout_s: float | None = None,
    ) -> Told:
        told = Told()
        request = CreateChatCompletionRequest(context=context, **_body(members, typed=typed))
        call = self.stub.CreateChatCompletion(
            request, metadata=(*self._metadata, *metadata), timeout=timeout_s or _PATIENCE_S
        )
        with contextlib.suppress(grpc.aio.AioRpcError):
            _take_whole(told, await call)
        told.end(await call.code(), await call.details(), await call.trailing_metadata())
        return told

    async def stream(
        self,
        members: Mapping[str, object] | bytes,
        *metadata: tuple[str, str],
        typed: bool = False,
        context: CallContext | None = None,
        timeout_s: float | None = None,
    ) -> Told:
        told = Told()
        request = StreamChatCompletionRequest(context=context, **_body(members, typed=typed))
        call = self.stub.StreamChatCompletion(
            request, metadata=(*self._metadata, *metadata), timeout=timeout_s or _PATIENCE_S
        )
        with contextlib.suppress(grpc.aio.AioRpcError):
            async for message in call:
                _take_part(told, message)
        told.end(await call.code(), await call.details(), await call.trailing_metadata())
        return told


@contextlib.asynccontextmanager
async def chats(port: int, key: str | None = KEY, *options: tuple[str, int]) -> AsyncIterator[Chats]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        yield Chats(channel, key)


def _body(members: Mapping[str, object] | bytes, *, typed: bool) -> dict[str, bytes | ChatCompletionRequest]:
    raw = members if isinstance(members, bytes) else json.dumps(dict(members)).encode()
    if not typed:
        return {"chat_json": raw}
    chat = encoded(ChatCompletionRequest, raw)
    assert chat is not None, "a request that messages can hold"
    return {"chat": chat}


def _take_whole(told: Told, reply: CreateChatCompletionResponse) -> None:
    typed = reply.WhichOneof("body") == "completion"
    told.bodies.append(decoded(reply.completion) if typed else reply.completion_json)
    told.served, told.usage, told.cost = reply.served, reply.usage, reply.cost


def _take_part(told: Told, part: StreamChatCompletionResponse) -> None:
    assert told.usage is None, "nothing comes after the summary"
    match part.WhichOneof("event"):
        case "served":
            assert told.served is None, "said once"
            told.served = part.served
        case "chunks":
            told.bodies += [decoded(one) for one in part.chunks.chunks]
            told.messages.append(len(part.chunks.chunks))
        case "chunks_json":
            told.bodies += part.chunks_json.chunks
            told.messages.append(len(part.chunks_json.chunks))
        case "summary":
            told.served, told.usage, told.cost = part.summary.served, part.summary.usage, part.summary.cost
        case _:
            raise AssertionError("an event has a kind")
