"""What a call used and cost is what the provider billed, to the nano-USD, whether or not the provider says so."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.support import fake_upstream as fake
from tests.support.fake_upstream import Handler, Reply, Request
from tests.support.running import ADMIN, PRICE, chat
from tests.support.stage import Stage
from tests.support.wire import Answer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

STREAM = chat(stream=True)
COUNTED = chat(stream=True, stream_options={"include_usage": True})
CLAMPED = 'checkrein_anomalies_total{kind="usage_clamped"}'
UNPRICED = 'checkrein_anomalies_total{kind="unpriced_call"}'

PRICE_P = {
    "input": 2.0,
    "cached_input": 0.2,
    "cache_write": 2.5,
    "output": 10.0,
    "above": [{"input_tokens": 200_000, "input": 4.0, "cached_input": 0.4, "cache_write": 5.0, "output": 15.0}],
}


@pytest.fixture(scope="module")
def sections() -> dict[str, object]:
    """One upstream model at three prices."""
    prices = {"small": PRICE, "tiered": PRICE_P, "unpriced": None}
    return {
        "models": [
            {"name": name, "deployments": [{"provider": "fake", "model": name, "price": price}]}
            for name, price in prices.items()
        ]
    }


def without_usage(request: Request) -> Reply:
    if request.json.get("stream"):
        return fake.stream(request, 12, last=[fake.chunk(request, {}, "stop"), b"data: [DONE]\n\n"])
    body = json.loads(b"".join(step for step in fake.completion(request, 12).steps if isinstance(step, bytes)))
    del body["usage"]
    return Reply(steps=(json.dumps(body).encode(),))


def reporting(usage: Mapping[str, object]) -> Handler:
    """Answer with one token and this usage."""

    def handler(request: Request) -> Reply:
        if request.json.get("stream"):
            last = [
                fake.chunk(request, {}, "stop"),
                fake.sse({"choices": [], "usage": usage}),
                b"data: [DONE]\n\n",
            ]
            return fake.stream(request, 1, last=last)
        choice = {"index": 0, "message": {"role": "assistant", "content": "w0"}, "finish_reason": "stop"}
        return Reply(steps=(json.dumps({"choices": [choice], "usage": usage}).encode(),))

    return handler


def usage_chunks(reply: Answer) -> list[int]:
    """Where the stream's usage chunks stand."""
    events = reply.events
    return [at for at, event in enumerate(events) if event != "[DONE]" and json.loads(event).get("usage")]


