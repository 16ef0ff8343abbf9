"""Serve what callers do with the Responses that their providers store: read, cancel, delete. Not hot, so FastAPI."""

from collections.abc import Callable
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response

from router.domain.faults import Fault, RouterError, refuse
from router.domain.metadata import Metadata, read_metadata
from router.domain.principal import Principal
from router.facades.http.body import CallerGone
from router.facades.http.disconnect import while_there
from router.pipeline.aside import StoredDesk
from router.pipeline.open import Pipeline
from router.ports.aside import Asides, Method

_QUERY_PARTS_MAX: Final = 32
_YES: Final = ("true", "1")
_TOLD: Final[dict[int | str, dict[str, object]]] = {
    200: {"description": "The provider's own answer.", "content": {"application/json": {"schema": {"type": "object"}}}},
    "default": {
        "description": "Any failure, in the one error shape; also the provider's.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    },
}
_ID: Final = "{response_id}"


def stored_routes(pipeline: Pipeline, asides: Asides, principal: Callable[[Request], Principal]) -> APIRouter:
    """Build the routes. `principal` recognises the caller."""
    routes = APIRouter(tags=["inference"], responses=_TOLD)
    desk = StoredDesk(pipeline=pipeline, asides=asides)
    Caller = Annotated[Principal, Depends(principal)]  # noqa: N806 - a type

    async def answer(request: Request, caller: Principal, *below: str, method: Method = Method.GET) -> Response:
        query = tuple(request.query_params.multi_items())
        if any(name == "stream" and value.lower() in _YES for name, value in query):
            raise refuse(
                Fault.UNSUPPORTED_PARAMETER, "A stored reply is read whole here. Leave `stream` out.", param="stream"
            )
        if len(query) > _QUERY_PARTS_MAX:
            raise refuse(Fault.INVALID_REQUEST, f"The query has more than {_QUERY_PARTS_MAX} parts. Send fewer.")
        metadata = read_metadata(request.scope["headers"])
        if not isinstance(metadata, Metadata):
            raise RouterError(metadata)
        request_id = pipeline.request_id(metadata)
        headers: tuple[tuple[bytes, bytes], ...] = ((b"x-request-id", request_id.encode()),)
        if metadata.traceparent is not None:
            headers += ((b"traceparent", metadata.traceparent.encode("latin-1")),)

        async def asked() -> bytes:
            return await desk.ask(caller, *below, method=method, query=query, headers=headers)

        try:
            body = await while_there(request.receive, asked)
        except CallerGone:
            raise refuse(Fault.CLIENT_CLOSED, "The caller left before its answer was there.") from None
        return Response(body, media_type="application/json", headers={"x-request-id": request_id})

    @routes.get(f"/v1/responses/{_ID}", summary="Show a reply that its provider stores.")
    @routes.get(f"/responses/{_ID}", include_in_schema=False)
    async def show_response(response_id: str, request: Request, caller: Caller) -> Response:
        return await answer(request, caller, response_id)

    @routes.delete(f"/v1/responses/{_ID}", summary="Have the provider delete a reply that it stores.")
    @routes.delete(f"/responses/{_ID}", include_in_schema=False)
    async def delete_response(response_id: str, request: Request, caller: Caller) -> Response:
        return await answer(request, caller, response_id, method=Method.DELETE)

    @routes.post(f"/v1/responses/{_ID}/cancel", summary="Have the provider stop work on a reply in the background.")
    @routes.post(f"/responses/{_ID}/cancel", include_in_schema=False)
    async def cancel_response(response_id: str, request: Request, caller: Caller) -> Response:
        return await answer(request, caller, response_id, "cancel", method=Method.POST)

    @routes.get(f"/v1/responses/{_ID}/input_items", summary="List the items that a stored reply was made from.")
    @routes.get(f"/responses/{_ID}/input_items", include_in_schema=False)
    async def list_input_items(response_id: str, request: Request, caller: Caller) -> Response:
        return await answer(request, caller, response_id, "input_items")

    return routes
