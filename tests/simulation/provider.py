"""Providers that follow a script and keep their own invoice: the truth about what was spent."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

from router.domain.catalog import Deployment
from router.domain.dialects.dialect import CHAT
from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.dispatch.retry import RetryTerms
from router.domain.ids import ProviderId
from router.domain.pricing import PriceCard
from router.domain.stream import Event, EventKind, ReplyMode
from router.ports.upstream import UpstreamFailed, UpstreamRequest
from tests.simulation.model import law
from tests.support.fakes import FedStream, chunk, usage_chunk

TOKEN = chunk("x")
ERROR = Event(EventKind.CHUNK, b'data: {"error":{"message":"no"}}\n\n')
UNSAID_MAX = 300
"""How long a reply gets that nobody limits."""


def _said(status: int, code: str | None = None, retry_after_ms: int | None = None) -> Failure:
    return Failure(
        kind=FailureKind.STATUS, status=status, code=code, retry_after_ms=retry_after_ms, message="as scripted"
    )


def _so(kind: FailureKind) -> Failure:
    return Failure(kind=kind, message="as scripted")


UNSENT = {kind.value: _so(kind) for kind in (FailureKind.CONNECT, FailureKind.CONNECT_TIMEOUT)}
"""Failures before the request was there."""
REFUSALS = {
    "500": _said(500),
    "503": _said(503, retry_after_ms=1_500),
    "429": _said(429),
    "429, in 700 ms": _said(429, retry_after_ms=700),
    "429, in 20 s": _said(429, retry_after_ms=20_000),
    "409": _said(409),
    "400": _said(400),
    "401": _said(401),
    "402": _said(402),
    "no model": _said(404, "model_not_found"),
    "too long": _said(400, "context_length_exceeded"),
    "refused content": _said(400, "content_filter"),
    "error event": Failure(kind=FailureKind.ERROR_EVENT, type="overloaded_error", message="as scripted"),
}
"""Failures before a reply began. No work was done, so nothing is billed."""
LOST = {
    kind.value: _so(kind)
    for kind in (
        FailureKind.RESET,
        FailureKind.MALFORMED,
        FailureKind.CUT,
        FailureKind.FIRST_EVENT_TIMEOUT,
        FailureKind.IDLE_TIMEOUT,
        FailureKind.TOTAL_TIMEOUT,
    )
}
"""Failures at any time. What came before is billed, and so is the input."""


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

    deployment: Deployment
    card: PriceCard
    input: int
    streams: bool
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

    @property
    def ways_to_fail(self) -> list[Sequence[str]]:
        """Every way that the port allows now, each kind in a list of its own."""
        if not self.opening.done():
            return [[*UNSENT], [*LOST]]
        spoilt = ["end", "error chunk"]
        if self.streams and self.produced < self.limit:
            spoilt.append("a token and an error at once")
        return [spoilt, [*LOST], *([] if self.produced else [[*REFUSALS]])]

    def break_off(self, how: str) -> None:
        self.over = True
        self.refused = how in UNSENT or how in REFUSALS or how == "error chunk"
        failure = UNSENT.get(how) or REFUSALS.get(how) or LOST.get(how)
        if self.stream is None:
            assert failure is not None
            self.opening.set_exception(UpstreamFailed(failure))
        elif failure is not None:
            self.stream.fail(failure)
        elif how == "end":
            self.stream.end()
        elif how == "error chunk":
            self.stream.feed(ERROR)
        else:
            self.produced += 1
            self.stream.feed(TOKEN, ERROR)

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


class Provider:
    """`Upstreams` and `Upstream` in one. What it received is kept by the request's id, over all lives of the router."""

    def __init__(self, terms: RetryTerms) -> None:
        self.terms = terms
        self.served: dict[str, list[Served]] = {}
        """The attempts of a call, in their order."""
        self.inputs: dict[str, int] = {}
        """How many tokens it will count in a request."""
        self.shown: set[str] = set()
        """Requests whose callers have seen something of a reply."""
        self.broken: list[str] = []
        """Laws that did not hold when something was sent: the router takes it for an error of its own."""
        self.beyond_holds: set[str] = set()
        """Requests for which the router could hold no more than it did."""

    def of(self, name: str) -> list[Served]:
        return self.served.get(name, [])

    def billed(self, name: str) -> int:
        """Return what all attempts of a call cost so far, as far as the router has read."""
        return sum([one.bill(one.seen) for one in self.of(name)])

    def overran(self, name: str) -> bool:
        return any(one.overran for one in self.of(name))

    def find(self, _provider: ProviderId) -> "Provider":
        return self

    async def open(self, request: UpstreamRequest) -> FedStream:
        name = dict(request.headers)[b"x-request-id"].decode()
        before = self.served.setdefault(name, [])
        self._check_another(name, before, request.deployment)
        assert request.deployment.price is not None
        said = said_max(request.body, request.deployment)
        served = Served(
            deployment=request.deployment,
            card=request.deployment.price,
            input=self.inputs[name],
            streams=request.mode is ReplyMode.STREAM,
            limit=UNSAID_MAX if said is None else said,
            limited=said is not None,
            opening=asyncio.get_running_loop().create_future(),
        )
        before.append(served)
        try:
            return await served.opening
        except asyncio.CancelledError:
            if served.stream is not None:  # it came too late for whoever asked
                served.stream.abort()
            raise

    def _check_another(self, name: str, before: list[Served], deployment: Deployment) -> None:
        """A further attempt: within the terms, after one that has ended, and never after one that the caller saw."""
        terms, target = self.terms, deployment.target
        self._law(len(before) < terms.attempts_total, f"{name} was sent {len(before) + 1} times")
        there = [one for one in before if one.deployment.target == target]
        self._law(len(there) < terms.attempts_per_deployment, f"{name} was sent to {target} {len(there) + 1} times")
        left = all(one.stream is None or one.stream.aborted for one in before)
        self._law(left, f"{name} was sent again before the attempt before was let go of")
        self._law(name not in self.shown, f"{name} was sent again after its caller had seen a reply")
        self._law(not any(one.seen for one in before), f"{name} was sent again after a reply had begun")

    def _law(self, holds: object, text: str) -> None:
        if not holds:
            self.broken.append(text)
        law(holds, text)

    async def close(self) -> None:
        pass


def said_max(body: bytes, deployment: Deployment) -> int | None:
    """Read the maximum as this deployment heeds it."""
    fields = json.loads(body)
    heeded = CHAT.max_tokens if deployment.max_tokens_field is None else (deployment.max_tokens_field,)
    said = [fields[name] for name in heeded if name in fields]
    if deployment.max_output_tokens is not None:
        said.append(deployment.max_output_tokens)
    return min(said, default=None)
