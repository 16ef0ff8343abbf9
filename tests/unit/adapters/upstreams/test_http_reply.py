"""Bounds of a reply and the races at its end, over a reply that the test plays byte by byte."""

import asyncio
from collections.abc import Sequence

import pytest

from router.adapters.upstreams import http_reply
from router.adapters.upstreams.error_body import ErrorReader
from router.adapters.upstreams.http_reply import ProviderReply, Shape
from router.adapters.upstreams.watch import Watches
from router.domain.dispatch.failure import FailureKind
from router.domain.ids import ProviderId
from router.domain.stream import END_EVENT, Event, EventKind, ReplyMode
from router.ports.transport import TransportFailed
from router.ports.upstream import UpstreamFailed
from tests.support.fakes import FakeClock, snapshot
from tests.support.waiting import turn

SECOND = 1_000_000_000
TIMEOUTS = snapshot().providers[ProviderId("up")].timeouts


class PlayedReply:
    """An `HttpReply` whose reads return what was queued: bytes, or a failure."""

    def __init__(self, *news: bytes | TransportFailed, status: int = 200, content_type: bytes = b"") -> None:
        self.status = status
        self.headers: Sequence[tuple[bytes, bytes]] = ((b"content-type", content_type),) if content_type else ()
        self.news = list(news)
        self.aborted = 0

    @property
    def complete(self) -> bool:
        return not self.news

    async def read(self) -> bytes:
        news = self.news.pop(0) if self.news else b""
        if isinstance(news, TransportFailed):
            raise news
        return news

    def nudge(self) -> None:
        raise NotImplementedError

    def abort(self) -> None:
        self.aborted += 1


def live(reply: PlayedReply, mode: ReplyMode = ReplyMode.STREAM, total_ns: int = 60 * SECOND) -> ProviderReply:
    return ProviderReply(
        reply,
        mode=mode,
        started_s=asyncio.get_running_loop().time(),
        watches=Watches(TIMEOUTS),
        total_ns=total_ns,
        errors=ErrorReader("up", ()),
        clock=FakeClock(),
    )


async def failed(reply: ProviderReply) -> tuple[FailureKind, str]:
    with pytest.raises(UpstreamFailed) as caught:
        await reply.read()
    return caught.value.failure.kind, caught.value.failure.message


async def test_a_unary_reply_above_its_bound_is_refused_and_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_reply, "REPLY_BYTES_MAX", 10)
    fits, long = PlayedReply(b'{"a":', b'"bcd"}'[:5], b""), PlayedReply(b'{"a":', b'"bcd"}', b"never read")
    fits.news[1] = b'"bc"}'

    assert [Event(EventKind.COMPLETE, b'{"a":"bc"}')] == await live(fits, ReplyMode.UNARY).read()
    assert (FailureKind.MALFORMED, "up answered with more than 10 bytes") == await failed(live(long, ReplyMode.UNARY))
    assert 1 == long.aborted
    assert [b"never read"] == long.news


async def test_an_endless_event_is_refused_after_the_events_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.adapters.upstreams.sse.EVENT_BYTES_MAX", 20)
    reply = live(PlayedReply(b"data: {}\n\ndata: {" + b"x" * 30))

    assert [Event(EventKind.CHUNK, b"data: {}\n\n")] == await reply.read()
    assert (FailureKind.MALFORMED, "up sent an event of more than 20 bytes") == await failed(reply)


async def test_a_failure_stays_the_first_one() -> None:
    reply = live(PlayedReply(TransportFailed(FailureKind.CUT, "went away")))

    assert (FailureKind.CUT, "up went away") == await failed(reply)
    reply.abort()
    assert (FailureKind.CUT, "up went away") == await failed(reply)


async def test_abort_after_the_end_does_not_touch_the_connection() -> None:
    played = PlayedReply(b"data: [DONE]\n\n")
    reply = live(played)

    assert [END_EVENT] == await reply.read()
    reply.abort()
    assert 0 == played.aborted


class LateReply(PlayedReply):
    """It has arrived whole, and its reader has not had its turn yet."""

    def __init__(self, *news: bytes) -> None:
        super().__init__(*news)
        self.wakes = asyncio.Event()

    async def read(self) -> bytes:
        await self.wakes.wait()
        return await super().read()


@pytest.mark.parametrize(
    ("mode", "body"), [(ReplyMode.UNARY, b"{}"), (ReplyMode.STREAM, b"data: {}\n\ndata: [DONE]\n\n")]
)
async def test_a_reply_that_is_aborted_as_it_arrives_is_not_read(mode: ReplyMode, body: bytes) -> None:
    played = LateReply(body)
    reply = live(played, mode)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(failed(reply))
        await turn()
        played.wakes.set()
        reply.abort()

    assert FailureKind.ABORTED is reading.result()[0]


