"""Calls go elsewhere while a provider says that nothing is left there, and come back when there is."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from tests.support import fake_upstream as fake
from tests.support.fake_upstream import Handler, Reply, Request
from tests.support.pool import Pool, asks, at, free, pool, served_by
from tests.support.running import MovableClock

pytestmark = pytest.mark.asyncio(loop_scope="module")

RESET_S = 40
KNOWN_MODELS = [
    served_by("small", at("a", weight=1_000_000), at("b", weight=0.001)),
    served_by("alone", at("a")),
]


def saying(remaining: int, unit: str = "requests", limit: int | None = None) -> Handler:
    """Answer as a healthy provider that has so much left, all of it again after `RESET_S`."""
    more = [(f"x-ratelimit-remaining-{unit}", str(remaining)), (f"x-ratelimit-reset-{unit}", f"{RESET_S}s")]
    if limit is not None:
        more.append((f"x-ratelimit-limit-{unit}", str(limit)))

    def handler(request: Request) -> Reply:
        reply = fake.answer(request)
        return Reply(steps=reply.steps, headers=(*reply.headers, *more), framing=reply.framing)

    return handler


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clock() -> MovableClock:
    return MovableClock(datetime(2026, 11, 21, 9, tzinfo=UTC))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory, clock: MovableClock) -> AsyncIterator[Pool]:
    async with pool(
        tmp_path_factory.mktemp("router"), "a", "b", models=KNOWN_MODELS, clock=clock, affinity={"enabled": False}
    ) as providers:
        yield providers


@pytest_asyncio.fixture(loop_scope="module")
async def providers(running: Pool, clock: MovableClock) -> AsyncIterator[Pool]:
    clock.skip(3 * RESET_S)  # what was said in another test is over
    fresh = running.start_over()
    yield fresh
    await fresh.books()


async def served(providers: Pool, calls: int = 3, **members: object) -> set[str]:
    replies = [await providers.ask(asks(**members)) for _ in range(calls)]
    assert {200} == {one.status for one in replies}
    return {one.headers["x-checkrein-deployment"].partition("/")[0] for one in replies}


async def test_calls_go_elsewhere_until_the_provider_has_requests_again(providers: Pool, clock: MovableClock) -> None:
    providers.script(a=saying(0))
    first = await served(providers, 1)
    meanwhile = await served(providers)
    clock.skip(RESET_S - 2)
    still = await served(providers)
    clock.skip(3)
    providers.script(a=saying(50))

    assert ({"a"}, {"b"}, {"b"}) == (first, meanwhile, still)
    assert {"a"} == await served(providers)
    assert {"a": 4, "b": 6} == providers.asked


async def test_a_call_that_is_larger_than_what_is_left_goes_elsewhere_and_a_smaller_one_does_not(
    providers: Pool,
) -> None:
    providers.script(a=saying(500, "tokens"))
    await served(providers, 1)
    large = await served(providers, 1, messages=[{"role": "user", "content": "x" * 4_000}])

    assert {"b"} == large
    assert {"a"} == await served(providers, 1)


async def test_the_only_one_is_asked_whatever_it_said(providers: Pool) -> None:
    providers.script(a=saying(0), b=saying(0))

    assert {"a"} == await served(providers, model="alone")
    assert {"a", "b"} >= await served(providers, 4)


async def test_who_has_no_room_is_the_last_resort_and_the_row_says_why(providers: Pool) -> None:
    providers.script(a=saying(0))
    await served(providers, 1)
    providers.script(b=free(fake.error(500, "down")))

    assert {"a"} == await served(providers, 1)
    await providers.router.idle()
    text = providers.router.rows()[-1]["decision"]
    assert isinstance(text, str)
    decision = json.loads(text)
    ((target, reason, until),) = decision["d"]
    assert ("a/small", "no_room") == (target, reason)
    assert until > 1_700_000_000_000
    assert ["b/small", "a/small"] == decision["c"] == [name for name, _ in decision["t"]]
