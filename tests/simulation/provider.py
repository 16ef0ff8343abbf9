"""A provider that follows a script and keeps its own invoice: the truth about what was spent."""

import asyncio
import json
from dataclasses import dataclass

from router.domain.catalog import Deployment
from router.domain.chat import MAX_TOKENS_FIELDS
from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.ids import ProviderId
from router.domain.pricing import PriceCard
from router.domain.stream import Event, EventKind
from router.ports.upstream import UpstreamFailed, UpstreamRequest
from tests.support.fakes import FedStream, chunk, usage_chunk

TOKEN = chunk("x")
UNSAID_MAX = 300
"""How long a reply gets that nobody limits."""


class WatchedStream(FedStream):
    """Counts what the router has read."""

    seen = 0
    usage_seen = whole_seen = False

    async def read(self) -> list[Event]:
        batch = await super().read()
        for event in batch:
            self.seen += event is TOKEN
            self.usage_seen |= b'"usage"' in event.raw
            self.whole_seen |= event.kind is EventKind.COMPLETE
        return batch

    def abort(self) -> None:
        """Close at once, as the port says: a `read` that waits hears of this, and not of what came meanwhile."""
        if self._failure is None:
            self._batches.clear()
        super().abort()


@dataclass(slots=True, kw_only=True)
class Served:
    """One request that a provider received, and what it bills for it."""

    card: PriceCard
    input: int
    limit: int
    """The longest reply that it was told to give, or gives."""
    limited: bool
    stream: WatchedStream | None = None
    opening: "asyncio.Future[WatchedStream]"
    produced: int = 0
    refused: bool = False
    """It did no work; what it said before is billed all the same."""
    over: bool = False

    @property
    def seen(self) -> int:
        """How much of its reply the router has read."""
        if self.stream is None:
            return 0
        return self.produced if self.stream.whole_seen else self.stream.seen

    @property
    def told(self) -> bool:
        """The router has read what the provider says it bills."""
        return self.stream is not None and self.stream.usage_seen

    @property
    def overran(self) -> bool:
        return self.limited and self.produced > self.limit

    @property
    def live(self) -> bool:
        return self.stream is not None and not self.stream.aborted and not self.over

    def bill(self, output: int) -> int:
        if self.refused and not output:
            return 0
        rates = self.card.base
        return -(-(self.input * rates.input + output * rates.output) // 1_000_000) + self.card.per_request

    def estimate(self, output: int, body_bytes: int) -> int:
        """Price what a reader assumes that was not told: four bytes a token, two quotes around a whole reply."""
        quotes = 1 if self.stream is not None and self.stream.whole_seen else 0
        rates = self.card.base
        per_million = -(-body_bytes // 4) * rates.input + (output + quotes) * rates.output
        return -(-per_million // 1_000_000) + self.card.per_request

    def answer(self) -> None:
        self.stream = WatchedStream()
        self.opening.set_result(self.stream)

    def hang_up(self) -> None:
        """Fail before the request was sent."""
        self.refused = self.over = True
        self.opening.set_exception(UpstreamFailed(Failure(kind=FailureKind.CONNECT, message="as scripted")))

    def feed(self, tokens: int) -> None:
        assert self.stream is not None
        self.produced += tokens
        if tokens:
            self.stream.feed(*[TOKEN] * tokens)

    def finish(self, *, says: bool, together: bool) -> None:
        """End well: a finish for what was said, perhaps the usage, the end."""
        assert self.stream is not None
        events = [chunk("", finish="stop")]
        if says:
            events.append(usage_chunk(self.input, self.produced))
        for batch in [events] if together else [[event] for event in events]:
            self.stream.feed(*batch)
        self.stream.end()
        self.over = True

    def reply(self, tokens: int, *, says: bool) -> None:
        """Answer a request that wanted no stream."""
        assert self.stream is not None
        self.produced = tokens
        self.over = True
        usage = f',"usage":{{"prompt_tokens":{self.input},"completion_tokens":{tokens}}}' if says else ""
        message = f'{{"index":0,"message":{{"content":"{"x" * 4 * tokens}"}},"finish_reason":"stop"}}'
        raw = f'{{"model":"up","choices":[{message}]{usage}}}'
        self.stream.feed(Event(EventKind.COMPLETE, raw.encode()))

    def break_off(self, how: str) -> None:
        assert self.stream is not None
        self.over = True
        if how == "cut":
            self.stream.end()
        elif how == "status":
            assert not self.produced
            self.refused = True
            self.stream.fail(Failure(kind=FailureKind.STATUS, status=500, message="as scripted"))
        elif how == "error event":
            self.refused = True
            self.stream.feed(Event(EventKind.CHUNK, b'data: {"error":{"message":"no"}}\n\n'))
        else:
            self.stream.fail(Failure(kind=FailureKind.RESET, message="as scripted"))


class Provider:
    """`Upstreams` and `Upstream` in one. What it received is kept by the request's id, over all lives of the router."""

    def __init__(self) -> None:
        self.served: dict[str, Served] = {}
        self.inputs: dict[str, int] = {}
        """How many tokens it will count in a request."""
        self.beyond_holds: set[str] = set()
        """Requests for which the router could hold no more than it did."""

    def find(self, _provider: ProviderId) -> "Provider":
        return self

    async def open(self, request: UpstreamRequest) -> FedStream:
        name = dict(request.headers)[b"x-request-id"].decode()
        assert name not in self.served, f"{name} was sent twice"
        assert request.deployment.price is not None
        said = said_max(request.body, request.deployment)
        served = self.served[name] = Served(
            card=request.deployment.price,
            input=self.inputs[name],
            limit=UNSAID_MAX if said is None else said,
            limited=said is not None,
            opening=asyncio.get_running_loop().create_future(),
        )
        return await served.opening

    async def close(self) -> None:
        pass


def said_max(body: bytes, deployment: Deployment) -> int | None:
    """Read the maximum as this deployment heeds it."""
    fields = json.loads(body)
    heeded = MAX_TOKENS_FIELDS if deployment.max_tokens_field is None else (deployment.max_tokens_field,)
    said = [fields[name] for name in heeded if name in fields]
    if deployment.max_output_tokens is not None:
        said.append(deployment.max_output_tokens)
    return min(said, default=None)
