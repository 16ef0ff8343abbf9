"""What whoever emits an event may rely on: it never waits, it never fails, and what has no room is counted."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from router.adapters.webhooks.endpoint import QUEUE_EVENTS_MAX
from router.adapters.webhooks.registry import Webhooks
from router.domain.secret import Secret
from router.domain.webhook import Webhook
from router.ports.events import Events
from router.ports.telemetry import Anomaly
from tests.support.fakes import FakeClock, FakeDraw, RecordingTelemetry
from tests.support.receivers import REFUSED, FedTransport, RecordingEvents, event
from tests.support.waiting import turns

COUNT = QUEUE_EVENTS_MAX + 10


@pytest.fixture
def telemetry() -> RecordingTelemetry:
    return RecordingTelemetry()


@pytest.fixture(params=["recording", "nobody", "takes", "refuses", "hangs", "stopped"])
async def events(request: pytest.FixtureRequest, telemetry: RecordingTelemetry) -> AsyncIterator[Events]:
    if request.param == "recording":
        yield RecordingEvents()
        return
    never = asyncio.Event()
    transport = FedTransport(*({"refuses": [REFUSED], "hangs": [never]}.get(request.param, [])))
    webhooks = Webhooks(transport_to=lambda _: transport, clock=FakeClock(), draw=FakeDraw(), telemetry=telemetry)
    async with asyncio.TaskGroup() as tasks:
        if request.param != "nobody":
            webhooks.prepare([Webhook(url=Secret("http://receiver.test/"))], tasks)()
        if request.param == "stopped":
            await webhooks.close()
        yield webhooks
        never.set()
        await webhooks.close()


async def test_emitting_never_fails_whoever_listens(events: Events) -> None:
    events.emit(event(1))
    await turns(10)
    events.emit(event(2))


async def test_more_than_there_is_room_for_is_taken_at_once_and_the_rest_is_counted(
    events: Events, telemetry: RecordingTelemetry
) -> None:
    for number in range(COUNT):
        events.emit(event(number))

    dropped = sum(count for kind, count in telemetry.anomalies if kind is Anomaly.WEBHOOK_DROPPED)
    assert dropped == len(telemetry.webhooks)
    if isinstance(events, Webhooks) and events._endpoints:
        (endpoint,) = events._endpoints.values()
        assert COUNT == dropped + len(endpoint._queue)
