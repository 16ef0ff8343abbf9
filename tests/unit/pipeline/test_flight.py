"""Who listens to an upstream's reply, and what becomes of it when nobody does."""

from router.domain.dialects.chat.meter import ChatMeter
from router.domain.stream import END_EVENT
from router.pipeline.flight import Flight
from tests.support.fakes import FedStream, chunk, usage_chunk


async def test_what_is_read_is_metered() -> None:
    stream = FedStream()
    flight = Flight(stream, ChatMeter(wants_usage=False))
    stream.feed(chunk("a"), usage_chunk(7, 1), END_EVENT)

    assert [chunk("a"), END_EVENT] == await flight.read()
    assert flight.meter.usage is not None


def test_the_last_listener_closes_the_upstream() -> None:
    stream = FedStream()
    Flight(stream, ChatMeter(wants_usage=False)).leave()

    assert stream.aborted


def test_headers_are_the_upstreams() -> None:
    assert ((b"a", b"b"),) == Flight(FedStream(((b"a", b"b"),)), ChatMeter(wants_usage=False)).headers
