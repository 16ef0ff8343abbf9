"""Post the events of one receiver, one at a time, the earliest due first, each until it arrives or is given up.

Laws: an event that was put in ends as delivered or as lost, is counted once as that, and a loss is logged. A try
that failed does not hold up the events behind it. The receiver is named by its host and nothing else.
"""

import asyncio
import heapq
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from router import VERSION
from router.domain.events import Event
from router.domain.instants import NS_PER_S, format_duration
from router.domain.webhook import DeliveryOutcome, Webhook, signature, signing_key, split_url, wait_ns
from router.ports.clock import Clock, Draw
from router.ports.telemetry import Anomaly, Telemetry
from router.ports.transport import HttpRequest, Transport, TransportFailed

QUEUE_EVENTS_MAX: Final = 1_000
"""Events that wait for one receiver. What comes beyond is lost, and counted."""
TRY_NS_MAX: Final = 10 * NS_PER_S
"""From the connection to the status of the reply."""
CLOSE_NS_MAX: Final = 2 * NS_PER_S
"""For one last try of everything that waits when the router stops."""

_GONE: Final = 410
_log = logging.getLogger(__name__)


@dataclass(slots=True, order=True)
class _Delivery:
    due_s: float
    """By the loop's clock."""
    number: int
    id: str = field(compare=False)
    body: bytes = field(compare=False)
    tries: int = field(compare=False, default=0)


