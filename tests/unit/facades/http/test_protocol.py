"""The connection over a transport that a test holds: what it closes, when, and what it says."""

import asyncio
from collections.abc import Callable

import pytest
import uvicorn
from uvicorn.server import ServerState

from router.facades.http.asgi import Receive, Scope, Send
from router.facades.http.body import read_body
from router.facades.http.exchange import Exchange, HotRoutes
from router.facades.http.limits import HttpLimits
from router.facades.http.outlet import ConnectionOutlet
from router.facades.http.protocol import FrontProtocol, connection_of
from tests.support.fakes import SECOND
from tests.support.waiting import turns

LIMITS = HttpLimits(
    max_body=100,
    max_headers=200,
    read_timeout_ns=60 * SECOND,
    body_timeout_ns=60 * SECOND,
    write_timeout_ns=60 * SECOND,
    stream_ping_ns=60 * SECOND,
)
GET = b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n"
HOT = b"POST /hot HTTP/1.1\r\nHost: x\r\ncontent-length: 2\r\n\r\n{}"
HOT_IN_CHUNKS = b"POST /hot HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n"


class HeldTransport(asyncio.Transport):
    """Keeps what is written; closes when told."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended: str | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = self.ended or "aborted"

    def is_closing(self) -> bool:
        return self.ended is not None

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Served:
    """A connection whose applications keep what they were given and answer when the test opens the gate."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.bodies: list[bytes] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.transport = HeldTransport()
        config = uvicorn.Config(self.app, interface="asgi3", log_config=None, access_log=False, lifespan="off")
        config.load()
        self.exchanges: list[Exchange] = []
        hot = HotRoutes(targets=frozenset([b"/hot"]), answer=self.answer)
        self.connection = FrontProtocol(config, ServerState(), {}, asyncio.get_running_loop(), limits=LIMITS, hot=hot)
        self.connection.connection_made(self.transport)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["path"] == "/hot" and scope["method"] == "POST":
            self.bodies.append(await read_body(receive, max_bytes=LIMITS.max_body))
        await self.gate.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def answer(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        await self.gate.wait()
        ConnectionOutlet(exchange.connection, exchange, in_chunks=True).whole(200, [], b"hot")

    async def feed(self, data: bytes) -> None:
        self.connection.data_received(data)
        await turns(5)


class Streaming(Served):
    """Its hot replies are streams of these parts, the last of which ends it."""

    def __init__(self, *parts: bytes) -> None:
        super().__init__()
        self.parts = parts
        self.parts_end = True

    async def answer(self, exchange: Exchange) -> None:
        outlet = ConnectionOutlet(exchange.connection, exchange, in_chunks=True)
        outlet.begin(200, [])
        for part in self.parts[:-1]:
            outlet.more(part)
        if self.parts_end:
            outlet.end(self.parts[-1])
        else:
            outlet.more(self.parts[-1])
            outlet.cut()


@pytest.mark.parametrize("parts", [(b"a", b""), (b"", b"a"), (b"a", b"", b"")])
async def test_a_part_of_no_bytes_does_not_end_a_stream_and_an_end_of_none_ends_it_once(
    parts: tuple[bytes, ...],
) -> None:
    served = Streaming(*parts)
    await served.feed(HOT)

    _, body = served.transport.written.split(b"\r\n\r\n", 1)
    assert b"1\r\na\r\n0\r\n\r\n" == body


async def test_a_stream_that_is_cut_is_not_ended_but_closed() -> None:
    served = Streaming(b"a", b"b")
    served.parts_end = False
    await served.feed(HOT)

    _, body = served.transport.written.split(b"\r\n\r\n", 1)
    assert (b"1\r\na\r\n1\r\nb\r\n", "closed") == (body, served.transport.ended)


async def test_a_request_knows_its_connection() -> None:
    served = Served()
    await served.feed(GET % 1)

    assert served.connection is connection_of(served.scopes[0])
    assert connection_of({}) is None
    assert connection_of({"extensions": {"checkrein.connection": "forged"}}) is None
    assert served.transport.written.startswith(b"HTTP/1.1 204")
    assert served.transport.ended is None


async def test_trailers_do_not_become_headers() -> None:
    served = Served()
    served.gate.clear()
    await served.feed(
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\nauthorization: x\r\n\r\n" + GET % 2
    )
    served.gate.set()
    await turns(10)

    assert [b"host", b"transfer-encoding"] == [name for name, _ in served.scopes[0]["headers"]]
    assert [b"host"] == [name for name, _ in served.scopes[1]["headers"]]


async def test_an_offer_of_another_protocol_is_read_as_if_it_were_not_there() -> None:
    served = Served()
    await served.feed(b"POST /a HTTP/1.1\r\nupgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 9\r\n\r\nGET")
    await served.feed(b" /b HT" + GET % 2)

    assert ["/a", "/2"] == [scope["path"] for scope in served.scopes]
    assert b"upgrade" not in [name for name, _ in served.scopes[0]["headers"]]
    assert served.transport.ended is None


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"rubbish\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 300 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"a" * 300, b"431"),
    ],
    ids=["rubbish", "header", "target"],
)
async def test_what_cannot_be_read_is_answered_once_and_closed(data: bytes, status: bytes) -> None:
    served = Served()
    await served.feed(data)

    assert served.transport.written.startswith(b"HTTP/1.1 " + status)
    assert 1 == served.transport.written.count(b"connection: close")
    assert "closed" == served.transport.ended


