"""Run over the event loop that serves in production, a router shared by the tests of each file."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import pytest_asyncio
import uvloop

from tests.support.fake_upstream import FakeUpstream
from tests.support.running import config_for, running_router
from tests.support.stage import Stage


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="module")
def sections() -> dict[str, object]:
    """What a file's router is configured with besides one provider and one model: the file says it here anew."""
    return {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(sections: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("router")
    async with FakeUpstream() as upstream, running_router(config_for(upstream, **sections), folder) as router:
        yield Stage(upstream=upstream, router=router)


@pytest_asyncio.fixture(loop_scope="module")
async def stage(shared: Stage) -> AsyncIterator[Stage]:
    """Give a test a provider that begins anew and is not held to what it said, and see that nothing stays in flight."""
    shared.upstream.start_over()
    await shared.upstream.left(0)
    shared.forgive()
    yield Stage(upstream=shared.upstream, router=shared.router, earlier_rows=len(shared.router.rows()))
    await shared.router.idle()
