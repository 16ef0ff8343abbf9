"""A provider that is late is given up in time, and the next one is asked at once: six ways to be late.

The limits are those one would configure divided by ten, total by twenty. A busy machine makes things later, never
sooner: each is measured a few times, and one of them has to be in time.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack

import pytest
import pytest_asyncio

from tests.support import fake_upstream as fake
from tests.support.fake_upstream import Gap, Handler, Step
from tests.support.pool import Pool, asks, at, free, pool, served_by, unsaid
from tests.support.wire import Answer, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

CONNECT_S, FIRST_EVENT_S, IDLE_S, TOTAL_S = 0.1, 0.2, 0.5, 1.5
TIMEOUTS = {"connect": "100ms", "stream_first_event": "200ms", "stream_idle": "500ms", "total": "1500ms"}
LATE_S = 0.3
TICK_S = 0.005
"""The loop's own clock counts milliseconds, and may call a timer early by as much."""
TRIES = 3
PING_S = 0.1
NEVER = asyncio.Event()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    """`small` runs at a, then at b; `full` at a port that accepts nobody any more, then at b."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):  # Linux takes one more than the backlog
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        models = [
            served_by("small", at("a"), at("b", tier=2)),
            served_by("full", at("none"), at("b", tier=2)),
        ]
        nobody = {"base_url": f"http://127.0.0.1:{full.getsockname()[1]}/v1", "timeouts": TIMEOUTS}
        members = {"a": {"timeouts": {**TIMEOUTS, "connect": "5s"}}, "none": nobody}
        folder = tmp_path_factory.mktemp("router")
        async with pool(folder, "a", "b", "none", models=models, members=members) as running:
            yield running


@pytest_asyncio.fixture(loop_scope="module")
async def providers(running: Pool) -> AsyncIterator[Pool]:
    fresh = running.start_over()
    yield fresh
    await fresh.books()


async def in_time(limit_s: float, measure: Callable[[], Awaitable[float]], late_s: float = LATE_S) -> None:
    """See that something never takes less than its limit, and not always so much more."""
    took = []
    for _ in range(TRIES):
        took.append(await measure())
        assert took[-1] >= limit_s - TICK_S
        if took[-1] <= limit_s + late_s:
            return
    raise AssertionError(took)


async def asked(providers: Pool, model: str = "small", *lines: str) -> tuple[float, Answer]:
    loop = asyncio.get_running_loop()
    async with wire(providers.router.http_port) as caller:
        began = loop.time()
        reply = await caller.ask(asks(stream=True, model=model), *lines)
        return loop.time() - began, reply


async def stood_in_for(providers: Pool, model: str = "small") -> float:
    took_s, reply = await asked(providers, model)
    assert (200, fake.text(60), "[DONE]") == (reply.status, reply.text, reply.events[-1])
    assert "b/small" == reply.headers["x-checkrein-deployment"]
    return took_s


async def cut(providers: Pool, words: str, tokens: int | None = 20) -> float:
    took_s, reply = await asked(providers)
    assert (200, "timeout") == (reply.status, reply.error["code"])
    assert words in str(reply.error["message"])
    assert tokens is None or fake.text(tokens) == reply.text
    assert "b" not in providers.asked
    return took_s


async def test_who_accepts_no_connection_is_stood_in_for_after_connect(providers: Pool) -> None:
    """T6, 1 of 6."""
    await in_time(CONNECT_S, lambda: stood_in_for(providers, "full"))


async def test_who_stays_silent_is_stood_in_for_after_first_event(providers: Pool) -> None:
    """T6, 2 of 6."""
    providers.script(a=unsaid(fake.silence(NEVER)))
    await in_time(FIRST_EVENT_S, lambda: stood_in_for(providers))


async def test_who_only_sends_comments_is_stood_in_for_after_first_event(providers: Pool) -> None:
    """T6, 3 of 6: signs of life are no answer."""
    providers.script(a=unsaid(fake.event_stream(*[b": thinking\n\n", Gap(0.05)] * 20)))
    await in_time(FIRST_EVENT_S, lambda: stood_in_for(providers))


def tokens_then(*last: Step) -> Handler:
    return unsaid(lambda request: fake.stream(request, 20, last=last))


@pytest.mark.parametrize("last", [(NEVER,), (b": ping\n\n", Gap(0.1)) * 20], ids=["silence", "pings"])
async def test_who_falls_silent_later_is_cut_after_idle(providers: Pool, last: tuple[Step, ...]) -> None:
    """T6, 4 of 6: after 20 tokens nobody can stand in."""
    providers.script(a=tokens_then(*last))
    await in_time(IDLE_S, lambda: cut(providers, "sent nothing more for 500ms"))


async def test_who_is_steady_is_not_cut(providers: Pool) -> None:
    """T6, 5 of 6: a token every 100 ms for longer than first event and idle."""
    providers.script(a=lambda request: fake.stream(request, 8, gap_s=0.1))
    took_s, reply = await asked(providers)

    assert (fake.text(8), "[DONE]", {"a": 1}) == (reply.text, reply.events[-1], providers.asked)
    assert took_s > IDLE_S + FIRST_EVENT_S


async def test_who_drips_is_cut_at_total(providers: Pool) -> None:
    """T6, 6 of 6: a token every 100 ms for 3 s."""
    providers.script(a=unsaid(lambda request: fake.stream(request, 30, gap_s=0.1)))
    await in_time(TOTAL_S, lambda: cut(providers, "did not finish its answer within 1500ms", None))


async def test_the_caller_s_own_time_is_for_all_attempts_together(providers: Pool) -> None:
    """T6: 0.2 s for the first provider leave 0.2 s of 0.4 s for the second."""
    providers.script(a=unsaid(fake.silence(NEVER)), b=unsaid(fake.silence(NEVER)))

    async def late() -> float:
        took_s, reply = await asked(providers, "small", "x-checkrein-timeout: 0.4")
        assert (504, "timeout") == (reply.status, reply.error["code"])
        return took_s

    await in_time(0.4, late, FIRST_EVENT_S / 2)
    assert providers.asked["a"] == providers.asked["b"]


@pytest.fixture(scope="module")
def pinging(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    return {"folder": tmp_path_factory.mktemp("pinging"), "http": {"stream_ping": f"{PING_S * 1_000:.0f}ms"}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def early(pinging: dict[str, object]) -> AsyncIterator[Pool]:
    """Its callers get their status and a comment before any provider has answered."""
    models = [served_by("small", at("a"), at("b", tier=2))]
    folder = pinging.pop("folder")
    members = {"a": {"timeouts": TIMEOUTS}}
    async with pool(folder, "a", "b", models=models, members=members, **pinging) as running:  # type: ignore[arg-type]
        yield running


async def test_a_fallback_serves_behind_a_status_that_is_out(early: Pool) -> None:
    """T6, T21b: comments, then 60 of 60 tokens."""
    fresh = early.start_over()
    fresh.script(a=unsaid(fake.silence(NEVER)))
    _, reply = await asked(fresh)
    await fresh.books()

    assert (200, fake.text(60), "[DONE]") == (reply.status, reply.text, reply.events[-1])
    assert reply.body.startswith(b":")
    assert {"a": 1, "b": 1} == fresh.asked


async def test_behind_a_status_that_is_out_nobody_s_answer_is_an_error_event(early: Pool) -> None:
    """T2b: no success, no [DONE], and the first reason."""
    fresh = early.start_over()
    fresh.script(a=unsaid(fake.silence(NEVER)), b=free(fake.error(500, "it broke")))
    _, reply = await asked(fresh)
    row = await fresh.router.call(reply.call_id)
    await fresh.books()

    assert (200, True, 1) == (reply.status, reply.complete, len(reply.events))
    assert "timeout" == reply.error["code"]
    assert b"[DONE]" not in reply.body
    assert ("failed", "timeout") == (row["outcome"], row["fault"])