async def test_a_peer_that_goes_is_told_of_once() -> None:
    served = Served()
    served.gate.clear()
    told: list[str] = []
    await served.feed(GET % 1)
    served.connection.on_gone = lambda: told.append("gone")
    served.connection.connection_lost(None)
    served.connection.connection_lost(None)
    served.gate.set()
    await turns(5)

    assert ["gone"] == told
    assert b"" == served.transport.written


async def test_a_body_that_nobody_reads_is_cut_beyond_its_bound() -> None:
    served = Served()
    await served.feed(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n")
    await served.feed(b"a" * 100)
    within = served.transport.ended
    await served.feed(b"a")

    assert within is None
    assert "aborted" == served.transport.ended


@pytest.mark.parametrize(
    "begin",
    [
        b"GET / HTTP/1.1\r\nx: ",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx: ",
    ],
    ids=["header", "trailer"],
)
async def test_a_line_without_end_is_cut_at_the_bound(begin: bytes) -> None:
    served = Served()
    served.gate.clear()
    await served.feed(begin)
    await served.feed(b"a" * 200)
    within = served.transport.ended
    await served.feed(b"a")

    assert within is None
    assert "closed" == served.transport.ended
    assert served.transport.written.startswith(b"HTTP/1.1 431")


async def test_a_body_in_pieces_is_not_taken_for_a_line() -> None:
    served = Served()
    served.gate.clear()
    await served.feed(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1f4\r\na")
    for _ in range(499):
        await served.feed(b"a")
    await served.feed(b"\r\n0\r\n\r\n")

    assert served.transport.ended is None
    assert b"" == served.transport.written


async def test_a_reply_handed_over_in_the_turn_of_a_shutdown_still_leaves() -> None:
    served = Served()
    await served.feed(GET % 1)
    served.transport.written = b""
    served.connection.write_soon(b"the reply")
    served.connection.shutdown()
    await turns(3)

    assert b"the reply" == served.transport.written
    assert "closed" == served.transport.ended


async def test_a_hot_request_that_comes_whole_is_answered_without_asgi() -> None:
    served = Served()
    await served.feed(HOT)
    await served.feed(HOT)

    assert [] == served.scopes
    assert [([(b"host", b"x"), (b"content-length", b"2")], b"{}")] * 2 == [
        (exchange.headers, exchange.body) for exchange in served.exchanges
    ]
    assert 2 == served.transport.written.count(b"HTTP/1.1 200 OK\r\n")
    assert served.transport.ended is None


async def test_trailers_of_a_hot_request_do_not_become_headers() -> None:
    served = Served()
    await served.feed(HOT_IN_CHUNKS + b"authorization: x\r\n\r\n")

    assert [([b"host", b"transfer-encoding"], b"{}")] == [
        ([name for name, _ in exchange.headers], exchange.body) for exchange in served.exchanges
    ]


@pytest.mark.parametrize("at", range(1, len(HOT)))
async def test_a_hot_request_in_two_pieces_is_handed_to_asgi_with_all_that_came(at: int) -> None:
    served = Served()
    await served.feed(HOT[:at])
    await served.feed(HOT[at:])
    at_once = HOT.index(b"\r\n\r\n") + 4 > at  # the second piece brought the end of the head, and so all that follows

    assert ((1, 0) if at_once else (0, 1)) == (len(served.exchanges), len(served.scopes))
    if not at_once:
        assert [(b"host", b"x"), (b"content-length", b"2")] == served.scopes[0]["headers"]
        assert "/hot" == served.scopes[0]["path"]
        assert b"{}" == served.bodies[0]


@pytest.mark.parametrize(
    "data",
    [
        HOT.replace(b"POST", b"PUT"),
        HOT.replace(b"/hot", b"/hot?a=b"),
        HOT.replace(b"/hot", b"/HOT"),
        HOT.replace(b"Host: x", b"host: x\r\nexpect: 100-continue"),
    ],
    ids=["method", "query", "case", "expect"],
)
async def test_what_is_not_exactly_a_hot_request_goes_through_asgi(data: bytes) -> None:
    served = Served()
    await served.feed(data)

    assert (0, 1) == (len(served.exchanges), len(served.scopes))


async def test_requests_in_one_segment_are_answered_in_their_order() -> None:
    served = Served()
    served.gate.clear()
    await served.feed(HOT + GET % 2 + HOT)
    assert (1, 0) == (len(served.exchanges), len(served.scopes))
    served.gate.set()
    await turns(20)

    assert (1, ["/2", "/hot"]) == (len(served.exchanges), [scope["path"] for scope in served.scopes])
    assert [b"200", b"204", b"204"] == [part[:3] for part in served.transport.written.split(b"HTTP/1.1 ")[1:]]


async def test_a_hot_request_that_wants_the_connection_closed_has_it_closed() -> None:
    served = Served()
    await served.feed(HOT.replace(b"Host: x", b"host: x\r\nconnection: close"))

    assert b"connection: close\r\n" in served.transport.written
    assert "closed" == served.transport.ended


async def test_a_peer_that_leaves_a_hot_request_is_told_of() -> None:
    served = Served()
    served.gate.clear()
    await served.feed(HOT)
    served.connection.connection_lost(None)
    served.gate.set()
    await turns(5)

    assert served.exchanges[0].disconnected
    assert b"" == served.transport.written


async def test_a_connection_is_closed_when_it_was_idle_for_its_time_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served = Served()
    connection = served.connection
    now = [connection.loop.time()]
    monkeypatch.setattr(connection, "loop", StandingLoop(now))
    span = connection.timeout_keep_alive

    await served.feed(HOT)
    now[0] += span - 1
    await served.feed(HOT)  # idle again from here
    now[0] += span - 1
    connection._close_if_idle()
    assert served.transport.ended is None

    now[0] += 1
    connection._close_if_idle()
    assert "closed" == served.transport.ended


async def test_a_connection_that_serves_is_not_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    served = Served()
    now = [served.connection.loop.time()]
    monkeypatch.setattr(served.connection, "loop", StandingLoop(now))
    served.gate.clear()
    await served.feed(HOT)
    now[0] += 10 * served.connection.timeout_keep_alive
    served.connection._close_if_idle()

    assert served.transport.ended is None


class StandingLoop:
    """The running loop, but for its clock, which a test moves."""

    def __init__(self, now: list[float]) -> None:
        self._now = now
        self._loop = asyncio.get_running_loop()

    def time(self) -> float:
        return self._now[0]

    def call_at(self, when: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        return self._loop.call_later(max(0.0, when - self._now[0]), callback)

    def __getattr__(self, name: str) -> object:
        return getattr(self._loop, name)


async def test_a_pause_is_not_the_callers_while_nobody_takes_what_it_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    served = Served()
    served.gate.clear()
    connection = served.connection
    now = [connection.loop.time()]
    monkeypatch.setattr(connection, "loop", StandingLoop(now))
    pause_s = LIMITS.read_timeout_ns / 1e9
    await served.feed(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf")
    connection.flow.pause_reading()
    now[0] += 2 * LIMITS.body_timeout_ns / 1e9 + 2 * pause_s
    connection._arrival_overdue()
    assert served.transport.ended is None

    connection.flow.resume_reading()
    now[0] += pause_s
    connection._arrival_overdue()
    assert "closed" == served.transport.ended
    assert served.transport.written.startswith(b"HTTP/1.1 408")
