"""A router and a provider that the tests of one file share, each test seeing only what is its own."""

from collections.abc import Mapping
from dataclasses import dataclass

import openai

from tests.support.fake_upstream import FakeUpstream
from tests.support.running import KEY, RunningRouter, http_client
from tests.support.wire import Answer, wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    upstream: FakeUpstream
    router: RunningRouter
    earlier_rows: int = 0

    def rows(self) -> list[dict[str, object]]:
        """The settled calls of this test, oldest first."""
        return self.router.rows()[self.earlier_rows :]

    async def ask(self, members: Mapping[str, object], *lines: str) -> Answer:
        """Post one chat request on a connection of its own."""
        async with wire(self.router.http_port) as connection:
            return await connection.ask(members, *lines)

    def forgive(self) -> None:
        """Forget what is held against the providers: a rate limit, a refused credential."""
        breakers = self.router.lifecycle._pipeline.means.breakers
        for state in breakers.states(0):
            breakers.reset(state.target)

    def sdk(self) -> openai.AsyncOpenAI:
        return sdk(f"{self.router.url}/v1", KEY)


def sdk(base_url: str, key: str) -> openai.AsyncOpenAI:
    """OpenAI's client as its users make it, but for retries: a test counts requests."""
    return openai.AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0, http_client=http_client(base_url))
