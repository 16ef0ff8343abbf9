"""A stream reaches its reader as it is made: event by event, byte for byte."""

import asyncio
import json
from collections.abc import Iterable

import pytest

from tests.support import fake_upstream as fake
from tests.support.fake_upstream import Gap, Reply, Request, Step
from tests.support.running import chat, sse
from tests.support.stage import Stage
from tests.support.wire import post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

STREAM = chat(stream=True)

# --- T21a: as it is made --------------------------------------------------------------------------------------------


async def test_tokens_arrive_one_by_one(stage: Stage) -> None:
    """T21a: each of 49 tokens has been read before the provider makes the next one."""
    gates = [asyncio.Event() for _ in range(49)]

    def in_step(request: Request) -> Reply:
        tokens = [fake.chunk(request, {"content": fake.word(at)}) for at in range(49)]
        steps = [step for token, gate in zip(tokens, gates, strict=True) for step in (token, gate)]
        return fake.event_stream(*steps, *fake.ending(request, 49))

    stage.upstream.script(in_step)
    async with wire(stage.router.http_port) as client:
        await client.send(post(body=STREAM))
        for at, gate in enumerate(gates):
            await client.answer_until(lambda reply, at=at: len(reply.events) == at + 1)  # type: ignore[misc]
            gate.set()
        reply = await client.answer()

    assert fake.text(49) == reply.text
    assert reply.reads >= 49


async def test_a_stream_has_the_headers_that_keep_proxies_from_holding_it(stage: Stage) -> None:
    """T21a: text/event-stream, no-cache, X-Accel-Buffering: no; no compression, also when it was offered."""
    reply = await stage.ask(STREAM, "accept-encoding: gzip, br, zstd")

    assert reply.headers["content-type"].startswith("text/event-stream")
    assert "no-cache" in reply.headers["cache-control"]
    assert "no" == reply.headers["x-accel-buffering"]
    assert "chunked" == reply.headers["transfer-encoding"]
    assert {"content-encoding", "content-length"}.isdisjoint(reply.headers)


async def test_the_provider_s_ids_names_and_retries_do_not_reach_the_caller(stage: Stage) -> None:
    """T21a: an SDK that saw an `id:` fails on the next comment."""

    def decorated(request: Request) -> Reply:
        plain = fake.chunk(request, {"content": "w0"})
        dressed = b"id: 7\nretry: 100\nevent: message\n" + plain
        return fake.event_stream(b"retry: 5\n\n", dressed, *fake.ending(request, 1))

    stage.upstream.script(decorated)
    reply = await stage.ask(STREAM)

    assert ("w0", "[DONE]") == (reply.text, reply.events[-1])
    assert {b"data", b""} == {bytes(line).partition(b":")[0] for line in reply.body.split(b"\n")}


# --- T28: byte for byte ---------------------------------------------------------------------------------------------

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


async def rechunked(stage: Stage, cuts: Iterable[int]) -> dict[bytes, list[int]]:
    """Ask once for each cut of the corpus in two; return the bodies that came, with the cuts that made each."""
    whole = corpus()
    bodies: dict[bytes, list[int]] = {}
    async with wire(stage.router.http_port) as client:
        for at in cuts:
            stage.upstream.script(fake.event_stream(*[part for part in (whole[:at], Gap(0.0005), whole[at:]) if part]))
            reply = await client.ask(STREAM)
            assert 200 == reply.status, at
            bodies.setdefault(bytes(reply.body), []).append(at)
    return bodies


async def test_the_output_does_not_depend_on_how_the_input_was_cut(stage: Stage) -> None:
    """T28: re-chunked at every byte offset the output is the same, with 0 replacement characters."""
    bodies = await rechunked(stage, range(len(corpus())))

    body = next(iter(bodies))
    contents = [json.loads(event)["choices"][0]["delta"].get("content") for event in sse(body.decode())[:-1]]
    assert 1 == len(bodies), {body: cuts[:5] for body, cuts in bodies.items()}
    assert [SAID, SAID, "two", SAID, None] == contents
    assert "\ufffd" not in body.decode()


async def test_a_stream_in_pieces_of_a_byte_is_the_same_stream(stage: Stage) -> None:
    """T28: each byte in a read of its own."""
    whole = corpus()
    pieces: list[Step] = []
    for at in range(len(whole)):
        pieces += [whole[at : at + 1], Gap(0)]
    stage.upstream.script(fake.event_stream(whole), fake.event_stream(*pieces))
    async with wire(stage.router.http_port) as client:
        at_once = await client.ask(STREAM)
        by_byte = await client.ask(STREAM)

    assert at_once.body == by_byte.body


async def test_an_event_of_6_mb_passes(stage: Stage) -> None:
    """T28: large events are whole or refused, never cut."""
    said = "x" * 6_000_000
    stage.upstream.script(
        lambda request: fake.event_stream(fake.chunk(request, {"content": said}), *fake.ending(request, 1))
    )
    reply = await stage.ask(STREAM)

    assert (said, "[DONE]") == (reply.text, reply.events[-1])


@pytest.mark.parametrize("before", [0, 1], ids=["first", "later"])
async def test_an_event_of_16_mb_is_a_clean_error(stage: Stage, before: int) -> None:
    """T28: as the first event a status, later an error event; the connection serves on."""

    def huge(request: Request) -> Reply:
        event = fake.chunk(request, {"content": "x" * 16_000_000})
        return fake.event_stream(*[fake.chunk(request, {"content": "w0"})] * before, Gap(0.02), event)

    stage.upstream.script(huge)
    async with wire(stage.router.http_port) as client:
        reply = await client.ask(STREAM)
        again = await client.ask(STREAM)

    expected = (200, "upstream_stream_interrupted") if before else (502, "upstream_error")
    assert expected == (reply.status, reply.error["code"])
    assert len(reply.body) < 1_000, "nothing of the large event"
    assert 200 == again.status
