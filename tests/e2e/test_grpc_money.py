"""A budget and a limit hold to the nano-USD and to the permit whichever wires their callers come by, also at once.

How the amounts are made: `tests/support/money.py`. The same over HTTP alone: test_budgets.py, test_limits.py.
"""

import asyncio
import json
from asyncio import Barrier, TaskGroup
from collections import Counter
from contextlib import AsyncExitStack
from enum import StrEnum
from pathlib import Path

import pytest
from checkrein.v1.chat_service_pb2 import StreamChatCompletionRequest

from router.domain.governance.permits import Permits
from tests.support import fake_upstream as fake
from tests.support.fake_upstream import Cut, FakeUpstream, Reply, Request
from tests.support.grpc_calls import Chats, Told, chats
from tests.support.money import (
    INPUT_BOUND,
    KEYS,
    OUTPUT_MAX,
    TEN_CENTS,
    USD,
    account_of,
    billing,
    callers,
    model,
    request_of,
)
from tests.support.running import KEY, config_for, running_router
from tests.support.stage import Stage
from tests.support.waiting import until
from tests.support.wire import Wire, post

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

CROWD = 200
REPETITIONS = 5
OVERSHOOT = 'checkrein_anomalies_total{kind="budget_overshoot_nano_usd"}'
DIME = request_of(max_completion_tokens=OUTPUT_MAX)
TYPED_DIME = request_of(INPUT_BOUND + 3, max_completion_tokens=OUTPUT_MAX)
"""The same once it is written: typed messages have no blanks between members."""
NEVER = asyncio.Event()
ROUNDS = 30
CONNECTIONS = 8
"""Of the callers over gRPC, who share them as clients do."""


@pytest.fixture(scope="module")
def sections() -> dict[str, object]:
    dollar = {"limit_usd": 1.0, "window": "lifetime"}
    names = [f"{way}-{number}" for way in ("grpc", "typed", "mixed") for number in range(REPETITIONS)]
    return {
        "models": [model()],
        "keys": [*KEYS, *({"name": name, "key": key_of(name), "budget": dollar} for name in names)],
        "budgets": [
            {"name": "each-agent", "scope": {"agent": "*"}, **dollar},
            {"name": "poor", "scope": {"agent": "poor"}, "limit_usd": 0, "window": "lifetime"},
        ],
    }


def key_of(name: str) -> str:
    return f"sk-test-{name}"


def costs(stage: Stage, **where: object) -> list[int]:
    """What the ledger holds for calls that cost something."""
    rows = [row for row in stage.rows() if all(row[name] == value for name, value in where.items())]
    return [int(str(row["cost_nano_usd"])) for row in rows if row["outcome"] != "refused"]


async def connected(stack: AsyncExitStack, port: int, key: str = KEY) -> list[Chats]:
    """Connect, each on a connection of its own, before anybody asks."""
    own = ("grpc.use_local_subchannel_pool", 1)
    several = [await stack.enter_async_context(chats(port, key, own)) for _ in range(CONNECTIONS)]
    for one in several:
        await one.create(b"{}")
    return several


async def all_at_once(several: list[Chats], count: int, *metadata: tuple[str, str], typed: bool = False) -> list[Told]:
    barrier = Barrier(count)

    async def ask(number: int) -> Told:
        await barrier.wait()
        caller = several[number % len(several)]
        make = caller.stream if number % 3 == 0 else caller.create
        return await make(TYPED_DIME if typed else DIME, *metadata, typed=typed)

    async with TaskGroup() as tasks:
        asking = [tasks.create_task(ask(number)) for number in range(count)]
    return [task.result() for task in asking]


SERVED_TEN = {("OK", None): 10, ("RESOURCE_EXHAUSTED", "BUDGET_EXHAUSTED"): CROWD - 10}


@pytest.mark.parametrize("typed", [False, True], ids=["json", "typed"])
async def test_of_200_callers_at_once_the_ten_that_the_budget_pays_for_are_served(stage: Stage, *, typed: bool) -> None:
    """T1a: as often as there are keys: 10 upstream calls, 190 refusals, nothing over."""
    stage.upstream.handler = billing()
    over_before = await stage.router.metric(OVERSHOOT)
    names = [f"{'typed' if typed else 'grpc'}-{number}" for number in range(REPETITIONS)]
    for number, name in enumerate(names, 1):
        async with AsyncExitStack() as stack:
            several = await connected(stack, stage.router.grpc_port, key_of(name))
            told = await all_at_once(several, CROWD, typed=typed)

        assert SERVED_TEN == Counter((one.code, one.info.get("reason")) for one in told)
        assert {TEN_CENTS} == {one.cost.total_nano_usd for one in told if one.cost is not None}
        assert number * 10 == len(stage.upstream.requests)
    await stage.router.idle()

    for name in names:
        assert [TEN_CENTS] * 10 == costs(stage, key_id=name)
        assert (USD, 0) == await account_of(stage.router.http_port, key=key_of(name))
    assert REPETITIONS * USD == stage.upstream.billed_nano_usd
    assert 0 == await stage.router.metric(OVERSHOOT) - over_before


