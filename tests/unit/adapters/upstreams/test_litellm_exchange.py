"""What a call may send through litellm, and what is known of it afterwards."""

import pytest

from router.adapters.upstreams.http_reply import ERROR_BYTES_MAX
from router.adapters.upstreams.litellm_exchange import (
    ORIGINS_MAX,
    REQUESTS_MAX,
    Exchange,
    Origins,
    WireFailed,
    current_exchange,
)
from router.domain.dispatch.failure import FailureKind
from router.ports.transport import HttpReply, HttpRequest, TransportFailed
from tests.support.waiting import turns


class Reply:
    """A reply whose bytes arrive piece by piece; an exception is what the last read raises."""

    def __init__(self, status: int, *pieces: bytes | TransportFailed) -> None:
        self.status = 0
        self.headers = ((b"x-a", b"1"),)
        self.aborted = 0
        self._status = status
        self._pieces = list(pieces)

    @property
    def complete(self) -> bool:
        return self.status != 0 and not self._pieces

    async def read(self) -> bytes:
        if not self.status:
            self.status = self._status
            return b""
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if isinstance(piece, TransportFailed):
            raise piece
        return piece

    async def each(self, take: object) -> None:
        raise NotImplementedError

    def nudge(self) -> None:
        raise NotImplementedError

    def abort(self) -> None:
        self.aborted += 1


class Wire:
    """A transport that remembers what it was given."""

    def __init__(self, reply: Reply | TransportFailed) -> None:
        self.reply = reply
        self.requests: list[HttpRequest] = []
        self.closed = 0

    async def send(self, request: HttpRequest) -> HttpReply:
        self.requests.append(request)
        if isinstance(self.reply, TransportFailed):
            raise self.reply
        return self.reply

    async def close(self) -> None:
        self.closed += 1


def exchange_over(wire: Wire, **extra: str) -> Exchange:
    return Exchange(Origins(lambda _origin: wire), {name.encode(): value.encode() for name, value in extra.items()})


async def send(exchange: Exchange, method: str = "POST", **fields: str) -> HttpReply:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return await exchange.send(method=method, origin="https://h", target=b"/t", fields=pairs, body=b"{}")


async def test_the_request_is_litellms_with_our_headers_in_place_of_its_own() -> None:
    wire = Wire(Reply(200, b"a"))
    exchange = exchange_over(wire, traceparent="00-1", authorization="ours")
    await send(exchange, host="h", authorization="its", accept_encoding="gzip")

    (request,) = wire.requests
    assert (b"/t", b"{}") == (request.target, request.body)
    assert [b"accept-encoding: identity", b"authorization: ours", b"host: h", b"traceparent: 00-1"] == sorted(
        request.head.removesuffix(b"\r\n").split(b"\r\n")
    )
    assert exchange.sent
    assert (200, ((b"x-a", b"1"),)) == (exchange.status, exchange.headers)


async def test_a_body_is_read_to_its_end_and_no_further() -> None:
    exchange = exchange_over(Wire(Reply(200, b"a", b"", b"b")))
    reply = await send(exchange)

    assert [b"a", b"b", b""] == [await exchange.read(reply) for _ in range(3)]


@pytest.mark.parametrize(
    ("pieces", "seen"),
    [
        ((b'..."finishReason": "STOP"', b"}"), True),
        ((b'..."finish', b'Reason":"STOP"'), True),
        ((b'"finish_reason":"stop"',), True),
        ((b'"finish_reason":null',), False),
        ((rb'"text":"\"finishReason\":\"STOP\""',), False),
        ((b"x" * 100,), False),
    ],
)
async def test_a_finish_is_seen_however_the_wire_cuts_it_and_not_in_what_a_model_says(
    pieces: tuple[bytes, ...], seen: bool
) -> None:
    exchange = exchange_over(Wire(Reply(200, *pieces)))
    reply = await send(exchange)
    while await exchange.read(reply):
        pass

    assert seen is exchange.finish_seen


