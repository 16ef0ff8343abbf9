"""Webhooks tell of each crossing once, signed, again until they are heard, and never at the cost of a call.

Receivers are real HTTP servers in the test's own loop; signatures are checked as Standard Webhooks describes them.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from router.adapters.webhooks import endpoint
from router.domain import webhook
from tests.support import fake_upstream as fake
from tests.support.fake_upstream import Cut, FakeUpstream, Reply, Request
from tests.support.money import KEYS, OUTPUT_MAX, USD, ask_at_once, billing, callers, model, request_of
from tests.support.process import Served, served
from tests.support.running import RunningRouter, chat, config_for, running_router
from tests.support.waiting import until
from tests.support.wire import post, wire

pytestmark = pytest.mark.slow

CROWD = 50
KEY_BYTES = b"the key that signs, 32 bytes long"
SECRET = f"whsec_{base64.b64encode(KEY_BYTES).decode()}"
PATH = "/hooks/hunter2?token=hunter3"
THRESHOLDS = ((50, "notify"), (80, "substitute"), (90, "lower_priority"), (100, "block"))
DIME = request_of(max_completion_tokens=OUTPUT_MAX)
NONE = Reply(status=204, headers=())


def receiver(*first: Reply | Callable[[Request], Reply]) -> FakeUpstream:
    """A receiver that answers with these first, and then takes everything."""
    taking = FakeUpstream(handler=lambda _: NONE)
    taking.script(*first)
    return taking


def config(upstream: FakeUpstream, *webhooks: dict[str, object], limit_usd: float = 5.0) -> dict[str, object]:
    thresholds = [{"at_pct": at_pct, "action": action} for at_pct, action in THRESHOLDS]
    budget = {"limit_usd": limit_usd, "window": "month", "thresholds": thresholds}
    return config_for(
        upstream,
        models=[model()],
        keys=[*KEYS, {"name": "spender", "key": "sk-test-spender", "budget": budget}],
        webhooks=list(webhooks),
    )


def hook(to: FakeUpstream, **members: object) -> dict[str, object]:
    return {"url": f"{to.url}{PATH}", "secret": SECRET, **members}


async def crowd_of(router: RunningRouter | Served, count: int) -> None:
    """Let so many callers spend ten cents each, all at once."""
    async with callers(router.http_port, count) as crowd:
        replies = await ask_at_once(crowd, post(body=DIME, key="sk-test-spender"))
    assert {200: count} == Counter(reply.status for reply in replies)


async def spend(router: RunningRouter, count: int = CROWD) -> None:
    await crowd_of(router, count)
    await router.idle(within_s=10)


def verified(request: Request) -> dict[str, object]:
    """Check one request as a receiver should, and return its event."""
    headers = request.headers
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    digest = base64.b64encode(hmac.new(KEY_BYTES, signed, hashlib.sha256).digest()).decode()
    event: dict[str, object] = json.loads(request.body)
    assert f"v1,{digest}" == headers["webhook-signature"]
    assert ("POST", PATH) == (request.method, request.target)
    assert ("application/json", headers["webhook-id"]) == (headers["content-type"], event["id"])
    return event


def crossing(event: dict[str, object]) -> tuple[object, object]:
    data = event["data"]
    assert isinstance(data, dict)
    return data["at_pct"], data["action"]


async def deliveries(router: RunningRouter, outcome: str) -> float:
    return await router.metric(f'checkrein_webhook_deliveries_total{{outcome="{outcome}"}}')


async def delivered(router: RunningRouter, count: int) -> None:
    async with asyncio.timeout(10):
        while await deliveries(router, "delivered") < count:
            pass


async def test_each_threshold_is_told_once_and_signed_however_many_calls_cross_it(tmp_path: Path) -> None:
    async with (
        FakeUpstream(handler=billing()) as upstream,
        receiver() as told,
        running_router(config(upstream, hook(told)), tmp_path) as router,
    ):
        await spend(router)
        await delivered(router, len(THRESHOLDS))

    kept = [verified(request) for request in told.requests]
    assert sorted(THRESHOLDS) == sorted(map(crossing, kept))
    assert len(THRESHOLDS) == len(told.requests) == len({event["id"] for event in kept})
    assert {"budget.threshold"} == {event["type"] for event in kept}
    data = next(event["data"] for event in kept if crossing(event) == (50, "notify"))
    assert isinstance(data, dict)
    assert {"kind": "key", "value": "spender"} == data["scope"]
    assert ("usd", "month@UTC", 5 * USD) == (data["unit"], data["window"], data["limit"])
    assert 5 * USD // 2 <= data["used"] <= 5 * USD
    assert 0 == data["resets_at"] % 86_400, "midnight by UTC"


async def test_a_receiver_hears_only_what_it_asked_for_and_unsigned_without_a_secret(tmp_path: Path) -> None:
    async with FakeUpstream(handler=billing()) as upstream, receiver() as told, receiver() as other:
        hooks = hook(told, secret=None, events=["budget.threshold"]), hook(other, events=["loop.blocked"])
        async with running_router(config(upstream, *hooks), tmp_path) as router:
            await spend(router)
            await delivered(router, len(THRESHOLDS))

    assert len(THRESHOLDS) == len(told.requests)
    assert all("webhook-signature" not in request.headers for request in told.requests)
    assert [] == other.requests


async def test_an_event_is_told_again_until_it_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A 500, a redirect, a reset and silence are no answers. Nobody reads the address or the secret in a log."""
    monkeypatch.setattr(webhook, "FIRST_WAIT_NS", 1_000_000)
    monkeypatch.setattr(endpoint, "TRY_NS_MAX", 200_000_000)
    caplog.set_level(logging.DEBUG)
    never = asyncio.Event()
    async with (
        FakeUpstream(handler=billing()) as upstream,
        receiver(
            Reply(status=500),
            Reply(status=302, headers=(("location", "/elsewhere"),)),
            fake.raw(Cut.RESET),
            fake.silence(never),
        ) as told,
        running_router(config(upstream, hook(told), limit_usd=0.2), tmp_path) as router,
    ):
        await spend(router, 1)
        await delivered(router, 1)
        failed = await deliveries(router, "failed")
        dropped = await router.metric('checkrein_anomalies_total{kind="webhook_dropped"}')

    events = [verified(request) for request in told.requests]
    assert [(50, "notify")] * 5 == [crossing(event) for event in events]
    assert 1 == len({event["id"] for event in events})
    assert (4, 0) == (failed, dropped)
    said = caplog.text + "".join(capfd.readouterr())
    assert "webhook 127.0.0.1: answered 500; events are tried again" in said
    assert "webhook 127.0.0.1: receives again" in said
    assert not [word for word in ("hunter2", "hunter3", SECRET, KEY_BYTES.decode()) if word in said]


