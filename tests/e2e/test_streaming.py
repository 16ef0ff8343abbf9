"""A stream reaches its reader as it is made: event by event, byte for byte, kept alive, never faster than read."""

import asyncio
import json
import math
from collections.abc import Iterable
from pathlib import Path

import httpx
import openai
import pytest

from router.adapters.transport_connection import BUFFER_BYTES_MAX
from tests.support import fake_upstream as fake
from tests.support.fake_upstream import FakeUpstream, Gap, Reply, Request, Step
from tests.support.raw_http import RawClient
from tests.support.running import KEY, RunningRouter, chat, config_for, running_router, sse

pytestmark = pytest.mark.slow

STREAM = chat(stream=True)
PINGING = {"stream_ping": "200ms"}
PING = b": keep-alive\n\n"

# --- T21a: as it is made ---------------------------------------------------------------------------------------------


async def test_tokens_arrive_one_by_one(tmp_path: Path) -> None:
    """T21a: 49 tokens with small gaps come in at least 47 reads."""
    async with FakeUpstream() as upstream, running_router(config_for(upstream), tmp_path) as router:
        upstream.script(lambda request: fake.stream(request, 49, gap_s=0.008))
        async with RawClient(router.http_port) as client:
            reply = await client.ask(STREAM)

    assert fake.text(49) == reply.text
    assert len(reply.reads) >= 47


async def test_a_stream_has_the_headers_that_keep_proxies_from_holding_it(tmp_path: Path) -> None:
    """T21a: text/event-stream, no-cache, X-Accel-Buffering: no; no compression, also when it was offered."""
    async with (
        FakeUpstream() as upstream,
        running_router(config_for(upstream), tmp_path) as router,
        RawClient(router.http_port) as client,
    ):
        reply = await client.ask(STREAM, accept_encoding="gzip, br, zstd")

    assert reply.headers["content-type"].startswith("text/event-stream")
    assert "no-cache" in reply.headers["cache-control"]
    assert "no" == reply.headers["x-accel-buffering"]
    assert "chunked" == reply.headers["transfer-encoding"]
    assert {"content-encoding", "content-length"}.isdisjoint(reply.headers)


async def test_the_provider_s_ids_names_and_retries_do_not_reach_the_caller(tmp_path: Path) -> None:
    """T21a: an SDK that saw an `id:` fails on the next comment."""

    def decorated(request: Request) -> Reply:
        plain = fake.chunk(request, {"content": "w0"})
        dressed = b"id: 7\nretry: 100\nevent: message\n" + plain
        return fake.event_stream(b"retry: 5\n\n", dressed, *fake.ending(request, 1))

    async with FakeUpstream() as upstream, running_router(config_for(upstream), tmp_path) as router:
        upstream.script(decorated)
        async with RawClient(router.http_port) as client:
            reply = await client.ask(STREAM)

    assert ("w0", "[DONE]") == (reply.text, reply.events[-1])
    assert {b"data", b""} == {line.partition(b":")[0] for line in reply.body.split(b"\n")}


# --- T21b: kept alive ------------------------------------------------------------------------------------------------


def silent_first(*steps: Step) -> Reply:
    return Reply(
        steps=steps,
        headers=(("content-type", "text/event-stream"),),
        framing=fake.Framing.CHUNKED,
        before_head=(Gap(0.7),),
    )


async def test_a_silent_stream_is_kept_alive_by_comments(tmp_path: Path) -> None:
    """T21b: pings every 200 ms, the provider silent for 700 ms: 3 pings, then the reply."""
    async with FakeUpstream() as upstream, running_router(config_for(upstream, http=PINGING), tmp_path) as router:
        upstream.script(lambda request: silent_first(*fake.stream(request, 5).steps))
        async with RawClient(router.http_port) as client:
            reply = await client.ask(STREAM)
        row = await router.call(reply.call_id)

    assert 3 == reply.body.count(PING)
    assert reply.body.startswith(PING * 3)
    assert (fake.text(5), "[DONE]") == (reply.text, reply.events[-1])
    assert ("completed", 5) == (row["outcome"], row["output_tokens"])


async def test_a_pause_inside_a_stream_is_kept_alive_too(tmp_path: Path) -> None:
    """T21b: 700 ms between two tokens."""

    def pausing(request: Request) -> Reply:
        first, second = (fake.chunk(request, {"content": fake.word(index)}) for index in (0, 1))
        return fake.event_stream(first, Gap(0.7), second, *fake.ending(request, 2))

    async with FakeUpstream() as upstream, running_router(config_for(upstream, http=PINGING), tmp_path) as router:
        upstream.script(pausing)
        async with RawClient(router.http_port) as client:
            reply = await client.ask(STREAM)

    assert 3 == reply.body.count(PING)
    assert (fake.text(2), "[DONE]") == (reply.text, reply.events[-1])


