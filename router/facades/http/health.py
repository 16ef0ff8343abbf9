"""Answer the probes of orchestrators. No key needed, no model called, nothing told but the state."""

from fastapi import APIRouter, Response

from router.ports.health import Health

_NO_CACHE = {"cache-control": "no-store"}


def health_router(health: Health) -> APIRouter:
    """Build `/livez`, `/readyz`, `/healthz` and the spellings that other gateways use for them."""
    routes = APIRouter(tags=["health"])

    @routes.get("/health/liveness", include_in_schema=False)
    @routes.get("/health/liveliness", include_in_schema=False)
    @routes.get("/livez", summary="The process works; restart it if this fails.")
    async def livez() -> Response:
        return Response("ok", media_type="text/plain", headers=_NO_CACHE)

    @routes.get("/health", include_in_schema=False)
    @routes.get("/health/readiness", include_in_schema=False)
    @routes.get("/healthz", summary="The same as /readyz.")
    @routes.get("/readyz", summary="The process takes calls; send none while this is 503.")
    async def readyz() -> Response:
        reason, concern = health.not_ready, health.concern
        text = (reason or "ok") + (f"; {concern}" if concern else "")
        return Response(text, status_code=503 if reason else 200, media_type="text/plain", headers=_NO_CACHE)

    return routes
