"""However many attempts a call takes, its budget holds and every provider's invoice is booked once."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support import fake_upstream as fake
from tests.support.money import INPUT_BOUND, OUTPUT_MAX, USD, billing, request_of, worst_case
from tests.support.pool import Pool, at, free, pool, served_by, unsaid
from tests.support.running import ADMIN, KEY
from tests.support.waiting import until
from tests.support.wire import post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

POOR_KEY, CROWDED_KEY = "sk-test-poor", "sk-test-crowded"
DEAR = {"input": 4.0, "output": 20.0}
WORST = worst_case(INPUT_BOUND, OUTPUT_MAX)
NEVER = asyncio.Event()
ONE = {"limits": {"concurrency": 1}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    """`small` runs at a and then b, `dearer` at a and then at e, twice as dear; in `narrow` each takes one."""
    models = [
        served_by("small", at("a"), at("b", tier=2)),
        served_by("dearer", at("a", name="a-dearer"), at("e", name="e-dearer", tier=2, price=DEAR)),
        served_by("narrow", at("a", name="a-narrow", **ONE), at("b", name="b-narrow", tier=2, **ONE)),
    ]
    keys = [
        {"name": "test", "key": KEY, "budget": {"limit_usd": 1_000, "window": "lifetime"}},
        {"name": "poor", "key": POOR_KEY, "budget": {"limit_usd": 1.5 * WORST / USD, "window": "lifetime"}},
        {"name": "crowded", "key": CROWDED_KEY, "limits": {"concurrency": 1, "rpm": 1_000}},
        {"name": "admin", "key": ADMIN, "permissions": ["admin"]},
    ]
    retry = {"attempts_per_deployment": 1, "retry_ratio_pct": 100}
    folder = tmp_path_factory.mktemp("router")
    async with pool(folder, "a", "b", "e", models=models, keys=keys, retry=retry) as providers:
        yield providers


@pytest_asyncio.fixture(loop_scope="module")
async def providers(running: Pool) -> AsyncIterator[Pool]:
    fresh = running.start_over()
    yield fresh
    await fresh.router.idle()
    accounts = await fresh.router.accounts()
    assert {0} == {account["reserved"] for account in accounts.values()}
    assert {} == fresh.router.lifecycle._pipeline.gate.permits.gauges()


LOST = unsaid(fake.raw(fake.Cut.RESET))
"""Asked, and gone before it answered: it may bill for what it was sent."""


async def used(providers: Pool, name: str) -> tuple[int, int]:
    """What the key's account has posted, and what it holds."""
    accounts = await providers.router.accounts()
    found = [account for (kind, value), account in accounts.items() if kind == "key" and name in value]
    (account,) = found
    return account["used"], account["reserved"]


async def test_what_a_lost_attempt_may_have_cost_is_posted_beside_the_other(providers: Pool) -> None:
    """Two rows of attempts, one of the call, and two invoices."""
    before, _ = await used(providers, "test")
    providers.script(a=LOST)
    reply = await providers.ask(request_of(max_completion_tokens=100))
    row = await providers.router.call(reply.call_id)
    attempts = row["attempts"]
    assert isinstance(attempts, list)

    assert 200 == reply.status
    billed = [providers.upstreams[name].billed_nano_usd for name in ("a", "b")]
    assert all(billed)
    assert billed == [one["cost_nano_usd"] for one in attempts]
    assert (sum(billed), 0) == (row["cost_nano_usd"], 0)
    assert (before + sum(billed), 0) == await used(providers, "test")


async def test_a_fallback_that_its_budget_cannot_pay_is_not_sent(providers: Pool) -> None:
    """Enough for the worst case at a, and not at e; the caller hears why a failed. The other fallback would do."""
    providers.script(a=free(fake.error(500, "down")))
    members = request_of(max_completion_tokens=OUTPUT_MAX, model="dearer")
    async with wire(providers.router.http_port) as caller:
        await caller.send(post(body=members, key=POOR_KEY))
        refused = await caller.answer()
        asked = providers.asked
        await caller.send(post(body=request_of(max_completion_tokens=OUTPUT_MAX), key=POOR_KEY))
        served = await caller.answer()

    assert (502, "down", {"a": 1}) == (refused.status, refused.error["message"], asked)
    assert (200, {"a": 2, "b": 1}) == (served.status, providers.asked)
    assert (providers.upstreams["b"].billed_nano_usd, 0) == await used(providers, "poor")


async def test_a_call_holds_its_worst_case_once_and_not_for_each_attempt(providers: Pool) -> None:
    """While the second attempt is under way: what the first may have cost, and the second's worst case."""
    providers.script(a=LOST, b=unsaid(fake.silence(NEVER)))
    before, _ = await used(providers, "test")
    async with wire(providers.router.http_port) as caller:
        await caller.send(post(body=request_of(max_completion_tokens=OUTPUT_MAX)))
        await providers.upstreams["b"].received(1)
        posted, held = await used(providers, "test")
        caller.close()
        await until(lambda: not providers.router.open_calls, within_s=2)
    await providers.router.idle()

    assert (before, WORST + providers.upstreams["a"].billed_nano_usd) == (posted, held)
    rest = sum(providers.upstreams[name].billed_nano_usd for name in ("a", "b"))
    assert (before + rest, 0) == await used(providers, "test")


async def test_a_place_is_given_back_between_attempts(providers: Pool) -> None:
    """20 calls one after the other find a place at both, each of which takes one at a time."""
    providers.script(a=free(fake.error(500, "down")), b=billing(INPUT_BOUND, 10))
    members = request_of(max_completion_tokens=100, model="narrow")
    statuses = []
    async with wire(providers.router.http_port) as caller:
        for _ in range(20):
            await caller.send(post(body=members, key=CROWDED_KEY))
            statuses.append((await caller.answer()).status)

    assert [200] * 20 == statuses
    assert {"a": 20, "b": 20} == providers.asked


async def test_a_caller_s_only_place_is_taken_while_a_fallback_serves(providers: Pool) -> None:
    """Its second call is refused until the first, which is at its second provider, has ended."""
    providers.script(a=free(fake.error(500, "down")), b=unsaid(fake.silence(NEVER)))
    async with wire(providers.router.http_port) as first, wire(providers.router.http_port) as second:
        await first.send(post(body=request_of(max_completion_tokens=100), key=CROWDED_KEY))
        await providers.upstreams["b"].received(1)
        await second.send(post(body=request_of(max_completion_tokens=100), key=CROWDED_KEY))
        refused = await second.answer()
        first.close()
        await until(lambda: not providers.router.open_calls, within_s=2)
        providers.script(b=fake.answer)
        await second.send(post(body=request_of(max_completion_tokens=100), key=CROWDED_KEY))
        served = await second.answer()

    assert (429, 200) == (refused.status, served.status)
