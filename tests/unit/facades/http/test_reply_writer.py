"""What a caller is told in each state of its reply: a status, an event, or nothing more."""

import json

import pytest

from router.domain.faults import Fault, Refusal
from router.domain.settlement import Outcome
from router.domain.stream import END_EVENT, ERROR_EVENT, Event, EventKind
from router.facades.http.outlet import AsgiOutlet
from router.facades.http.reply_writer import ReplyWriter, write_refusal
from router.pipeline.call import Call
from tests.support.asgi import Exchange
from tests.support.attempts import attempt as begun_attempt
from tests.support.fakes import chunk
from tests.support.pipeline import Rig

BROKEN = Refusal(fault=Fault.UPSTREAM_STREAM_INTERRUPTED, message="it was cut")


def started() -> tuple[Exchange, ReplyWriter, AsgiOutlet, Call]:
    call = Rig().call()
    call.attempts.append(begun_attempt(started_ns=0, begun=0))
    exchange = Exchange()
    outlet = AsgiOutlet(exchange.send, None)
    return exchange, ReplyWriter(outlet, call), outlet, call


async def test_useful_headers_of_the_provider_pass_and_others_do_not() -> None:
    exchange, writer, outlet, _ = started()
    upstream = [(b"openai-version", b"1"), (b"x-ratelimit-limit", b"2"), (b"retry-after", b"3"), (b"set-cookie", b"4")]
    writer.unary(b"{}", [*upstream, (b"server", b"5"), (b"content-encoding", b"6"), (b"connection", b"7")])
    await outlet.flush()

    assert {
        "content-type", "content-length", "x-request-id", "x-checkrein-call", "x-checkrein-attempts",
        "x-checkrein-deployment", "x-checkrein-model", "openai-version", "x-ratelimit-limit", "retry-after",
    } == set(exchange.headers)  # fmt: skip
    assert ("up/model", "model", "r1") == tuple(
        exchange.headers[name] for name in ("x-checkrein-deployment", "x-checkrein-model", "x-request-id")
    )


async def test_a_broken_stream_ends_with_one_error_and_no_done() -> None:
    exchange, writer, outlet, call = started()
    writer.begin_stream([])
    writer.take([chunk("a"), chunk("b")])
    call.close(Outcome.INTERRUPTED, BROKEN)
    writer.take([chunk("c"), ERROR_EVENT])
    await outlet.flush()
    events = exchange.body.split(b"\n\n")

    assert chunk("a").raw + chunk("b").raw + chunk("c").raw == b"".join(one + b"\n\n" for one in events[:3])
    assert "it was cut" == json.loads(events[3].removeprefix(b"data: "))["error"]["message"]
    assert [b""] == events[4:]


async def test_a_failure_before_the_reply_is_a_status() -> None:
    exchange, writer, outlet, _ = started()
    writer.fail(BROKEN)
    writer.fail(BROKEN)
    await outlet.flush()

    assert (502, 2) == (exchange.status, len(exchange.sent))
    assert exchange.headers["x-checkrein-call"].startswith("call_")


async def test_a_failure_within_a_stream_is_an_event_and_after_it_nothing() -> None:
    exchange, writer, outlet, _ = started()
    writer.begin_stream([])
    writer.fail(BROKEN)
    writer.fail(BROKEN)
    await outlet.flush()

    assert 200 == exchange.status
    assert 1 == exchange.body.count(b"it was cut")


async def test_a_failure_after_a_whole_reply_is_silent() -> None:
    exchange, writer, outlet, _ = started()
    writer.unary(b"{}", [])
    writer.fail(BROKEN)
    await outlet.flush()

    assert (200, b"{}") == (exchange.status, exchange.body)


async def test_only_a_wrong_method_says_which_is_right() -> None:
    for fault, allow in ((Fault.METHOD_NOT_ALLOWED, "POST"), (Fault.INVALID_KEY, None)):
        exchange = Exchange()
        outlet = AsgiOutlet(exchange.send, None)
        write_refusal(outlet, Refusal(fault=fault, message="m"), "r")
        await outlet.flush()
        assert allow == exchange.headers.get("allow")


@pytest.mark.parametrize(
    ("batch", "ended"),
    [
        ([chunk("a")], False),
        ([chunk("a"), END_EVENT], True),
        ([ERROR_EVENT], True),
        ([Event(EventKind.COMMENT, b": hi\n\n")], False),
    ],
)
async def test_the_last_batch_is_known_by_its_last_event(batch: list[Event], ended: bool) -> None:
    _, writer, outlet, call = started()
    writer.begin_stream([])
    await outlet.flush()
    call.close(Outcome.INTERRUPTED, BROKEN)

    assert not writer.take(batch)  # through ASGI there is always something to flush first
    assert ended == writer.ended


class QuickOutlet(AsgiOutlet):
    """Its reader is never behind."""

    def more(self, data: bytes) -> bool:
        super().more(data)
        return True


async def test_a_reader_that_keeps_up_may_have_more_at_once() -> None:
    exchange, _, _, call = started()
    writer = ReplyWriter(QuickOutlet(exchange.send, None), call)

    assert writer.take([chunk("a")])
    assert not writer.take([chunk("", finish="stop"), END_EVENT])
