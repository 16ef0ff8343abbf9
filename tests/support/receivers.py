"""A receiver of events behind the `Transport` port: answers as a test scripted, and keeps what it was sent."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from router.domain.dispatch.failure import FailureKind
from router.domain.events import AccountScope, BudgetThreshold, Event, EventType
from router.domain.governance.budget import ScopeKind, ThresholdAction, Unit
from router.ports.transport import HttpRequest, TransportFailed

Answer = int | TransportFailed | asyncio.Event
"""A status, a failure, or silence until the test says otherwise."""
REFUSED = TransportFailed(FailureKind.CONNECT, "could not be reached (refused)")


def event(number: int = 1) -> Event:
    return Event(
        id=f"evt_{number}",
        type=EventType.BUDGET_THRESHOLD,
        created=1_800_000_000,
        data=BudgetThreshold(
            budget="key/ci",
            scope=AccountScope(kind=ScopeKind.KEY, value="ci"),
            at_pct=80,
            action=ThresholdAction.NOTIFY,
            unit=Unit.USD,
            window="lifetime",
            limit=100,
            reserved=0,
            used=80,
            resets_at=None,
        ),
    )


class RecordingEvents:
    """The `Events` port, which remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)


class FedReply:
    headers: Sequence[tuple[bytes, bytes]] = ()
    complete = False

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.status = 0
        self.aborted = False

    async def read(self) -> bytes:
        if isinstance(self._answer, asyncio.Event):
            await self._answer.wait()
            self._answer = 200
        if isinstance(self._answer, TransportFailed):
            raise self._answer
        self.status = self._answer
        return b""

    async def each(self, take: Callable[[bytes], bool]) -> None:
        while take(await self.read()):
            pass

    def nudge(self) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True


class FedTransport:
    """Answers with what was scripted, then with 204."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = deque(answers)
        self.requests: list[HttpRequest] = []
        self.replies: list[FedReply] = []
        self.closed = False

    @property
    def ids(self) -> list[str]:
        """The events that were sent, in their order."""
        return [self.header(number, "webhook-id") or "" for number in range(len(self.requests))]

    def header(self, number: int, name: str) -> str | None:
        lines = self.requests[number].head.decode().split("\r\n")
        return dict(line.split(": ", 1) for line in lines if line).get(name)

    async def send(self, request: HttpRequest) -> FedReply:
        self.requests.append(request)
        reply = FedReply(self.answers.popleft() if self.answers else 204)
        self.replies.append(reply)
        return reply

    async def close(self) -> None:
        self.closed = True
