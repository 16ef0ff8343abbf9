"""A budget is a hard cap: to the nano-USD, whoever asks at once, whatever the provider does, however a call ends.

What is spent is what the provider says it billed. How the amounts are made: `tests/support/money.py`.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random

import openai
import pytest
import yaml

from tests.support import fake_upstream as fake
from tests.support.fake_upstream import FakeUpstream, Reply, Request, Step
from tests.support.money import (
    INPUT_BOUND,
    KEYS,
    OUTPUT_MAX,
    TEN_CENTS,
    USD,
    account_of,
    ask_at_once,
    billing,
    callers,
    model,
    request_of,
    worst_case,
)
from tests.support.running import KEY, chat, config_for, http_client, running_router
from tests.support.stage import Stage
from tests.support.waiting import pause
from tests.support.wire import Answer, post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

CROWD = 200
REPETITIONS = 50
LABELLED_REPETITIONS = 10
"""Of each kind of account that is born with its first call: they pass the same gate as keys."""
SEED = 20_261_121
OVERSHOOT = 'checkrein_anomalies_total{kind="budget_overshoot_nano_usd"}'
DIME = request_of(max_completion_tokens=OUTPUT_MAX)


def budget(usd: float) -> dict[str, object]:
    return {"limit_usd": usd, "window": "lifetime"}


@pytest.fixture(scope="module")
def sections() -> dict[str, object]:
    named = {"half": 1.0, "sizes": 5.0, "nickel": 0.05, "uncounted": 0.05, "burst": 0.05, "cent": 0.01}
    spenders = {f"dollar-{number}": 1.0 for number in range(REPETITIONS)} | named
    return {
        "models": [model(), model("unpriced", price=None)],
        "keys": [
            *KEYS,
            *({"name": name, "key": key_of(name), "budget": budget(usd)} for name, usd in spenders.items()),
        ],
        "workflows": {"budget_usd": 1.0},
        "budgets": [{"name": "each-agent", "scope": {"agent": "*"}, **budget(1.0)}],
    }


def key_of(name: str) -> str:
    return f"sk-test-{name}"


async def ask(stage: Stage, members: dict[str, object], key: str) -> Answer:
    async with wire(stage.router.http_port) as connection:
        await connection.send(post(body=members, key=key))
        return await connection.answer()


def costs(stage: Stage, **where: object) -> list[int]:
    """What the ledger holds for calls that cost something."""
    rows = [row for row in stage.rows() if all(row[name] == value for name, value in where.items())]
    return [int(str(row["cost_nano_usd"])) for row in rows if row["outcome"] != "refused"]


# Nobody spends more than there is.


@pytest.mark.parametrize("first", range(0, REPETITIONS, 10))
async def test_of_200_callers_at_once_the_ten_that_the_budget_pays_for_are_served(stage: Stage, first: int) -> None:
    """T1a: as often as there are keys: 10 upstream calls, 190 refusals, nothing over."""
    numbers = range(first, first + 10)
    stage.upstream.handler = billing()
    over_before = await stage.router.metric(OVERSHOOT)
    async with callers(stage.router.http_port, CROWD) as crowd:
        for number in numbers:
            replies = await ask_at_once(crowd, post(body=DIME, key=key_of(f"dollar-{number}")))

            assert {200: 10, 429: 190} == Counter(reply.status for reply in replies)
            assert {"budget_exceeded"} == {reply.error["code"] for reply in replies if reply.status == 429}
            assert 10 * (number - first + 1) == len(stage.upstream.requests)
    await stage.router.idle()

    for number in numbers:
        assert [TEN_CENTS] * 10 == costs(stage, key_id=f"dollar-{number}")
        assert (USD, 0) == await account_of(stage.router.http_port, key=key_of(f"dollar-{number}"))
    assert len(numbers) * USD == stage.upstream.billed_nano_usd
    assert 0 == await stage.router.metric(OVERSHOOT) - over_before


@pytest.mark.parametrize(("label", "column"), [("workflow", "workflow_id"), ("agent", "agent")])
async def test_an_account_that_nobody_has_seen_before_is_as_hard_a_cap(stage: Stage, label: str, column: str) -> None:
    """T1a: the first calls of a workflow or an agent all come at once, and its account begins with them."""
    stage.upstream.handler = billing()
    async with callers(stage.router.http_port, CROWD) as crowd:
        for number in range(LABELLED_REPETITIONS):
            line = f"x-checkrein-{label}: new-{number}"
            replies = await ask_at_once(crowd, post(line, body=DIME))

            assert {200: 10, 429: 190} == Counter(reply.status for reply in replies)
            assert (USD, 0) == await account_of(stage.router.http_port, line)
    await stage.router.idle()

    assert LABELLED_REPETITIONS * 10 == len(stage.upstream.requests)
    for number in range(LABELLED_REPETITIONS):
        assert [TEN_CENTS] * 10 == costs(stage, **{column: f"new-{number}"})


async def test_what_a_call_did_not_use_of_its_reservation_is_there_for_the_next(stage: Stage) -> None:
    """T1b: each reserves $0.10 and is billed $0.05, so of $1 the 19th still fits, and the 20th does not."""
    stage.upstream.handler = billing(INPUT_BOUND // 2, OUTPUT_MAX // 2)
    replies = [await ask(stage, DIME, key_of("half")) for _ in range(25)]
    await stage.router.idle()

    assert [200] * 19 + [429] * 6 == [reply.status for reply in replies]
    assert 19 * TEN_CENTS // 2 == stage.upstream.billed_nano_usd == sum(costs(stage))
    assert (stage.upstream.billed_nano_usd, 0) == await account_of(stage.router.http_port, key=key_of("half"))


async def test_a_call_is_refused_if_and_only_if_its_worst_case_does_not_fit(stage: Stage) -> None:
    """T1b: every refusal satisfies spent + reservation > budget, and every call that is served does not."""
    chance = Random(SEED)
    billed = refusals = 0
    while refusals < 50:
        bound, most = chance.randrange(200, 3_000), chance.randrange(1, 30_000)
        used = chance.randrange(1, bound), chance.randrange(1, most + 1)
        fits = billed + worst_case(bound, most) <= 5 * USD
        stage.upstream.handler = billing(*used)
        reply = await ask(stage, request_of(bound, max_completion_tokens=most), key_of("sizes"))
        billed += worst_case(*used) if fits else 0
        refusals += not fits

        assert (200 if fits else 429) == reply.status, (billed, bound, most)
    await stage.router.idle()

    assert billed == stage.upstream.billed_nano_usd == sum(costs(stage))
    assert billed > 4 * USD


# A reply ends where its money ends.


def endless(request: Request, waits: Mapping[int, Step], *, counts: bool) -> Reply:
    """Ignore the maximum: 6,000 tokens, before some of them a wait; `counts`: each tells the usage so far."""
    request.input_billed = INPUT_BOUND
    steps: list[Step] = []
    for index in range(6_000):
        event = json.loads(fake.chunk(request, {"content": fake.word(index)})[len("data: ") :])
        if counts:
            event["usage"] = fake.usage(request, index + 1)
        if index in waits:
            steps.append(waits[index])
        steps.append(fake.Token(fake.sse(event)))
    return fake.event_stream(*steps)


async def overrun(stage: Stage, key: str, *, counts: bool) -> float:
    """Have a provider go on one token at a time, see it cut, and return the overshoot that the metric shows."""
    one_by_one = dict.fromkeys(range(4_780, 6_000), fake.Gap(0.005))
    stage.upstream.handler = lambda request: endless(request, one_by_one, counts=counts)
    over_before = await stage.router.metric(OVERSHOOT)
    reply = await ask(stage, request_of(stream=True), key_of(key))
    await stage.router.idle()

    (request,) = stage.upstream.requests
    (row,) = stage.rows()
    assert 4_800 == request.json["max_completion_tokens"]
    assert fake.text(4_801) == "".join(contents(reply))
    assert ("budget_exceeded", "insufficient_quota") == (reply.error["code"], reply.error["type"])
    assert "[DONE]" not in reply.events
    assert ("interrupted", "budget_exhausted", 4_801) == (row["outcome"], row["fault"], row["output_tokens"])
    return await stage.router.metric(OVERSHOOT) - over_before


async def test_a_provider_that_ignores_its_maximum_is_cut_one_token_beyond_it(stage: Stage) -> None:
    """T1c: $0.05 pays for 1,000 tokens of input and 4,800 of output, which the provider is told."""
    over = await overrun(stage, "nickel", counts=True)

    assert [worst_case(INPUT_BOUND, 4_801)] == costs(stage)
    assert 10_000 == over


async def test_an_overrun_shows_though_the_provider_was_cut_before_it_counted(stage: Stage) -> None:
    """T1c: most providers tell their usage with the last event only, which a cut stream never has."""
    assert await overrun(stage, "uncounted", counts=False) > 0


async def test_a_provider_that_ignores_its_maximum_in_a_burst_is_not_passed_on_beyond_it(stage: Stage) -> None:
    """T1c: tokens that arrive in one read with the last that is paid for are not the caller's either."""
    burst: dict[int, Step] = {4_790: fake.Gap(0.05), 4_820: asyncio.Event()}
    stage.upstream.handler = lambda request: endless(request, burst, counts=True)
    reply = await ask(stage, request_of(stream=True), key_of("burst"))
    await stage.router.idle()
    passed_on = len(contents(reply))

    assert "budget_exceeded" == reply.error["code"]
    assert passed_on <= 4_801