@pytest.mark.parametrize(
    "pieces", [(b"data: {}\n\ndata: [DONE]\n\n",), (b"data: {}\r\n\r\nda", b"ta:[DO", b"NE]\r\n\r\n")]
)
async def test_a_stream_that_says_that_it_is_done_is_over_though_its_connection_stays_open(
    pieces: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.adapters.upstreams.litellm_exchange.LINGER_S_MAX", 0)
    reply = Reply(200, *pieces, TransportFailed(FailureKind.IDLE_TIMEOUT, "it says nothing more"))
    exchange = exchange_over(Wire(reply))
    got = await send(exchange)
    read = [await exchange.read(got) for _ in pieces]

    assert list(pieces) == read
    assert b"" == await exchange.read(got)
    await turns(2)
    assert (1, None) == (reply.aborted, exchange.failure)


async def test_a_text_that_says_done_ends_nothing() -> None:
    reply = Reply(200, b'data: {"a":"data: [DONE]"}\n\n', b"data: 1\n\n")
    exchange = exchange_over(Wire(reply))
    got = await send(exchange)

    assert b'data: {"a":"data: [DONE]"}\n\n' == await exchange.read(got)
    assert b"data: 1\n\n" == await exchange.read(got)


async def test_a_refusal_is_read_at_once_and_cut_off() -> None:
    exchange = exchange_over(Wire(Reply(429, b'{"error', b'":1}')))
    await send(exchange)
    assert b'{"error":1}' == exchange.refusal

    reply = Reply(500, *[b"x" * 1_000] * 100)
    exchange = exchange_over(Wire(reply))
    await send(exchange)
    assert ERROR_BYTES_MAX == len(exchange.refusal)
    assert reply.aborted


async def test_a_refusal_whose_connection_breaks_is_a_refusal() -> None:
    exchange = exchange_over(Wire(Reply(503, b"over", TransportFailed(FailureKind.CUT, "closed"))))
    await send(exchange)

    assert (503, b"over", None) == (exchange.status, exchange.refusal, exchange.failure)


async def test_a_reply_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.adapters.upstreams.litellm_exchange.REPLY_BYTES_MAX", 5)
    exchange = exchange_over(Wire(Reply(200, b"abc", b"def")))
    reply = await send(exchange)
    await exchange.read(reply)
    with pytest.raises(WireFailed):
        await exchange.read(reply)

    assert exchange.failure is not None
    assert FailureKind.MALFORMED is exchange.failure[0]


async def test_a_connection_that_breaks_is_remembered_as_the_transport_says() -> None:
    exchange = exchange_over(Wire(TransportFailed(FailureKind.CONNECT, "refused")))
    with pytest.raises(WireFailed):
        await send(exchange)
    assert ((FailureKind.CONNECT, "refused"), False) == (exchange.failure, exchange.sent)

    exchange = exchange_over(Wire(Reply(200, b"a", TransportFailed(FailureKind.CUT, "closed"))))
    reply = await send(exchange)
    await exchange.read(reply)
    with pytest.raises(WireFailed):
        await exchange.read(reply)
    assert (FailureKind.CUT, "closed") == exchange.failure


async def test_after_an_abort_nothing_is_sent() -> None:
    wire = Wire(Reply(200))
    exchange = exchange_over(wire)
    exchange.abort()
    with pytest.raises(WireFailed):
        await send(exchange)

    assert [] == wire.requests
    assert exchange.failure is not None
    assert FailureKind.ABORTED is exchange.failure[0]


async def test_an_abort_closes_what_is_open() -> None:
    reply = Reply(200, b"a")
    exchange = exchange_over(Wire(reply))
    await send(exchange)
    exchange.abort()

    assert reply.aborted


@pytest.mark.parametrize(("method", "value"), [("GET", "fine"), ("POST", "a\r\nx-b: 2"), ("POST", "a\n")])
async def test_what_a_provider_must_not_get_is_not_sent(method: str, value: str) -> None:
    wire = Wire(Reply(200))
    with pytest.raises(WireFailed):
        await send(exchange_over(wire), method, x_a=value)

    assert [] == wire.requests


async def test_one_call_sends_few_requests_and_one_provider_has_few_hosts() -> None:
    exchange = exchange_over(Wire(Reply(200)))
    for _ in range(REQUESTS_MAX):
        await send(exchange)
    with pytest.raises(WireFailed):
        await send(exchange)

    wire = Wire(Reply(200))
    origins = Origins(lambda _origin: wire)
    for number in range(ORIGINS_MAX):
        assert wire is origins.to(f"https://{number}")
    assert wire is origins.to("https://0")
    with pytest.raises(ValueError, match="hosts"):
        origins.to("https://more")
    await origins.close()
    assert ORIGINS_MAX == wire.closed


async def test_an_address_that_cannot_work_is_a_failure_to_connect() -> None:
    def connect(_origin: str) -> Wire:
        raise ValueError("/secret/ca.pem")

    exchange = Exchange(Origins(connect), {})
    with pytest.raises(WireFailed):
        await send(exchange)

    assert (FailureKind.CONNECT, "cannot be reached: its address is not usable") == exchange.failure


async def test_what_a_task_enters_is_its_own() -> None:
    exchange = exchange_over(Wire(Reply(200)))
    exchange.enter()

    assert exchange is current_exchange()