async def test_openai_s_sdk_reads_a_stream_with_pings(tmp_path: Path) -> None:
    """T21b: 0 errors, every token."""
    async with FakeUpstream() as upstream, running_router(config_for(upstream, http=PINGING), tmp_path) as router:
        upstream.script(lambda request: silent_first(*fake.stream(request, 5).steps))
        async with (
            httpx.AsyncClient(trust_env=False) as http,
            openai.AsyncOpenAI(base_url=f"{router.url}/v1", api_key=KEY, max_retries=0, http_client=http) as sdk,
        ):
            stream = await sdk.chat.completions.create(
                model="small", messages=[{"role": "user", "content": "hi"}], stream=True
            )
            said = [chunk.choices[0].delta.content or "" async for chunk in stream]

    assert fake.text(5) == "".join(said)


async def test_an_error_within_the_first_ping_interval_keeps_its_status(tmp_path: Path) -> None:
    """T21b: nothing was promised yet."""
    async with FakeUpstream() as upstream, running_router(config_for(upstream, http=PINGING), tmp_path) as router:
        refusal = fake.error(429, "slow down")
        upstream.script(Reply(status=429, headers=refusal.headers, steps=refusal.steps, before_head=(Gap(0.08),)))
        async with RawClient(router.http_port) as client:
            reply = await client.ask(STREAM)

    assert (429, "upstream_rate_limited") == (reply.status, reply.error["code"])


async def test_an_error_after_the_first_ping_is_an_error_event(tmp_path: Path) -> None:
    """T21b: 200 is out, so the stream says what came of it and ends."""
    async with FakeUpstream() as upstream, running_router(config_for(upstream, http=PINGING), tmp_path) as router:
        refusal = fake.error(429, "slow down")
        upstream.script(Reply(status=429, headers=refusal.headers, steps=refusal.steps, before_head=(Gap(0.3),)))
        async with RawClient(router.http_port) as client:
            reply = await client.ask(STREAM)
            again = await client.ask(STREAM)
        row = await router.call(reply.call_id)

    assert (200, True) == (reply.status, reply.complete)
    assert reply.body.startswith(PING)
    assert 1 == len(reply.events), "one error event, no [DONE]"
    assert reply.error["message"]
    assert 200 == again.status
    assert ("interrupted", 0, 0) == (row["outcome"], row["output_tokens"], row["cost_nano_usd"])


# --- T28: byte for byte ----------------------------------------------------------------------------------------------

SAID = "日本語 👩‍👩‍👧‍👦 עברית \u2028 \ufeff é\r\n"


def corpus() -> bytes:
    """One short stream with everything that has broken a splitter, in every line ending."""
    chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": SAID}}]}, ensure_ascii=False).encode()
    two_lines = b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"two"}}]}\n\n'
    finish = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    return b"".join(
        [
            b"\xef\xbb\xbf: hello\n\n",
            b"data: " + chunk + b"\n\n",
            b": between\n\n",
            b"data: " + chunk + b"\r\n\r\n",
            b": after crlf\r\n\r\n",
            two_lines,
            b"data:" + chunk + b"\r\r",
            finish,
            b"data: [DONE]\n\n",
        ]
    )


async def rechunked(router: RunningRouter, upstream: FakeUpstream, cuts: Iterable[int]) -> dict[bytes, list[int]]:
    """Ask once for each cut of the corpus in two; return the bodies that came, with the cuts that made each."""
    whole = corpus()
    bodies: dict[bytes, list[int]] = {}
    async with RawClient(router.http_port) as client:
        for at in cuts:
            upstream.script(fake.event_stream(*[part for part in (whole[:at], Gap(0.0005), whole[at:]) if part]))
            reply = await client.ask(STREAM)
            assert 200 == reply.status, at
            bodies.setdefault(reply.body, []).append(at)
    return bodies


async def test_the_output_does_not_depend_on_how_the_input_was_cut(tmp_path: Path) -> None:
    """T28: re-chunked at every byte offset the output is the same, with 0 replacement characters."""
    async with FakeUpstream() as upstream, running_router(config_for(upstream), tmp_path) as router:
        bodies = await rechunked(router, upstream, range(len(corpus())))

    body = next(iter(bodies))
    contents = [json.loads(event)["choices"][0]["delta"].get("content") for event in sse(body.decode())[:-1]]
    assert 1 == len(bodies), {body: cuts[:5] for body, cuts in bodies.items()}
    assert [SAID, SAID, "two", SAID, None] == contents
    assert "\ufffd" not in body.decode()


async def test_a_stream_in_pieces_of_a_byte_is_the_same_stream(tmp_path: Path) -> None:
    """T28: each byte in a read of its own."""
    whole = corpus()
    pieces: list[Step] = []
    for at in range(len(whole)):
        pieces += [whole[at : at + 1], Gap(0)]
    async with FakeUpstream() as upstream, running_router(config_for(upstream), tmp_path) as router:
        upstream.script(fake.event_stream(whole), fake.event_stream(*pieces))
        async with RawClient(router.http_port) as client:
            at_once = await client.ask(STREAM)
            by_byte = await client.ask(STREAM)

    assert at_once.body == by_byte.body


