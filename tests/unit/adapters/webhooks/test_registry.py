"""Receivers come and go with the configuration; those that stay keep their queue."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from router.adapters.webhooks.registry import Webhooks
from router.domain.events import EventType
from router.domain.secret import Secret
from router.domain.webhook import DeliveryOutcome, Webhook
from tests.support.fakes import FakeClock, FakeDraw, RecordingTelemetry
from tests.support.receivers import FedTransport, event
from tests.support.waiting import turns

THRESHOLDS = frozenset({EventType.BUDGET_THRESHOLD})
LOOPS = frozenset({EventType.LOOP_BLOCKED})


def hook(name: str, secret: str = "s", events: frozenset[EventType] = THRESHOLDS) -> Webhook:
    return Webhook(url=Secret(f"http://{name}/"), secret=Secret(secret), events=events)


class Office:
    """Webhooks over transports that a test can look into, in the order they were made."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.tasks = tasks
        self.made: list[tuple[str, FedTransport]] = []
        self.answers: dict[str, int] = {}
        self.telemetry = RecordingTelemetry()
        self.webhooks = Webhooks(
            transport_to=self.connect, clock=FakeClock(), draw=FakeDraw(), telemetry=self.telemetry
        )

    def connect(self, url: str) -> FedTransport:
        if "broken" in url:
            raise OSError("no authorities")
        transport = FedTransport(*[self.answers[url]] if url in self.answers else [])
        self.made.append((url, transport))
        return transport

    def configure(self, *hooks: Webhook) -> None:
        self.webhooks.prepare(hooks, self.tasks)()

    @property
    def sent(self) -> list[tuple[str, str]]:
        return [(url, id_) for url, transport in self.made for id_ in transport.ids]


@asynccontextmanager
async def office() -> AsyncIterator[Office]:
    async with asyncio.TaskGroup() as tasks:
        opened = Office(tasks)
        try:
            yield opened
        finally:
            await opened.webhooks.close()


async def test_each_receiver_gets_the_types_that_it_asked_for() -> None:
    async with office() as desk:
        desk.configure(hook("a"), hook("b", events=LOOPS), hook("c", events=THRESHOLDS | LOOPS))
        desk.webhooks.emit(event())
        await turns(5)

    assert [("http://a/", "evt_1"), ("http://c/", "evt_1")] == desk.sent
    assert msgspec.json.encode(event()) == desk.made[0][1].requests[0].body
    assert [True] * 3 == [transport.closed for _, transport in desk.made]


async def test_a_receiver_that_stays_keeps_its_queue_and_may_ask_for_something_else() -> None:
    async with office() as desk:
        desk.answers["http://a/"] = 500
        desk.configure(hook("a"))
        desk.webhooks.emit(event(1))
        await turns(5)
        desk.configure(hook("a", events=LOOPS), hook("b"))
        desk.webhooks.emit(event(2))
        await turns(5)

        assert [("http://a/", "evt_1"), ("http://b/", "evt_2")] == desk.sent
        assert 2 == len(desk.made)
    assert [("http://a/", "evt_1"), ("http://a/", "evt_1"), ("http://b/", "evt_2")] == desk.sent


async def test_a_receiver_that_goes_gets_what_waits_for_it_once_more() -> None:
    async with office() as desk:
        desk.answers["http://a/"] = 500
        desk.configure(hook("a", secret="old"))
        desk.webhooks.emit(event(1))
        await turns(5)
        desk.answers.clear()
        desk.configure(hook("a", secret="new"))
        desk.webhooks.emit(event(2))
        await turns(10)

        old, new = (transport for _, transport in desk.made)
        assert (["evt_1", "evt_1"], True) == (old.ids, old.closed)
        assert (["evt_2"], False) == (new.ids, new.closed)
    assert [DeliveryOutcome.FAILED] + [DeliveryOutcome.DELIVERED] * 2 == desk.telemetry.webhooks


async def test_what_cannot_be_connected_to_changes_nothing() -> None:
    async with office() as desk:
        desk.configure(hook("a"))
        with pytest.raises(OSError, match="no authorities"):
            desk.webhooks.prepare([hook("b"), hook("broken")], desk.tasks)
        desk.webhooks.emit(event())
        await turns(5)

    assert [("http://a/", "evt_1")] == desk.sent


async def test_what_is_only_prepared_hears_nothing() -> None:
    async with office() as desk:
        desk.configure(hook("a"))
        desk.webhooks.prepare([hook("b")], desk.tasks)
        desk.webhooks.emit(event())
        await turns(5)

    assert [("http://a/", "evt_1")] == desk.sent
