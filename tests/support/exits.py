"""End calls in every way there is: what the provider does, what the caller does, and when all of it is over."""

import asyncio
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Self, cast

from router.domain.ids import ProviderId
from router.domain.stream import Event
from router.pipeline.open import Pipeline
from router.ports.upstream import LiveStream, UpstreamRequest
from tests.support import fake_upstream as fake
from tests.support.fake_upstream import Cut, Reply, Request, Token
from tests.support.money import model, request_of
from tests.support.running import KEY
from tests.support.stage import Stage
from tests.support.wire import Wire, post, wire

_TOKENS: Final = 5
"""Of a reply that does not come to its end."""
_LATE_S: Final = 0.3
_PATIENCE_S: Final = 10


class Exit(StrEnum):
    WHOLE = "whole"
    STREAMED = "streamed"
    REJECTED = "rejected"
    """400 from the provider."""
    FAILED = "failed"
    """503 from the provider, a 502 of ours."""
    CUT = "cut"
    """The provider's connection breaks within the stream."""
    LEFT_BEFORE = "left_before"
    """The caller hangs up before the first byte."""
    LEFT_DURING = "left_during"
    """The caller hangs up within the stream."""
    INVALID = "invalid"
    """No JSON: never a call."""
    LATE = "late"
    """The provider says nothing until the caller's time is up."""
    BROKEN = "broken"
    """The router itself raises while it waits for the provider, a 500 of ours."""
    OVER_BUDGET = "over_budget"
    """Its agent may spend nothing."""
    OVER_LIMIT = "over_limit"
    """Its deployment has served this minute's only request."""

    @property
    def estimated(self) -> bool:
        """The provider did not say what it billed."""
        return self in {Exit.CUT, Exit.LEFT_BEFORE, Exit.LEFT_DURING, Exit.LATE, Exit.BROKEN}

    @property
    def refused(self) -> bool:
        """It has a row and never reached the provider."""
        return self in {Exit.OVER_BUDGET, Exit.OVER_LIMIT}


EXITS: Final = tuple(Exit)
_STATUS: Final = {
    Exit.WHOLE: 200,
    Exit.STREAMED: 200,
    Exit.CUT: 200,
    Exit.REJECTED: 400,
    Exit.FAILED: 502,
    Exit.INVALID: 400,
    Exit.LATE: 504,
    Exit.BROKEN: 500,
    Exit.OVER_BUDGET: 429,
    Exit.OVER_LIMIT: 429,
}
POOR_AGENT: Final = "poor"
CROWDED_MODEL: Final = "crowded"
SECTIONS: Final[dict[str, object]] = {
    "models": [model(), model(CROWDED_MODEL, limits={"rpm": 1})],
    "budgets": [{"name": "poor", "scope": {"agent": POOR_AGENT}, "limit_usd": 0, "window": "lifetime"}],
}
"""What a router must be configured with to refuse calls."""
_STREAMED: Final = {Exit.STREAMED, Exit.CUT, Exit.LEFT_DURING}


