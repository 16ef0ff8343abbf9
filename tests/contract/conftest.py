"""Run what touches sockets on both event loops: uvloop serves, asyncio is the reference."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from router.adapters.transport.dialing import Reach
from router.adapters.transport_httptools import HttptoolsTransport, transport_to
from router.domain.secret import Secret
from tests.support.connect_proxy import ConnectProxy
from tests.support.fake_upstream import FakeUpstream
from tests.support.transport_calls import provider

_OVER_SOCKETS = ("test_transport", "test_upstream")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.name.startswith(_OVER_SOCKETS):
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as fake:
        yield fake


@pytest.fixture(params=["direct", "proxied"])
async def transport(request: pytest.FixtureRequest, upstream: FakeUpstream) -> AsyncIterator[HttptoolsTransport]:
    async with ConnectProxy() as proxy:
        through = Secret(proxy.url) if request.param == "proxied" else None
        opened = transport_to(provider(upstream.base_url), Reach(allow_private=True, proxy=through))
        yield opened
        await opened.close()
