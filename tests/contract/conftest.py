"""Run what touches sockets on both event loops: uvloop serves, asyncio is the reference."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

_OVER_SOCKETS = ("test_transport.py", "test_upstream.py")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.name in _OVER_SOCKETS:
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