class Exits:
    """Play both sides of each call. The provider knows by the request's id which end is wanted."""

    def __init__(self, stage: Stage) -> None:
        self._port = stage.router.http_port
        self._never = asyncio.Event()
        self._arrived: dict[str, asyncio.Future[Request]] = {}
        stage.upstream.handler = self._answer
        _Breaking.into(stage.router.lifecycle._pipeline, self._arrived)

    async def fill(self) -> None:
        """Use up what the crowded deployment serves in this minute."""
        async with wire(self._port) as caller:
            await caller.send(post(f"x-request-id: {Exit.WHOLE}-first", body=request_of(200, model=CROWDED_MODEL)))
            assert 200 == (await caller.answer()).status

    async def run(self, kind: Exit, number: int, *lines: str, key: str = KEY) -> None:
        """Make one call end so; return when provider and caller have both seen its end."""
        name = f"{kind}-{number}"
        arrived = self._arrived[name] = asyncio.get_running_loop().create_future()
        async with wire(self._port) as caller, asyncio.timeout(_PATIENCE_S):
            await caller.send(_request(kind, name, lines, key))
            if kind in (Exit.LEFT_BEFORE, Exit.LEFT_DURING):
                await self._leave(kind, caller, await arrived)
                return
            reply = await caller.answer()
            assert _STATUS[kind] == reply.status, (name, bytes(reply.body))
            # A late one may have been too late to reach its provider, where the machine is busy.
            if kind is Exit.BROKEN or (kind is Exit.LATE and arrived.done()):
                await (await arrived).closed.wait()

    async def _leave(self, kind: Exit, caller: Wire, request: Request) -> None:
        if kind is Exit.LEFT_DURING:
            await caller.answer_until(lambda reply: fake.word(_TOKENS - 1).encode() in reply.body)
        caller.close()
        await request.closed.wait()

    def _answer(self, request: Request) -> Reply:
        name = request.headers["x-request-id"]
        if name in self._arrived and not self._arrived[name].done():
            self._arrived[name].set_result(request)
        kind = Exit(name.partition("-")[0])
        words = [Token(fake.chunk(request, {"content": fake.word(index)})) for index in range(_TOKENS)]
        match kind:
            case Exit.WHOLE:
                return fake.completion(request, 7)
            case Exit.STREAMED:
                return fake.stream(request, 7)
            case Exit.REJECTED | Exit.FAILED:
                request.input_billed = 0
                return fake.error(400 if kind is Exit.REJECTED else 503)
            case Exit.CUT:
                return fake.event_stream(*words, Cut.CLOSE)
            case Exit.LEFT_DURING:
                return fake.event_stream(*words, self._never)
            case _:
                return fake.silence(self._never)


class _Breaking:
    """`Upstreams` and `Upstream` that pass on what they are asked, and break what comes back where that is wanted."""

    def __init__(self, real: Any, arrived: Mapping[str, asyncio.Future[Request]]) -> None:
        self._real = real
        self._arrived = arrived

    @classmethod
    def into(cls, pipeline: Pipeline, arrived: Mapping[str, asyncio.Future[Request]]) -> None:
        real = pipeline.means.upstreams
        pipeline.means.upstreams = cls(real._real if isinstance(real, cls) else real, arrived)

    def find(self, provider: ProviderId) -> Self:
        return type(self)(self._real.find(provider), self._arrived)

    async def open(self, request: UpstreamRequest) -> LiveStream:
        stream: LiveStream = await self._real.open(request)
        name = dict(request.headers)[b"x-request-id"].decode()
        return cast(LiveStream, _Broken(stream, self._arrived[name])) if name.startswith(Exit.BROKEN) else stream

    async def close(self) -> None:
        """The real ones are closed by their owner."""


class _Broken:
    """A stream whose reader fails, for a reason that nobody foresaw, once the provider has the request."""

    headers = ()

    def __init__(self, real: LiveStream, arrived: asyncio.Future[Request]) -> None:
        self._arrived = arrived
        self.abort = real.abort
        self.nudge = real.nudge

    async def read(self) -> list[Event]:
        await self._arrived
        raise ZeroDivisionError("says the test")


def _request(kind: Exit, name: str, more: Sequence[str], key: str) -> bytes:
    lines = [f"x-request-id: {name}", *more]
    if kind is Exit.INVALID:
        return post(*lines, body=b'{"model": "small", "messages": [', key=key)
    if kind is Exit.LATE:
        lines.append(f"x-checkrein-timeout: {_LATE_S}")
    if kind is Exit.OVER_BUDGET:
        lines = [line for line in lines if "agent" not in line] + [f"x-checkrein-agent: {POOR_AGENT}"]
    members: dict[str, object] = {"max_completion_tokens": 100, "stream": kind in _STREAMED}
    if kind is Exit.OVER_LIMIT:
        members["model"] = CROWDED_MODEL
    return post(*lines, body=request_of(200, **members), key=key)
