"""Trying again helps one call and never makes an outage worse: pauses, limits, and callers that leave meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from email.utils import formatdate
from functools import partial
from pathlib import Path
from time import time

import openai
import pytest
import pytest_asyncio

from tests.support import fake_upstream as fake
from tests.support.fake_upstream import FakeUpstream, Reply, Request
from tests.support.money import ask_at_once, callers
from tests.support.pool import PATIENT, Pool, asks, at, free, pool, served_by
from tests.support.running import KEY, http_client
from tests.support.waiting import back_to, footprint, pause, until
from tests.support.wire import post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

DOWN = free(fake.error(500, "down"))
LIMITED = free(fake.error(429, "slow down", code="rate_limit_exceeded"))
LATE_S = 0.1
TICK_S = 0.005
"""The loop's own clock counts milliseconds, and may call a timer early by as much."""
TRIES = 3
"""A busy machine makes a pause longer, never shorter: one of so many has to be as short as meant."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    """`small` runs at a alone, `two` at a and then b, `three` falls back to two other models."""
    models = [
        served_by("small", at("a")),
        served_by("two", at("a", name="a-two"), at("b", name="b-two", tier=2)),
        served_by("three", at("a", name="a-three"), fallbacks=["other", "third"]),
        served_by("other", at("b", name="b-other")),
        served_by("third", at("c", name="c-third")),
    ]
    folder = tmp_path_factory.mktemp("router")
    async with pool(folder, "a", "b", "c", models=models, retry={"retry_ratio_pct": 100}) as providers:
        yield providers


@pytest_asyncio.fixture(loop_scope="module")
async def providers(running: Pool) -> AsyncIterator[Pool]:
    fresh = running.start_over()
    yield fresh
    await fresh.books()


def after(upstream: FakeUpstream, *replies: Reply) -> list[float]:
    """Answer so, then well; return what becomes the times at which it was asked."""
    times: list[float] = []
    waiting = list(replies)

    def handler(request: Request) -> Reply:
        times.append(asyncio.get_running_loop().time())
        if not waiting:
            return fake.answer(request)
        request.input_billed = 0
        return waiting.pop(0)

    upstream.handler = handler
    return times


def limited(*headers: tuple[str, str]) -> Reply:
    return fake.error(429, "slow down", headers=headers, code="rate_limit_exceeded")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (("retry-after", "1"), 1.0),
        (("retry-after", "2"), 2.0),
        (("retry-after", "4"), 4.0),
        (("retry-after-ms", "300"), 0.3),
        (("retry-after", "0.4"), 0.4),
    ],
)
async def test_a_provider_s_wait_is_kept_and_not_overdone(
    providers: Pool, header: tuple[str, str], seconds: float
) -> None:
    """T20: asked again no earlier than it said, and within 100 ms of that."""
    late_s = []
    for _ in range(TRIES):
        times = after(providers.upstreams["a"], limited(header))
        reply = await providers.ask(asks())
        assert (200, "2", 2) == (reply.status, reply.headers["x-checkrein-attempts"], len(times))
        late_s.append(times[1] - times[0] - seconds)
        assert late_s[-1] >= -TICK_S
        if late_s[-1] <= LATE_S:
            return
    raise AssertionError(late_s)


async def test_a_wait_that_is_a_date_is_kept(providers: Pool) -> None:
    """T20: in seconds of the wall clock, so it is between one and two away."""
    times = after(providers.upstreams["a"], limited(("retry-after", formatdate(time() + 2, usegmt=True))))
    reply = await providers.ask(asks())

    assert 200 == reply.status
    assert 0.9 <= times[1] - times[0] <= 2.2 + LATE_S


@pytest.mark.parametrize("said", ["-5", "NaN", "soon", "", "Thu, 01 Jan 1970 00:00:00 GMT"])
async def test_a_wait_that_is_nonsense_is_none(providers: Pool, said: str) -> None:
    """T20: the router's own pause stands in for it, which is half a second at most; its rest is one second."""
    times = after(providers.upstreams["a"], limited(("retry-after", said)))
    reply = await providers.ask(asks())

    assert reply.status in (200, 429)
    assert len(times) <= 2
    assert all(later - times[0] <= 1.5 for later in times[1:])


@pytest.mark.parametrize("said", ["60", "1e309", "99999999999999999999"])
async def test_a_wait_that_is_too_long_is_somebody_else_s_turn(providers: Pool, said: str) -> None:
    """T20: at once; and where there is nobody else, the caller's."""
    times = after(providers.upstreams["a"], limited(("retry-after", said)))
    began = asyncio.get_running_loop().time()
    reply = await providers.ask(asks(model="two"))
    took_s = asyncio.get_running_loop().time() - began

    assert (200, "b-two", {"a": 1, "b": 1}) == (
        reply.status,
        reply.headers["x-checkrein-deployment"],
        providers.asked,
    )
    assert took_s < 1
    providers.stage.forgive()
    after(providers.upstreams["a"], limited(("retry-after", said)))
    alone = await providers.ask(asks())
    assert (429, 1) == (alone.status, len(times))


