"""Breakers over sockets: who fails is left alone for a time, one call at a time tries it, nobody else pays for it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support import fake_upstream as fake
from tests.support.fake_upstream import Handler, Reply, Request
from tests.support.money import ask_at_once, callers
from tests.support.pool import Pool, asks, at, free, pool, served_by, unsaid
from tests.support.running import ADMIN, MovableClock
from tests.support.wire import Answer, post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

DOWN = free(fake.error(500, "down"))
OPEN_S, JITTER = 15, 0.2
CREDENTIALS = [{"name": name, "api_key": f"sk-{name}"} for name in ("one", "two")]


class Live:
    """A pool whose time a test moves."""

    def __init__(self, running: Pool, clock: MovableClock) -> None:
        self.pool = running
        self.skip = clock.skip
        self._clock = clock

    def now_s(self) -> float:
        return self._clock.monotonic_ns() / 10**9

    def skip_to(self, moment_s: float) -> None:
        """Let it be that moment, or later where the calls before took longer."""
        self.skip(max(0, moment_s - self.now_s()))

    async def ask(self, model: str = "small", **members: object) -> Answer:
        return await self.pool.ask(asks(model=model, **members))

    async def targets(self) -> dict[str, dict[str, Any]]:
        async with self.pool.router.client(ADMIN) as client:
            data = (await client.get("/admin/v1/breakers")).json()["data"]
        return {one["target"]: one for one in data}

    async def by_hand(self, way: str, target: str) -> None:
        async with self.pool.router.client(ADMIN) as client:
            assert 200 == (await client.post(f"/admin/v1/breakers/{way}", json={"target": target})).status_code

    async def fail(self, model: str = "small", count: int = 5) -> None:
        async with wire(self.pool.router.http_port) as caller:
            for _ in range(count):
                assert 200 != (await caller.ask(asks(model=model))).status

    async def opens_until_s(self, target: str) -> float:
        until_ms = (await self.targets())[target]["opens_until_ms"]
        assert until_ms is not None
        return float(until_ms) / 1_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    """One attempt a call, and the default breaker; `both` runs at a and b, `keyed` at a provider with two keys."""
    clock = MovableClock(datetime(2026, 11, 21, 9, tzinfo=UTC))
    models = [
        served_by("small", at("a")),
        served_by("both", at("a", name="a-both"), at("b", name="b-both")),
        served_by("keyed", at("c")),
        served_by("other", at("c", name="c-other")),
    ]
    async with pool(
        tmp_path_factory.mktemp("router"),
        "a",
        "b",
        "c",
        models=models,
        members={"c": {"api_key": None, "credentials": CREDENTIALS}},
        clock=clock,
        breaker={},
        retry={"attempts_total": 2, "attempts_per_deployment": 1, "retry_ratio_pct": 100},
    ) as providers:
        yield Live(providers, clock)


@pytest_asyncio.fixture(loop_scope="module")
async def live(running: Live) -> AsyncIterator[Live]:
    running.pool = running.pool.start_over()
    yield running
    await running.pool.books()


async def test_a_thousand_calls_to_a_dead_provider_are_five(live: Live) -> None:
    """T7a: over 10 s; the others are told when to come back, at once."""
    live.pool.script(a=DOWN)
    start_s = live.now_s()
    replies, ended_s = [], []
    async with wire(live.pool.router.http_port) as caller:
        for count in range(1_000):
            live.skip_to(start_s + count / 100)
            replies.append(await caller.ask(asks()))
            ended_s.append(live.now_s())

    assert {"a": 5} == live.pool.asked
    assert [502] * 5 + [503] * 995 == [reply.status for reply in replies]
    waits = [int(reply.headers["retry-after-ms"]) for reply in replies[5:]]
    assert waits == sorted(waits, reverse=True)
    soonest_s = ended_s[3] + OPEN_S * (1 - JITTER) - ended_s[-1]
    latest_s = ended_s[4] + OPEN_S * (1 + JITTER) - ended_s[-2]
    assert soonest_s * 1_000 <= waits[-1] <= latest_s * 1_000 + 1
    await live.pool.router.idle()
    assert {"overloaded"} == {row["fault"] for row in live.pool.stage.rows()[5:]}


async def test_one_call_a_second_for_a_minute_is_one_try_in_each_open_time(live: Live) -> None:
    """T7a, T7c: each try that fails moves the next one further away."""
    live.pool.script(a=DOWN)
    await live.fail()
    tries = []
    async with wire(live.pool.router.http_port) as caller:
        for second in range(60):
            live.skip(1)
            before = live.pool.asked["a"]
            await caller.ask(asks())
            tries += [second + 1] * (live.pool.asked["a"] - before)

    assert 1 <= len(tries) <= 3
    gaps = [later - earlier for earlier, later in zip([0, *tries], tries, strict=False)]
    assert all(gap >= (OPEN_S << times) * (1 - JITTER) for times, gap in enumerate(gaps)), tries


FAULTS_OF_REQUESTS: dict[str, tuple[Reply, int, str | None]] = {
    "400": (fake.error(400, "no such field", type="invalid_request_error"), 400, "upstream_rejected"),
    "404": (fake.error(404, "no such file"), 404, "upstream_rejected"),
    "413": (fake.error(413, "too large"), 413, "upstream_rejected"),
    "422": (fake.error(422, "not like this"), 422, "upstream_rejected"),
    "a prompt too long": (fake.error(400, "long", code="context_length_exceeded"), 400, "context_length_exceeded"),
    "refused content": (fake.error(400, "no", code="content_filter"), 400, "content_filter"),
}


@pytest.mark.parametrize("case", FAULTS_OF_REQUESTS)
async def test_what_a_request_brings_about_neither_opens_nor_is_tried_again(live: Live, case: str) -> None:
    """T7b: 100 times."""
    reply, status, fault = FAULTS_OF_REQUESTS[case]
    live.pool.script(a=free(reply))
    async with callers(live.pool.router.http_port, 10) as crowd:
        replies = [one for _ in range(10) for one in await ask_at_once(crowd, post(body=asks()))]

    assert {"a": 100} == live.pool.asked
    assert {status} == {one.status for one in replies}
    await live.pool.router.idle()
    assert {fault} == {row["fault"] for row in live.pool.stage.rows()}
    target = (await live.targets())["a/small"]
    assert ("closed", 0, None) == (target["state"], target["failures"], target["not_before_ms"])


async def test_a_caller_with_no_patience_opens_nothing(live: Live) -> None:
    """T7b: five calls that may take 20 ms must not keep everybody else from their provider."""
    live.pool.script(a=unsaid(fake.silence(asyncio.Event())))
    for _ in range(5):
        await live.pool.ask(asks(stream=True), "x-checkrein-timeout: 0.02")

    assert "closed" == (await live.targets())["a/small"]["state"]


def keyed(bad: Reply) -> Handler:
    """Refuse the first credential so; serve the other."""

    def handler(request: Request) -> Reply:
        if request.headers["authorization"] != "Bearer sk-one":
            return fake.answer(request)
        request.input_billed = 0
        return bad

    return handler


BAD_CREDENTIALS = {
    "401": (fake.error(401, "who are you"), "upstream_credentials"),
    "402": (fake.error(402, "pay first"), "upstream_quota"),
    "an empty purse as 400": (
        fake.error(400, "Your credit balance is too low to access the API.", type="invalid_request_error"),
        "upstream_quota",
    ),
}


@pytest.mark.parametrize("case", BAD_CREDENTIALS)
async def test_a_bad_credential_is_left_alone_and_the_other_one_serves(live: Live, case: str) -> None:
    """T7b: and at no other model of its provider is it tried."""
    bad, why = BAD_CREDENTIALS[case]
    live.pool.script(c=keyed(bad))
    replies = [await live.ask(model) for _ in range(10) for model in ("keyed", "other")]
    used = [request.headers["authorization"] for request in live.pool.upstreams["c"].requests]
    targets = await live.targets()

    assert [200] * 20 == [reply.status for reply in replies]
    assert (1, 20) == (used.count("Bearer sk-one"), used.count("Bearer sk-two"))
    parked = {name: one["credential_parked_why"] for name, one in targets.items() if one["provider"] == "c"}
    assert {"c/small#one": why, "c-other#one": why} == {name: said for name, said in parked.items() if said}
    assert {"closed"} == {one["state"] for one in targets.values()}


async def test_an_empty_purse_is_tried_24_times_a_day_at_most(live: Live) -> None:
    """T7c: a call every ten minutes; a rate limit would let each of them through."""
    quota = free(fake.error(429, "You exceeded your current quota", code="insufficient_quota"))
    live.pool.script(a=quota)
    async with wire(live.pool.router.http_port) as caller:
        for _ in range(24 * 6):
            assert (await caller.ask(asks())).status in (502, 503)
            live.skip(600)

    assert 2 <= live.pool.asked["a"] <= 24


async def test_one_body_that_breaks_a_deployment_with_two_credentials_counts_once(live: Live) -> None:
    """T7b: it says more of the body than of the credentials."""
    live.pool.script(c=DOWN)
    reply = await live.ask("keyed")
    targets = await live.targets()

    assert (502, {"c": 2}) == (reply.status, live.pool.asked)
    assert 1 == sum(targets[f"c/small#{name}"]["failures"] for name in ("one", "two"))


async def test_of_a_hundred_that_wait_for_a_provider_one_tries_it(live: Live) -> None:
    """T7c: the others are refused at once; its success lets everybody through."""
    live.pool.script(a=DOWN)
    await live.fail()
    live.skip(OPEN_S * (1 + JITTER) + 1)
    go_on = asyncio.Event()

    def slowly(request: Request) -> Reply:
        return Reply(before_head=(go_on,), steps=fake.completion(request).steps)

    live.pool.script(a=slowly)
    async with callers(live.pool.router.http_port, 100) as crowd, asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(ask_at_once(crowd, post(body=asks())))
        await live.pool.upstreams["a"].received(6)
        late = await live.ask()
        go_on.set()
    replies = asking.result()

    assert {"a": 6} == live.pool.asked
    assert [200] + [503] * 99 == sorted(reply.status for reply in replies)
    assert (503, "1000") == (late.status, late.headers["retry-after-ms"])
    live.pool.script(a=fake.answer)
    assert 200 == (await live.ask()).status
    assert "closed" == (await live.targets())["a/small"]["state"]


def later(status: int, seconds: int, until: asyncio.Event) -> Handler:
    said = fake.error(status, "later", headers=(("retry-after", str(seconds)),))
    return free(Reply(status=status, headers=said.headers, steps=said.steps, before_head=(until,)))


async def test_the_longest_wait_that_a_provider_asks_for_counts(live: Live) -> None:
    """T7c: 100 s, though 10 s came before it and 5 s after."""
    go_on = [asyncio.Event() for _ in range(3)]
    upstream = live.pool.upstreams["a"]
    upstream.script(*[later(503, seconds, go) for seconds, go in zip((10, 100, 5), go_on, strict=True)])
    upstream.handler = DOWN
    waits = []
    async with asyncio.TaskGroup() as tasks:
        asking = []
        for number in range(3):
            asking.append(tasks.create_task(live.ask()))
            await upstream.received(number + 1)
        await live.fail()
        for go, one in zip(go_on, asking, strict=True):
            go.set()
            await asyncio.wait([one])
            waits.append(int((await live.ask()).headers["retry-after-ms"]))

    assert waits[0] <= OPEN_S * (1 + JITTER) * 1_000
    assert 95_000 < waits[2] <= waits[1] <= 100_000
    assert {"a": 8} == live.pool.asked


async def test_a_try_that_fails_moves_the_next_one_away(live: Live) -> None:
    """T7c: by twice the time, and one that succeeds forgets it."""
    live.pool.script(a=DOWN)
    await live.fail()
    first = await live.opens_until_s("a/small")
    live.skip(OPEN_S * (1 + JITTER))
    assert 502 == (await live.ask()).status
    second = await live.opens_until_s("a/small")
    live.skip(2 * OPEN_S * (1 + JITTER))
    live.pool.script(a=fake.answer)
    assert 200 == (await live.ask()).status
    live.pool.script(a=DOWN)
    await live.fail()

    assert second - first >= 2 * OPEN_S * (1 - JITTER)
    assert int((await live.ask()).headers["retry-after-ms"]) <= OPEN_S * (1 + JITTER) * 1_000


async def test_when_all_are_open_the_caller_learns_when_the_first_is_not(live: Live) -> None:
    """T7d: 503 with the shortest wait of all; not a status that blames the caller."""
    for name, seconds in {"a": 40, "b": 90}.items():
        live.pool.script(**{name: free(fake.error(503, "later", headers=(("retry-after", str(seconds)),)))})
    statuses = [(await live.ask("both")).status for _ in range(5)]
    reply = await live.ask("both")

    assert {"a": 5, "b": 5} == live.pool.asked
    assert [502] * 5 == statuses
    assert (503, "overloaded") == (reply.status, reply.error["code"])
    assert 38_000 < int(reply.headers["retry-after-ms"]) <= 40_000
    assert reply.headers["retry-after"] in ("39", "40")
    live.skip(40)
    live.pool.script(a=fake.answer)
    assert 200 == (await live.ask("both")).status


async def test_when_all_credentials_are_bad_the_caller_is_not_blamed(live: Live) -> None:
    """T7d: never 401."""
    live.pool.script(c=free(fake.error(401, "who are you")))
    statuses = [(await live.ask("keyed")).status for _ in range(3)]

    assert {"c": 2} == live.pool.asked
    assert [503, 503] == statuses[1:]
    assert statuses[0] in (502, 503)


@pytest.mark.parametrize("model", ["small", "both"])
async def test_by_hand_a_target_is_closed_to_calls_and_opened_again(live: Live, model: str) -> None:
    """The other deployment serves meanwhile, where there is one; time opens nothing."""
    target = {"small": "a/small", "both": "a-both"}[model]
    await live.by_hand("open", target)
    live.skip(3_600)
    shut = [(await live.ask(model)).status for _ in range(5)]
    asked = live.pool.asked
    await live.by_hand("close", target)
    await live.by_hand("open", "b-both")
    again = [(await live.ask(model)).status for _ in range(5)]
    await live.by_hand("close", "b-both")

    assert (([503] * 5, {}) if model == "small" else ([200] * 5, {"b": 5})) == (shut, asked)
    assert ([200] * 5, 5) == (again, live.pool.asked["a"])


async def test_each_try_of_a_call_counts(tmp_path: Path) -> None:
    """T7a, T7b: who cannot be reached is down, and has been asked five times after two calls and a half."""
    nobody = {"base_url": "http://127.0.0.1:1/v1"}
    models = [served_by("small", at("a"))]
    async with pool(tmp_path, "a", models=models, members={"a": nobody}, breaker={}) as providers:
        live = Live(providers, MovableClock(datetime(2026, 11, 21, tzinfo=UTC)))
        await live.fail(count=3)
        await providers.router.idle()
        opened = (await live.targets())["a/small"]
        reply = await live.ask()
        rows = [await providers.router.call(reply.call_id)]

    assert "open" == opened["state"]
    assert (503, []) == (reply.status, rows[0]["attempts"])
