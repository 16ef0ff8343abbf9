"""Why a call went where it went is announced, on record, counted, and told in advance for one that is not sent."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from router.cli.commands import main
from tests.support import fake_upstream as fake
from tests.support.running import ADMIN, KEY, PRICE, chat
from tests.support.stage import Stage
from tests.support.wire import Answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOUND = "sk-test-bound"
TWICE_INPUT, TWICE_OUTPUT = 4.0, 20.0
EXPLAIN = "/checkrein/v1/route/explain"


def model(name: str, *at: str, price: dict[str, float] = PRICE, **more: object) -> dict[str, object]:
    places = [{"provider": "fake", "model": each, "price": price, "tier": tier} for tier, each in enumerate(at, 1)]
    return {"name": name, "deployments": places, **more}


@pytest.fixture(scope="module")
def sections() -> dict[str, object]:
    dear = {**PRICE, "input": TWICE_INPUT, "output": TWICE_OUTPUT}
    return {
        "models": [
            model("small", "fake-model"),
            model("pair", "first", "second"),
            model("frail", "broken", fallbacks=["large"]),
            model("large", "large-model", price=dear),
            model("tagged", "tagged-model", substitutes=[{"model": "large", "when": {"tag": "big"}}]),
            model("slow", "late", fallbacks=["large"]),
        ],
        "http": {"stream_ping": "100ms"},
        "roles": {"main": "small"},
        "retry": {"attempts_total": 3, "attempts_per_deployment": 1},
        "keys": [
            {"name": "test", "key": KEY, "models": ["*"]},
            {"name": "bound", "key": BOUND, "models": ["*"], "allow": {"substitution": False}},
            {"name": "admin", "key": ADMIN, "models": ["*"], "permissions": ["admin"]},
        ],
    }


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def provider(stage: Stage) -> AsyncIterator[None]:
    def answer(asked: fake.Request) -> fake.Reply:
        match asked.json["model"]:
            case "broken":
                return fake.error(500)
            case "late":
                return replace(fake.error(500), before_head=(fake.Gap(0.4),))
            case _:
                return fake.answer(asked)

    stage.upstream.handler = answer
    yield


async def row_of(stage: Stage, answer: Answer) -> dict[str, object]:
    await stage.router.idle()
    return await stage.router.call(answer.headers["x-checkrein-call"])


async def explain(stage: Stage, key: str = KEY, **members: object) -> httpx.Response:
    async with stage.router.client(key) as client:
        return await client.post(EXPLAIN, json=chat(**members))


@pytest.mark.parametrize("name", ["small", "role:main", "fake/fake-model"])
async def test_the_usual_call_announces_nothing_and_stores_no_decision(stage: Stage, name: str) -> None:
    answer = await stage.ask(chat(model=name))
    row = await row_of(stage, answer)

    assert 200 == answer.status
    assert {"x-checkrein-substituted", "x-checkrein-notice"}.isdisjoint(answer.headers)
    assert (None, None) == (row["decision"], row["substituted"])


async def test_a_choice_among_deployments_is_on_record_and_nothing_to_announce(stage: Stage) -> None:
    answer = await stage.ask(chat(model="pair"))
    row = await row_of(stage, answer)

    assert {"a": "pair", "c": ["fake/first", "fake/second"], "t": [["fake/first", "pair"]]} == row["decision"]
    assert "x-checkrein-substituted" not in answer.headers


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_fallback_is_announced_on_record_counted_and_billed_at_its_own_price(
    stage: Stage, streamed: bool
) -> None:
    labels = 'checkrein_substituted_calls_total{asked="frail",reason="fallback",served="large"}'
    before = await stage.router.metric(labels)
    answer = await stage.ask(chat(model="frail", stream=streamed))
    row = await row_of(stage, answer)
    async with stage.router.client(ADMIN) as client:
        listed = (await client.get("/admin/v1/ledger/calls", params={"limit": 1})).json()["data"][0]

    assert "frail->large;fallback" == answer.headers["x-checkrein-substituted"] == row["substituted"]
    assert {"a": "frail", "c": ["fake/broken"], "t": [["fake/broken", "frail"], ["fake/large-model", "large"]]} == (
        row["decision"]
    )
    assert (row["decision"], row["substituted"]) == (listed["decision"], listed["substituted"])
    asked, said = row["input_tokens"], row["output_tokens"]
    assert isinstance(asked, int)
    assert isinstance(said, int)
    assert asked * TWICE_INPUT * 1_000 + said * TWICE_OUTPUT * 1_000 == row["cost_nano_usd"]
    assert 1.0 == await stage.router.metric(labels) - before


async def test_what_is_decided_after_the_headers_of_a_stream_is_in_the_row_only(stage: Stage) -> None:
    answer = await stage.ask(chat(model="slow", stream=True))
    row = await row_of(stage, answer)

    assert ("fake/late", "1") == (answer.headers["x-checkrein-deployment"], answer.headers["x-checkrein-attempts"])
    assert "x-checkrein-substituted" not in answer.headers
    assert ("slow->large;fallback", "fake/large-model", "completed") == (
        row["substituted"], row["served_deployment"], row["outcome"]
    )  # fmt: skip


async def test_a_key_that_wants_no_substitute_gets_the_error_of_the_model_it_asked_for(stage: Stage) -> None:
    async with stage.router.client(BOUND) as client:
        reply = await client.post("/v1/chat/completions", json=chat(model="frail"))
    await stage.router.idle()
    row = await stage.router.call(reply.headers["x-checkrein-call"])

    assert (502, "upstream_error") == (reply.status_code, reply.json()["error"]["code"])
    assert ["broken"] == [request.json["model"] for request in stage.upstream.requests]
    assert row["substituted"] is None


async def test_a_stand_in_says_why_it_stands_in(stage: Stage) -> None:
    answer = await stage.ask(chat(model="tagged"), "x-checkrein-tags: big")
    row = await row_of(stage, answer)

    assert ["large-model"] == [request.json["model"] for request in stage.upstream.requests]
    assert "tagged->large;tag" == answer.headers["x-checkrein-substituted"] == row["substituted"]


@pytest.mark.parametrize(("says", "told"), [("fake-model-2026-01-01", False), ("cheaper", True)])
async def test_a_provider_that_serves_another_model_is_told_of_and_counted(stage: Stage, says: str, told: bool) -> None:
    sample = 'checkrein_upstream_model_mismatch_total{deployment="fake/fake-model"}'
    before = await stage.router.metric(sample)
    body = {"model": says, "choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]}
    stage.upstream.script(fake.Reply(steps=(json.dumps(body).encode(),)))
    answer = await stage.ask(chat())
    row = await row_of(stage, answer)

    assert (f"upstream_model={says}" if told else None) == answer.headers.get("x-checkrein-notice")
    assert says == row["served_model"]
    assert float(told) == await stage.router.metric(sample) - before


async def test_a_request_is_explained_and_nothing_comes_of_it(stage: Stage) -> None:
    rows = len(stage.router.rows())
    route = (await explain(stage, model="frail")).json()
    stood_in = (await explain(stage, model="pair", prompt_cache_key="k")).json()
    await stage.router.idle()

    assert ("frail", "fake/broken", True, ["large"]) == (
        route["model"], route["target"], route["admitted"], route["fallbacks"]["any"]
    )  # fmt: skip
    assert ["fake/first", "fake/second"] == [one["target"] for one in stood_in["candidates"]]
    assert [] == stage.upstream.requests
    assert rows == len(stage.router.rows())


async def test_the_ceiling_that_is_told_is_no_less_than_the_call_costs(stage: Stage) -> None:
    route = (await explain(stage, max_tokens=60)).json()
    row = await row_of(stage, await stage.ask(chat(max_tokens=60)))
    cost = row["cost_nano_usd"]

    assert isinstance(cost, int)
    assert 0 < cost <= route["candidates"][0]["ceiling_nano_usd"]


async def test_what_could_never_be_planned_is_refused_in_the_error_shape(stage: Stage) -> None:
    reply = await explain(stage, model="nothing")

    assert (404, "model_not_found") == (reply.status_code, reply.json()["error"]["code"])


async def test_the_command_prints_a_call_and_a_request(
    stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await stage.ask(chat(model="frail"))
    await stage.router.idle()
    (tmp_path / "request.json").write_text(json.dumps(chat(model="pair")))
    at = ["--url", stage.router.url, "--key", KEY]

    assert 0 == await command("explain", answer.headers["x-checkrein-call"], *at)
    told = capsys.readouterr().out.splitlines()
    assert 0 == await command("explain", "--request", str(tmp_path / "request.json"), *at)
    asked = capsys.readouterr().out.splitlines()

    assert "substituted: frail->large;fallback" in told
    assert "attempt 2: fake/large-model, of the model large" in told
    assert ["pair is asked for", "class standard", "it would go to fake/first"] == asked[:3]


async def command(*arguments: str) -> int:
    """Run it beside the loop, which has to answer it."""
    return await asyncio.to_thread(main, list(arguments))
