"""A reply goes the quick way only where that is the same as the long one."""

from types import SimpleNamespace

from router.facades.http.asgi import Message
from router.facades.http.outlet import AsgiOutlet, outlet_for
from tests.support.asgi import Exchange


async def test_under_another_server_a_reply_goes_through_its_send() -> None:
    exchange = Exchange()
    outlet = outlet_for(exchange.scope, exchange.send)
    outlet.whole(418, [(b"x-a", b"b")], b"tea")
    await outlet.flush()

    assert isinstance(outlet, AsgiOutlet)
    assert (418, {"x-a": "b", "content-length": "3"}, b"tea") == (exchange.status, exchange.headers, exchange.body)
    assert not exchange.sent[1].get("more_body", False)


async def test_a_stream_says_which_part_is_its_last() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    outlet = AsgiOutlet(send, None)
    outlet.begin(200, [])
    assert not outlet.more(b"a")
    await outlet.flush()
    outlet.end(b"b")
    await outlet.flush()

    assert [(b"a", True), (b"b", False)] == [(one["body"], one.get("more_body", False)) for one in sent[1:]]


async def test_a_stream_that_is_cut_has_no_last_part_and_its_connection_is_closed_behind_it() -> None:
    told: list[object] = []

    async def send(message: Message) -> None:
        told.append(message.get("body", b""))

    closing = SimpleNamespace(transport=SimpleNamespace(close=lambda: told.append("closed")))
    outlet = AsgiOutlet(send, closing)  # type: ignore[arg-type]  # all that is asked of a connection here
    outlet.begin(200, [])
    outlet.more(b"a")
    outlet.cut()
    assert [] == told
    await outlet.flush()

    assert [b"", b"a", "closed"] == told
