"""Slow providers over sockets: others are asked instead while half are well, and slow ones serve when few are."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from tests.e2e.test_breakers_live import DOWN, Live
from tests.support import fake_upstream as fake
from tests.support.fake_upstream import Handler, Reply, Request
from tests.support.pool import QUICK, asks, at, pool, served_by
from tests.support.running import MovableClock

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

SLOW_S, LATE_S, OPEN_S, JITTER = 5, 6, 60, 0.2
BREAKER = {"slow_call": f"{SLOW_S}s", "window": "1h", "open": f"{OPEN_S}s", "consecutive_failures": 5}
NAMES = ("a", "b", "c", "d")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    """`small` runs at a alone, `both` at a and b, `all` at the four of them."""
    clock = MovableClock(datetime(2026, 11, 21, 9, tzinfo=UTC))
    models = [
        served_by("small", at("a")),
        served_by("both", at("a", name="a-both"), at("b", name="b-both")),
        served_by("all", *(at(name, name=f"{name}-all") for name in NAMES)),
    ]
    async with pool(
        tmp_path_factory.mktemp("router"),
        *NAMES,
        models=models,
        clock=clock,
        breaker=BREAKER,
        retry={**QUICK, "attempts_total": 4, "attempts_per_deployment": 2},
        affinity={"enabled": False},
    ) as providers:
        yield Live(providers, clock)


@pytest_asyncio.fixture(loop_scope="module")
async def live(running: Live) -> AsyncIterator[Live]:
    running.pool = running.pool.start_over()
    yield running
    await running.pool.books()


def slowly(live: Live) -> Handler:
    """Answer well, after a time that has passed for the router and not for the test."""

    def handler(request: Request) -> Reply:
        live.skip(LATE_S)
        return fake.answer(request)

    return handler


async def until_open(live: Live, model: str, target: str) -> None:
    for _ in range(100):
        assert 200 == (await live.ask(model)).status
        if "open" == (await live.targets())[target]["state"]:
            return
    raise AssertionError(f"{target} never opened")


async def explained(live: Live, model: str) -> tuple[dict[str, str], list[str]]:
    """Who would be left out and why, and who is spared."""
    async with live.pool.router.client() as client:
        route = (await client.post("/checkrein/v1/route/explain", json=asks(model=model))).json()
    dropped = {one["target"]: one["reason"] for one in route["dropped"]}
    return dropped, [one["target"] for one in route["candidates"] if one["spared"]]


async def test_of_two_the_quick_one_is_asked_until_the_slow_one_is_quick_again(live: Live) -> None:
    live.pool.script(a=slowly(live))
    await until_open(live, "both", "a-both")
    slow = (await live.targets())["a-both"]
    assert ("slow_calls", 10, 0, 10) == (slow["opened_by"], slow["calls"], slow["failures"], slow["slow"])
    assert ({"a-both": "ejected"}, []) == await explained(live, "both")
    before = live.pool.asked
    replies = [await live.ask("both") for _ in range(20)]
    assert {200} == {reply.status for reply in replies}
    assert {"a": 10, "b": before["b"] + 20} == live.pool.asked
    await live.pool.router.idle()

    live.skip(OPEN_S * (1 + JITTER))
    for _ in range(20):
        await live.ask("both")
    slow = (await live.targets())["a-both"]
    assert ("open", "slow_calls", 11) == (slow["state"], slow["opened_by"], live.pool.asked["a"])  # tried once
    live.pool.script(a=fake.answer)
    live.skip(2 * OPEN_S * (1 + JITTER))
    for _ in range(20):
        await live.ask("both")
    assert "closed" == (await live.targets())["a-both"]["state"]
    assert live.pool.asked["a"] > 12


async def test_when_both_are_slow_both_serve(live: Live) -> None:
    live.pool.script(a=slowly(live), b=slowly(live))
    await until_open(live, "both", "a-both")
    await until_open(live, "both", "b-both")
    before = live.pool.asked
    replies = [await live.ask("both") for _ in range(30)]

    assert {200} == {reply.status for reply in replies}
    assert all(live.pool.asked[name] > before[name] for name in "ab")
    assert {"a-both", "b-both"} >= set((await explained(live, "both"))[1])
    states = await live.targets()
    assert "closed" not in {states[name]["state"] for name in ("a-both", "b-both")}


async def test_the_only_one_that_is_slow_serves(live: Live) -> None:
    live.pool.script(a=slowly(live))
    await until_open(live, "small", "a/small")

    assert {200} == {(await live.ask()).status for _ in range(20)}


async def test_with_three_of_four_dead_the_one_that_fails_at_times_serves_until_it_is_dead_too(live: Live) -> None:
    def at_times(request: Request) -> Reply:
        fails = len(live.pool.upstreams["d"].requests) % 2
        return DOWN(request) if fails else fake.answer(request)

    live.pool.script(a=DOWN, b=DOWN, c=DOWN, d=at_times)
    for _ in range(40):
        await live.ask("all")
    states = {name: one for name, one in (await live.targets()).items() if name.endswith("-all")}
    assert {"open"} == {one["state"] for one in states.values()}
    assert ["failures_in_a_row"] * 3 + ["failure_rate"] == [states[f"{name}-all"]["opened_by"] for name in NAMES]
    dropped, spared = await explained(live, "all")
    assert (dict.fromkeys(("a-all", "b-all", "c-all"), "resting"), ["d-all"]) == (dropped, spared)
    before = live.pool.asked
    replies = [await live.ask("all") for _ in range(20)]
    assert {200} == {reply.status for reply in replies}
    assert {**before, "d": before["d"] + 40} == live.pool.asked
    await live.pool.router.idle()
    row = await live.pool.router.call(replies[-1].call_id)
    assert ["d-all"] == row["decision"]["s"]

    live.pool.script(d=DOWN)
    statuses = [(await live.ask("all")).status for _ in range(6)]
    assert 5 == live.pool.asked["d"] - before["d"] - 40
    assert [502, 502, 502, 503, 503, 503] == statuses


async def test_a_long_stream_that_begins_at_once_is_not_slow(live: Live) -> None:
    go_on = asyncio.Event()

    def at_length(request: Request) -> Reply:
        go_on.clear()
        first, *rest = fake.stream(request, 5).steps
        second, *others = rest
        return fake.event_stream(first, second, go_on, *others)

    live.pool.script(a=at_length)
    client = live.pool.stage.sdk()
    for _ in range(10):
        pieces = await client.chat.completions.create(**asks(stream=True))  # type: ignore[call-overload]  # by name
        async for piece in pieces:
            if not go_on.is_set() and piece.choices and piece.choices[0].delta.content:
                live.skip(100)
                go_on.set()
    await client.close()
    target = (await live.targets())["a/small"]

    assert ("closed", 10, 0) == (target["state"], target["calls"], target["slow"])


async def test_a_stream_that_begins_late_is_slow(live: Live) -> None:
    live.pool.script(a=slowly(live))
    for _ in range(10):
        assert 200 == (await live.ask(stream=True)).status

    assert "slow_calls" == (await live.targets())["a/small"]["opened_by"]
