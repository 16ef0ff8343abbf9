"""A reply that failed never looks like one that succeeded: not before its first byte, not after."""

import asyncio
import json
from pathlib import Path

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from tests.support import fake_upstream as fake
from tests.support.fake_upstream import Cut, FakeUpstream, Framing, Handler, Reply, Request
from tests.support.running import chat, config_for, running_router
from tests.support.stage import Stage
from tests.support.wire import wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

STREAM = chat(stream=True)
UNARY = chat()
MALFORMED = "upstream_malformed_events_total"
ERROR_MEMBERS = {"message", "type", "param", "code"}
FAILED = ("server_error", "upstream_error")
LIMITED = ("rate_limit_error", "upstream_rate_limited")

# --- before the first content ----------------------------------------------------------------------------------------


def ok_with_error(_: Request) -> Reply:
    return Reply(steps=(b'{"error":{"message":"no capacity","type":"server_error"}}',))


def first_event_is_an_error(_: Request) -> Reply:
    return fake.event_stream(fake.sse({"error": {"message": "no capacity", "type": "server_error"}}))


def role_then(*last: fake.Step) -> Handler:
    return lambda request: fake.event_stream(fake.chunk(request, {"role": "assistant", "content": ""}), *last)


LIMIT = fake.error(429, "slow down", headers=(("retry-after", "7"),), code="rate_limit_exceeded")
CRASH = fake.error(500, "it broke")
CAPACITY = "no capacity"

BEFORE_CONTENT: dict[str, tuple[dict[str, object], Reply | Handler, int, tuple[str, str]]] = {
    "a stream answered by 429": (STREAM, LIMIT, 429, LIMITED),
    "a stream answered by 500": (STREAM, CRASH, 502, FAILED),
    "a stream answered by an error as JSON under 200": (STREAM, ok_with_error, 502, FAILED),
    "a stream whose first event is an error": (STREAM, first_event_is_an_error, 502, FAILED),
    "a stream without a byte": (STREAM, fake.event_stream(), 502, FAILED),
    "a stream that is nothing but its end": (STREAM, fake.event_stream(b"data: [DONE]\n\n"), 502, FAILED),
    "a stream of a role": (STREAM, role_then(), 502, FAILED),
    "a stream of a role and its end": (STREAM, role_then(b"data: [DONE]\n\n"), 502, FAILED),
    "a stream cut after its role": (STREAM, role_then(Cut.CLOSE), 502, FAILED),
    "a stream reset after its role": (STREAM, role_then(Cut.RESET), 502, FAILED),
    "a stream reset before its head": (STREAM, fake.raw(Cut.RESET), 502, FAILED),
    "a unary call answered by 429": (UNARY, LIMIT, 429, LIMITED),
    "a unary call answered by 500": (UNARY, CRASH, 502, FAILED),
    "a unary call answered by an error under 200": (UNARY, ok_with_error, 502, FAILED),
    "a unary call answered by nothing under 200": (UNARY, Reply(), 502, FAILED),
    "a unary call closed before its head": (UNARY, fake.raw(Cut.CLOSE), 502, FAILED),
    "a unary call reset before its head": (UNARY, fake.raw(Cut.RESET), 502, FAILED),
    "a unary reply cut in its middle": (
        UNARY,
        fake.raw(b'HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{"choices":[', Cut.CLOSE),
        502,
        FAILED,
    ),
}


@pytest.mark.parametrize("case", BEFORE_CONTENT)
async def test_a_failure_before_the_first_content_is_a_real_status(stage: Stage, case: str) -> None:
    """T2a: without a fallback the caller gets the mapped status and a JSON error, never 200."""
    request, reply, status, (kind, code) = BEFORE_CONTENT[case]
    stage.upstream.script(reply)
    async with wire(stage.router.http_port) as client:
        refusal = await client.ask(request)
        stage.forgive()  # a rate limit keeps the next call away
        again = await client.ask(request)
    row = await stage.router.call(refusal.call_id)
    await stage.router.idle()

    assert status == refusal.status
    assert "application/json" == refusal.headers["content-type"]
    assert ERROR_MEMBERS == set(refusal.error)
    assert (kind, code) == (refusal.error["type"], refusal.error["code"])
    assert refusal.error["message"]
    assert refusal.headers["x-request-id"] == row["request_id"]
    assert ("failed", code, 0) == (row["outcome"], row["fault"], row["output_tokens"])
    assert 200 == again.status, "the connection and the router serve on"
    assert 2 == len(stage.upstream.requests), "one attempt a request: there is no fallback"


