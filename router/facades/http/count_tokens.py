"""Serve Anthropic's `POST /v1/messages/count_tokens`: decode, have it counted or estimated, encode; errors too."""

from typing import Final

from fastapi import APIRouter, Request, Response

from router.domain.faults import Fault, Refusal, RouterError
from router.domain.metadata import Metadata, read_metadata
from router.domain.settlement import Labels
from router.facades.http.body import CallerGone, check_body_headers, read_body
from router.facades.http.disconnect import while_there
from router.facades.http.errors import Headers, error_headers
from router.facades.http.peer import is_local
from router.facades.http.voice import BY_PATH
from router.pipeline.count import Counted, count_tokens, read_counted
from router.pipeline.open import Pipeline
from router.ports.aside import Asides

_VOICE: Final = BY_PATH["/v1/messages"]
_ROUTE: Final = "count_tokens"
_JSON: Final = (b"content-type", b"application/json")
_BODY: Final[dict[str, object]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["model", "messages"],
                "additionalProperties": True,
                "properties": {
                    "model": {"type": "string"},
                    "messages": {"type": "array", "items": {"type": "object"}},
                },
            }
        }
    },
}
_TOLD: Final[dict[int | str, dict[str, object]]] = {
    200: {
        "description": "How many input tokens the request has.",
        "headers": {
            "x-checkrein-notice": {
                "schema": {"type": "string"},
                "description": "`estimated`, where no provider counted.",
            },
            "x-checkrein-deployment": {"schema": {"type": "string"}, "description": "Whose provider counted."},
        },
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["input_tokens"],
                    "properties": {"input_tokens": {"type": "integer"}},
                }
            }
        },
    },
    "default": {
        "description": "Any failure, in Anthropic's error shape.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    },
}


def count_routes(pipeline: Pipeline, asides: Asides, *, max_body: int) -> APIRouter:
    """Build the route. `max_body`: bytes."""
    routes = APIRouter(tags=["inference"], responses=_TOLD)

    @routes.post(
        "/v1/messages/count_tokens",
        summary="Count the input tokens of a message, or estimate them.",
        openapi_extra={"requestBody": _BODY, "security": [{"bearer": []}]},
    )
    @routes.post("/messages/count_tokens", include_in_schema=False)
    async def count(request: Request) -> Response:
        metadata = read_metadata(request.scope["headers"])
        request_id = pipeline.request_id(metadata if isinstance(metadata, Metadata) else Metadata(labels=Labels()))
        try:
            return await _counted(request, metadata, request_id)
        except RouterError as exc:
            refusal = exc.refusal
        except CallerGone:
            refusal = Refusal(fault=Fault.CLIENT_CLOSED, message="The caller left before its answer was there.")
        pipeline.telemetry.request_rejected(refusal.fault)
        return _response(refusal.status, _VOICE.error(refusal, request_id), error_headers(refusal), request_id)

    async def _counted(request: Request, metadata: Metadata | Refusal, request_id: str) -> Response:
        arrived = pipeline.clock.monotonic_ns()
        if isinstance(metadata, Refusal):
            raise RouterError(metadata)
        principal = pipeline.authenticate(metadata, peer_local=is_local(request.scope))
        headers = request.scope["headers"]
        check_body_headers(headers, max_bytes=max_body)
        asked = read_counted(await read_body(request.receive, max_bytes=max_body))
        prefix = _VOICE.passes
        assert prefix is not None, "Anthropic's headers are part of a request in its dialect"
        call = pipeline.call(
            asked,
            principal=principal,
            metadata=metadata,
            request_id=request_id,
            route=_ROUTE,
            arrived=arrived,
            passed_headers=tuple([pair for pair in headers if pair[0].startswith(prefix)]),
        )

        async def count_it() -> Counted:
            return await count_tokens(call, pipeline=pipeline, asides=asides)

        counted = await while_there(request.receive, count_it)
        more: Headers = [_JSON, (b"x-checkrein-notice", b"estimated")]
        if counted.by is not None:
            more = [_JSON, (b"x-checkrein-deployment", "".join(filter(str.isprintable, counted.by.id)).encode())]
        return _response(200, counted.body, more, request_id)

    return routes


def _response(status: int, body: bytes, headers: Headers, request_id: str) -> Response:
    response = Response(body, status_code=status)
    encoded = request_id.encode()
    response.raw_headers = [
        *headers,
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", encoded),
        (b"request-id", encoded),
    ]
    return response
