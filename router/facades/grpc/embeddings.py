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
from router.facades.grpc.decode import embeddings_body
from router.facades.grpc.encode import embeddings
from router.facades.grpc.served import cost_of, served_of, settled, usage_of

_ROUTE: Final = EMBEDDINGS.dialect.value


def embeddings_service(border: Border) -> grpc.ServiceRpcHandler:
    return service(
        "checkrein.v1.EmbeddingsService", {"CreateEmbeddings": border.unary(CreateEmbeddingsRequest, _create)}
    )


async def _create(request: CreateEmbeddingsRequest, asking: Asking) -> CreateEmbeddingsResponse:
    call = asking.call_for(read_embeddings(request), _ROUTE)
    with asking.opened(call) as reply:
        (raw,) = [event.raw for event in await reply.read() if event.kind is EventKind.COMPLETE]
    settlement = settled(call)
    typed = embeddings(raw) if request.HasField("embeddings") else None
    return CreateEmbeddingsResponse(
        reply=typed,
        reply_json=raw if typed is None else None,
        usage=usage_of(settlement),
        cost=cost_of(settlement),
        served=served_of(call, reply.upstream_headers),
    )


def read_embeddings(request: CreateEmbeddingsRequest) -> Request:
    """Read what is asked. Raises `RouterError`."""
    kind = request.WhichOneof("body")
    if kind == "embeddings":
        body = embeddings_body(request.embeddings)
        if isinstance(body, Refusal):
            raise RouterError(body)
    elif kind == "embeddings_json":
        body = request.embeddings_json
    else:
        message = "The request has no body. Set `embeddings` or `embeddings_json`."
        raise refuse(Fault.INVALID_REQUEST, message, param="embeddings")
    read = read_request(EMBEDDINGS, body)
    if isinstance(read, Refusal):
        raise RouterError(read)
    return read
