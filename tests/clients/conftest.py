"""Serve scripted models in front of the examples; run those that need more than the SDK at hand only when asked."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import pytest_asyncio
import uvloop

from tests.clients.examples import ASKED_FOR, MODELS, PRICE, SCRIPTS
from tests.support.running import ADMIN, KEY, RunningRouter, running_router


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`make test-clients` asks for them: it has made their environment."""
    if ASKED_FOR in os.environ:
        return
    left_out = [item for item in items if item.get_closest_marker("clients")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say of each gRPC client whether it ran: one that is skipped must not look as if it had passed."""
    told: dict[str, dict[str, str]] = {}
    for outcome in ("passed", "skipped", "failed", "error"):
        for report in terminalreporter.getreports(outcome):
            name, _, which = report.nodeid.rpartition("[")
            if which and "test_grpc_clients.py" in name and report.when != "teardown":
                client = which.rstrip("]").split("-")[0]
                why = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else ""
                told.setdefault(client, {})[outcome.upper()] = why.removeprefix(f"Skipped: SKIPPED: {client}: ")
    if told:
        terminalreporter.section("gRPC clients")
        for client, outcomes in sorted(told.items()):
            worst = list(outcomes)[-1]
            terminalreporter.line(f"{client:<6} {worst:<8} {outcomes[worst]}".rstrip())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningRouter]:
    """A provider for each model: one speaks all dialects, each other one only, so that the rest is translated."""
    config = {
        "version": 1,
        "server": {"http": {"port": 0}, "ops": {"port": 0}, "grpc": {"port": 0}, "drain": {"grace": "2s"}},
        "providers": [
            {"name": f"{prefix}{name}", "kind": "scripted", "script": script} | ({"dialects": speaks} if speaks else {})
            for prefix, script in SCRIPTS.items()
            for name, speaks in MODELS.items()
        ],
        "models": [
            {"name": name, "deployments": [{"provider": name, "model": "up", "price": PRICE}]}
            for name in (f"{prefix}{name}" for prefix in SCRIPTS for name in MODELS)
        ],
        "keys": [
            {"name": "test", "key": KEY, "models": ["*"]},
            {"name": "admin", "key": ADMIN, "models": ["*"], "permissions": ["admin"]},
        ],
    }
    async with running_router(config, tmp_path_factory.mktemp("router")) as running:
        yield running
