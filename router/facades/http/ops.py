"""Serve metrics and probes on a port of their own, without a key: bind it where only operators reach it."""

from collections.abc import Callable

from fastapi import FastAPI, Response
from starlette.concurrency import run_in_threadpool

from router import VERSION
from router.facades.http.health import health_router
from router.ports.health import Health


def build_ops_app(*, health: Health, exposition: Callable[[], tuple[bytes, str]]) -> FastAPI:
    """`exposition` returns the metrics and their content type; it is slow with many series and runs off the loop."""
    app = FastAPI(title="Checkrein operations", version=VERSION, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.include_router(health_router(health))

    @app.get("/metrics")
    async def metrics() -> Response:
        body, media_type = await run_in_threadpool(exposition)
        return Response(body, headers={"content-type": media_type})

    return app