def contents(reply: Answer) -> list[str]:
    return [json.loads(event)["choices"][0]["delta"]["content"] for event in reply.events[:-1]]


# What a refusal says.


async def test_a_refusal_names_the_account_and_what_is_used_of_it(stage: Stage) -> None:
    reply = await ask(stage, DIME, key_of("cent"))

    assert (429, "insufficient_quota", "budget_exceeded") == (reply.status, reply.error["type"], reply.error["code"])
    assert "false" == reply.headers["x-should-retry"]
    assert {
        "limit": "key/cent/usd/lifetime",
        "scope": "key",
        "unit": "usd",
        "limit_value": USD // 100,
        "used": 0,
        "reserved": 0,
        "wanted": TEN_CENTS,
    } == reply.error["details"], "a budget for life has no resets_at"
    assert [] == stage.upstream.requests


async def test_an_sdk_that_retries_by_itself_asks_once(stage: Stage) -> None:
    """T1d: the OpenAI SDK as it is made by default would try a 429 three times."""
    url = f"{stage.router.url}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key=key_of("cent"), http_client=http_client(url)) as sdk:
        with pytest.raises(openai.RateLimitError) as refused:
            await sdk.chat.completions.create(
                model="small", messages=[{"role": "user", "content": "hi"}], max_completion_tokens=OUTPUT_MAX
            )
    await stage.router.idle()

    assert 2 == sdk.max_retries
    assert "budget_exceeded" == refused.value.code
    assert ["refused"] == [row["outcome"] for row in stage.rows()]


