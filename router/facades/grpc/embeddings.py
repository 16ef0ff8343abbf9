"""Serve `EmbeddingsService`: as chat, but for its dialect, and always whole."""

from typing import Final

import grpc
from checkrein.v1.embeddings_pb2 import CreateEmbeddingsRequest, CreateEmbeddingsResponse

from router.domain.dialects.dialect import EMBEDDINGS
from router.domain.dialects.request import Request, read_request
from router.domain.faults import Fault, Refusal, RouterError, refuse
from router.domain.stream import EventKind
from router.facades.grpc.asking import Asking
from router.facades.grpc.border import Border, service
from router.facades.grpc.served import cost_of, served_of, usage_of

_ROUTE: Final = EMBEDDINGS.dialect.value


def embeddings_service(border: Border) -> grpc.GenericRpcHandler:
    return service(
        "checkrein.v1.EmbeddingsService", {"CreateEmbeddings": border.unary(CreateEmbeddingsRequest, _create)}
    )


async def _create(request: CreateEmbeddingsRequest, asking: Asking) -> CreateEmbeddingsResponse:
    call = asking.call_for(read_embeddings(request), _ROUTE)
    with asking.opened(call) as reply:
        (raw,) = [event.raw for event in await reply.read() if event.kind is EventKind.COMPLETE]
    settlement = call.settlement
    assert settlement is not None, "a call that was left is settled"
    said = CreateEmbeddingsResponse(
        usage=usage_of(settlement), cost=cost_of(settlement), served=served_of(call, reply.upstream_headers)
    )
    said.reply_json = raw
    return said


def read_embeddings(request: CreateEmbeddingsRequest) -> Request:
    """Read what is asked. Raises `RouterError`."""
    kind = request.WhichOneof("body")
    if kind is None:
        message = "The request has no body. Set `embeddings` or `embeddings_json`."
        raise refuse(Fault.INVALID_REQUEST, message, param="embeddings")
    if kind == "embeddings":
        raise refuse(Fault.INVALID_REQUEST, "Typed requests are not read yet.", param="embeddings")
    read = read_request(EMBEDDINGS, request.embeddings_json)
    if isinstance(read, Refusal):
        raise RouterError(read)
    return read
