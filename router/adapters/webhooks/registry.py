"""Hand each event to the receivers that asked for its type, and keep one endpoint per receiver across reloads."""

from asyncio import TaskGroup
from collections.abc import Callable, Iterable

import msgspec

from router.adapters.webhooks.endpoint import Endpoint
from router.domain.events import Event
from router.domain.secret import Secret
from router.domain.webhook import Webhook
from router.ports.clock import Clock, Draw
from router.ports.telemetry import Telemetry
from router.ports.transport import Transport

_Receiver = tuple[Secret, Secret | None]
"""An address and what signs for it: another secret is another receiver."""


class Webhooks:
    """The `Events` port. An unchanged receiver keeps its queue, whatever it now asks for."""

    def __init__(
        self, *, transport_to: Callable[[str], Transport], clock: Clock, draw: Draw, telemetry: Telemetry
    ) -> None:
        """`transport_to` connects to an address; it may raise ValueError or OSError."""
        self._transport_to = transport_to
        self._clock, self._draw, self._telemetry = clock, draw, telemetry
        self._encoder = msgspec.json.Encoder()
        self._endpoints: dict[_Receiver, Endpoint] = {}
        self._webhooks: dict[_Receiver, Webhook] = {}

    def emit(self, event: Event) -> None:
        body = b""
        for receiver, webhook in self._webhooks.items():
            if event.type in webhook.events:
                body = body or self._encoder.encode(event)
                self._endpoints[receiver].put(event, body)

    def prepare(self, webhooks: Iterable[Webhook], tasks: TaskGroup) -> Callable[[], None]:
        """Build what a reload adds, and return what puts it in force. ValueError or OSError changes nothing.

        Endpoints run in `tasks`, and those of removed receivers end there: each sends what waits, or says it is lost.
        """
        wanted = {(webhook.url, webhook.secret): webhook for webhook in webhooks}
        built = {
            receiver: self._build(webhook) for receiver, webhook in wanted.items() if receiver not in self._endpoints
        }

        def swap() -> None:
            gone = [self._endpoints.pop(receiver) for receiver in [*self._endpoints] if receiver not in wanted]
            for endpoint in built.values():
                endpoint.start(tasks)
            self._endpoints |= built
            self._webhooks = wanted
            for endpoint in gone:
                tasks.create_task(endpoint.close())

        return swap

    async def close(self) -> None:
        """Send what waits, all receivers at once, or say that it is lost."""
        async with TaskGroup() as closing:
            for endpoint in self._endpoints.values():
                closing.create_task(endpoint.close())

    def _build(self, webhook: Webhook) -> Endpoint:
        transport = self._transport_to(webhook.url.reveal())
        return Endpoint(webhook, transport, clock=self._clock, draw=self._draw, telemetry=self._telemetry)