async def test_a_model_without_a_price_is_refused_under_a_budget_and_served_without(stage: Stage) -> None:
    """T8b: no price is not a price of 0."""
    refused = await ask(stage, chat(model="unpriced"), key_of("cent"))
    asked = len(stage.upstream.requests)
    served = await ask(stage, chat(model="unpriced"), KEY)
    await stage.router.idle()

    assert (403, "price_unknown", 0) == (refused.status, refused.error["code"], asked)
    assert 200 == served.status
    assert [("refused", 0), ("completed", None)] == [(row["outcome"], row["cost_nano_usd"]) for row in stage.rows()]


async def test_the_operator_chooses_402_and_a_window_says_when_it_ends(tmp_path: Path) -> None:
    """`errors.budget_status`, and `resets_at` of a window that has an end."""
    key = {"name": "test", "key": KEY, "budget": {"limit_usd": 0.01, "window": "month"}}
    async with FakeUpstream() as upstream:
        config = config_for(upstream, models=[model()], keys=[key], errors={"budget_status": 402})
        async with running_router(config, tmp_path) as router, wire(router.http_port) as caller:
            reply = await caller.ask(DIME)

    details = reply.error["details"]
    assert isinstance(details, dict)
    assert (402, "budget_exceeded") == (reply.status, reply.error["code"])
    assert details["resets_at"] % 86_400 == 0, "midnight by UTC"
    assert int(reply.headers["retry-after-ms"]) <= 31 * 86_400_000


@pytest.mark.parametrize(("usd", "then", "status"), [(5.0, 0.05, 429), (0.05, 0.25, 200)], ids=["lower", "higher"])
async def test_another_limit_in_the_file_is_in_force_within_a_second(
    usd: float, then: float, status: int, tmp_path: Path
) -> None:
    """T25: a call holds $0.10 and costs $0.05; what was spent under the old limit counts under the new one."""
    key = {"name": "test", "key": KEY, "budget": budget(usd)}
    async with FakeUpstream(handler=billing(INPUT_BOUND // 2, OUTPUT_MAX // 2)) as upstream:
        config = config_for(upstream, models=[model()], keys=[key])
        async with running_router(config, tmp_path) as router, wire(router.http_port) as caller:
            assert (429 if status == 200 else 200) == (await caller.ask(DIME)).status
            (tmp_path / "checkrein.yaml").write_text(
                yaml.safe_dump(config | {"keys": [key | {"budget": budget(then)}]})
            )
            async with asyncio.timeout(1):
                while (await caller.ask(DIME)).status != status:
                    await pause(0.02)
            assert (upstream.billed_nano_usd, 0) == await account_of(router.http_port)
