"""One request on the wire is one request served, whatever a sender does to its framing."""

import pytest

from tests.support.running import KEY
from tests.support.stage import Stage
from tests.support.wire import BODY, CHAT, chunked, exchange, head, post, wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHUNKED = "transfer-encoding: chunked"
SECRET_SECOND = post("x-request-id: smuggled")
"""The request that must never be served: what an attacker hides behind or inside the first one."""


def framed(*lines: str, key: str | None = KEY) -> bytes:
    return head("POST", CHAT, *lines, key=key)


WRONG = {
    "content-length and transfer-encoding": framed(f"content-length: {len(BODY)}", CHUNKED) + chunked(BODY),
    "transfer-encoding and content-length": framed(CHUNKED, "content-length: 4") + chunked(BODY),
    "chunked, then identity": framed(CHUNKED, "transfer-encoding: identity") + chunked(BODY),
    "chunked twice": framed(CHUNKED, CHUNKED) + chunked(BODY),
    "chunked is not the last coding": framed("transfer-encoding: chunked, identity") + chunked(BODY),
    "an unknown coding": framed("transfer-encoding: xchunked") + chunked(BODY),
    "a vertical tab before chunked": framed("transfer-encoding: \x0bchunked") + chunked(BODY),
    "a blank before the colon": framed("transfer-encoding : chunked") + chunked(BODY),
    "two lengths": framed("content-length: 5", f"content-length: {len(BODY)}") + BODY,
    "one length twice": framed(f"content-length: {len(BODY)}", f"content-length: {len(BODY)}") + BODY,
    "a list of lengths": framed(f"content-length: {len(BODY)}, {len(BODY)}") + BODY,
    "a length with a sign": framed(f"content-length: +{len(BODY)}") + BODY,
    "a negative length": framed("content-length: -1") + BODY,
    "a length in hexadecimal": framed("content-length: 0x10") + BODY,
    "a length beyond 64 bits": framed("content-length: 99999999999999999999") + BODY,
    "a folded header": post("x-note: one\r\n two"),
    "lines that end in a bare LF": post().replace(b"\r\n", b"\n"),
    "one line that ends in a bare LF": post("x-note: one\nx-more: two"),
    "a bare CR in a value": post("x-note: one\rx-more: two"),
    "a NUL in a value": post("x-note: one\0two"),
    "a NUL in a name": post("x\0note: one"),
    "a line without a colon": post("x-note"),
    "a header without a name": post(": one"),
    "a blank in the target": post(target=f"{CHAT} two"),
    "HTTP/9.9": post().replace(b"HTTP/1.1", b"HTTP/9.9"),
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a tunnel": head("CONNECT", "example.com:443"),
    "a chunk size with 0x": framed(CHUNKED) + b"0x2\r\nhi\r\n0\r\n\r\n",
    "a chunk size with a sign": framed(CHUNKED) + b"-1\r\nhi\r\n0\r\n\r\n",
    "a chunk size beyond 64 bits": framed(CHUNKED) + b"fffffffffffffffff\r\nhi\r\n0\r\n\r\n",
    "a chunk size after a blank": framed(CHUNKED) + b" 2\r\nhi\r\n0\r\n\r\n",
    "an empty chunk size": framed(CHUNKED) + b"\r\nhi\r\n0\r\n\r\n",
    "a chunk longer than its size": framed(CHUNKED) + b"2\r\nhiho\r\n0\r\n\r\n",
    "a chunk that ends in a bare LF": framed(CHUNKED) + b"2\r\nhi\n0\r\n\r\n",
    "a chunk extension with a bare LF": framed(CHUNKED) + b"2;a\nb\r\nhi\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", WRONG)
async def test_wrong_framing_gets_one_400_and_the_connection_is_closed(name: str, stage: Stage) -> None:
    """T11d: CL+TE, TE.TE, obs-fold, bare LF, chunk tricks: nothing is served, nor what stands behind."""
    async with wire(stage.router.http_port) as connection:
        await connection.send(WRONG[name] + SECRET_SECOND)
        answer = await connection.answer()
        rest = await connection.rest()

    assert 400 == answer.status
    assert "close" == answer.headers.get("connection")
    assert "invalid_request_error" == answer.error["type"]
    assert b"" == rest
    assert [] == stage.upstream.requests


@pytest.mark.parametrize(
    "data",
    [
        post("x-note: " + "a" * (1 << 20)),
        post(*[f"x-{number}: a" for number in range(10_000)]),
        post(target=CHAT + "?" + "a" * (1 << 20)),
        framed(CHUNKED) + chunked(BODY, trailers=b"x-trailer: a\r\n" * 10_000),
    ],
    ids=["1 MB header", "10 000 headers", "1 MB target", "10 000 trailers"],
)
async def test_headers_without_end_get_a_431_and_the_connection_is_closed(data: bytes, stage: Stage) -> None:
    """T11d: 1 MB of header and 10 000 trailers are refused long before their end."""
    async with wire(stage.router.http_port) as connection:
        await connection.send(data + SECRET_SECOND)
        answer = await connection.answer()
        rest = await connection.rest()

    assert 431 == answer.status
    assert "close" == answer.headers.get("connection")
    assert "headers_too_large" == answer.error["code"]
    assert b"" == rest
    assert [] == stage.upstream.requests


