"""The contract of the `Upstream` port in each dialect that a kind speaks, judged by the meter of that dialect."""

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Protocol

import pytest

from router.adapters.upstreams.scripted import ScriptedUpstream
from router.domain.catalog import Provider, ProviderKind, Script
from router.domain.dialects.dialect import Dialect
from router.domain.dialects.meter import Meter
from router.domain.dialects.meters import METERS
from router.domain.dialects.translators import GRAMMARS
from router.domain.dispatch.failure import FailureKind
from router.domain.ids import ProviderId
from router.domain.stream import Event, EventKind, ReplyMode
from router.ports.upstream import LiveStream, Upstream, UpstreamFailed, UpstreamRequest
from tests.support.dialects import message, message_events, response, response_events, streamed, whole
from tests.support.fake_upstream import FakeUpstream, Reply, Request
from tests.support.upstream_calls import DEPLOYMENT, TIMEOUTS, drain, failure_of, over

WORDS: Final = 5
TEXT: Final = " ".join(["word"] * WORDS)
TURNS: Final = [{"role": "user", "content": "hello there"}]
ASKED: Final[dict[Dialect, dict[str, object]]] = {
    Dialect.CHAT: {"messages": TURNS, "stream_options": {"include_usage": True}},
    Dialect.COMPLETIONS: {"prompt": "hello there", "stream_options": {"include_usage": True}},
    Dialect.RESPONSES: {"input": "hello there"},
    Dialect.MESSAGES: {"messages": TURNS, "max_tokens": 100},
    Dialect.EMBEDDINGS: {"input": "hello there"},
}
STREAMS: Final = [dialect for dialect in GRAMMARS if dialect is not Dialect.EMBEDDINGS]


class MakeUpstream(Protocol):
    """Make an upstream that answers `TEXT`; its streams end after `cut` words if it is given."""

    def __call__(self, *, cut: int | None = None) -> AbstractAsyncContextManager[Upstream]: ...


@asynccontextmanager
async def scripted(*, cut: int | None = None) -> AsyncIterator[Upstream]:
    script = Script(reply=TEXT, cut_after_tokens=cut)
    yield ScriptedUpstream(
        Provider(id=ProviderId("fake"), kind=ProviderKind.SCRIPTED, timeouts=TIMEOUTS, script=script)
    )


@asynccontextmanager
async def over_http(*, cut: int | None = None) -> AsyncIterator[Upstream]:
    """Speak what the fake provider has whole replies of."""
    events = {"messages": message_events(TEXT), "responses": response_events(TEXT)}
    replies = {"messages": message(TEXT), "responses": response(TEXT)}

    def handler(request: Request) -> Reply:
        route = request.target.rpartition("/")[2]
        if not request.json.get("stream"):
            return whole(replies[route])
        return streamed(events[route][: None if cut is None else 3 + cut])

    async with FakeUpstream(handler=handler) as fake:
        upstream = over(fake)
        yield upstream
        await upstream.close()


HTTP: Final = (Dialect.RESPONSES, Dialect.MESSAGES)
streaming = pytest.mark.parametrize(
    ("make", "dialect"),
    [*[(scripted, dialect) for dialect in STREAMS], *[(over_http, dialect) for dialect in HTTP]],
)
every_dialect = pytest.mark.parametrize(
    ("make", "dialect"),
    [*[(scripted, dialect) for dialect in GRAMMARS], *[(over_http, dialect) for dialect in HTTP]],
)


def ask(dialect: Dialect, mode: ReplyMode) -> UpstreamRequest:
    stream = {"stream": True} if mode is ReplyMode.STREAM else {}
    body = json.dumps({"model": "m", **ASKED[dialect], **stream}).encode()
    return UpstreamRequest(deployment=DEPLOYMENT, dialect=dialect, body=body, mode=mode)


def metered(dialect: Dialect, events: list[Event]) -> Meter:
    meter = METERS[dialect](wants_usage=True)
    meter.take(events)
    return meter


@every_dialect
async def test_a_whole_reply_is_good_and_tells_what_it_used(make: MakeUpstream, dialect: Dialect) -> None:
    async with make() as upstream:
        events = await drain(await upstream.open(ask(dialect, ReplyMode.UNARY)))
    meter = metered(dialect, events)

    assert [EventKind.COMPLETE] == [event.kind for event in events]
    assert (None, True) == (meter.failure, meter.usage is not None)
    assert meter.usage is not None
    assert (0 if dialect is Dialect.EMBEDDINGS else WORDS) == meter.usage.output
    assert meter.usage.input > 0


@streaming
async def test_a_stream_is_good_and_tells_what_it_used(make: MakeUpstream, dialect: Dialect) -> None:
    async with make() as upstream:
        events = await drain(await upstream.open(ask(dialect, ReplyMode.STREAM)))
    meter = metered(dialect, events)

    assert EventKind.END is events[-1].kind
    assert {EventKind.CHUNK} == {event.kind for event in events[:-1]}
    assert (None, True, WORDS) == (meter.failure, meter.finished, meter.counted_tokens)
    assert meter.usage is not None
    assert WORDS == meter.usage.output


@streaming
@pytest.mark.parametrize("cut", [1, 3])
async def test_a_stream_that_is_cut_never_looks_finished(make: MakeUpstream, dialect: Dialect, cut: int) -> None:
    async with make(cut=cut) as upstream:
        events = await read_all(await upstream.open(ask(dialect, ReplyMode.STREAM)))
    meter = metered(dialect, events)

    assert not meter.finished
    assert meter.counted_tokens <= cut


async def read_all(live: LiveStream) -> list[Event]:
    """Read to the end, or to the failure with which some kinds say that it was none."""
    events: list[Event] = []
    while not events or events[-1].kind is not EventKind.END:
        try:
            events += await live.read()
        except UpstreamFailed:
            break
    return events


@pytest.mark.parametrize("dialect", list(GRAMMARS))
async def test_a_body_that_is_no_request_is_the_callers_fault(dialect: Dialect) -> None:
    async with scripted() as upstream:
        request = UpstreamRequest(deployment=DEPLOYMENT, dialect=dialect, body=b'{"model":"m"}', mode=ReplyMode.UNARY)
        failure = await failure_of(upstream, request)

    assert (FailureKind.STATUS, 400, "invalid_request_error") == (failure.kind, failure.status, failure.type)
