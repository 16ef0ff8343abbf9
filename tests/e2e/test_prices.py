"""A price file that is imported beside a running router costs the next call, and none that had begun."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from router.cli.commands import main
from tests.support import fake_upstream as fake
from tests.support.fake_upstream import FakeUpstream, Reply, Request
from tests.support.running import ADMIN, KEY, RunningRouter, chat, config_for, running_router
from tests.support.waiting import until

pytestmark = pytest.mark.slow

TOKENS = 60


def entry(output: float) -> dict[str, object]:
    return {"mode": "chat", "input_cost_per_token": 1e-6, "output_cost_per_token": output}


def config(upstream: FakeUpstream) -> dict[str, object]:
    budget = {"limit_usd": 1, "window": "lifetime"}
    return config_for(
        upstream,
        prices={"files": ["prices.json"]},
        models=[{"name": "small", "deployments": [{"provider": "fake", "model": "fake-model"}]}],
        keys=[
            {"name": "test", "key": KEY, "models": ["*"], "budget": budget},
            {"name": "admin", "key": ADMIN, "models": ["*"], "permissions": ["admin"]},
        ],
    )


def digest(file: Path) -> str:
    return f"prices:{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"


async def import_(folder: Path, output: float) -> int:
    (folder / "new.json").write_text(json.dumps({"fake/fake-model": entry(output)}))
    arguments = ["prices", "import", "--yes", "--config", str(folder / "checkrein.yaml"), str(folder / "new.json")]
    return await asyncio.to_thread(main, arguments)


def revision(router: RunningRouter) -> int:
    return router.lifecycle._pipeline._snapshots.current.revision


async def row_of(router: RunningRouter, call: str) -> dict[str, Any]:
    await router.idle()
    return await router.call(call)


async def test_a_call_costs_what_was_in_force_when_it_began(tmp_path: Path) -> None:
    held = asyncio.Event()

    def half_told(request: Request) -> Reply:
        whole = fake.stream(request, TOKENS).steps
        return fake.event_stream(*whole[:10], held, *whole[10:])

    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"fake/fake-model": entry(2e-6)}))
    async with FakeUpstream() as upstream, running_router(config(upstream), tmp_path) as router:
        upstream.script(half_told)
        old = digest(prices)
        async with (
            router.client() as client,
            client.stream("POST", "/v1/chat/completions", json=chat(stream=True)) as early,
        ):
            assert 200 == early.status_code
            assert 0 == await import_(tmp_path, 5e-6)
            await until(lambda: revision(router) == 2, within_s=5)
            later = await client.post("/v1/chat/completions", json=chat())
            held.set()
            await early.aread()
        first, second = [await row_of(router, one.headers["x-checkrein-call"]) for one in (early, later)]

    new = digest(prices)
    assert old != new
    assert [("completed", old), ("completed", new)] == [
        (row["outcome"], row["price_version"]) for row in (first, second)
    ]
    tokens_in = first["input_tokens"]
    assert [tokens_in * 1_000 + TOKENS * 2_000, tokens_in * 1_000 + TOKENS * 5_000] == [
        row["cost_nano_usd"] for row in (first, second)
    ]


async def test_a_file_that_is_spoilt_leaves_the_prices_as_they_were(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"fake/fake-model": entry(2e-6)}))
    old = digest(prices)
    async with FakeUpstream() as upstream, running_router(config(upstream), tmp_path) as router:
        prices.write_text(json.dumps({"fake/fake-model": entry(-2e-6)}))
        await until(lambda: "is not a price" in caplog.text, within_s=5)
        async with router.client() as client:
            reply = await client.post("/v1/chat/completions", json=chat())
        row = await row_of(router, reply.headers["x-checkrein-call"])
        assert old == row["price_version"]
        assert 1 == revision(router)

        assert 1 == await import_(tmp_path, 5e-6), "what cannot be read cannot be compared with"
        prices.write_text(json.dumps({"fake/fake-model": entry(3e-6)}))
        await until(lambda: revision(router) == 2, within_s=5)
