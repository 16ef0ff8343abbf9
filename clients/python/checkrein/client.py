"""The client for threads. It starts none of its own; gRPC reads streams in a thread of its, while one is open."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Self, TypeVar, Unpack

import grpc

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


class Stream(Iterator[StreamChatCompletionResponse]):
    """The messages of one stream: read to the end, leave by `with`, or `close()`; all of them end the call."""

    served: Served | None = None
    """Said by the first message."""
    summary: StreamSummary | None = None
    """Said by the last message; None if the stream broke off."""

    def __init__(self, call: "grpc._CallIterator[StreamChatCompletionResponse]") -> None:
        self._call = call
        self._ended = False

    def __next__(self) -> StreamChatCompletionResponse:
        try:
            message = next(self._call)
        except StopIteration:
            self._ended = True
            raise
        except grpc.RpcError as error:
            if self._ended and error.code() is grpc.StatusCode.CANCELLED:
                raise closed("stream") from error
            self._ended = True
            raise failure_of(error) from error
        if message.HasField("served"):
            self.served = message.served
        elif message.HasField("summary"):
            self.summary = message.summary
        return message

    def text(self) -> Iterator[str]:
        """The first choice's text, piece by piece; everything else is passed over."""
        for message in self:
            yield from texts_of(message)

    def close(self) -> None:
        """End the call, from whatever thread; who reads it is told. Does nothing after its end."""
        self._ended = True
        self._call.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_ended", True):
            warnings.warn(f"A stream was left without closing it: {self!r}", ResourceWarning, stacklevel=2, source=self)
            self.close()


class Client:
    """Calls of one key at one router, from any thread; each answers with its RPC's message or a `CheckreinError`.

    `timeout` is in seconds, of the client's calls unless theirs says another; without any the router's own hold. What
    gRPC surely did not send it sends again; nothing else is retried. `channel` and `metadata` are for the stubs of
    what has no method here.
    """

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
        self._terms = terms = Terms(target, api_key=api_key, tls=tls, timeout=timeout, context=context, options=options)
        self.metadata = terms.metadata
        if terms.credentials is None:
            self.channel = grpc.insecure_channel(target, terms.options)
        else:
            self.channel = grpc.secure_channel(target, terms.credentials, terms.options)
        self._closed = False
        self._services = Services(self.channel)

    def chat(self, request: ChatCompletionRequest, **options: Unpack[ContextOptions]) -> CreateChatCompletionResponse:
        body = CreateChatCompletionRequest(chat=request, context=self._terms.context_of(options))
        return self._ask(self._services.chat.CreateChatCompletion, body, options)

    def chat_json(self, request: bytes, **options: Unpack[ContextOptions]) -> CreateChatCompletionResponse:
        """Take OpenAI's JSON; the answer is `completion_json`, byte for byte."""
        body = CreateChatCompletionRequest(chat_json=request, context=self._terms.context_of(options))
        return self._ask(self._services.chat.CreateChatCompletion, body, options)

    def stream(self, request: ChatCompletionRequest, **options: Unpack[ContextOptions]) -> Stream:
        return self._start(StreamChatCompletionRequest(chat=request, context=self._terms.context_of(options)), options)

    def stream_json(self, request: bytes, **options: Unpack[ContextOptions]) -> Stream:
        """Take OpenAI's JSON; its events come as `chunks_json`, byte for byte."""
        return self._start(
            StreamChatCompletionRequest(chat_json=request, context=self._terms.context_of(options)), options
        )

    def embeddings(self, request: EmbeddingsRequest, **options: Unpack[ContextOptions]) -> CreateEmbeddingsResponse:
        body = CreateEmbeddingsRequest(embeddings=request, context=self._terms.context_of(options))
        return self._ask(self._services.embeddings.CreateEmbeddings, body, options)

    def explain(
        self, request: ChatCompletionRequest | bytes, **options: Unpack[ContextOptions]
    ) -> ExplainRouteResponse:
        """Say what would become of a call, typed or JSON; no provider is asked."""
        return self._ask(self._services.routing.ExplainRoute, self._terms.explained(request, options), options)

    def models(self, **options: Unpack[CallOptions]) -> ListModelsResponse:
        return self._ask(self._services.models.ListModels, ListModelsRequest(), options)

    def call(self, call_id: str, **options: Unpack[CallOptions]) -> GetCallResponse:
        """What the ledger holds of a call."""
        return self._ask(self._services.calls.GetCall, GetCallRequest(id=call_id), options)

    def close(self) -> None:
        """Break off what runs."""
        self._closed = True
        self.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warnings.warn(f"A client was not closed: {self!r}", ResourceWarning, stacklevel=2, source=self)
            self.close()

    def _ask(
        self,
        method: "grpc.UnaryUnaryMultiCallable[RequestT, ResponseT]",
        request: RequestT,
        options: CallOptions,
    ) -> ResponseT:
        try:
            return method(request, timeout=self._terms.deadline(options), metadata=self._terms.metadata_of(options))
        except grpc.RpcError as error:
            raise failure_of(error) from error

    def _start(self, request: StreamChatCompletionRequest, options: CallOptions) -> Stream:
        return Stream(
            self._services.chat.StreamChatCompletion(
                request, timeout=self._terms.deadline(options), metadata=self._terms.metadata_of(options)
            )
        )
