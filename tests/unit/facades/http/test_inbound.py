"""However a request arrives, the front finds the same in it."""

import pytest

from router.domain.faults import Fault, RouterError
from router.facades.http.inbound import AsgiInbound, Inbound, WholeInbound
from tests.support.asgi import Exchange as AsgiExchange
from tests.unit.facades.http.test_protocol import HOT, Served


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
