"""Serve `ChatService`: a request to the pipeline, its reply to messages, typed or byte for byte as it was asked."""

from asyncio import Task, get_running_loop
from collections.abc import Sequence
from typing import Final

import grpc
import msgspec
from checkrein.v1.chat_service_pb2 import (
    ChunkJsonList,
    ChunkList,
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
from router.domain.stream import Event, EventKind, ReplyMode
from router.facades.grpc.asking import Asking
from router.facades.grpc.border import Border, service
from router.facades.grpc.decode import chat_body
from router.facades.grpc.encode import chunk, completion
from router.facades.grpc.served import cost_of, served_of, settled, usage_of
from router.pipeline.open import OpenCall

_ROUTE: Final = CHAT.dialect.value
_TRUE: Final = Raw(b"true")
_LAST: Final = frozenset((EventKind.END, EventKind.ERROR))
_NULL: Final = Raw(b"null")
ChatRequest = CreateChatCompletionRequest | StreamChatCompletionRequest | ExplainRouteRequest
"""All that hold a chat request, typed or as JSON."""


def chat_service(border: Border) -> grpc.ServiceRpcHandler:
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
    settlement = settled(call)
    typed = completion(raw) if request.HasField("chat") else None
    return CreateChatCompletionResponse(
        completion=typed,
        completion_json=raw if typed is None else None,
        usage=usage_of(settlement),
        cost=cost_of(settlement),
        served=served_of(call, reply.upstream_headers),
    )


async def _stream(request: StreamChatCompletionRequest, asking: Asking) -> StreamChatCompletionResponse:
    """Write who serves, then what came, then return what it was: the first chunk alone, others with those beside."""
    typed = request.HasField("chat")
    call = asking.call_for(read_chat(request, ReplyMode.STREAM), _ROUTE)
    with asking.opened(call) as reply:
        batch = await reply.read()
        await asking.write(StreamChatCompletionResponse(served=served_of(call, reply.upstream_headers)))
        first = True
        while True:
            chunks = _payloads(batch)
            if first and chunks:
                first = False
                await asking.write(_chunks(chunks[:1], typed=typed)[0])
                chunks = chunks[1:]
            for message in _chunks(chunks, typed=typed):
                await asking.write(message)
            last = batch[-1].kind
            if last is EventKind.END:
                break
            if last is EventKind.ERROR:
                assert call.refusal is not None, "a broken reply says why"
                raise RouterError(call.refusal)
            batch = await (reply.read() if first else _while_alone(reply, asking, typed=typed))
    settlement = settled(call)
    summary = StreamSummary(
        usage=usage_of(settlement), cost=cost_of(settlement), served=served_of(call, reply.upstream_headers)
    )
    return StreamChatCompletionResponse(summary=summary)


async def _while_alone(reply: OpenCall, asking: Asking, *, typed: bool) -> list[Event]:
    """Write what comes while no message is under way, without waking this task for it.

    Return the first batch that is something else: the last one, or one that came too soon and has to wait.
    """
    left: list[Event] = []
    under_way: Task[None] | None = None

    def take(batch: list[Event]) -> bool:
        nonlocal left, under_way
        messages = _chunks(_payloads(batch), typed=typed)
        if batch[-1].kind in _LAST or len(messages) > 1 or not _is_sent(under_way):
            left = batch
            return False
        if messages:
            under_way = get_running_loop().create_task(asking.write(messages[0]))
            under_way.add_done_callback(_heard)
        return True

    try:
        await reply.each(take)
        if under_way is not None:
            await under_way
    finally:
        if under_way is not None:
            under_way.cancel()  # nobody is there to read it
    return left


def _is_sent(task: Task[None] | None) -> bool:
    return task is None or (task.done() and not task.cancelled() and task.exception() is None)


def _heard(task: Task[None]) -> None:
    """Look at how a message ended of which nobody may ask: of a caller that is gone."""
    _is_sent(task)


def _payloads(batch: list[Event]) -> list[bytes | memoryview]:
    return [payload_of(event.raw) for event in batch if event.kind is EventKind.CHUNK]


def _chunks(payloads: Sequence[bytes | memoryview], *, typed: bool) -> list[StreamChatCompletionResponse]:
    """Put chunks that came together into as few messages as their forms allow, in their order."""
    raws = [bytes(payload).strip() for payload in payloads]
    if raws and not typed:
        return [StreamChatCompletionResponse(chunks_json=ChunkJsonList(chunks=raws))]
    messages: list[StreamChatCompletionResponse] = []
    for raw in raws:
        one = chunk(raw)
        if one is None:
            if not messages or not messages[-1].HasField("chunks_json"):
                messages.append(StreamChatCompletionResponse(chunks_json=ChunkJsonList()))
            messages[-1].chunks_json.chunks.append(raw)
        else:
            if not messages or not messages[-1].HasField("chunks"):
                messages.append(StreamChatCompletionResponse(chunks=ChunkList()))
            messages[-1].chunks.chunks.append(one)
    return messages


def read_chat(request: ChatRequest, mode: ReplyMode | None) -> Request:
    """Read what is asked, to be answered in `mode`; None: as it says. Raises `RouterError`."""
    kind = request.WhichOneof("body")
    if kind == "chat":
        body = chat_body(request.chat, stream=None if mode is None else mode is ReplyMode.STREAM)
        if isinstance(body, Refusal):
            raise RouterError(body)
    elif kind == "chat_json":
        body = request.chat_json
    else:
        raise refuse(Fault.INVALID_REQUEST, "The request has no body. Set `chat` or `chat_json`.", param="chat")
    read = read_request(CHAT, body)
    if isinstance(read, Refusal):
        raise RouterError(read)
    return read if mode is None else _in_mode(read, mode)


def _in_mode(request: Request, mode: ReplyMode) -> Request:
    """Have a request say what its method says. Raises `RouterError` where it says otherwise."""
    if request.mode is mode:
        return request
    if mode is ReplyMode.UNARY:
        raise refuse(
            Fault.INVALID_REQUEST, "`stream` is true, and this method answers whole. Leave it out.", param="stream"
        )
    if bytes(request.fields.get("stream", _NULL)) == b"false":
        raise refuse(Fault.INVALID_REQUEST, "`stream` is false, and this method streams. Leave it out.", param="stream")
    return msgspec.structs.replace(request, fields={**request.fields, "stream": _TRUE}, mode=mode)
