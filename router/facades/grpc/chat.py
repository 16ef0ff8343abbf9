"""Serve `ChatService`: a request to the pipeline, its reply to messages, typed or byte for byte as it was asked."""

from typing import Final

import grpc
import msgspec
from checkrein.v1.chat_service_pb2 import (
    ChunkJsonList,
    CreateChatCompletionRequest,
    CreateChatCompletionResponse,
    StreamChatCompletionRequest,
    StreamChatCompletionResponse,
    StreamSummary,
)
from checkrein.v1.routing_pb2 import ExplainRouteRequest
from msgspec import Raw

from router.domain.dialects.dialect import CHAT
from router.domain.dialects.request import Request, read_request
from router.domain.dialects.sse_payload import payload_of
from router.domain.faults import Fault, Refusal, RouterError, refuse
from router.domain.stream import EventKind, ReplyMode
from router.facades.grpc.asking import Asking
from router.facades.grpc.border import Border, service
from router.facades.grpc.served import cost_of, served_of, usage_of

_ROUTE: Final = CHAT.dialect.value
_TRUE: Final = Raw(b"true")


def chat_service(border: Border) -> grpc.GenericRpcHandler:
    return service(
        "checkrein.v1.ChatService",
        {
            "CreateChatCompletion": border.unary(CreateChatCompletionRequest, _create),
            "StreamChatCompletion": border.stream(StreamChatCompletionRequest, _stream),
        },
    )


async def _create(request: CreateChatCompletionRequest, asking: Asking) -> CreateChatCompletionResponse:
    call = asking.call_for(read_chat(request, ReplyMode.UNARY), _ROUTE)
    with asking.opened(call) as reply:
        (raw,) = [event.raw for event in await reply.read() if event.kind is EventKind.COMPLETE]
    settlement = call.settlement
    assert settlement is not None, "a call that was left is settled"
    said = CreateChatCompletionResponse(
        usage=usage_of(settlement), cost=cost_of(settlement), served=served_of(call, reply.upstream_headers)
    )
    said.completion_json = raw
    return said


async def _stream(request: StreamChatCompletionRequest, asking: Asking) -> StreamChatCompletionResponse:
    """Write who serves, then what came, then return what it was: the first chunk alone, others with those beside."""
    call = asking.call_for(read_chat(request, ReplyMode.STREAM), _ROUTE)
    with asking.opened(call) as reply:
        batch = await reply.read()
        await asking.write(StreamChatCompletionResponse(served=served_of(call, reply.upstream_headers)))
        first = True
        while True:
            chunks = [bytes(payload_of(event.raw)).strip() for event in batch if event.kind is EventKind.CHUNK]
            for some in (chunks[:1], chunks[1:]) if first else (chunks,):
                if some:
                    first = False
                    await asking.write(StreamChatCompletionResponse(chunks_json=ChunkJsonList(chunks=some)))
            if batch[-1].kind is EventKind.END:
                break
            if batch[-1].kind is EventKind.ERROR:
                assert call.refusal is not None, "a broken reply says why"
                raise RouterError(call.refusal)
            batch = await reply.read()
    settlement = call.settlement
    assert settlement is not None, "a call that was left is settled"
    summary = StreamSummary(
        usage=usage_of(settlement), cost=cost_of(settlement), served=served_of(call, reply.upstream_headers)
    )
    return StreamChatCompletionResponse(summary=summary)


def read_chat(
    request: CreateChatCompletionRequest | StreamChatCompletionRequest | ExplainRouteRequest, mode: ReplyMode | None
) -> Request:
    """Read what is asked, to be answered in `mode`; None: as it says. Raises `RouterError`."""
    kind = request.WhichOneof("body")
    if kind is None:
        raise refuse(Fault.INVALID_REQUEST, "The request has no body. Set `chat` or `chat_json`.", param="chat")
    if kind == "chat":
        raise refuse(Fault.INVALID_REQUEST, "Typed requests are not read yet.", param="chat")
    read = read_request(CHAT, request.chat_json)
    if isinstance(read, Refusal):
        raise RouterError(read)
    return read if mode is None else in_mode(read, mode)


def in_mode(request: Request, mode: ReplyMode) -> Request:
    """Have a request say what its method says. Raises `RouterError` where it says otherwise."""
    if request.mode is mode:
        return request
    if mode is ReplyMode.UNARY:
        raise refuse(
            Fault.INVALID_REQUEST,
            "`stream` is true, and this method answers whole. Call StreamChatCompletion.",
            param="stream",
        )
    if bytes(request.fields.get("stream", Raw(b"null"))) == b"false":
        raise refuse(
            Fault.INVALID_REQUEST,
            "`stream` is false, and this method streams. Call CreateChatCompletion.",
            param="stream",
        )
    fields = {**request.fields, "stream": _TRUE}
    return msgspec.structs.replace(request, fields=fields, mode=mode)
