"""End calls in every way there is: what the provider does, what the caller does, and when all of it is over."""

import asyncio
from enum import StrEnum
from typing import Final

from tests.support import fake_upstream as fake
from tests.support.fake_upstream import Cut, Reply, Request, Token
from tests.support.money import request_of
from tests.support.running import KEY
from tests.support.stage import Stage
from tests.support.wire import Wire, post, wire

_TOKENS: Final = 5
"""Of a reply that does not come to its end."""
_LATE_S: Final = 0.05
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

    @property
    def estimated(self) -> bool:
        """The provider did not say what it billed."""
        return self in {Exit.CUT, Exit.LEFT_BEFORE, Exit.LEFT_DURING, Exit.LATE}


EXITS: Final = tuple(Exit)
_STATUS: Final = {
    Exit.WHOLE: 200,
    Exit.STREAMED: 200,
    Exit.CUT: 200,
    Exit.REJECTED: 400,
    Exit.FAILED: 502,
    Exit.INVALID: 400,
    Exit.LATE: 504,
}
_STREAMED: Final = {Exit.STREAMED, Exit.CUT, Exit.LEFT_DURING}


class Exits:
    """Play both sides of each call. The provider knows by the request's id which end is wanted."""

    def __init__(self, stage: Stage) -> None:
        self._port = stage.router.http_port
        self._never = asyncio.Event()
        self._arrived: dict[str, asyncio.Future[Request]] = {}
        stage.upstream.handler = self._answer

    async def run(self, kind: Exit, number: int, *, key: str = KEY) -> None:
        """Make one call end so; return when provider and caller have both seen its end."""
        name = f"{kind}-{number}"
        arrived = self._arrived[name] = asyncio.get_running_loop().create_future()
        async with wire(self._port) as caller, asyncio.timeout(_PATIENCE_S):
            await caller.send(_request(kind, name, key))
            if kind in (Exit.LEFT_BEFORE, Exit.LEFT_DURING):
                await self._leave(kind, caller, await arrived)
                return
            reply = await caller.answer()
            assert _STATUS[kind] == reply.status, (name, bytes(reply.body))
            if kind is Exit.LATE:
                await (await arrived).closed.wait()

    async def _leave(self, kind: Exit, caller: Wire, request: Request) -> None:
        if kind is Exit.LEFT_DURING:
            await caller.answer_until(lambda reply: fake.word(_TOKENS - 1).encode() in reply.body)
        caller.close()
        await request.closed.wait()

    def _answer(self, request: Request) -> Reply:
        name = request.headers["x-request-id"]
        if name in self._arrived:
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


def _request(kind: Exit, name: str, key: str) -> bytes:
    lines = [f"x-request-id: {name}"]
    if kind is Exit.INVALID:
        return post(*lines, body=b'{"model": "small", "messages": [', key=key)
    if kind is Exit.LATE:
        lines.append(f"x-checkrein-timeout: {_LATE_S}")
    return post(*lines, body=request_of(200, max_completion_tokens=100, stream=kind in _STREAMED), key=key)
