"""The contract of the `Transport` port, over a real socket: replies, connections, failures."""

import asyncio

import pytest

from router.adapters import transport_httptools
from router.adapters.transport.connection import HEAD_BYTES_MAX
from router.adapters.transport_httptools import HttptoolsTransport, transport_to
from router.domain.dispatch.failure import FailureKind
from router.ports.transport import TransportFailed
from tests.support import fake_upstream
from tests.support.fake_upstream import Cut, FakeUpstream, Framing, Gap, Reply
from tests.support.transport_calls import BODY, LOCAL, failure_of, provider, request, whole
from tests.support.waiting import turn


async def test_a_request_arrives_as_it_was_given(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    await whole(await transport.send(request()))

    seen = upstream.requests[0]
    assert "POST" == seen.method
    assert "/v1/chat/completions" == seen.target
    assert {"host": "test", "content-length": str(len(BODY))} == seen.headers
    assert BODY == seen.body


@pytest.mark.parametrize("framing", [Framing.LENGTH, Framing.CHUNKED, Framing.UNTIL_CLOSE])
async def test_a_body_is_whole_however_it_is_framed(
    framing: Framing, upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    upstream.script(Reply(steps=(b"one ", Gap(0.001), b"two ", b"three"), framing=framing))

    reply = await transport.send(request())

    assert b"one two three" == await whole(reply)
    assert 200 == reply.status
    assert (b"content-type", b"application/json") in reply.headers


async def test_a_chunked_reply_may_be_cut_at_every_byte(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n6\r\n w\xc3\xb6rl\r\n0\r\n\r\n"
    for at in range(1, len(reply)):
        upstream.script(fake_upstream.raw(reply[:at], Gap(0.0005), reply[at:]))
        assert "hello wörl".encode() == await whole(await transport.send(request()))

    assert 1 == upstream.connections_opened


async def test_calls_one_after_the_other_share_a_connection(
    upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    for _ in range(3):
        await whole(await transport.send(request()))

    assert 1 == upstream.connections_opened


async def test_calls_at_the_same_time_do_not_share_a_connection(
    upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    gate = asyncio.Event()
    upstream.script(fake_upstream.silence(gate))
    first = await transport.send(request())
    await upstream.received(1)
    second = await transport.send(request())

    assert b"chatcmpl-2" in await whole(second)
    gate.set()
    assert b"{}" == await whole(first)


async def test_the_connection_used_last_is_used_next(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    first, second = await transport.send(request()), await transport.send(request())
    await whole(first)
    await whole(second)

    await whole(await transport.send(request()))

    assert upstream.requests[1].connection == upstream.requests[2].connection


@pytest.mark.parametrize(
    "reply",
    [
        Reply(steps=(b"{}",), keep_alive=False),
        Reply(steps=(b"{}",), framing=Framing.UNTIL_CLOSE),
        fake_upstream.raw(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}"),
        fake_upstream.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n"),
        fake_upstream.raw(
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]"
        ),
    ],
    ids=["connection-close", "until-close", "http-1.0", "bytes-left-over", "second-reply"],
)
async def test_a_connection_that_cannot_be_trusted_is_not_used_again(
    reply: Reply, upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    upstream.script(reply)

    assert b"{}" == await whole(await transport.send(request()))
    assert b"chatcmpl-2" in await whole(await transport.send(request()))


async def test_a_connection_that_the_server_closed_while_idle_is_replaced_silently(
    upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    await whole(await transport.send(request()))
    upstream.close_idle()
    await upstream.left(0)
    while transport._idle:  # the server has closed; now our side may see it
        await turn()

    assert b"chatcmpl-2" in await whole(await transport.send(request()))


async def test_idle_connections_are_closed_when_they_grow_old(
    upstream: FakeUpstream, transport: HttptoolsTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_httptools, "IDLE_S_MAX", 0.02)
    await whole(await transport.send(request()))
    assert 1 == upstream.open_connections

    await upstream.left(0)


async def test_close_closes_idle_connections_at_once_and_busy_ones_after_their_reply(
    upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    gate = asyncio.Event()
    upstream.script(fake_upstream.completion, fake_upstream.silence(gate))
    idle = await transport.send(request())
    busy = await transport.send(request())
    await whole(idle)

    await transport.close()
    await upstream.left(1)
    gate.set()

    assert b"{}" == await whole(busy)
    await upstream.left(0)


async def test_interim_replies_are_skipped(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    upstream.script(fake_upstream.raw(interim, b"HTTP/1.1 201 Created\r\nx: y\r\ncontent-length: 2\r\n\r\n{}"))

    reply = await transport.send(request())

    assert b"{}" == await whole(reply)
    assert 201 == reply.status
    assert [(b"x", b"y"), (b"content-length", b"2")] == list(reply.headers)


async def test_a_redirect_is_only_a_status(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    upstream.script(Reply(status=307, headers=(("location", "/elsewhere"),), steps=(b"moved",)))

    reply = await transport.send(request())

    assert b"moved" == await whole(reply)
    assert 307 == reply.status
    assert 1 == len(upstream.requests)


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ((b"SSH-2.0-OpenSSH_9.2\r\n",), FailureKind.MALFORMED),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",), FailureKind.MALFORMED),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",), FailureKind.MALFORMED),
        ((b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 2\r\n\r\n??",), FailureKind.MALFORMED),
        ((b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",), FailureKind.MALFORMED),
        ((b"HTTP/1.1 200 OK\r\nx: " + b"y" * (HEAD_BYTES_MAX + 1) + b"\r\n\r\n",), FailureKind.MALFORMED),
        ((b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * (HEAD_BYTES_MAX // 3),), FailureKind.MALFORMED),
        ((b"HTTP/1.1 100 Continue\r\n\r\n" * (HEAD_BYTES_MAX // 20),), FailureKind.MALFORMED),
        ((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",), FailureKind.MALFORMED),
        ((Cut.CLOSE,), FailureKind.RESET),
        ((Cut.RESET,), FailureKind.RESET),
        ((b"HTTP/1.1 200 OK\r\ncontent-le", Cut.CLOSE), FailureKind.RESET),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", Cut.CLOSE), FailureKind.CUT),
        ((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf", Cut.CLOSE), FailureKind.CUT),
        ((b"HTTP/1.1 200 OK\r\n\r\nhalf", Gap(0.005), Cut.RESET), FailureKind.CUT),
    ],
)
async def test_a_broken_reply_is_told_by_its_kind_and_was_sent(
    steps: tuple[fake_upstream.Step, ...],
    kind: FailureKind,
    upstream: FakeUpstream,
    transport: HttptoolsTransport,
) -> None:
    upstream.script(fake_upstream.raw(*steps))

    failed = await failure_of(await transport.send(request()))

    assert failed.kind is kind
    assert failed.sent
    assert 1 == len(upstream.requests)
    await upstream.left(0)


async def test_trailers_without_end_are_cut_off(upstream: FakeUpstream, transport: HttptoolsTransport) -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    trailers: list[fake_upstream.Step] = [b"x: y\r\n" * 1_000, Gap(0.0005)]
    upstream.script(fake_upstream.raw(head, *trailers * 100))

    assert (await failure_of(await transport.send(request()))).kind is FailureKind.MALFORMED


async def test_what_arrived_before_the_cut_is_read_before_the_failure(
    upstream: FakeUpstream, transport: HttptoolsTransport
) -> None:
    upstream.script(fake_upstream.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", Cut.CLOSE))
    reply = await transport.send(request())
    await upstream.left(0)

    assert b"half" == await reply.read()
    with pytest.raises(TransportFailed):
        await reply.read()


async def test_a_refused_connection_was_not_sent(upstream: FakeUpstream) -> None:
    async with FakeUpstream() as gone:
        transport = transport_to(provider(gone.base_url), LOCAL)

    with pytest.raises(TransportFailed) as caught:
        await transport.send(request())

    assert caught.value.kind is FailureKind.CONNECT
    assert not caught.value.sent


async def test_an_unknown_host_was_not_sent() -> None:
    transport = transport_to(provider("http://no-such-host.invalid/v1"), LOCAL)

    with pytest.raises(TransportFailed) as caught:
        await transport.send(request())

    assert caught.value.kind is FailureKind.CONNECT
