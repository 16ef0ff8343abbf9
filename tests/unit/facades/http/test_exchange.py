"""A request that came whole looks to uvicorn's protocol like one of its own."""

from uvicorn.protocols.http.flow_control import FlowControl

from router.facades.http.exchange import Exchange
from tests.unit.facades.http.test_protocol import HeldTransport, Served

ASKED_OF_A_CYCLE = {
    "disconnected", "flow", "keep_alive", "message_event", "more_body", "on_response", "response_complete",
    "response_started", "scope", "waiting_for_100_continue",
}  # fmt: skip
"""What `HttpToolsProtocol`, our own protocol and the outlet read of the request that is being answered."""


async def test_an_exchange_has_what_is_asked_of_uvicorns_own_record() -> None:
    served = Served()
    exchange = Exchange(
        served.connection,
        target=b"/",
        headers=[],
        body=b"",
        http_version="1.1",
        keep_alive=True,
        flow=FlowControl(HeldTransport()),
        default_headers=[],
        on_response=lambda: None,
    )

    assert ASKED_OF_A_CYCLE == {name for name in ASKED_OF_A_CYCLE if hasattr(exchange, name)}
    assert (False, False, False) == (exchange.disconnected, exchange.response_started, exchange.response_complete)
