"""However a request arrives, the front finds the same in it."""

import pytest

from router.domain.faults import Fault, RouterError
from router.facades.http.body import CallerGone
from router.facades.http.inbound import AsgiInbound, Inbound, WholeInbound
from tests.support.asgi import Exchange as AsgiExchange
from tests.unit.facades.http.test_protocol import GET, HOT, Served


async def whole() -> Inbound:
    served = Served()
    served.connection.peer_is_local = True
    await served.feed(HOT)
    return WholeInbound(served.exchanges[0])


async def through_asgi() -> Inbound:
    exchange = AsgiExchange("/hot", b"{}", headers={"host": "x", "content-length": "2"})
    return AsgiInbound(exchange.scope, exchange.receive, exchange.send)


@pytest.mark.parametrize("arrive", [whole, through_asgi])
async def test_an_inbound_tells_its_method_its_headers_its_peer_and_its_body(arrive: object) -> None:
    inbound = await arrive()  # type: ignore[operator] # one of the two above

    assert ("POST", True, b"{}") == (inbound.method, inbound.local, await inbound.body(max_bytes=2))
    assert (b"host", b"x") in inbound.headers


@pytest.mark.parametrize("arrive", [whole, through_asgi])
async def test_a_body_that_is_too_large_is_refused(arrive: object) -> None:
    inbound = await arrive()  # type: ignore[operator] # one of the two above
    with pytest.raises(RouterError) as caught:
        await inbound.body(max_bytes=1)

    assert Fault.REQUEST_TOO_LARGE is caught.value.refusal.fault


async def in_pieces(*parts: bytes) -> tuple[AsgiInbound, AsgiExchange]:
    served = Served()
    await served.feed(GET % 1)  # of which an ASGI application learns
    exchange = AsgiExchange("/hot", *parts, headers={"content-length": "5"})
    exchange.scope["extensions"] = {"checkrein.connection": served.connection}
    return AsgiInbound(exchange.scope, exchange.receive, exchange.send), exchange


async def test_a_body_is_brought_piece_by_piece_and_then_there_is_no_more() -> None:
    inbound, _ = await in_pieces(b"ab", b"", b"cd", b"e")

    assert 5 == inbound.coming_bytes
    assert [b"ab", b"cd", b"e", b"", b""] == [await inbound.piece() for _ in range(5)]
    assert b"abcde" == await inbound.body(max_bytes=9, begun=b"abcde")


async def test_what_began_in_pieces_may_be_read_whole() -> None:
    inbound, _ = await in_pieces(b"ab", b"", b"cd", b"e")

    assert b"abcde" == await inbound.body(max_bytes=9, begun=await inbound.piece())


async def test_a_caller_that_leaves_between_two_pieces_is_noticed() -> None:
    inbound, exchange = await in_pieces(b"ab")
    await inbound.piece()
    exchange.hang_up()
    with pytest.raises(CallerGone):
        await inbound.piece()


@pytest.mark.parametrize("arrive", [whole, through_asgi])
async def test_what_came_whole_or_over_another_server_has_no_pieces(arrive: object) -> None:
    inbound = await arrive()  # type: ignore[operator] # one of the two above

    assert (0, b"") == (inbound.coming_bytes, await inbound.piece())
