"""While the store is away calls go on as long as the journal has room; then they are refused, and no money is lost."""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
import yaml

from tests.support.audit import Audit
from tests.support.fake_upstream import FakeUpstream
from tests.support.money import KEYS, billing, model, request_of
from tests.support.outage import disk_full, write_locked
from tests.support.process import Served, served
from tests.support.running import ADMIN, KEY, config_for, http_client
from tests.support.waiting import pause
from tests.support.wire import Answer, post, wire

pytestmark = pytest.mark.slow

CALLERS = 30
BODY = request_of(200, max_completion_tokens=40)
LONG = "x" * 100
LABELS = [f"x-checkrein-{label}: {LONG}" for label in ("workflow", "agent", "tags")]
"""They make rows three times as long as they are without, so that the journal is full sooner."""
JOURNALLED = (1_000, 10_000)
"""At least and at most so many calls are served without the store."""
GIVES_UP_S = 15
Outage = Callable[[Served, Path], AbstractContextManager[None]]


def config(upstream: FakeUpstream, folder: Path) -> dict[str, object]:
    store = {"url": f"sqlite:///{folder / 'ledger.db'}"}
    return config_for(upstream, models=[model()], keys=list(KEYS), store=store)


async def admin(router: Served, method: str, path: str, body: object = None) -> httpx.Response:
    async with http_client(router.url, {"authorization": f"Bearer {ADMIN}"}) as client:
        return await client.request(method, f"/admin/v1/{path}", json=body)


class Load:
    """Calls of two keys, one of the file and one of the store, each with a name of its own."""

    def __init__(self, router: Served, stored: str) -> None:
        self._port = router.http_port
        self._keys = (KEY, stored)
        self.named = 0
        self.statuses: Counter[int] = Counter()
        self.refusals: list[Answer] = []

    async def ask(self, *lines: str, key: str) -> Answer:
        self.named += 1
        data = post(f"x-request-id: r{self.named}-{LONG}", *lines, body=BODY, key=key)
        async with wire(self._port) as caller:
            await caller.send(data)
            return await caller.answer()

    async def until_refused(self) -> None:
        """Have all callers ask until each is refused."""

        async def caller(number: int) -> None:
            while True:
                reply = await self.ask(*LABELS, key=self._keys[number % 2])
                self.statuses[reply.status] += 1
                if reply.status != 200:
                    self.refusals.append(reply)
                    return

        async with asyncio.TaskGroup() as tasks:
            for number in range(CALLERS):
                tasks.create_task(caller(number))

    async def until_served(self) -> None:
        async with asyncio.timeout(GIVES_UP_S):
            while (await self.ask(key=self._keys[1])).status != 200:
                await pause(0.05)


def check_refusals(load: Load) -> None:
    """All of one kind, and of the shape that the page on errors has."""
    assert {200, 503} == load.statuses.keys()
    assert JOURNALLED[0] <= load.statuses[200] <= JOURNALLED[1]
    for reply in load.refusals:
        message = reply.error.pop("message")
        assert isinstance(message, str)
        assert message.endswith("Try again shortly.")
        assert "1000" == reply.headers["retry-after-ms"]
        rest = {name: reply.error[name] for name in ("type", "param", "code")}
        assert {"type": "server_error", "param": None, "code": "overloaded"} == rest


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("outage", "killed"),
    [(disk_full, False), (disk_full, True), (write_locked, False)],
    ids=["full disk", "full disk and kill -9", "locked"],
)
async def test_without_its_store_a_router_serves_what_its_journal_holds_and_loses_nothing(
    outage: Outage, *, killed: bool, tmp_path: Path
) -> None:
    """T23: keys of file and store are served, then refused with 503, never 401; at the end all is in the ledger."""
    ledger = tmp_path / "ledger.db"
    async with FakeUpstream(handler=billing(100, 20)) as upstream:
        (tmp_path / "checkrein.yaml").write_text(yaml.safe_dump(config(upstream, tmp_path)))
        async with served(tmp_path, "--config", "checkrein.yaml") as router:
            stored = (await admin(router, "POST", "keys", {"name": "stored"})).json()["secret"]
            load = Load(router, stored)
            await load.until_served()
            with outage(router, ledger):
                await load.until_refused()
                check_refusals(load)
                assert 401 == (await load.ask(key="nobody-knows-this")).status
                assert 503 == (await admin(router, "GET", "ledger/calls")).status_code
                assert 503 == (await admin(router, "POST", "keys", {"name": "more"})).status_code
                if killed:
                    await router.stop(signal.SIGKILL)
            if not killed:
                await load.until_served()
                assert 200 == (await admin(router, "GET", "ledger/calls")).status_code
                after = Audit.of(upstream.requests, ledger)
        if killed:
            async with served(tmp_path, "--config", "checkrein.yaml"):
                after = Audit.of(upstream.requests, ledger)

    assert after.sound, after
    assert killed or (after.invoice, 0) == (after.ledger, after.recovered)
    assert after.recovered <= CALLERS