async def test_another_deployment_is_asked_at_once(providers: Pool) -> None:
    """T20: the pause is for those who are asked again."""
    first = after(providers.upstreams["a"], fake.error(503), fake.error(503))
    second = after(providers.upstreams["b"])
    assert 200 == (await providers.ask(asks(model="two"))).status

    assert (1, 1) == (len(first), len(second))
    assert second[0] - first[0] < 0.4


async def test_a_pause_that_does_not_fit_is_not_made(providers: Pool) -> None:
    """T20: the caller's own time is shorter than what the provider asks for."""
    after(providers.upstreams["a"], limited(("retry-after", "2")))
    began = asyncio.get_running_loop().time()
    reply = await providers.ask(asks(), "x-checkrein-timeout: 1")

    assert (429, {"a": 1}) == (reply.status, providers.asked)
    assert asyncio.get_running_loop().time() - began < 0.8


async def test_sdk_and_router_together_ask_four_times(providers: Pool) -> None:
    """T20: three models that limit everybody, an SDK that tries three times: four tries, then an end that says so."""
    providers.script(a=LIMITED, b=LIMITED, c=LIMITED)
    base = f"{providers.router.url}/v1"
    client = openai.AsyncOpenAI(base_url=base, api_key=KEY, max_retries=2, http_client=http_client(base))
    async with client as sdk:
        with pytest.raises(openai.RateLimitError) as caught:
            await sdk.chat.completions.create(
                model="three", messages=[{"role": "user", "content": "hi"}], max_completion_tokens=100
            )

    assert sum(providers.asked.values()) <= 4
    assert 3 <= sum(providers.asked.values())
    assert "false" == caught.value.response.headers["x-should-retry"]


async def test_what_an_sdk_has_tried_already_is_counted(providers: Pool) -> None:
    """T20: on its third time there are two attempts left."""
    providers.script(a=DOWN, b=DOWN, c=DOWN)
    await providers.ask(asks(model="three"), "x-stainless-retry-count: 2")

    assert 2 == sum(providers.asked.values())


async def test_a_provider_that_always_fails_is_asked_a_fifth_more_often(tmp_path: Path) -> None:
    """T20: 1,000 calls, with a breaker that never opens and the default share of further tries."""
    models = [served_by("small", at("a")), served_by("two", at("a", name="a-two"), at("b", name="b-two"))]
    retry = {"backoff_base": "10ms", "backoff_cap": "10ms"}
    async with pool(tmp_path, "a", "b", models=models, retry=retry, breaker=PATIENT) as providers:
        providers.script(a=DOWN, b=DOWN)
        async with callers(providers.router.http_port, 20) as crowd:
            replies = [one for _ in range(50) for one in await ask_at_once(crowd, post(body=asks()))]
        asked = sum(providers.asked.values())
        await providers.books()

    assert {502} == {reply.status for reply in replies}
    assert 1_100 <= asked <= 1_230, "a fifth of 1,000, 10 saved up, and one a second"


GROUPS, IN_GROUP = 10, 10
"""As many as a model has saved up for further tries."""
PAUSE_S = 1.5


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
async def test_who_leaves_during_a_pause_is_not_asked_for_again(providers: Pool, stream: bool) -> None:
    """T9e: 100 callers whose provider wants them to wait; none is sent again, and nothing of them stays."""
    providers.script(a=free(fake.error(503, "later", headers=(("retry-after-ms", f"{PAUSE_S * 1_000:.0f}"),))))
    await providers.ask(asks(model="nobody"))
    baseline = footprint()
    for _ in range(GROUPS):
        async with AsyncExitStack() as stack:
            crowd = [await stack.enter_async_context(wire(providers.router.http_port)) for _ in range(IN_GROUP)]
            for caller in crowd:
                await caller.send(post(body=asks(stream=stream)))
            await until(partial(all_pause, providers), within_s=PAUSE_S)
            for caller in crowd:
                caller.close()
            await until(lambda: not providers.router.open_calls, within_s=1)
    await pause(PAUSE_S + 0.2)  # the time at which they would have been sent
    providers.upstreams["a"].close_idle()
    await back_to(baseline)

    await providers.router.idle()
    assert GROUPS * IN_GROUP == len(providers.upstreams["a"].requests)
    assert ["client_cancelled"] * GROUPS * IN_GROUP == [row["outcome"] for row in providers.stage.rows()[1:]]


def all_pause(providers: Pool) -> bool:
    """Every caller has a call that has failed once and waits."""
    calls = providers.router.lifecycle._pipeline.open_calls.values()
    return len(calls) == IN_GROUP and all(call.wake is not None for call in calls)
