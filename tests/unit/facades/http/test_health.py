"""Probes: alive whatever happens, ready only when calls are welcome."""

import pytest
from fastapi import FastAPI

from router.facades.http.health import health_router
from router.lifecycle import Phase
from tests.support.asgi import Exchange

LIVE = ("/livez", "/health/liveness", "/health/liveliness")
READY = ("/readyz", "/healthz", "/health", "/health/readiness")


@pytest.mark.parametrize("reason", [None, "starting", "draining"])
async def test_only_readiness_follows_the_phase(reason: str | None) -> None:
    phase = Phase()
    phase.not_ready = reason
    app = FastAPI()
    app.include_router(health_router(phase))

    for path in LIVE:
        alive = await Exchange(path, method="GET").through(app)
        assert (200, b"ok") == (alive.status, alive.body), path
    for path in READY:
        ready = await Exchange(path, method="GET").through(app)
        assert (503 if reason else 200, (reason or "ok").encode()) == (ready.status, ready.body), path
        assert "no-store" == ready.headers["cache-control"]


async def test_a_store_that_is_out_of_reach_is_said_and_calls_are_welcome_all_the_same() -> None:
    phase = Phase()
    phase.not_ready = None
    phase.store_unseen_ns = lambda: 7_900_000_000
    app = FastAPI()
    app.include_router(health_router(phase))
    ready = await Exchange("/readyz", method="GET").through(app)
    phase.not_ready = "draining"
    draining = await Exchange("/readyz", method="GET").through(app)

    assert (200, b"ok; the store of keys is out of reach since 7 s") == (ready.status, ready.body)
    assert (503, b"draining; the store of keys is out of reach since 7 s") == (draining.status, draining.body)
