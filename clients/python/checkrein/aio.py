"""The client for asyncio: made, used and closed in one running loop."""

import asyncio
import warnings
from collections.abc import AsyncIterator, Sequence
from typing import Self, TypeVar, Unpack

import grpc
import grpc.aio

from checkrein.errors import closed, failure_of
from checkrein.terms import CallOptions, ContextOptions, Services, Terms, Tls, texts_of
from checkrein.v1.calls_pb2 import GetCallRequest, GetCallResponse
from checkrein.v1.chat_pb2 import ChatCompletionRequest
from checkrein.v1.chat_service_pb2 import (
    CreateChatCompletionRequest,
    CreateChatCompletionResponse,
    StreamChatCompletionRequest,
    StreamChatCompletionResponse,
    StreamSummary,
)
from checkrein.v1.common_pb2 import CallContext, Served
from checkrein.v1.embeddings_pb2 import CreateEmbeddingsRequest, CreateEmbeddingsResponse, EmbeddingsRequest
from checkrein.v1.models_pb2 import ListModelsRequest, ListModelsResponse
from checkrein.v1.routing_pb2 import ExplainRouteResponse

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


class AsyncStream(AsyncIterator[StreamChatCompletionResponse]):
    """The messages of one stream: read to the end, leave by `async with`, or `close()`; all of them end the call."""

    served: Served | None = None
    """Said by the first message."""
    summary: StreamSummary | None = None
    """Said by the last message; None if the stream broke off."""

    def __init__(
        self, call: "grpc.aio.UnaryStreamCall[StreamChatCompletionRequest, StreamChatCompletionResponse]"
    ) -> None:
        self._call = call
        self._messages = aiter(call)
        self._loop = asyncio.get_running_loop()
        self._ended = False
        self._broken = False

    async def __anext__(self) -> StreamChatCompletionResponse:
        # gRPC would say that a stream ended well if it is read again after its reader was cancelled.
        if self._broken:
            raise closed("stream")
        try:
            message = await anext(self._messages)
        except StopAsyncIteration:
            self._ended = True
            raise
        except grpc.RpcError as error:
            self._ended = self._broken = True
            raise failure_of(error) from error
        except asyncio.CancelledError:
            self._ended = self._broken = True
            if _is_cancelled():
                raise
            raise closed("stream") from None
        if message.HasField("served"):
            self.served = message.served
        elif message.HasField("summary"):
            self.summary = message.summary
        return message

    async def text(self) -> AsyncIterator[str]:
        """The first choice's text, piece by piece; everything else is passed over."""
        async for message in self:
            for text in texts_of(message):
                yield text

    async def close(self) -> None:
        """End the call; a task that reads it is told. Does nothing after its end."""
        self._broken = self._broken or not self._ended
        self._ended = True
        self._call.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __del__(self) -> None:
        if getattr(self, "_ended", True):
            return
        warnings.warn(f"A stream was left without closing it: {self!r}", ResourceWarning, stacklevel=2, source=self)
        # Garbage is collected in any thread, and after the loop too.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._call.cancel)


class AsyncClient:
    """As `Client`, for asyncio: made, used and closed in one running loop."""

    def __init__(
        self,
        target: str,
        *,
        api_key: str | None = None,
        tls: Tls | bool | None = None,
        timeout: float | None = None,
        context: CallContext | None = None,
        options: Sequence[tuple[str, int | str]] = (),
    ) -> None:
        asyncio.get_running_loop()
        self._terms = terms = Terms(target, api_key=api_key, tls=tls, timeout=timeout, context=context, options=options)
        self.metadata = terms.metadata
        if terms.credentials is None:
            self.channel = grpc.aio.insecure_channel(target, terms.options)
        else:
            self.channel = grpc.aio.secure_channel(target, terms.credentials, terms.options)
        self._closed = False
        self._services = Services(self.channel)

    async def chat(
        self, request: ChatCompletionRequest, **options: Unpack[ContextOptions]
    ) -> CreateChatCompletionResponse:
        body = CreateChatCompletionRequest(chat=request, context=self._terms.context_of(options))
        return await self._ask(self._services.chat.CreateChatCompletion, body, options)

    async def chat_json(self, request: bytes, **options: Unpack[ContextOptions]) -> CreateChatCompletionResponse:
        """Take OpenAI's JSON; the answer is `completion_json`, byte for byte."""
        body = CreateChatCompletionRequest(chat_json=request, context=self._terms.context_of(options))
        return await self._ask(self._services.chat.CreateChatCompletion, body, options)

    def stream(self, request: ChatCompletionRequest, **options: Unpack[ContextOptions]) -> AsyncStream:
        return self._start(StreamChatCompletionRequest(chat=request, context=self._terms.context_of(options)), options)

    def stream_json(self, request: bytes, **options: Unpack[ContextOptions]) -> AsyncStream:
        """Take OpenAI's JSON; its events come as `chunks_json`, byte for byte."""
        return self._start(
            StreamChatCompletionRequest(chat_json=request, context=self._terms.context_of(options)), options
        )

    async def embeddings(
        self, request: EmbeddingsRequest, **options: Unpack[ContextOptions]
    ) -> CreateEmbeddingsResponse:
        body = CreateEmbeddingsRequest(embeddings=request, context=self._terms.context_of(options))
        return await self._ask(self._services.embeddings.CreateEmbeddings, body, options)

    async def explain(
        self, request: ChatCompletionRequest | bytes, **options: Unpack[ContextOptions]
    ) -> ExplainRouteResponse:
        """Say what would become of a call, typed or JSON; no provider is asked."""
        return await self._ask(self._services.routing.ExplainRoute, self._terms.explained(request, options), options)

    async def models(self, **options: Unpack[CallOptions]) -> ListModelsResponse:
        return await self._ask(self._services.models.ListModels, ListModelsRequest(), options)

    async def call(self, call_id: str, **options: Unpack[CallOptions]) -> GetCallResponse:
        """What the ledger holds of a call."""
        return await self._ask(self._services.calls.GetCall, GetCallRequest(id=call_id), options)

    async def close(self) -> None:
        """Break off what runs; who waits for it is told."""
        self._closed = True
        await self.channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warnings.warn(f"A client was not closed: {self!r}", ResourceWarning, stacklevel=2, source=self)

    async def _ask(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]",
        request: RequestT,
        options: CallOptions,
    ) -> ResponseT:
        try:
            return await method(
                request, timeout=self._terms.deadline(options), metadata=self._terms.metadata_of(options)
            )
        except grpc.RpcError as error:
            raise failure_of(error) from error
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            raise closed("client") from None

    def _start(self, request: StreamChatCompletionRequest, options: CallOptions) -> AsyncStream:
        return AsyncStream(
            self._services.chat.StreamChatCompletion(
                request, timeout=self._terms.deadline(options), metadata=self._terms.metadata_of(options)
            )
        )


def _is_cancelled() -> bool:
    """Tell whether it is this task that was cancelled: gRPC raises the same when only the call was."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
