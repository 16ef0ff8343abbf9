"""A router that is killed loses no money: what its provider billed is in the ledger that the next start finds."""

import asyncio
import contextlib
import signal
from pathlib import Path
from random import Random

import pytest
import yaml

from tests.support import fake_upstream as fake
from tests.support.audit import Audit
from tests.support.fake_upstream import FakeUpstream, Reply, Request
from tests.support.money import KEYS, USD, account_of, model, request_of
from tests.support.process import served
from tests.support.running import config_for
from tests.support.wire import post, wire

pytestmark = pytest.mark.slow

CALLERS = 50
ROUNDS = 5
"""Of one router, in one folder: each round starts from what the killed one left."""
REQUESTS_BEFORE_KILL = (20, 400)
KEY = "sk-test-spender"
BUDGET_USD = 90
INPUT_BOUND, OUTPUT_MAX = 200, 40


def config(upstream: FakeUpstream, folder: Path) -> dict[str, object]:
    spender = {"name": "spender", "key": KEY, "budget": {"limit_usd": BUDGET_USD, "window": "lifetime"}}
    store = {"url": f"sqlite:///{folder / 'ledger.db'}"}
    return config_for(upstream, models=[model()], keys=[*KEYS, spender], store=store)


class Crowd:
    """Callers who ask again and again until their router is gone. Every request has a name of its own."""

    def __init__(self) -> None:
        self.named = 0
        self.answered: set[str] = set()
        """Those whose whole reply came."""

    async def ask_until_it_is_gone(self, port: int, *, stream: bool) -> None:
        body = request_of(INPUT_BOUND, max_completion_tokens=OUTPUT_MAX, stream=stream)
        with contextlib.suppress(ConnectionError):
            async with wire(port) as connection:
                while True:
                    self.named += 1
                    name = f"r{self.named}"
                    await connection.send(post(f"x-request-id: {name}", body=body, key=KEY))
                    reply = await connection.answer_until(lambda answer: answer.complete)
                    if not reply.complete:
                        return
                    assert 200 == reply.status, bytes(reply.body)
                    self.answered.add(name)


def bill(chance: Random) -> fake.Handler:
    """Bill up to all that was reserved, at once or while it streams."""

    def answer(request: Request) -> Reply:
        request.input_billed = chance.randrange(1, INPUT_BOUND + 1)
        tokens = chance.randrange(1, OUTPUT_MAX + 1)
        if request.json.get("stream"):
            return fake.stream(request, tokens, gap_s=chance.choice((0, 0, 0.001)))
        return fake.completion(request, tokens)

    return answer


async def killed_in_the_middle(upstream: FakeUpstream, crowd: Crowd, folder: Path, chance: Random) -> None:
    """Serve the crowd, and kill the router when so many more requests have reached the provider."""
    async with served(folder, "--config", "checkrein.yaml") as router, asyncio.TaskGroup() as tasks:
        for number in range(CALLERS):
            tasks.create_task(crowd.ask_until_it_is_gone(router.http_port, stream=bool(number % 2)))
        await upstream.received(len(upstream.requests) + chance.randrange(*REQUESTS_BEFORE_KILL))
        for _ in range(chance.randrange(20)):
            await asyncio.sleep(0)
        await router.stop(signal.SIGKILL)
    await upstream.left(0)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
async def test_a_killed_router_finds_all_that_its_provider_billed(seed: int, tmp_path: Path) -> None:
    """T3a: 50 callers, kill -9 at a random moment, restart: 0 lost, 0 doubled, bill <= ledger <= bill + open holds."""
    chance = Random(seed)
    crowd = Crowd()
    async with FakeUpstream(handler=bill(chance)) as upstream:
        (tmp_path / "checkrein.yaml").write_text(yaml.safe_dump(config(upstream, tmp_path)))
        for _ in range(ROUNDS):
            await killed_in_the_middle(upstream, crowd, tmp_path, chance)
        async with served(tmp_path, "--config", "checkrein.yaml") as router:
            used, reserved = await account_of(router.http_port, key=KEY)
            after = Audit.of(upstream.requests, tmp_path / "ledger.db")

    assert after.sound, after
    assert 0 < after.recovered <= ROUNDS * CALLERS
    assert (after.ledger, 0) == (used, reserved), "the balance is the sum of the rows"
    assert used < BUDGET_USD * USD
    assert len(crowd.answered) <= len(upstream.requests) <= crowd.named
