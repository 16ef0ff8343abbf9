"""A router to call, and where it listens."""

from collections.abc import AsyncIterator

import pytest

from tests.support.grpc_router import FakeRouter, listening


@pytest.fixture
def router() -> FakeRouter:
    return FakeRouter()


@pytest.fixture
async def target(router: FakeRouter) -> AsyncIterator[str]:
    async with listening(router) as port:
        yield f"127.0.0.1:{port}"