async def test_an_account_that_nobody_has_seen_before_is_as_hard_a_cap(stage: Stage) -> None:
    """T1a: the first calls of an agent all come at once, and its account begins with them."""
    stage.upstream.handler = billing()
    async with AsyncExitStack() as stack:
        several = await connected(stack, stage.router.grpc_port)
        for number in range(REPETITIONS):
            told = await all_at_once(several, CROWD, ("x-checkrein-agent", f"new-{number}"))
            assert SERVED_TEN == Counter((one.code, one.info.get("reason")) for one in told)
    await stage.router.idle()

    assert REPETITIONS * 10 == len(stage.upstream.requests)
    for number in range(REPETITIONS):
        assert [TEN_CENTS] * 10 == costs(stage, agent=f"new-{number}")


async def test_callers_of_both_wires_share_one_budget(stage: Stage) -> None:
    """T1a: half of them over HTTP, half over gRPC: ten served of all, whoever they are."""
    stage.upstream.handler = billing()
    over_before = await stage.router.metric(OVERSHOOT)
    served: Counter[str] = Counter()
    for number in range(REPETITIONS):
        key = key_of(f"mixed-{number}")
        data = post(body=DIME, key=key)
        async with AsyncExitStack() as stack:
            several = await connected(stack, stage.router.grpc_port, key)
            crowd = await stack.enter_async_context(callers(stage.router.http_port, CROWD // 2))

            async with TaskGroup() as tasks:
                barrier = Barrier(CROWD // 2 + 1)
                asking = [tasks.create_task(_ask_http(caller, data, barrier)) for caller in crowd]
                await barrier.wait()
                told = await all_at_once(several, CROWD // 2)
            statuses = [task.result() for task in asking]

        assert statuses.count(200) + sum(one.code == "OK" for one in told) == 10
        assert {200, 429} >= set(statuses)
        assert {"OK", "RESOURCE_EXHAUSTED"} >= {one.code for one in told}
        served.update(http=statuses.count(200), grpc=sum(one.code == "OK" for one in told))
    await stage.router.idle()

    for number in range(REPETITIONS):
        assert [TEN_CENTS] * 10 == costs(stage, key_id=f"mixed-{number}")
        assert (USD, 0) == await account_of(stage.router.http_port, key=key_of(f"mixed-{number}"))
    assert REPETITIONS * USD == stage.upstream.billed_nano_usd
    assert 0 == await stage.router.metric(OVERSHOOT) - over_before
    assert REPETITIONS * 10 == served.total()


async def _ask_http(caller: Wire, data: bytes, barrier: Barrier) -> int:
    await barrier.wait()
    await caller.send(data)
    return (await caller.answer()).status


# --- every way in which a call can end -------------------------------------------------------------------------------


class Exit(StrEnum):
    """As tests/support/exits.py has them over HTTP."""

    WHOLE = "whole"
    STREAMED = "streamed"
    REJECTED = "rejected"
    FAILED = "failed"
    CUT = "cut"
    CANCELLED_BEFORE = "cancelled_before"
    CANCELLED_DURING = "cancelled_during"
    LATE = "late"
    LATE_DURING = "late_during"
    INVALID = "invalid"
    OVER_BUDGET = "over_budget"
    BROKEN_CHANNEL = "broken_channel"
    """The connection goes with the call."""


CODES = {
    Exit.WHOLE: "OK",
    Exit.STREAMED: "OK",
    Exit.REJECTED: "INVALID_ARGUMENT",
    Exit.FAILED: "UNAVAILABLE",
    Exit.CUT: "UNAVAILABLE",
    Exit.LATE: "DEADLINE_EXCEEDED",
    Exit.LATE_DURING: "DEADLINE_EXCEEDED",
    Exit.INVALID: "INVALID_ARGUMENT",
    Exit.OVER_BUDGET: "RESOURCE_EXHAUSTED",
}
STREAMS = {Exit.STREAMED, Exit.CUT, Exit.CANCELLED_DURING, Exit.LATE_DURING}


def answering(request: Request) -> Reply:
    """The id of a request says how its call is to end."""
    word = fake.chunk(request, {"content": "w0"})
    match Exit(request.headers["x-request-id"].partition("-")[0]):
        case Exit.WHOLE | Exit.STREAMED:
            return fake.answer(request)
        case Exit.REJECTED | Exit.FAILED as kind:
            request.input_billed = 0
            return fake.error(400 if kind is Exit.REJECTED else 503)
        case Exit.CUT:
            return fake.event_stream(word, Cut.CLOSE)
        case Exit.CANCELLED_DURING | Exit.LATE_DURING:
            return fake.event_stream(word, NEVER)
        case _:
            return fake.silence(NEVER)


async def end(kind: Exit, number: int, caller: Chats, port: int, upstream: FakeUpstream) -> None:
    """Make one call end so."""
    name = f"{kind}-{number}"
    said = (("x-request-id", name), ("x-checkrein-agent", "poor" if kind is Exit.OVER_BUDGET else f"a{number % 5}"))
    members = request_of(200, max_completion_tokens=100, stream=kind in STREAMS)
    if kind is Exit.BROKEN_CHANNEL:
        async with chats(port, KEY, ("grpc.use_local_subchannel_pool", 1)) as own, TaskGroup() as tasks:
            calling = tasks.create_task(own.create(members, *said))
            await _arrived(upstream, name)
            calling.cancel()
        return
    if kind in {Exit.CANCELLED_BEFORE, Exit.CANCELLED_DURING}:
        request = StreamChatCompletionRequest(chat_json=json.dumps({**members, "stream": True}).encode())
        metadata = (("authorization", f"Bearer {KEY}"), *said)
        call = caller.stub.StreamChatCompletion(request, metadata=metadata)
        asked = await _arrived(upstream, name)
        if kind is Exit.CANCELLED_DURING:
            assert "served" == (await call.read()).WhichOneof("event")
        call.cancel()
        await asked.closed.wait()
        return
    timeout_s = 0.3 if kind in {Exit.LATE, Exit.LATE_DURING} else None
    make = caller.stream if kind in STREAMS else caller.create
    told = await make(b'{"model":' if kind is Exit.INVALID else members, *said, timeout_s=timeout_s)
    assert CODES[kind] == told.code, (name, told)


async def _arrived(upstream: FakeUpstream, name: str) -> Request:
    def found() -> list[Request]:
        return [one for one in upstream.requests if one.headers["x-request-id"] == name]

    await until(found, within_s=10)
    return found()[0]


async def test_whatever_ends_a_call_gives_back_its_permit_and_its_money(tmp_path: Path) -> None:
    """T5a: 360 calls of twelve kinds, 12 at once under limits of 12, and as many are free as before."""
    limits = {"concurrency": 12}
    async with FakeUpstream(handler=answering) as upstream:
        config = config_for(
            upstream,
            models=[model(limits=limits)],
            keys=[{**KEYS[0], "limits": limits, "budget": {"limit_usd": 1_000, "window": "lifetime"}}, KEYS[1]],
            budgets=[
                {"name": "each", "scope": {"agent": "*"}, "limit_usd": 1_000, "window": "lifetime"},
                {"name": "poor", "scope": {"agent": "poor"}, "limit_usd": 0, "window": "lifetime"},
            ],
        )
        async with running_router(config, tmp_path) as router, chats(router.grpc_port) as caller:
            permits: Permits = router.lifecycle._pipeline.gate.permits
            for round_ in range(ROUNDS):
                async with TaskGroup() as tasks:
                    for kind in Exit:
                        tasks.create_task(end(kind, round_, caller, router.grpc_port, upstream))
                await router.idle(within_s=5)
                assert {} == permits.gauges(), round_
            accounts = await router.accounts()
            rows = router.rows()
            upstream.handler = fake.answer
            async with TaskGroup() as tasks:
                again = [tasks.create_task(caller.create(request_of(200))) for _ in range(12)]

    assert {0} == {account["reserved"] for account in accounts.values()}
    assert ["OK"] * 12 == [task.result().code for task in again], "all places are free"
    kinds = Counter(str(row["request_id"]).partition("-")[0] for row in rows)
    assert dict.fromkeys(set(Exit) - {Exit.INVALID}, ROUNDS) == kinds
    spent = sum(int(str(row["cost_nano_usd"])) for row in rows)
    key_account = next(account for (kind, _), account in accounts.items() if kind == "key")
    assert spent == key_account["used"]