@pytest.mark.parametrize("request_", [STREAM, COUNTED, chat()], ids=["stream", "counted stream", "unary"])
async def test_a_provider_that_does_not_count_is_estimated_and_never_free(
    stage: Stage, request_: dict[str, object]
) -> None:
    """T3d: no usage from upstream gives an estimate, flagged as one, above 0."""
    stage.upstream.handler = without_usage
    reply = await stage.ask(request_)
    row = await stage.router.call(reply.call_id)

    assert 200 == reply.status
    assert (True, "completed") == (row["usage_estimated"], row["outcome"])
    assert row["input_tokens"] > 0
    assert row["cost_nano_usd"] == 2_000 * row["input_tokens"] + 10_000 * row["output_tokens"]
    if request_ is not STREAM and request_ is not COUNTED:
        assert -(-len(fake.text(12)) // 4) == row["output_tokens"]
    else:
        assert 12 == row["output_tokens"]


async def test_a_caller_that_did_not_ask_for_usage_gets_none_though_we_ask_for_it(stage: Stage) -> None:
    """T3d: upstream is asked for usage, the ledger has it, the caller's stream does not."""
    reply = await stage.ask(chat(stream=True, stream_options={"include_obfuscation": False}))
    row = await stage.router.call(reply.call_id)

    asked = {"include_obfuscation": False, "include_usage": True}
    assert asked == stage.upstream.requests[0].json["stream_options"]
    assert [] == usage_chunks(reply)
    assert b'"usage"' not in reply.body
    assert [b"data: [DONE]"] == reply.body.split(b"\n\n")[-2:-1]
    assert (1, 60, False) == (row["input_tokens"], row["output_tokens"], row["usage_estimated"])
    assert stage.upstream.billed_nano_usd == row["cost_nano_usd"]


async def test_a_caller_that_asked_for_usage_gets_one_chunk_of_it_before_done(stage: Stage) -> None:
    """T3d: exactly one chunk with `choices: []`, the last before [DONE]."""
    reply = await stage.ask(COUNTED)

    assert COUNTED["stream_options"] == stage.upstream.requests[0].json["stream_options"]
    assert [len(reply.events) - 2] == usage_chunks(reply)
    assert [] == json.loads(reply.events[-2])["choices"]
    assert 60 == json.loads(reply.events[-2])["usage"]["completion_tokens"]


async def test_usage_is_found_in_a_chunk_that_still_has_a_choice(stage: Stage) -> None:
    """T3d: some providers put it beside `choices: [{delta: {}}]`; that chunk is the caller's all the same."""
    usage = {"prompt_tokens": 40, "completion_tokens": 7}

    def beside_a_choice(request: Request) -> Reply:
        finish = {"index": 0, "delta": {}, "finish_reason": "stop"}
        return fake.stream(request, 3, last=[fake.sse({"choices": [finish], "usage": usage}), b"data: [DONE]\n\n"])

    stage.upstream.handler = beside_a_choice
    reply = await stage.ask(STREAM)
    row = await stage.router.call(reply.call_id)

    assert b'"finish_reason":"stop"' in reply.body
    assert (40, 7, False) == (row["input_tokens"], row["output_tokens"], row["usage_estimated"])


GOLDEN: dict[str, tuple[dict[str, object], int]] = {
    "a: 1 920 of 2 006 cached": (
        {"prompt_tokens": 2_006, "completion_tokens": 300, "prompt_tokens_details": {"cached_tokens": 1_920}},
        3_556_000,
    ),
    "a as Anthropic counts": (
        {"input_tokens": 86, "cache_read_input_tokens": 1_920, "output_tokens": 300},
        3_556_000,
    ),
    "c: above the tier, written and reasoning tokens": (
        {
            "prompt_tokens": 250_000,
            "completion_tokens": 1_000,
            "prompt_tokens_details": {"cached_tokens": 200_000, "cache_write_tokens": 10_000},
            "completion_tokens_details": {"reasoning_tokens": 200},
        },
        305_000_000,
    ),
    "d: at the threshold": ({"prompt_tokens": 200_000, "completion_tokens": 1_000}, 410_000_000),
    "d: one token above it": ({"prompt_tokens": 200_001, "completion_tokens": 1_000}, 815_004_000),
    "nothing": ({"prompt_tokens": 0, "completion_tokens": 0}, 0),
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
async def test_the_golden_amounts_are_in_the_ledger(stage: Stage, stream: bool) -> None:
    """T8a: the amounts of table P, tier above 200 000 tokens included, and T3c: an explicit zero costs zero."""
    costs, versions, headers = {}, set(), []
    for case, (usage, _) in GOLDEN.items():
        stage.upstream.script(reporting(usage))
        reply = await stage.ask(chat(model="tiered", stream=stream))
        row = await stage.router.call(reply.call_id)
        costs[case] = row["cost_nano_usd"]
        versions.add(row["price_version"])
        headers.append(reply.headers.get("x-checkrein-cost-usd"))
        assert row["usage_estimated"] is False

    assert {case: cost for case, (_, cost) in GOLDEN.items()} == costs
    assert 1 == len(versions), "each row names the price it was made with"
    assert None not in versions
    if not stream:
        assert ["0.003556", "0.003556", "0.305", "0.41", "0.815004", "0.00"] == headers


async def test_more_cached_than_input_is_cut_to_fit_and_counted(stage: Stage) -> None:
    """T8a: never a negative price, and the anomaly is visible."""
    usage = {"prompt_tokens": 100, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 900}}
    before = await stage.router.metric(CLAMPED)
    stage.upstream.handler = reporting(usage)
    reply = await stage.ask(STREAM)
    row = await stage.router.call(reply.call_id)
    clamped = await stage.router.metric(CLAMPED) - before

    assert (100, 100) == (row["input_tokens"], row["cached_input_tokens"])
    assert 100 * 200 + 10_000 == row["cost_nano_usd"]
    assert 1 == clamped


async def test_a_model_without_a_price_is_served_at_an_unknown_cost(stage: Stage) -> None:
    """T8b: without a budget it is served; its cost is null, which is not 0, and it is counted."""
    before = await stage.router.metric(UNPRICED)
    reply = await stage.ask(chat(model="unpriced"))
    row = await stage.router.call(reply.call_id)
    unpriced = await stage.router.metric(UNPRICED) - before

    assert 200 == reply.status
    assert "x-checkrein-cost-usd" not in reply.headers
    assert (None, None) == (row["cost_nano_usd"], row["price_version"])
    assert (1, 60) == (row["input_tokens"], row["output_tokens"])
    assert 1 == unpriced


async def test_an_interrupted_stream_that_had_reported_its_usage_is_priced_by_it(stage: Stage) -> None:
    """T3c: what the provider said so far counts more than what we counted."""
    usage = {"prompt_tokens": 9, "completion_tokens": 55}

    def cut_after_usage(request: Request) -> Reply:
        return replace(fake.stream(request, 3, last=[fake.sse({"choices": [], "usage": usage}), fake.Cut.CLOSE]))

    stage.upstream.handler = cut_after_usage
    reply = await stage.ask(STREAM)
    row = await stage.router.call(reply.call_id)

    assert "upstream_stream_interrupted" == reply.error["code"]
    assert ("interrupted", 55, False) == (row["outcome"], row["output_tokens"], row["usage_estimated"])
    assert 9 * 2_000 + 55 * 10_000 == row["cost_nano_usd"]


async def test_a_report_adds_up_what_the_provider_billed(stage: Stage) -> None:
    query = "/admin/v1/usage?group_by=model,deployment&model=small"
    async with stage.router.client(ADMIN) as client:
        before = (await client.get(query)).json()["data"]
        for request in (STREAM, COUNTED, chat()):
            await stage.ask(request)
        (told,) = (await client.get(query)).json()["data"]
        sheet = (await client.get(f"{query}&format=csv")).text.splitlines()
    earlier = before[0] if before else {"calls": 0, "cost_nano_usd": 0}

    assert {"model": "small", "deployment": "fake/small"} == told["group"]
    assert 3 == told["calls"] - earlier["calls"]
    assert stage.upstream.billed_nano_usd == told["cost_nano_usd"] - earlier["cost_nano_usd"]
    assert ["small", "fake/small", str(told["calls"])] == sheet[1].split(",")[:3]