async def test_trailers_are_no_headers(stage: Stage) -> None:
    """T11d: a credential or a label in a trailer, where no proxy looks for it, says nothing here."""
    trailers = f"authorization: Bearer {KEY}\r\nx-request-id: from-a-trailer\r\n".encode()

    stolen = await exchange(
        stage.router.http_port, framed(CHUNKED, "connection: close", key=None) + chunked(BODY, trailers=trailers)
    )
    legal = await exchange(
        stage.router.http_port, framed(CHUNKED, "connection: close") + chunked(BODY, trailers=trailers)
    )

    assert stolen.startswith(b"HTTP/1.1 401")
    assert legal.startswith(b"HTTP/1.1 200")
    assert b"from-a-trailer" not in stolen + legal
    assert 1 == len(stage.upstream.requests)


async def test_a_body_that_looks_like_a_request_is_a_body(stage: Stage) -> None:
    """T11d: also of a request that offers another protocol, whose body parsers like to skip."""
    hidden = SECRET_SECOND
    offer = ("upgrade: h2c", "connection: upgrade, http2-settings", "http2-settings: AAMAAABkAARAAAAAAAIAAAAA")
    async with wire(stage.router.http_port) as connection:
        # In packets of their own: head, body, and a good request behind it.
        await connection.send(head("POST", CHAT, *offer, body=hidden))
        await connection.send(hidden)
        first = await connection.answer()
        await connection.send(post("connection: close", "x-request-id: good"))
        second = await connection.answer()
        rest = await connection.rest()

    assert 400 == first.status
    assert "not valid JSON" in str(first.error["message"])
    assert "good" == second.headers["x-request-id"]
    assert b"" == rest
    assert ["good"] == [request.headers["x-request-id"] for request in stage.upstream.requests]


async def test_an_offer_of_http_2_is_declined_and_the_request_served(stage: Stage) -> None:
    """T11d: Java's client offers h2c with its first request; the answer is HTTP/1.1, body and all."""
    offer = ("upgrade: h2c", "connection: upgrade, http2-settings", "http2-settings: AAMAAABkAARAAAAAAAIAAAAA")
    async with wire(stage.router.http_port) as connection:
        await connection.send(post(*offer) + post(*offer, "x-request-id: second"))
        first, second = await connection.answer(), await connection.answer()

    assert [200, 200] == [first.status, second.status]
    assert "second" == second.headers["x-request-id"]
    assert [BODY.replace(b"small", b"fake-model")] * 2 == [
        request.body.replace(b'":"', b'": "').replace(b'":[', b'": [').replace(b',"', b', "')
        for request in stage.upstream.requests
    ]


async def test_a_thousand_offers_in_one_packet_are_a_thousand_requests(stage: Stage) -> None:
    """T11d: declining is a loop, so a sender cannot make it too deep."""
    offer = head("GET", "/livez", "upgrade: h2c", "connection: upgrade")
    async with wire(stage.router.http_port) as connection:
        await connection.send(offer * 400 + head("GET", "/livez", "connection: close"))
        statuses = [(await connection.answer()).status for _ in range(401)]

    assert [200] * 401 == statuses


async def test_what_follows_a_last_request_is_not_served(stage: Stage) -> None:
    """T11d: after `connection: close` nothing that was sent along counts."""
    answers = await exchange(stage.router.http_port, post("connection: close") + SECRET_SECOND)

    assert answers.startswith(b"HTTP/1.1 200")
    assert 1 == answers.count(b"HTTP/1.1 ")
    assert ["smuggled"] != [request.headers["x-request-id"] for request in stage.upstream.requests]
    assert 1 == len(stage.upstream.requests)


async def test_rubbish_after_a_good_reply_gets_a_400_of_its_own(stage: Stage) -> None:
    """T11d: a good request is answered; what follows and is none closes the connection."""
    async with wire(stage.router.http_port) as connection:
        await connection.send(post())
        good = await connection.answer()
        await connection.send(b"\x16\x03\x01 no request\r\n\r\n")
        bad = await connection.answer()
        rest = await connection.rest()

    assert [200, 400] == [good.status, bad.status]
    assert b"" == rest


@pytest.mark.parametrize(
    "data",
    [
        framed(CHUNKED) + chunked(BODY[:7], BODY[7:]),
        framed(CHUNKED) + b"%x;name=value\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
        framed("Transfer-Encoding:chunked") + chunked(BODY),
        framed(CHUNKED) + b"00%x\r\n%b\r\n000\r\n\r\n" % (len(BODY), BODY),
        b"\r\n" + post(),
    ],
    ids=["two chunks", "chunk extension", "no blank, capitals", "leading zeros", "an empty line before"],
)
async def test_unusual_and_legal_framing_is_served(data: bytes, stage: Stage) -> None:
    """T11d: what RFC 9112 allows is answered, and the next request on the connection too."""
    async with wire(stage.router.http_port) as connection:
        await connection.send(data + post())
        statuses = [(await connection.answer()).status for _ in range(2)]

    assert [200, 200] == statuses
    assert 2 == len(stage.upstream.requests)
