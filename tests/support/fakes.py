"""Fakes of the ports for unit tests: a standing clock, a stream that a test feeds, sinks that remember."""

import asyncio
from collections.abc import Callable, Sequence

from router.domain.catalog import Deployment, Model, Provider, ProviderKind, ReplyModel, Snapshot, Timeouts
from router.domain.dispatch.breakers import Breakers, Passage, Transition
from router.domain.dispatch.failure import Failure, FailureKind, Verdict
from router.domain.dispatch.retry import RetryTerms
from router.domain.faults import Fault
from router.domain.governance.budget import Crossed
from router.domain.ids import DeploymentId, KeyId, ModelName, ProviderId
from router.domain.pricing import PriceCard, Rates
from router.domain.principal import Principal
from router.domain.settlement import Settlement
from router.domain.stream import END_EVENT, Event, EventKind
from router.domain.webhook import DeliveryOutcome
from router.ports.telemetry import Anomaly
from router.ports.upstream import UpstreamFailed, UpstreamRequest

SECOND = 1_000_000_000
PRICE = PriceCard(
    version="test",
    base=Rates(input=2_000_000_000, cached_input=200_000_000, cache_write=2_500_000_000, output=10_000_000_000),
)


class FakeClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.monotonic = 1_000 * SECOND
        self.wall = 1_800_000_000 * SECOND

    def monotonic_ns(self) -> int:
        return self.monotonic

    def wall_ns(self) -> int:
        return self.wall

    def pass_ns(self, span_ns: int) -> None:
        self.monotonic += span_ns
        self.wall += span_ns


class FakeDraw:
    """Counts instead of drawing."""

    def __init__(self) -> None:
        self._count = 0

    def uniform(self) -> float:
        return 0.5

    def token(self) -> str:
        self._count += 1
        return f"{self._count:032x}"


class RecordingTelemetry:
    def __init__(self) -> None:
        self.settled: list[Settlement] = []
        self.rejected: list[Fault] = []
        self.anomalies: list[tuple[Anomaly, int]] = []
        self.crossed: list[Crossed] = []
        self.transitions: list[Transition] = []
        self.webhooks: list[DeliveryOutcome] = []

    def call_settled(self, settlement: Settlement) -> None:
        self.settled.append(settlement)

    def request_rejected(self, fault: Fault) -> None:
        self.rejected.append(fault)

    def budget_crossed(self, crossed: Crossed) -> None:
        self.crossed.append(crossed)

    def breaker_changed(self, transition: Transition) -> None:
        self.transitions.append(transition)

    def webhook_tried(self, outcome: DeliveryOutcome) -> None:
        self.webhooks.append(outcome)

    def noticed(self, anomaly: Anomaly, count: int = 1) -> None:
        self.anomalies.append((anomaly, count))