async def test_a_reply_without_content_type_is_taken_for_a_stream() -> None:
    assert [Event(EventKind.CHUNK, b"data: {}\n\n")] == await live(PlayedReply(b"data: {}\n\n", b"")).read()


async def test_content_that_mentions_an_error_is_not_one() -> None:
    raw = b'data: {"error":null,"choices":[{"delta":{"content":"\\"error\\""},"type":"error"}]}\n\n'

    assert [Event(EventKind.CHUNK, raw)] == await live(PlayedReply(raw, b"")).read()


async def test_the_headers_are_the_upstreams_once_something_was_read_or_failed() -> None:
    cut = TransportFailed(FailureKind.CUT, "closed the connection")
    good = live(PlayedReply(b"data: {}\n\n", b"", content_type=b"text/event-stream"))
    broken = live(PlayedReply(cut, content_type=b"text/event-stream"))
    cut_off = live(PlayedReply(b"", content_type=b"text/event-stream"))

    assert () == good.headers == broken.headers
    await good.read()
    await failed(broken)
    cut_off.abort()
    assert [((b"content-type", b"text/event-stream"),)] * 3 == [one.headers for one in (good, broken, cut_off)]


async def test_a_reply_that_is_complete_does_not_expire_while_its_reader_is_late() -> None:
    reply = live(PlayedReply(), ReplyMode.UNARY, total_ns=1_000_000)
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, passed.set)
    await passed.wait()

    assert (FailureKind.EMPTY, "up answered with an empty body") == await failed(reply)


def shaped(reply: PlayedReply, shape: Shape, mode: ReplyMode = ReplyMode.UNARY) -> ProviderReply:
    return ProviderReply(
        reply,
        mode=mode,
        named_events=True,
        shape=shape,
        started_s=asyncio.get_running_loop().time(),
        watches=Watches(TIMEOUTS),
        total_ns=60 * SECOND,
        errors=ErrorReader("up", ()),
        clock=FakeClock(),
    )


async def heard(reply: ProviderReply) -> list[tuple[EventKind, bytes]]:
    events: list[Event] = []
    while not events or events[-1].kind not in (EventKind.END, EventKind.COMPLETE):
        events += await reply.read()
    return [(event.kind, event.raw) for event in events]


END = (EventKind.END, b"")
NAMED = b'event: a.done\ndata: {"type":"a.done"}\n\n'


@pytest.mark.parametrize("mode", ReplyMode)
@pytest.mark.parametrize("shape", [Shape.ANY, Shape.JSON_OR_EVENTS])
@pytest.mark.parametrize(
    ("content_type", "body", "events"),
    [
        (b"application/json", b'{"a":1}', [(EventKind.COMPLETE, b'{"a":1}')]),
        (b"Application/JSON; charset=utf-8", b'{"a":1}', [(EventKind.COMPLETE, b'{"a":1}')]),
        (b"text/event-stream", NAMED, [(EventKind.CHUNK, NAMED), END]),
    ],
)
async def test_a_reply_is_what_its_content_type_says(
    mode: ReplyMode, shape: Shape, content_type: bytes, body: bytes, events: list[tuple[EventKind, bytes]]
) -> None:
    assert events == await heard(shaped(PlayedReply(b"", body, b"", content_type=content_type), shape, mode))


@pytest.mark.parametrize(
    "content_type", [b"audio/mpeg", b"text/plain; charset=utf-8", b"application/octet-stream", b""]
)
async def test_bytes_of_any_other_kind_pass_where_they_may_come(content_type: bytes) -> None:
    pieces = [b'{"error":1}', b"data: x\n\n", b"\x00"]
    reply = shaped(PlayedReply(b"", *pieces, b"", content_type=content_type), Shape.ANY)

    assert [*((EventKind.BYTES, piece) for piece in pieces), END] == await heard(reply)


@pytest.mark.parametrize(
    ("shape", "content_type"), [(Shape.JSON_OR_EVENTS, b"audio/mpeg"), (Shape.ANY, b"text/html"), (Shape.JSON, b"")]
)
async def test_a_page_or_bytes_that_nobody_asked_for_are_no_reply(shape: Shape, content_type: bytes) -> None:
    kind, _ = await failed(shaped(PlayedReply(b"", b"<html>", b"", content_type=content_type), shape))

    assert FailureKind.MALFORMED is kind


async def test_after_the_first_bytes_a_silence_is_as_long_as_one_in_a_stream() -> None:
    reply = shaped(PlayedReply(b"", b"a", b"b", b"", content_type=b"audio/mpeg"), Shape.ANY)
    before = reply._watch.due_s
    await reply.read()

    assert reply._watch.due_s < before