class Endpoint:
    """The queue of one receiver and the task that empties it, from `start` to `close`."""

    def __init__(
        self, webhook: Webhook, transport: Transport, *, clock: Clock, draw: Draw, telemetry: Telemetry
    ) -> None:
        """Raises ValueError for an address or a secret that cannot be used."""
        url = split_url(webhook.url.reveal())
        self.host = url.hostname or ""
        self._target = (url.path or "/").encode() + (f"?{url.query}".encode() if url.query else b"")
        self._head = _head(url.netloc)
        self._key = signing_key(webhook.secret.reveal()) if webhook.secret is not None else None
        self._transport = transport
        self._clock, self._draw, self._telemetry = clock, draw, telemetry
        self._queue: list[_Delivery] = []
        self._count = 0
        self._trying: _Delivery | None = None
        self._wake = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._closing = self._failing = self._full = False

    def start(self, tasks: asyncio.TaskGroup) -> None:
        self._worker = tasks.create_task(self._work(), name=f"webhook {self.host}")

    async def try_once(self, event: Event, body: bytes) -> str | None:
        """Post an event past the queue, and return why it did not arrive; None when it did."""
        outcome, why = await self._try(_Delivery(0.0, 0, event.id, body))
        return None if outcome is DeliveryOutcome.DELIVERED else why

    def put(self, event: Event, body: bytes) -> None:
        """Take an event, or say that it is lost. Never waits."""
        if self._closing:
            self._lose(event.id, DeliveryOutcome.UNSENT, "the router has stopped sending to it")
        elif len(self._queue) >= QUEUE_EVENTS_MAX:
            if not self._full:
                _log.error("webhook %s: %d events wait, what comes now is lost", self.host, len(self._queue))
            self._full = True
            self._count_lost(DeliveryOutcome.OVERFLOW)
        else:
            self._full = False
            self._count += 1
            due_s = asyncio.get_running_loop().time()
            heapq.heappush(self._queue, _Delivery(due_s, self._count, event.id, body))
            self._wake.set()

    async def close(self) -> None:
        """Try everything that waits once more, within `CLOSE_NS_MAX`; what is left then is lost."""
        self._closing = True
        self._wake.set()
        try:
            if self._worker is not None:
                await asyncio.wait([self._worker], timeout=CLOSE_NS_MAX / NS_PER_S)
        finally:
            if self._worker is not None:
                self._worker.cancel()
            left = len(self._queue) + (self._trying is not None)
            self._queue.clear()
            if left:
                _log.error("webhook %s: %d events are lost, it took too long to take them", self.host, left)
            for _ in range(left):
                self._count_lost(DeliveryOutcome.UNSENT)
        await self._transport.close()

    async def _work(self) -> None:
        while await self._due():
            delivery = self._trying = heapq.heappop(self._queue)
            outcome, why = await self._try(delivery)
            self._trying = None
            if outcome is DeliveryOutcome.DELIVERED:
                self._telemetry.webhook_tried(outcome)
                if self._failing:
                    _log.info("webhook %s: receives again", self.host)
                self._failing = False
            elif outcome is DeliveryOutcome.FAILED:
                self._retry(delivery, why)
            else:
                self._lose(delivery.id, outcome, why)

    async def _due(self) -> bool:
        """Wait for an event whose time has come; False when none will come any more."""
        while self._queue or not self._closing:
            self._wake.clear()
            wait_s = None
            if self._queue:
                wait_s = 0.0 if self._closing else self._queue[0].due_s - asyncio.get_running_loop().time()
                if wait_s <= 0:
                    return True
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
        return False

    async def _try(self, delivery: _Delivery) -> tuple[DeliveryOutcome, str]:
        delivery.tries += 1
        try:
            async with asyncio.timeout(TRY_NS_MAX / NS_PER_S):
                status = await self._post(delivery)
        except TransportFailed as exc:
            return DeliveryOutcome.FAILED, str(exc)
        except TimeoutError:
            return DeliveryOutcome.FAILED, f"did not answer within {format_duration(TRY_NS_MAX)}"
        if 200 <= status < 300:
            return DeliveryOutcome.DELIVERED, ""
        outcome = DeliveryOutcome.GONE if status == _GONE else DeliveryOutcome.FAILED
        return outcome, f"answered {status}"

    async def _post(self, delivery: _Delivery) -> int:
        """Send once and return the status; nothing else of the reply is of use. Raises `TransportFailed`."""
        timestamp_s = self._clock.wall_ns() // NS_PER_S
        lines = [f"webhook-id: {delivery.id}", f"webhook-timestamp: {timestamp_s}"]
        if self._key is not None:
            signed = signature(self._key, delivery.id, timestamp_s, delivery.body)
            lines.append(f"webhook-signature: {signed}")
        head = self._head + "".join([f"{line}\r\n" for line in lines]).encode()
        reply = await self._transport.send(HttpRequest(target=self._target, head=head, body=delivery.body))
        try:
            while not reply.status:
                await reply.read()
        finally:
            reply.abort()  # a body that has not come with its head costs the connection, and nobody waits for it
        return reply.status

    def _retry(self, delivery: _Delivery, why: str) -> None:
        pause_ns = wait_ns(delivery.tries, self._draw.uniform())
        if self._closing:
            self._lose(delivery.id, DeliveryOutcome.UNSENT, why)
        elif pause_ns is None:
            self._lose(delivery.id, DeliveryOutcome.GIVEN_UP, why)
        else:
            self._telemetry.webhook_tried(DeliveryOutcome.FAILED)
            if not self._failing:
                _log.warning("webhook %s: %s; events are tried again", self.host, why)
            self._failing = True
            delivery.due_s = asyncio.get_running_loop().time() + pause_ns / NS_PER_S
            heapq.heappush(self._queue, delivery)

    def _lose(self, event_id: str, outcome: DeliveryOutcome, why: str) -> None:
        _log.error("webhook %s: event %s is lost (%s): %s", self.host, event_id, outcome.value, why)
        self._count_lost(outcome)

    def _count_lost(self, outcome: DeliveryOutcome) -> None:
        self._telemetry.webhook_tried(outcome)
        self._telemetry.noticed(Anomaly.WEBHOOK_DROPPED)


def _head(netloc: str) -> bytes:
    lines = {
        "host": netloc,
        "user-agent": f"checkrein/{VERSION}",
        "content-type": "application/json",
        "accept": "*/*",
        "accept-encoding": "identity",
    }
    return "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode()