class FedStream:
    """A `LiveStream` that a test feeds: batches, then an end or a failure."""

    def __init__(self, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self.headers = headers
        self.aborted = False
        self._waiting: asyncio.Future[None] | None = None
        self._batches: list[list[Event]] = []
        self._failure: Failure | None = None
        self._nudged = False
        self.nudges = 0

    def feed(self, *events: Event) -> None:
        self._batches.append(list(events))
        self._wake()

    def chunk(self, text: str) -> None:
        self.feed(chunk(text))

    def end(self) -> None:
        self.feed(END_EVENT)

    def fail(self, failure: Failure) -> None:
        self._failure = failure
        self._wake()

    async def read(self) -> list[Event]:
        while not self._batches and self._failure is None and not self._nudged:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        if self._batches:
            return self._batches.pop(0)
        if self._failure is not None:
            raise UpstreamFailed(self._failure)
        self._nudged = False
        return []

    async def each(self, take: Callable[[list[Event]], bool]) -> None:
        while take(await self.read()):
            pass

    def nudge(self) -> None:
        self.nudges += 1
        if self._waiting is not None and not self._waiting.done():
            self._nudged = True
            self._wake()

    def abort(self) -> None:
        self.aborted = True
        if self._failure is None:
            self.fail(Failure(kind=FailureKind.ABORTED, message="aborted"))

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class FedUpstreams:
    """`Upstreams` and `Upstream` in one: hands out the streams that a test queued, remembers what was asked."""

    def __init__(self) -> None:
        self.requests: list[UpstreamRequest] = []
        self.replies: list[FedStream | Failure] = []
        self.sent: list[bytes] = []
        """The bodies that were passed on while they came."""
        self.while_opening: Callable[[], None] = lambda: None

    def find(self, _provider: ProviderId) -> "FedUpstreams":
        return self

    async def open(self, request: UpstreamRequest) -> FedStream:
        self.requests.append(request)
        self.while_opening()
        if request.rest is not None:
            self.sent.append(request.body + b"".join([piece async for piece in request.rest]))
        reply = self.replies.pop(0)
        if isinstance(reply, Failure):
            raise UpstreamFailed(reply)
        return reply

    async def close(self) -> None:
        pass


class FixedSnapshots:
    store_unseen_ns = 0

    def __init__(self, current: Snapshot) -> None:
        self.current = current


def chunk(text: str, *, finish: str | None = None, index: int = 0) -> Event:
    reason = "null" if finish is None else f'"{finish}"'
    delta = f'{{"content":"{text}"}}' if text else "{}"
    choice = f'{{"index":{index},"delta":{delta},"finish_reason":{reason}}}'
    return Event(EventKind.CHUNK, f'data: {{"model":"up","choices":[{choice}]}}\n\n'.encode())


def usage_chunk(prompt: int, completion: int) -> Event:
    usage = f'{{"prompt_tokens":{prompt},"completion_tokens":{completion}}}'
    return Event(EventKind.CHUNK, f'data: {{"choices":[],"usage":{usage}}}\n\n'.encode())


def deployment(price: PriceCard | None = PRICE) -> Deployment:
    return Deployment(
        id=DeploymentId("up/model"),
        provider=ProviderId("up"),
        upstream_model="model",
        model=ModelName("small"),
        price=price,
    )


def snapshot(
    *,
    price: PriceCard | None = PRICE,
    reply_model: ReplyModel = ReplyModel.UPSTREAM,
    direct: Sequence[Model] = (),
    attempts: int = 1,
) -> Snapshot:
    """One provider, one deployment, models `small` and `hidden`, no keys, no second attempts."""
    timeouts = Timeouts(connect_ns=SECOND, stream_first_event_ns=SECOND, stream_idle_ns=SECOND, total_ns=SECOND)
    deployments = (deployment(price),)
    names = (ModelName("small"), ModelName("hidden"))
    return Snapshot(
        revision=1,
        fingerprint="f",
        providers={ProviderId("up"): Provider(id=ProviderId("up"), kind=ProviderKind.SCRIPTED, timeouts=timeouts)},
        models={name: Model(name=name, deployments=deployments, reply_model=reply_model) for name in names},
        keys={},
        created_s=1_800_000_000,
        retry=RetryTerms(attempts_total=attempts, backoff_base_ns=0),
        direct={model.name: model for model in direct},
    )


def breakers() -> Breakers:
    """Know nothing of any deployment, and tell nobody."""
    return Breakers(uniform=FakeDraw().uniform, changed=lambda _: None)


def eject(fleet: Breakers, one: Deployment, now: int) -> None:
    """Open the breaker of one that answers every other call."""
    for fails in (False, True) * 5:
        passage = fleet.enter(one, now)
        assert isinstance(passage, Passage)
        if fails:
            passage.failed(Verdict(fault=Fault.UPSTREAM_ERROR, counts=True), now=now)
        else:
            passage.began(now)


def principal(*models: str) -> Principal:
    return Principal(key_id=KeyId("ci"), models=models or ("small",))
