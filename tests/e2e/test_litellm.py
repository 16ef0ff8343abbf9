"""Providers that litellm speaks to, through a whole router: its start, its replies, its ledger."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from tests.support import fake_upstream, provider_wires
from tests.support.fake_upstream import FakeUpstream, Reply, Request
from tests.support.litellm_calls import AWS, AWS_SECRET, GEMINI_KEY
from tests.support.process import Served, finished, served
from tests.support.running import ADMIN, KEY, PRICE, http_client, sse
from tests.support.waiting import until

pytestmark = pytest.mark.slow

PROVIDERS = ("plain", "gemini", "bedrock")


def answer(request: Request) -> Reply:
    """Be three providers, each at its own path."""
    if request.target.startswith("/v1beta"):
        return provider_wires.gemini(request)
    if request.target.startswith("/model"):
        return provider_wires.bedrock(request)
    return fake_upstream.answer(request)


def config(fake: FakeUpstream) -> dict[str, object]:
    plain = {"name": "plain", "kind": "openai_compatible", "base_url": fake.base_url, "api_key": "none"}
    gemini = {"name": "gemini", "preset": "gemini-native", "base_url": f"{fake.url}/v1beta", "api_key": "${GEMINI}"}
    bedrock = {
        "name": "bedrock",
        "base_url": fake.url,
        "api_key": "none",
        "params": {**AWS, "aws_secret_access_key": "${AWS_SECRET}", "drop_params": "true"},
    }
    return {
        "version": 1,
        "server": {"http": {"port": 0}, "ops": {"port": 0}, "grpc": {"port": 0}},
        "store": {"url": "sqlite:///./ledger.db"},
        "providers": [{**one, "network": {"allow_private": True}} for one in (plain, gemini, bedrock)],
        "models": [
            {"name": name, "deployments": [{"provider": name, "model": "m", "price": PRICE}]} for name in PROVIDERS
        ],
        "keys": [
            {"name": "test", "key": KEY, "models": ["*"]},
            {"name": "admin", "key": ADMIN, "models": ["*"], "permissions": ["admin"]},
        ],
        "logging": {"level": "debug"},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    fake: FakeUpstream
    router: Served
    client: httpx.AsyncClient

    async def ask(self, model: str, **members: object) -> httpx.Response:
        messages = [{"role": "user", "content": "prompt-canary"}]
        return await self.client.post("/v1/chat/completions", json={"model": model, "messages": messages, **members})

    async def row(self, reply: httpx.Response) -> dict[str, object]:
        path = f"/checkrein/v1/calls/{reply.headers['x-checkrein-call']}"
        row: dict[str, object] = (await self.client.get(path, headers={"authorization": f"Bearer {ADMIN}"})).json()
        return row


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with FakeUpstream(handler=answer) as fake:
        (tmp_path / "checkrein.yaml").write_text(yaml.safe_dump(config(fake)))
        env = {"GEMINI": GEMINI_KEY, "AWS_SECRET": AWS_SECRET}
        async with served(tmp_path, env=env) as router:
            async with http_client(router.url, {"authorization": f"Bearer {KEY}"}) as client:
                yield Stage(fake=fake, router=router, client=client)
            assert 0 == await router.stop()


@pytest.mark.timeout(120)
async def test_gemini_and_bedrock_serve_whole_and_streamed_and_are_in_the_ledger(stage: Stage) -> None:
    for model in ("gemini", "bedrock"):
        whole = await stage.ask(model, max_tokens=100)
        assert 200 == whole.status_code, whole.text
        assert fake_upstream.text(60) == whole.json()["choices"][0]["message"]["content"]

        streamed = await stage.ask(model, stream=True)
        *events, done = sse(streamed.text)
        assert "[DONE]" == done
        chunks = [json.loads(event) for event in events]
        text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
        assert fake_upstream.text(60) == text
        assert "stop" == chunks[-1]["choices"][0]["finish_reason"]
        assert "usage" not in streamed.text  # nobody asked

        for reply in (whole, streamed):
            row = await stage.row(reply)
            assert ("completed", f"{model}/m", False) == (
                row["outcome"],
                row["served_deployment"],
                row["usage_estimated"],
            )
            # 6 uncached at $2, 4 cached at $0.20, 60 out at $10 a million
            assert 6 * 2_000 + 4 * 200 + 60 * 10_000 == row["cost_nano_usd"]

    refused = await stage.ask("gemini", api_base="http://elsewhere")
    assert (400, "api_base") == (refused.status_code, refused.json()["error"]["param"])
    lacking = await stage.ask("gemini", logit_bias={"1": 1})
    error = lacking.json()["error"]
    assert (400, "unsupported_parameter", "logit_bias") == (lacking.status_code, error["code"], error["param"])
    for dropped in (
        await stage.ask("bedrock", logit_bias={"1": 1}),  # the operator has it so
        await stage.ask("gemini", logit_bias={"1": 1}, drop_params=True),
    ):
        assert (200, "logit_bias") == (dropped.status_code, dropped.headers["x-checkrein-dropped-params"])

    said = stage.router.out + stage.router.err
    for canary in ("prompt-canary", GEMINI_KEY, AWS_SECRET):
        assert canary not in said


@pytest.mark.timeout(120)
async def test_other_providers_are_served_while_litellm_is_imported(stage: Stage) -> None:
    async with asyncio.TaskGroup() as tasks:
        begun = time.monotonic()
        slow = tasks.create_task(stage.ask("gemini"))
        times = []
        while not slow.done():
            asked = time.monotonic()
            assert 200 == (await stage.ask("plain")).status_code
            times.append(time.monotonic() - asked)
        waited_s = time.monotonic() - begun
    assert 200 == slow.result().status_code

    times.sort()
    print(f"{waited_s:.1f} s, {len(times)} calls, median {times[len(times) // 2]:.4f}, max {times[-1]:.3f}")
    assert len(times) > 50
    assert times[len(times) // 2] < 0.1
    assert times[-1] < waited_s / 3


async def test_a_router_that_stops_while_it_imports_stops_well(stage: Stage) -> None:
    """It has begun, and takes seconds from here: a library that only litellm needs is in the process."""
    mapped = Path(f"/proc/{stage.router.process.pid}/maps")
    await until(lambda: "/tiktoken/" in mapped.read_text(), within_s=30)

    assert 0 == await stage.router.stop()
    assert "Traceback" not in stage.router.err


async def test_config_check_names_what_is_missing(tmp_path: Path) -> None:
    provider = {"name": "vertex", "params": {"vertex_project": "p"}}
    (tmp_path / "checkrein.yaml").write_text(yaml.safe_dump({"version": 1, "providers": [provider]}))
    done = await finished(tmp_path, "config", "check")

    assert "providers[0].kind" in done.out + done.err
    assert "the Python package google-auth is missing" in done.out + done.err