async def test_an_event_of_6_mb_passes(tmp_path: Path) -> None:
    """T28: large events are whole or refused, never cut."""
    said = "x" * 6_000_000
    async with FakeUpstream() as upstream, running_router(config_for(upstream), tmp_path) as router:
        upstream.script(
            lambda request: fake.event_stream(fake.chunk(request, {"content": said}), *fake.ending(request, 1))
        )
        async with RawClient(router.http_port) as client:
            reply = await client.ask(STREAM)

    assert (said, "[DONE]") == (reply.text, reply.events[-1])


@pytest.mark.parametrize("before", [0, 1], ids=["first", "later"])
async def test_an_event_of_16_mb_is_a_clean_error(tmp_path: Path, before: int) -> None:
    """T28: as the first event a status, later an error event; the connection serves on."""

    def huge(request: Request) -> Reply:
        event = fake.chunk(request, {"content": "x" * 16_000_000})
        return fake.event_stream(*[fake.chunk(request, {"content": "w0"})] * before, Gap(0.02), event)

    async with FakeUpstream() as upstream, running_router(config_for(upstream), tmp_path) as router:
        upstream.script(huge)
        async with RawClient(router.http_port) as client:
            reply = await client.ask(STREAM)
            again = await client.ask(STREAM)

    expected = (200, "upstream_stream_interrupted") if before else (502, "upstream_error")
    assert expected == (reply.status, reply.error["code"])
    assert len(reply.body) < 1_000, "nothing of the large event"
    assert 200 == again.status


# --- T29: never faster than it is read -------------------------------------------------------------------------------

SLOW = {"write_timeout": "500ms"}
PUSHED = 48 * 1024 * 1024


def flood(request: Request) -> Reply:
    event = fake.chunk(request, {"content": "x" * 32_000})
    return fake.event_stream(*[event] * math.ceil(PUSHED / len(event)), *fake.ending(request, 1))


def buffered_bytes(router: RunningRouter) -> int:
    """What the router holds of replies: not yet written to callers, not yet taken from providers."""
    lifecycle = router.lifecycle
    unsent = sum(
        connection.transport.get_write_buffer_size() for connection in lifecycle._http.server_state.connections
    )
    flights = [attempt.flight for call in lifecycle._pipeline.open_calls.values() for attempt in call.attempts]
    return unsent + sum(flight._stream._reply.buffered_bytes for flight in flights if flight)  # type: ignore[attr-defined]


async def test_a_reader_that_takes_nothing_stalls_the_provider_and_is_cut(tmp_path: Path) -> None:
    """T29: bounded bytes in the router, back-pressure upstream, an end after write_timeout, and a row of it."""
    async with FakeUpstream() as upstream, running_router(config_for(upstream, http=SLOW), tmp_path) as router:
        upstream.script(flood)
        async with RawClient(router.http_port, receive_buffer=4096) as client:
            client.send(STREAM)
            asked = await upstream.received(1)
            loop = asyncio.get_running_loop()
            began, most, sent, stalled_at = loop.time(), 0, -1, 0.0
            while not asked.closed.is_set() and loop.time() - began < 5:
                most = max(most, buffered_bytes(router))
                if asked.sent_bytes != sent:
                    sent, stalled_at = asked.sent_bytes, loop.time()
                await asyncio.sleep(0.005)
            assert asked.closed_at is not None, "never cut"
            stalled_s = asked.closed_at - stalled_at
            await router.idle()

    # Beyond the bound: one read of the socket on each side, and the write buffer's high-water mark.
    assert most <= 4 * BUFFER_BYTES_MAX
    assert sent < PUSHED
    assert 0.3 <= stalled_s <= 1.2
    assert [("client_cancelled", 1)] == [(row["outcome"], row["usage_estimated"]) for row in router.rows()]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
async def test_a_slow_reader_that_keeps_taking_is_served_to_the_end(tmp_path: Path, stream: bool) -> None:
    """T29: write_timeout is for readers that take nothing; a slow one may need longer for the whole reply."""
    size = 12_000_000

    def large(request: Request) -> Reply:
        if stream:
            events = [fake.chunk(request, {"content": "x" * 30_000})] * (size // 30_000)
            return fake.event_stream(*events, *fake.ending(request, 1))
        choice = {"index": 0, "message": {"role": "assistant", "content": "x" * size}, "finish_reason": "stop"}
        return Reply(steps=(json.dumps({"choices": [choice]}).encode(),))

    async with FakeUpstream() as upstream, running_router(config_for(upstream, http=SLOW), tmp_path) as router:
        upstream.script(large)
        async with RawClient(router.http_port, receive_buffer=65_536) as client:
            client.send(chat(stream=stream))
            goal = 0
            while goal < size:
                goal += 700_000
                await asyncio.sleep(0.1)
                reply = await client.read_until(lambda reply, goal=goal: reply.complete or len(reply.body) >= goal)  # type: ignore[misc]
            reply = await client.reply()
        await router.idle()

    assert (200, True) == (reply.status, reply.complete)
    assert size <= reply.body.count(b"x")
    assert ["completed"] == [row["outcome"] for row in router.rows()]
