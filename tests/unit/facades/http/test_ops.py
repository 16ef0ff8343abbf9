"""The operators' port: metrics and probes, and nothing else."""

from router.facades.http.ops import build_ops_app
from router.lifecycle import Phase
from tests.support.asgi import Exchange


async def test_metrics_come_as_they_were_exposed() -> None:
    app = build_ops_app(health=Phase(), exposition=lambda: (b"calls 1\n", "text/plain; version=9"))
    metrics = await Exchange("/metrics", method="GET").through(app)
    probe = await Exchange("/readyz", method="GET").through(app)

    assert (200, b"calls 1\n") == (metrics.status, metrics.body)
    assert "text/plain; version=9" == metrics.headers["content-type"]
    assert (503, b"starting") == (probe.status, probe.body)


async def test_there_is_no_api_and_no_documentation_page() -> None:
    app = build_ops_app(health=Phase(), exposition=lambda: (b"", "text/plain"))

    for path in ("/v1/models", "/v1/chat/completions", "/docs", "/redoc", "/metrics/"):
        assert 404 == (await Exchange(path, method="GET").through(app)).status, path
