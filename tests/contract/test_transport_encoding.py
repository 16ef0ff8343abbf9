"""The contract of the `Transport` port, over a real socket: replies that are encoded although nobody asked for it."""

import asyncio
import gzip
import zlib

import pytest

from router.adapters.transport.decoding import SLICE_BYTES_MAX
from router.adapters.transport_httptools import HttptoolsTransport
from router.domain.dispatch.failure import FailureKind
from tests.support import fake_upstream
from tests.support.fake_upstream import Cut, FakeUpstream, Framing, Gap, Reply
from tests.support.transport_calls import failure_of, request, whole
from tests.support.waiting import pause

TEXT = b'{"choices":[]}' * 100


def bare(data: bytes) -> bytes:
    deflating = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflating.compress(data) + deflating.flush()


def encoded(coding: str, *steps: fake_upstream.Step, framing: Framing = Framing.LENGTH) -> Reply:
    return Reply(steps=steps, headers=(("content-encoding", coding),), framing=framing)


@pytest.mark.parametrize("framing", [Framing.LENGTH, Framing.CHUNKED, Framing.UNTIL_CLOSE])
@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("GZIP", gzip.compress(TEXT)),
        ("x-gzip", gzip.compress(TEXT[:700]) + gzip.compress(TEXT[700:])),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", bare(TEXT)),
    ],
    ids=["gzip", "capitals", "members", "zlib", "bare"],
)
async def test_an_encoded_body_is_decoded(
    coding: str, body: bytes, framing: Framing, upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    upstream.script(encoded(coding, body, framing=framing), encoded(coding, body[:1], Gap(0.002), body[1:]))

    for _ in range(2):
        reply = await transport.send(request())
        assert TEXT == await whole(reply)
        assert reply.complete


async def test_an_encoded_body_without_a_byte_is_empty(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    upstream.script(encoded("gzip"))

    assert b"" == await whole(await transport.send(request()))


async def test_an_event_is_read_as_soon_as_it_was_sent(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    gate = asyncio.Event()
    deflating = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    first = deflating.compress(b"data: one\n\n") + deflating.flush(zlib.Z_SYNC_FLUSH)
    rest = deflating.compress(b"data: two\n\n") + deflating.flush()
    upstream.script(encoded("gzip", first, gate, rest, framing=Framing.CHUNKED))
    reply = await transport.send(request())

    begun = b""
    async with asyncio.timeout(5):
        while not begun:
            begun = await reply.read()
    gate.set()

    assert b"data: one\n\n" == begun
    assert b"data: two\n\n" == await whole(reply)


async def test_a_reply_that_is_large_inside_comes_in_slices(
    upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    size = 64 * 1024 * 1024
    upstream.script(encoded("gzip", gzip.compress(bytes(size))))
    reply = await transport.send(request())
    turns = largest = total = 0

    def take(data: bytes) -> bool:
        nonlocal largest, total
        largest, total = max(largest, len(data)), total + len(data)
        return bool(data) or not reply.complete

    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(reply.each(take))
        while not reading.done():
            turns += 1
            await pause(0)

    assert (size, SLICE_BYTES_MAX) == (total, largest)
    assert turns > size // SLICE_BYTES_MAX // 2


async def test_a_reader_of_a_large_reply_lets_others_run(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    upstream.script(encoded("gzip", gzip.compress(bytes(100 * SLICE_BYTES_MAX))))
    reply = await transport.send(request())
    turns = 0

    async def read() -> int:
        total = 0
        while not reply.complete:
            total += len(await reply.read())
        return total

    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read())
        while not reading.done():
            turns += 1
            await pause(0)

    assert 100 * SLICE_BYTES_MAX == reading.result()
    assert turns > 50


async def test_a_reader_that_stops_holds_an_encoded_sender_back(
    upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    piece = gzip.compress(bytes(range(256)) * 4_096, compresslevel=0)
    upstream.script(encoded("gzip", *[piece] * 60, framing=Framing.CHUNKED))
    reply = await transport.send(request())
    seen = await upstream.received(1)
    sent = -1
    while sent != seen.sent_bytes:  # until the sender makes no more progress
        sent = seen.sent_bytes
        await pause(0.05)

    assert not seen.done.is_set()
    assert 60 * 256 * 4_096 == len(await whole(reply))


@pytest.mark.parametrize(
    ("coding", "steps", "kind"),
    [
        ("gzip", (b"??",), FailureKind.MALFORMED),
        ("deflate", (b"\xff\xff\xff\xff",), FailureKind.MALFORMED),
        ("deflate", (zlib.compress(TEXT) + b"more",), FailureKind.MALFORMED),
        ("gzip", (gzip.compress(TEXT) + b"more",), FailureKind.MALFORMED),
        ("gzip", (gzip.compress(TEXT)[:-1],), FailureKind.CUT),
        ("deflate", (b"\x78",), FailureKind.CUT),
        ("gzip", (gzip.compress(TEXT), Cut.CLOSE, b"?"), FailureKind.CUT),
        ("gzip, gzip", (gzip.compress(gzip.compress(TEXT)),), FailureKind.MALFORMED),
        ("zstd", (b"?",), FailureKind.MALFORMED),
    ],
)
async def test_what_cannot_be_decoded_is_a_failure(
    coding: str,
    steps: tuple[fake_upstream.Step, ...],
    kind: FailureKind,
    upstream: FakeUpstream,
    transport: HttptoolsTransport,
) -> None:
    upstream.script(encoded(coding, *steps))

    assert kind is (await failure_of(await transport.send(request()))).kind


async def test_an_encoded_reply_that_has_arrived_can_still_be_aborted(
    upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    upstream.script(encoded("gzip", gzip.compress(bytes(10 * SLICE_BYTES_MAX))))
    reply = await transport.send(request())
    while not await reply.read():
        pass
    reply.abort()

    assert FailureKind.ABORTED is (await failure_of(reply)).kind
