"""The hot routes under any ASGI server: decode, one pipeline call, encode; whoever leaves stops the call."""

import asyncio
import hashlib
import json
from dataclasses import replace

import pytest

from router.domain.faults import Fault
from router.domain.principal import KeyEntry
from router.domain.settlement import Outcome
from router.domain.stream import END_EVENT, Event, EventKind
from router.facades.http.asgi import Receive, Scope, Send
from router.facades.http.front import Front
from router.facades.http.limits import HttpLimits
from tests.support.asgi import Exchange
from tests.support.fakes import SECOND, chunk, principal, snapshot
from tests.support.pipeline import Rig
from tests.support.waiting import turns

KEY = "sk-unit-key"
AUTH = {"authorization": f"Bearer {KEY}"}
UNARY = b'{"model":"small","messages":[]}'
STREAM = b'{"model":"small","messages":[],"stream":true}'
WHOLE = b'{"model":"up","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
LIMITS = HttpLimits(
    max_body=1_000,
    max_headers=1_000,
    read_timeout_ns=SECOND,
    body_timeout_ns=SECOND,
    write_timeout_ns=SECOND,
    stream_ping_ns=60 * SECOND,
)


async def rest(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"the rest"})


def rig() -> Rig:
    sha256 = hashlib.sha256(KEY.encode()).digest()
    entry = KeyEntry(sha256=sha256, principal=principal("*"))
    return Rig(replace(snapshot(), keys={sha256: entry}))


def front(of: Rig) -> Front:
    return Front(pipeline=of.pipeline, rest=rest, limits=LIMITS)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
async def test_a_whole_reply_is_written_as_it_came(path: str) -> None:
    on = rig()
    on.upstream().feed(Event(EventKind.COMPLETE, WHOLE))
    exchange = await Exchange(path, UNARY, headers=AUTH).through(front(on))

    assert (200, WHOLE, str(len(WHOLE))) == (exchange.status, exchange.body, exchange.headers["content-length"])
    assert "0.000012" == exchange.headers["x-checkrein-cost-usd"]
    assert "1" == exchange.headers["x-checkrein-attempts"]
    assert [Outcome.COMPLETED] == [one.outcome for one in on.telemetry.settled]


async def test_a_stream_is_written_as_it_comes_and_ends_with_done() -> None:
    on = rig()
    upstream = on.upstream()
    exchange = Exchange("/v1/chat/completions", STREAM, headers=AUTH)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(exchange.through(front(on)))
        upstream.chunk("a")
        await turns(20)
        early = exchange.body
        upstream.feed(chunk("", finish="stop"), END_EVENT)
    assert serving.done()

    assert chunk("a").raw == early
    assert chunk("a").raw + chunk("", finish="stop").raw + b"data: [DONE]\n\n" == exchange.body
    assert "text/event-stream; charset=utf-8" == exchange.headers["content-type"]
    assert "no" == exchange.headers["x-accel-buffering"]


async def test_a_caller_that_leaves_stops_its_upstream() -> None:
    on = rig()
    upstream = on.upstream()
    exchange = Exchange("/v1/chat/completions", STREAM, headers=AUTH)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(exchange.through(front(on)))
        upstream.chunk("a")
        await turns(20)
        exchange.hang_up()
    assert not serving.cancelled()

    assert upstream.aborted
    assert [Outcome.CLIENT_CANCELLED] == [one.outcome for one in on.telemetry.settled]
    assert 0 == len(on.pipeline.open_calls)


async def test_a_caller_that_leaves_during_its_body_is_counted_and_not_answered() -> None:
    on = rig()
    exchange = Exchange("/v1/chat/completions", UNARY, headers=AUTH)
    await exchange.receive()
    exchange.hang_up()
    await exchange.through(front(on))

    assert [] == exchange.sent
    assert ["client_closed"] == on.telemetry.rejected


async def test_a_cancellation_that_is_not_the_callers_goes_on() -> None:
    on = rig()
    on.upstream()
    exchange = Exchange("/v1/chat/completions", STREAM, headers=AUTH)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(exchange.through(front(on)))
        await turns(20)
        serving.cancel()

    assert serving.cancelled()
    assert 0 == len(on.pipeline.open_calls)


async def test_a_bug_costs_its_own_caller_an_honest_error() -> None:
    on = rig()  # without a queued upstream: opening one raises IndexError
    headers = {**AUTH, "x-request-id": "mine"}
    exchange = await Exchange("/v1/chat/completions", UNARY, headers=headers).through(front(on))

    assert (500, "server_error") == (exchange.status, exchange.error["type"])
    assert "IndexError" not in exchange.body.decode()
    assert "mine" == exchange.headers["x-request-id"]
    assert 0 == len(on.pipeline.open_calls)


@pytest.mark.parametrize(
    ("exchange", "status", "fault"),
    [
        (Exchange(method="GET", headers=AUTH), 405, "method_not_allowed"),
        (Exchange("/v1/chat/completions", UNARY), 401, "invalid_api_key"),
        (Exchange("/v1/chat/completions", b"{", headers=AUTH), 400, "invalid_request"),
        (Exchange("/v1/chat/completions", b" " * 1_001, headers=AUTH), 413, "request_too_large"),
        (Exchange("/v1/chat/completions", UNARY, headers={**AUTH, "x-checkrein-timeout": "0"}), 400, "invalid_request"),
    ],
    ids=["method", "key", "body", "size", "header"],
)
async def test_a_request_that_is_no_call_is_refused_and_counted(exchange: Exchange, status: int, fault: str) -> None:
    on = rig()
    await exchange.through(front(on))

    assert status == exchange.status
    assert {"message", "type", "param", "code"} == set(exchange.error)
    assert [fault] == on.telemetry.rejected
    assert [] == on.telemetry.settled


async def test_a_bad_key_gets_no_byte_of_its_body_read() -> None:
    on = rig()
    exchange = await Exchange("/v1/chat/completions", b"untouched").through(front(on))

    assert 401 == exchange.status
    assert b"untouched" == (await exchange.receive())["body"]


async def test_other_paths_go_to_the_rest() -> None:
    exchange = await Exchange("/v1/chat/completions/", UNARY).through(front(rig()))

    assert (299, b"the rest") == (exchange.status, exchange.body)


async def test_the_reply_to_an_unknown_model_names_the_call() -> None:
    on = rig()
    body = json.dumps({"model": "none", "messages": []}).encode()
    exchange = await Exchange("/v1/chat/completions", body, headers=AUTH).through(front(on))

    assert (404, "model_not_found") == (exchange.status, exchange.error["code"])
    assert exchange.headers["x-checkrein-call"].startswith("call_")
    assert [Outcome.REFUSED] == [one.outcome for one in on.telemetry.settled]


async def test_a_bug_before_there_is_a_call_answers_in_the_documented_shape(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("router.facades.http.front.read_request", broken)
    on = rig()
    exchange = await Exchange("/v1/chat/completions", UNARY, headers={**AUTH, "x-request-id": "r7"}).through(front(on))

    assert (500, "r7") == (exchange.status, exchange.headers["x-request-id"])
    assert "server_error" == json.loads(exchange.body)["error"]["type"]
    assert [Fault.INTERNAL] == on.telemetry.rejected
    assert "internal error in r7" in caplog.text
