"""Serve everything that is not a hot route: models, calls, stored replies, health, documentation. FastAPI: time matters
less."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from router import VERSION
from router.domain.faults import Fault, Refusal, RouterError
from router.domain.metadata import Metadata, read_metadata
from router.domain.principal import Principal
from router.domain.settlement import Labels
from router.facades.http.admin.desks import AdminDesks
from router.facades.http.count_tokens import count_routes
from router.facades.http.errors import error_body, error_headers
from router.facades.http.explain import explain_routes
from router.facades.http.health import health_router
from router.facades.http.openapi import ERROR_SCHEMA, path_item
from router.facades.http.peer import is_local
from router.facades.http.schema import CallView, ModelList, ModelView, view_call
from router.facades.http.stored import stored_routes
from router.facades.http.voice import VOICES
from router.pipeline.open import INTERNAL, Pipeline
from router.pipeline.shown import ShownModel, call_for, model_for, models_for
from router.ports.aside import Asides
from router.ports.health import Health

_BY_STATUS: Final = {
    404: Refusal(fault=Fault.ROUTE_NOT_FOUND, message="There is no such route here. See /docs for those there are."),
    405: Refusal(fault=Fault.METHOD_NOT_ALLOWED, message="This route does not take this method. See /docs."),
}
_INVALID: Final = Refusal(fault=Fault.INVALID_REQUEST, message="The request is not valid. See /docs.")
_NOTHING_TO_ADMINISTER: Final = AdminDesks()
_BODY_BYTES_MAX: Final = 1 << 20
"""Of a request to explain, where the listener's own bound is not told."""


def build_app(
    *,
    pipeline: Pipeline,
    health: Health,
    max_body: int = _BODY_BYTES_MAX,
    admin: AdminDesks = _NOTHING_TO_ADMINISTER,
    asides: Asides | None = None,
) -> FastAPI:
    """Build the application behind the hot routes. Every route but health and documentation needs a key.

    `asides`: whom to ask beside inference; None: nobody, and there are no routes for it.
    """
    app = FastAPI(title="Checkrein", version=VERSION, redoc_url=None, redirect_slashes=False)
    _describe(app, *admin.schemas())
    _answer_errors(app, pipeline)
    app.include_router(health_router(health))

    def principal(request: Request) -> Principal:
        metadata = read_metadata(request.scope["headers"])
        if isinstance(metadata, Refusal):
            raise RouterError(metadata)
        return pipeline.authenticate(metadata, peer_local=is_local(request.scope))

    Caller = Annotated[Principal, Depends(principal)]  # noqa: N806 - a type

    @app.get("/checkrein/v1/calls/{call_id}", tags=["calls"], summary="Show what became of a call, and its cost.")
    async def show_call(call_id: str, caller: Caller) -> CallView:
        return view_call(await call_for(caller, pipeline.ledger, call_id))

    routes = [
        _model_routes(pipeline, principal),
        explain_routes(pipeline, principal, max_body=max_body),
        *admin.routes(principal),
    ]
    if asides is not None:
        routes += stored_routes(pipeline, asides, principal), count_routes(pipeline, asides, max_body=max_body)
    for one in routes:
        app.include_router(one)
    return app


def _model_routes(pipeline: Pipeline, principal: Callable[[Request], Principal]) -> APIRouter:
    routes = APIRouter()
    Caller = Annotated[Principal, Depends(principal)]  # noqa: N806 - a type

    @routes.get("/v1/models", tags=["models"], summary="List the models that this key may use.")
    @routes.get("/models", include_in_schema=False)
    async def list_models(caller: Caller) -> ModelList:
        data = [_view_model(one) for one in models_for(caller, pipeline.snapshot)]
        return ModelList(data=data, first_id=data[0].id if data else None, last_id=data[-1].id if data else None)

    @routes.get("/v1/models/{model_id:path}", tags=["models"], summary="Show one model that this key may use.")
    @routes.get("/models/{model_id:path}", include_in_schema=False)
    async def show_model(model_id: str, caller: Caller) -> ModelView:
        return _view_model(model_for(caller, pipeline.snapshot, model_id))

    return routes


def _view_model(model: ShownModel) -> ModelView:
    return ModelView(
        id=model.name,
        created=model.created_s,
        owned_by=",".join(model.owners),
        display_name=model.name,
        created_at=datetime.fromtimestamp(model.created_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _answer_errors(app: FastAPI, pipeline: Pipeline) -> None:
    """Give every error of every route, the framework's own included, the one documented shape."""

    def answer(request: Request, refusal: Refusal, extra: Sequence[tuple[bytes, bytes]] = ()) -> Response:
        pipeline.telemetry.request_rejected(refusal.fault)
        metadata = read_metadata(request.scope["headers"])
        known = metadata if isinstance(metadata, Metadata) else Metadata(labels=Labels())
        body = error_body(refusal)
        response = Response(body, status_code=refusal.status)
        response.raw_headers = [
            *error_headers(refusal),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", pipeline.request_id(known).encode()),
            *extra,
        ]
        return response

    async def on_router_error(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, RouterError)
        return answer(request, exc.refusal)

    async def on_http_error(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)
        allow = (exc.headers or {}).get("Allow")
        extra = [(b"allow", allow.encode())] if allow else []
        return answer(request, _BY_STATUS.get(exc.status_code, _INVALID), extra)

    async def on_invalid(request: Request, _exc: Exception) -> Response:
        return answer(request, _INVALID)

    async def on_bug(request: Request, _exc: Exception) -> Response:
        return answer(request, INTERNAL)  # Starlette raises it again afterwards, so that it is logged

    app.add_exception_handler(Exception, on_bug)
    app.add_exception_handler(RouterError, on_router_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid)


def _describe(app: FastAPI, *schemas: Mapping[str, object]) -> None:
    """Add the hot routes, the error shape, the key and further schemas to the document that FastAPI makes."""

    def openapi() -> dict[str, object]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, routes=app.routes)
            document["paths"] |= {f"/v1{path}": path_item(path, voice.grammar) for path, voice in VOICES.items()}
            components = document.setdefault("components", {})
            known = components.setdefault("schemas", {})
            for one in (*schemas, {"Error": ERROR_SCHEMA}):
                known.update(one)
            components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way to extend the document
