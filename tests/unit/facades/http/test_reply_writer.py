"""What a caller is told in each state of its reply: a status, an event, or nothing more."""

import json

import pytest

from router.domain.catalog import Deployment, Model
from router.domain.dialects.chat.meter import ChatMeter
from router.domain.faults import Fault, Refusal
from router.domain.governance.priority import Classed
from router.domain.ids import ModelName
from router.domain.planning.plan import RoutePlan
from router.domain.planning.substitution import Reason
from router.domain.settlement import Outcome
from router.domain.stream import END_EVENT, ERROR_EVENT, Event, EventKind
from router.facades.http.outlet import AsgiOutlet
from router.facades.http.reply_writer import ReplyWriter, write_refusal
from router.facades.http.voice import BY_PATH, CHAT_VOICE
from router.pipeline.call import Call
from router.pipeline.flight import Flight
from tests.support.asgi import Exchange
from tests.support.attempts import attempt as begun_attempt
from tests.support.fakes import FedStream, chunk
from tests.support.pipeline import Rig

BROKEN = Refusal(fault=Fault.UPSTREAM_STREAM_INTERRUPTED, message="it was cut")


def started() -> tuple[Exchange, ReplyWriter, AsgiOutlet, Call]:
    call = Rig().call()
    call.attempts.append(begun_attempt(started_ns=0, begun=0))
    exchange = Exchange()
    outlet = AsgiOutlet(exchange.send, None)
    return exchange, ReplyWriter(outlet, call, CHAT_VOICE), outlet, call


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
        write_refusal(outlet, CHAT_VOICE, Refusal(fault=fault, message="m"), "r")
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
    writer = ReplyWriter(QuickOutlet(exchange.send, None), call, CHAT_VOICE)

    assert writer.take([chunk("a")])
    assert not writer.take([chunk("", finish="stop"), END_EVENT])


def planned(asked: str, at: Deployment, stands_in: Reason | None = None) -> RoutePlan:
    model = Model(name=at.model, deployments=(at,))
    other = Model(name=ModelName(asked), deployments=())
    return RoutePlan(asked=other, model=model, stands_in=stands_in, candidates=(at,))


@pytest.mark.parametrize(
    ("asked", "reason", "header"),
    [("small", None, None), ("large", None, "large->small;fallback"), ("large", Reason.TAG, "large->small;tag")],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_who_serves_in_the_place_of_another_is_announced(
    asked: str, reason: Reason | None, header: str | None, stream: bool
) -> None:
    exchange, writer, outlet, call = started()
    call.plan = planned(asked, call.attempts[-1].deployment, reason)
    if stream:
        writer.begin_stream([])
    else:
        writer.unary(b"{}", [])
    await outlet.flush()

    assert header == exchange.headers.get("x-checkrein-substituted")


@pytest.mark.parametrize(
    ("says", "notice"),
    [
        ("model", None),
        ("model-2026-01-01", None),
        ("another", "upstream_model=another"),
        ("a\r\nx: b;,\u00e9" + "c" * 500, "upstream_model=ax:b" + "c" * 190),
    ],
)
async def test_a_provider_that_names_another_model_is_told_of(says: str, notice: str | None) -> None:
    exchange, writer, outlet, call = started()
    flight = Flight(FedStream(), ChatMeter(wants_usage=False))
    flight.meter.served_model = says
    call.attempts[-1].flight = flight
    writer.unary(b"{}", [])
    await outlet.flush()

    assert notice == exchange.headers.get("x-checkrein-notice")


async def test_a_lowered_class_is_told_and_a_usual_one_is_not() -> None:
    for found, notice in ((Classed("batch", lowered=True), "priority=batch"), (Classed("batch"), None)):
        exchange, writer, outlet, call = started()
        call.priority = found
        writer.unary(b"{}", [])
        await outlet.flush()

        assert notice == exchange.headers.get("x-checkrein-notice")


async def test_all_notices_are_one_header() -> None:
    exchange, writer, outlet, call = started()
    flight = Flight(FedStream(), ChatMeter(wants_usage=False))
    flight.meter.served_model = "another"
    call.attempts[-1].flight = flight
    call.would_refuse.append(Fault.RATE_LIMITED)
    call.priority = Classed("batch", lowered=True)
    writer.unary(b"{}", [])
    await outlet.flush()

    assert (
        "would_refuse=rate_limit_exceeded; priority=batch; upstream_model=another"
        == exchange.headers["x-checkrein-notice"]
    )


def metered_reply() -> tuple[Exchange, ReplyWriter, AsgiOutlet, Call]:
    exchange, _, outlet, call = started()
    return exchange, ReplyWriter(outlet, call, BY_PATH["/v1/audio/speech"]), outlet, call


SOUND = [Event(EventKind.BYTES, b"ab"), Event(EventKind.BYTES, b"c")]


async def test_bytes_go_out_under_the_type_that_their_provider_gives_them() -> None:
    exchange, writer, outlet, _ = metered_reply()
    writer.as_it_comes(SOUND, [(b"content-type", b"audio/mpeg")])
    writer.take([END_EVENT])
    await outlet.flush()

    assert (200, "audio/mpeg", b"abc") == (exchange.status, exchange.headers["content-type"], exchange.body)
    assert (True, False) == (writer.ended, exchange.sent[-1].get("more_body", False))


@pytest.mark.parametrize("at_once", [True, False])
async def test_bytes_that_break_off_are_never_ended(at_once: bool) -> None:
    exchange, writer, outlet, call = metered_reply()
    call.close(Outcome.INTERRUPTED, BROKEN)
    if at_once:
        writer.as_it_comes([*SOUND, ERROR_EVENT], [])
    else:
        writer.as_it_comes(SOUND, [])
        writer.fail(BROKEN)
    await outlet.flush()

    assert "application/octet-stream" == exchange.headers["content-type"]
    assert (True, {True}) == (writer.ended, {one["more_body"] for one in exchange.sent[1:]})
    assert b"error" not in exchange.body


async def test_a_whole_reply_is_json_whatever_it_is_called_and_events_end_in_an_error() -> None:
    exchange, writer, outlet, _ = metered_reply()
    writer.as_it_comes([Event(EventKind.COMPLETE, b"{}")], [(b"content-type", b"text/html")])
    await outlet.flush()
    assert ("application/json", b"{}") == (exchange.headers["content-type"], exchange.body)

    exchange, writer, outlet, call = metered_reply()
    writer.as_it_comes([chunk("a")], [(b"content-type", b"text/event-stream")])
    call.close(Outcome.INTERRUPTED, BROKEN)
    writer.take([ERROR_EVENT])
    await outlet.flush()
    assert exchange.headers["content-type"].startswith("text/event-stream")
    assert "it was cut" == json.loads(exchange.body.split(b"data: ")[-1])["error"]["message"]
