"""The connection over a transport that a test holds: what it closes, when, and what it says."""

import asyncio

import pytest
import uvicorn
from uvicorn.server import ServerState

from router.facades.http.asgi import Receive, Scope, Send
from router.facades.http.limits import HttpLimits
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
    """A connection whose application keeps its scopes and answers when the test opens the gate."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.transport = HeldTransport()
        config = uvicorn.Config(self.app, interface="asgi3", log_config=None, access_log=False, lifespan="off")
        config.load()
        self.connection = FrontProtocol(config, ServerState(), {}, asyncio.get_running_loop(), limits=LIMITS)
        self.connection.connection_made(self.transport)

    async def app(self, scope: Scope, _receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        await self.gate.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def feed(self, data: bytes) -> None:
        self.connection.data_received(data)
        await turns(5)


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
