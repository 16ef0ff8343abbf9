"""A router that says over gRPC what a test has told it to, and remembers who asked for what."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import grpc.aio
from checkrein.v1.calls_pb2 import Call, GetCallRequest, GetCallResponse
from checkrein.v1.calls_pb2_grpc import CallsServiceServicer, add_CallsServiceServicer_to_server
from checkrein.v1.chat_pb2 import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatContent,
    ChatMessage,
    Choice,
    ChunkChoice,
    Delta,
)
from checkrein.v1.chat_service_pb2 import (
    ChunkJsonList,
    ChunkList,
    CreateChatCompletionRequest,
    CreateChatCompletionResponse,
    StreamChatCompletionRequest,
    StreamChatCompletionResponse,
    StreamSummary,
)
from checkrein.v1.chat_service_pb2_grpc import ChatServiceServicer, add_ChatServiceServicer_to_server
from checkrein.v1.common_pb2 import Cost, Served, Usage
from checkrein.v1.embeddings_pb2 import (
    CreateEmbeddingsRequest,
    CreateEmbeddingsResponse,
    Embedding,
    EmbeddingsReply,
    Vector,
)
from checkrein.v1.embeddings_pb2_grpc import EmbeddingsServiceServicer, add_EmbeddingsServiceServicer_to_server
from checkrein.v1.models_pb2 import ListModelsRequest, ListModelsResponse, Model
from checkrein.v1.models_pb2_grpc import ModelsServiceServicer, add_ModelsServiceServicer_to_server
from checkrein.v1.routing_pb2 import ExplainRouteRequest, ExplainRouteResponse
from checkrein.v1.routing_pb2_grpc import RoutingServiceServicer, add_RoutingServiceServicer_to_server
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc.aio import ServicerContext

SERVED = Served(call_id="call_1", request_id="req_1", deployment="demo/demo", upstream_model="demo", attempts=1)
USAGE = Usage(input_tokens=3, output_tokens=2)
COST = Cost(total_nano_usd=700)
SUMMARY = StreamSummary(usage=USAGE, cost=COST, served=SERVED)


def said(*texts: str, choice: int = 0) -> StreamChatCompletionResponse:
    chunks = [ChatCompletionChunk(choices=[ChunkChoice(index=choice, delta=Delta(content=text))]) for text in texts]
    return StreamChatCompletionResponse(chunks=ChunkList(chunks=chunks))


def said_json(*events: bytes) -> StreamChatCompletionResponse:
    return StreamChatCompletionResponse(chunks_json=ChunkJsonList(chunks=events))


BEGUN = StreamChatCompletionResponse(served=SERVED)
DONE = StreamChatCompletionResponse(summary=SUMMARY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """`metadata` are those of ErrorInfo, without which `reason` None leaves it."""

    status: grpc.StatusCode
    message: str
    reason: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    retry_ms: int | None = None
    domain: str = "checkrein"

    def trailer(self) -> tuple[tuple[str, bytes], ...]:
        parts: list[Message] = []
        if self.reason is not None:
            parts.append(ErrorInfo(reason=self.reason, domain=self.domain, metadata=self.metadata))
        if self.retry_ms is not None:
            retry = RetryInfo()
            retry.retry_delay.FromMilliseconds(self.retry_ms)
            parts.append(retry)
        details = [AnyMessage() for _ in parts]
        for packed, part in zip(details, parts, strict=True):
            packed.Pack(part)
        code: int = self.status.value[0]
        status = Status(code=code, message=self.message, details=details)
        return (("grpc-status-details-bin", status.SerializeToString()),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    request: Message
    metadata: dict[str, str | bytes]
    seconds_left: float | None


class FakeRouter(
    ChatServiceServicer, EmbeddingsServiceServicer, ModelsServiceServicer, RoutingServiceServicer, CallsServiceServicer
):
    """`refusal` ends every call, a stream's after its `messages`; `refused` those of a key; `silent` never does."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.refusal: Refusal | None = None
        self.refused: dict[str, Refusal] = {}
        self.silent = False
        self.messages: Iterable[StreamChatCompletionResponse] = (BEGUN, said("Hel"), said("lo", "."), DONE)
        self.came = asyncio.Event()
        self.ended = asyncio.Event()

    async def CreateChatCompletion(
        self, request: CreateChatCompletionRequest, context: ServicerContext
    ) -> CreateChatCompletionResponse:
        await self._hear(request, context)
        if request.HasField("chat_json"):
            json = b'{"said":  1}'
            return CreateChatCompletionResponse(completion_json=json, usage=USAGE, cost=COST, served=SERVED)
        message = ChatMessage(role="assistant", content=ChatContent(text="Hello."))
        completion = ChatCompletion(choices=[Choice(message=message)])
        return CreateChatCompletionResponse(completion=completion, usage=USAGE, cost=COST, served=SERVED)

    async def StreamChatCompletion(
        self, request: StreamChatCompletionRequest, context: ServicerContext
    ) -> AsyncIterator[StreamChatCompletionResponse]:
        refusal, self.refusal = self.refusal, None
        silent, self.silent = self.silent, False
        await self._hear(request, context)
        for message in self.messages:
            yield message
        self.refusal, self.silent = refusal, silent
        await self._end(context)

    async def CreateEmbeddings(
        self, request: CreateEmbeddingsRequest, context: ServicerContext
    ) -> CreateEmbeddingsResponse:
        await self._hear(request, context)
        reply = EmbeddingsReply(data=[Embedding(index=0, floats=Vector(values=[0.5]))])
        return CreateEmbeddingsResponse(reply=reply, usage=USAGE, cost=COST, served=SERVED)

    async def ListModels(self, request: ListModelsRequest, context: ServicerContext) -> ListModelsResponse:
        await self._hear(request, context)
        return ListModelsResponse(models=[Model(id="demo")])

    async def ExplainRoute(self, request: ExplainRouteRequest, context: ServicerContext) -> ExplainRouteResponse:
        await self._hear(request, context)
        return ExplainRouteResponse(target="demo/demo", admitted=True)

    async def GetCall(self, request: GetCallRequest, context: ServicerContext) -> GetCallResponse:
        await self._hear(request, context)
        return GetCallResponse(call=Call(id=request.id))

    async def _hear(self, request: Message, context: ServicerContext) -> None:
        metadata = dict(context.invocation_metadata() or ())
        self.asked.append(Asked(request=request, metadata=metadata, seconds_left=context.time_remaining()))
        context.add_done_callback(lambda _: self.ended.set())
        self.came.set()
        await self._end(context)

    async def _end(self, context: ServicerContext) -> None:
        if self.silent:
            await asyncio.Event().wait()
        key = str(dict(context.invocation_metadata() or ()).get("authorization", "")).removeprefix("Bearer ")
        if (refusal := self.refusal or self.refused.get(key)) is not None:
            await context.abort(refusal.status, refusal.message, refusal.trailer())


@asynccontextmanager
async def listening(router: FakeRouter, credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[int]:
    """Serve on loopback and give the port."""
    server = grpc.aio.server()
    add_ChatServiceServicer_to_server(router, server)
    add_EmbeddingsServiceServicer_to_server(router, server)
    add_ModelsServiceServicer_to_server(router, server)
    add_RoutingServiceServicer_to_server(router, server)
    add_CallsServiceServicer_to_server(router, server)
    port = (
        server.add_insecure_port("127.0.0.1:0")
        if credentials is None
        else server.add_secure_port("127.0.0.1:0", credentials)
    )
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)