async def test_a_rate_limit_of_the_provider_says_when_to_come_back_and_costs_nothing(stage: Stage) -> None:
    """T2a: 429 stays 429, with the provider's `retry-after`."""
    stage.upstream.script(LIMIT)
    refusal = await stage.ask(STREAM)
    row = await stage.router.call(refusal.call_id)

    assert (429, "7", "7000") == (
        refusal.status,
        refusal.headers["retry-after"],
        refusal.headers["retry-after-ms"],
    )
    assert "slow down" == refusal.error["message"]
    assert 0 == row["cost_nano_usd"]


# --- after content ---------------------------------------------------------------------------------------------------


def closes(request: Request) -> Reply:
    return fake.stream(request, 40, last=[Cut.CLOSE])


def resets(request: Request) -> Reply:
    return fake.stream(request, 40, last=[fake.Gap(0.05), Cut.RESET])


def ends_unfinished(request: Request) -> Reply:
    return fake.stream(request, 40, last=[])


def says_done_unfinished(request: Request) -> Reply:
    return fake.stream(request, 40, last=[b"data: [DONE]\n\n"])


def reports_an_error(request: Request) -> Reply:
    return fake.stream(request, 40, last=[fake.sse({"error": {"message": "overheated"}})])


def cut_inside_an_event(request: Request) -> Reply:
    part = fake.chunk(request, {"content": " never"})[:-20]
    return fake.stream(request, 40, last=[part, Cut.CLOSE])


def until_close_without_finish(request: Request) -> Reply:
    reply = fake.stream(request, 40, last=[])
    return fake.event_stream(*reply.steps, framing=Framing.UNTIL_CLOSE)


AFTER_CONTENT = [
    closes,
    resets,
    ends_unfinished,
    says_done_unfinished,
    reports_an_error,
    cut_inside_an_event,
    until_close_without_finish,
]


@pytest.mark.parametrize("broken", AFTER_CONTENT)
async def test_a_stream_that_breaks_ends_with_one_error_event(stage: Stage, broken: Handler) -> None:
    """T2b, T2c: exactly the tokens that came, one error event, no finish, no [DONE]; the connection lives."""
    stage.upstream.script(broken)
    async with wire(stage.router.http_port) as client:
        reply = await client.ask(STREAM)
        again = await client.ask(STREAM)
    row = await stage.router.call(reply.call_id)
    await stage.router.idle()

    assert (200, True) == (reply.status, reply.complete)
    assert fake.text(40) == reply.text
    assert 42 == len(reply.events), "a role, 40 tokens, an error"
    assert ERROR_MEMBERS == set(reply.error)
    assert ("server_error", "upstream_stream_interrupted") == (reply.error["type"], reply.error["code"])
    assert 1 == reply.body.count(b'"error"')
    assert b"[DONE]" not in reply.body
    assert b'"finish_reason":"' not in reply.body
    assert (200, fake.text(60)) == (again.status, again.text)
    assert ("interrupted", "upstream_stream_interrupted") == (row["outcome"], row["fault"])
    assert (40, True) == (row["output_tokens"], row["usage_estimated"])
    assert stage.upstream.requests[0].tokens == row["output_tokens"]