async def test_a_receiver_that_hangs_delays_no_call(tmp_path: Path) -> None:
    never = asyncio.Event()
    async with FakeUpstream(handler=billing()) as upstream, FakeUpstream(handler=lambda _: fake.silence(never)) as told:
        async with running_router(config(upstream, hook(told)), tmp_path) as router:
            await spend(router)
            await told.received(1)
            async with asyncio.timeout(2), wire(router.http_port) as caller:
                replies = [await caller.ask(chat(max_completion_tokens=5)) for _ in range(20)]
            stopping = asyncio.get_running_loop().time()
        took_s = asyncio.get_running_loop().time() - stopping

    assert {200} == {reply.status for reply in replies}
    assert took_s < 5, "a stop waits 2 s for receivers"
    assert 1 == len(told.requests)


@pytest.mark.parametrize("up", [True, False], ids=["up again", "still down"])
async def test_a_stop_tries_once_more_what_waits_and_says_what_is_lost(
    up: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "FIRST_WAIT_NS", 1 << 60)
    async with FakeUpstream(handler=billing()) as upstream, receiver() as told:
        told.handler = lambda _: Reply(status=503)
        async with running_router(config(upstream, hook(told)), tmp_path) as router:
            await spend(router)
            await told.received(len(THRESHOLDS))
            async with asyncio.timeout(5):
                while await deliveries(router, "failed") < len(THRESHOLDS):
                    pass
            if up:
                told.handler = lambda _: NONE
            stopping = asyncio.get_running_loop().time()
        took_s = asyncio.get_running_loop().time() - stopping

    tried = [crossing(verified(request)) for request in told.requests]
    assert sorted([*THRESHOLDS, *THRESHOLDS]) == sorted(tried)
    assert (0 if up else len(THRESHOLDS)) == caplog.text.count("is lost (unsent): answered 503")
    assert took_s < 4


async def test_a_receiver_that_nobody_runs_does_not_hold_up_a_stop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with receiver() as gone:
        url = f"{gone.url}{PATH}"
    async with FakeUpstream(handler=billing()) as upstream:
        async with running_router(config(upstream, {"url": url}), tmp_path) as router:
            await spend(router)
            stopping = asyncio.get_running_loop().time()
        took_s = asyncio.get_running_loop().time() - stopping

    assert len(THRESHOLDS) == caplog.text.count("is lost (unsent): could not be reached")
    assert took_s < 4


async def test_a_reload_brings_a_receiver(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with (
        FakeUpstream(handler=billing()) as upstream,
        receiver() as told,
        running_router(config(upstream), tmp_path) as router,
    ):
        changed = yaml.safe_dump(config(upstream, hook(told)), sort_keys=False)
        (tmp_path / "checkrein.yaml").write_text(changed)
        router.running.reload()
        await until(lambda: "configuration revision 2 in force" in caplog.text, within_s=5)
        await spend(router)
        await delivered(router, len(THRESHOLDS))

    assert sorted(THRESHOLDS) == sorted(crossing(verified(request)) for request in told.requests)


async def test_a_threshold_that_was_told_before_a_restart_is_not_told_after_it(tmp_path: Path) -> None:
    async with FakeUpstream(handler=billing()) as upstream, receiver() as told:
        settings = config(upstream, hook(told))
        async with running_router(settings, tmp_path) as router:
            await spend(router, 30)
            await delivered(router, 1)
        async with running_router(settings, tmp_path) as router:
            await spend(router, 20)
            await delivered(router, 3)

    assert list(THRESHOLDS) == sorted(crossing(verified(request)) for request in told.requests)


async def test_what_waits_when_the_router_is_killed_is_not_told_by_the_next(tmp_path: Path) -> None:
    """The page says so: at most once across a crash. What is reached later is told as ever."""
    async with FakeUpstream(handler=billing()) as upstream, receiver() as told:
        told.handler = lambda _: Reply(status=503)
        settings = config(upstream, hook(told)) | {"store": {"url": "sqlite:///./ledger.db"}}
        (tmp_path / "checkrein.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
        async with served(tmp_path, "--config", "checkrein.yaml") as router:
            await crowd_of(router, 30)
            await told.received(1)
            router.process.kill()
            await router.ended()
        told.handler = lambda _: NONE
        async with served(tmp_path, "--config", "checkrein.yaml") as router:
            await crowd_of(router, 20)
            await told.received(len(THRESHOLDS))
            status = await router.stop()

    assert 0 == status, router.err
    assert list(THRESHOLDS) == sorted(crossing(verified(request)) for request in told.requests)