async def test_a_stream_that_falls_silent_ends_with_a_timeout_event(tmp_path: Path) -> None:
    """T2b: 20 tokens, then silence; the fault is a timeout, everything else as for a cut."""
    forever = asyncio.Event()
    async with FakeUpstream() as upstream:
        config = config_for(upstream, timeouts={"stream_idle": "200ms"})
        async with running_router(config, tmp_path) as router:
            upstream.script(lambda request: fake.stream(request, 20, last=[forever]))
            async with wire(router.http_port) as client:
                reply = await client.ask(STREAM)
                again = await client.ask(STREAM)
            row = await router.call(reply.call_id)
            await router.idle()

    assert (200, True, fake.text(20)) == (reply.status, reply.complete, reply.text)
    assert ("server_error", "timeout") == (reply.error["type"], reply.error["code"])
    assert b"[DONE]" not in reply.body
    assert b'"finish_reason":"' not in reply.body
    assert fake.text(60) == again.text
    assert ("interrupted", "timeout", 20) == (row["outcome"], row["fault"], row["output_tokens"])


async def test_openai_s_sdk_raises_on_a_stream_that_breaks(stage: Stage) -> None:
    """T2b: the main SDK ends a stream without [DONE] as if it were good; only our error event makes it raise."""
    said: list[str] = []

    async def read_on(stream: openai.AsyncStream[ChatCompletionChunk]) -> None:
        async for chunk in stream:
            said.append(chunk.choices[0].delta.content or "")  # noqa: PERF401 - a list made at once is lost by the raise

    stage.upstream.script(closes)
    async with stage.sdk() as sdk:
        stream = await sdk.chat.completions.create(
            model="small", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        with pytest.raises(openai.APIError) as caught:
            await read_on(stream)

    assert fake.text(40) == "".join(said)
    assert "upstream_stream_interrupted" == caught.value.code


async def test_a_finished_stream_that_is_cut_before_done_is_whole(stage: Stage) -> None:
    """T2b, the other side: every choice gave its finish, so nothing is missing and nothing is called broken."""
    stage.upstream.script(lambda request: fake.stream(request, 40, last=[fake.chunk(request, {}, "stop"), Cut.CLOSE]))
    reply = await stage.ask(STREAM)
    row = await stage.router.call(reply.call_id)

    assert (fake.text(40), "[DONE]") == (reply.text, reply.events[-1])
    assert b'"error"' not in reply.body
    assert ("completed", None) == (row["outcome"], row["fault"])


async def test_one_malformed_event_among_good_ones_is_dropped_and_counted(stage: Stage) -> None:
    """T2c: 60 of 60 tokens are delivered, `upstream_malformed_events_total` is 1."""

    def with_noise(request: Request) -> Reply:
        steps = list(fake.stream(request, 60).steps)
        steps.insert(31, b'data: {"choices":[{"delta":{"conte\n\n')
        return fake.event_stream(*steps)

    before = await stage.router.metric(MALFORMED)
    stage.upstream.script(with_noise)
    reply = await stage.ask(STREAM)
    await stage.router.idle()
    malformed = await stage.router.metric(MALFORMED) - before
    row = await stage.router.call(reply.call_id)

    assert (fake.text(60), "[DONE]") == (reply.text, reply.events[-1])
    assert 1 == malformed
    assert ("completed", 60) == (row["outcome"], row["output_tokens"])


async def test_after_an_error_event_the_provider_s_connection_is_closed(stage: Stage) -> None:
    """T2c: a provider that reports an error and then keeps the stream open is let go within 100 ms."""
    forever = asyncio.Event()
    error = fake.sse({"error": {"message": "overheated"}})
    stage.upstream.script(lambda request: fake.stream(request, 5, last=[error, forever]))
    async with wire(stage.router.http_port) as client:
        reply = await client.ask(STREAM)
        ended = asyncio.get_running_loop().time()
        async with asyncio.timeout(5):
            await stage.upstream.requests[0].closed.wait()

    assert stage.upstream.requests[0].closed_at is not None
    assert stage.upstream.requests[0].closed_at - ended <= 0.1
    assert "upstream_stream_interrupted" == json.loads(reply.events[-1])["error"]["code"]
