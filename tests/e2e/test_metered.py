"""Images, sound, moderations and reranking over sockets: the bytes go by as they are, each unit is paid for exactly.

Keys, budgets, limits, retries and rows are those of every call.
"""

import asyncio
import dataclasses
import hashlib
import json
import random
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from tests.support.dialects import event, streamed
from tests.support.fake_upstream import Cut, Framing, Gap, Reply, error
from tests.support.forms import CONTENT_TYPE, form, post_form
from tests.support.pool import RICH_KEYS, Pool, at, pool, served_by
from tests.support.running import KEY
from tests.support.stage import sdk
from tests.support.waiting import until
from tests.support.wire import Answer, post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

MIB = 1 << 20
SOUND = random.Random(1).randbytes(3_000_000)
"""Binary, with line breaks and dashes in it."""
NANO = 10**9
TOKENS = {"input": 5, "output": 40}
UNITS = {
    "dalle": {"per_image": 0.02, "images": [{"quality": "hd", "per_image": 0.08}]},
    "pixels": TOKENS,
    "tts": {"per_character": 0.000015},
    "whisper": {"per_second_audio": 0.0001},
    "scribe": TOKENS,
    "omni-moderation": {"input": 0, "output": 0},
    "rerank": {"per_query": 0.002},
}
ROUTES = ["chat", "images", "audio", "moderations", "rerank"]
BODY_MAX = 8 * MIB


def facts_of(name: str) -> dict[str, object]:
    bounds = {"context_window": 16_000, "max_output_tokens": 2_000} if name == "scribe" else {}
    return {"price": UNITS[name], **bounds}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    models = [
        served_by(name, *[at(up, model=f"up-{name}", tier=tier, **facts_of(name)) for tier, up in enumerate("ab", 1)])
        for name in UNITS
    ]
    models.append(served_by("deaf", at("a", model="up", price=TOKENS)))
    models.append(served_by("talker", at("chats", model="up")))
    models.append(served_by("unpriced", {"provider": "a", "model": "who-knows"}))
    poor = {"name": "poor", "key": "sk-poor-key", "budget": {"limit_usd": 0.01, "window": "lifetime"}}
    slow = {"name": "slow", "key": "sk-slow-key", "limits": {"rpm": 1}}
    async with pool(
        tmp_path_factory.mktemp("router"),
        "a",
        "b",
        "chats",
        models=models,
        keys=[*RICH_KEYS, poor, slow],
        members={"a": {"dialects": ROUTES}, "b": {"dialects": ROUTES}, "chats": {"dialects": ["chat"]}},
        http={"max_body": "8MiB", "stream_ping": "100ms"},
    ) as providers:
        yield providers


@pytest.fixture
def live(running: Pool) -> Pool:
    return running.start_over()


async def ask(live: Pool, path: str, body: Mapping[str, object], key: str = KEY) -> Answer:
    async with wire(live.router.http_port) as caller:
        await caller.send(post(body=body, target=path, key=key))
        return await caller.answer()


async def ask_form(live: Pool, path: str, body: bytes, key: str = KEY, content_type: str = CONTENT_TYPE) -> Answer:
    async with wire(live.router.http_port) as caller:
        await caller.send(post_form(path, body, key=key, content_type=content_type))
        return await caller.answer()


async def last_row(live: Pool) -> dict[str, Any]:
    await live.router.idle()
    row: dict[str, Any] = live.router.rows()[-1]
    accounts = await live.router.accounts()
    assert {0} >= {account["reserved"] for account in accounts.values()}
    return row


def says(body: object, content_type: str = "application/json") -> Reply:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(headers=(("content-type", content_type),), steps=(data,))


IMAGES = {"created": 1, "data": [{"url": "https://x/1"}, {"url": "https://x/2"}]}
JSON_CASES = [
    ("/v1/images/generations", {"model": "dalle", "prompt": "a hat", "n": 2}, IMAGES, "images", 2 * NANO * 2 // 100),
    ("/images/generations", {"model": "dalle", "prompt": "a", "n": 2, "quality": "standard"}, IMAGES, "images",
     2 * NANO * 2 // 100),
    ("/v1/images/generations", {"model": "dalle", "prompt": "a", "n": 3, "quality": "hd"}, IMAGES, "images",
     2 * NANO * 8 // 100),
    ("/v1/images/generations", {"model": "pixels", "prompt": "a hat"},
     {"data": [{"b64_json": "aaaa"}], "usage": {"input_tokens": 7, "output_tokens": 1_056, "total_tokens": 1_063,
      "input_tokens_details": {"text_tokens": 7, "image_tokens": 0}}}, "images", 7 * 5_000 + 1_056 * 40_000),
    ("/v1/moderations", {"model": "omni-moderation", "input": "hello"}, {"results": [{"flagged": False}]},
     "moderations", 0),
    ("/v1/rerank", {"model": "rerank", "query": "q", "documents": ["a", "b"], "top_n": 1},
     {"results": [{"index": 1, "relevance_score": 0.5}], "meta": {"billed_units": {"search_units": 1}}}, "rerank",
     2_000_000),
    ("/rerank", {"model": "rerank", "query": "q", "documents": ["a"] * 150},
     {"results": [], "meta": {"billed_units": {"search_units": 2}}}, "rerank", 4_000_000),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "reply", "route", "cost"), JSON_CASES)
async def test_json_goes_by_as_it_is_and_each_unit_is_paid_for(
    live: Pool, path: str, body: dict[str, object], reply: object, route: str, cost: int
) -> None:
    live.script(a=says(reply))
    answer = await ask(live, path, {**body, "x_future": [1, None]})
    (asked,) = live.upstreams["a"].requests

    assert (200, json.dumps(reply).encode()) == (answer.status, bytes(answer.body))
    assert (
        {**body, "model": f"up-{body['model']}", "x_future": [1, None]},
        "/v1/" + path.rsplit("v1/", maxsplit=1)[-1].lstrip("/"),
    ) == (
        asked.json,
        asked.target,
    )
    row = await last_row(live)
    assert (route, "completed", cost) == (row["route"], row["outcome"], row["cost_nano_usd"])
    assert answer.headers["content-type"] == "application/json"
    assert float(answer.headers["x-checkrein-cost-usd"]) == cost / NANO
    assert "a/up-" in answer.headers["x-checkrein-deployment"]


@pytest.mark.parametrize("pieces", [1, 700])
async def test_a_form_goes_by_as_it_is_but_for_the_model(live: Pool, pieces: int) -> None:
    sent = form(
        ("model", "whisper"), ("file", SOUND), ("response_format", "json"), ("unknown[]", "1"), ("unknown[]", "2")
    )
    text = {"text": "hello", "usage": {"type": "duration", "seconds": 12.5}}
    live.script(a=says(text))
    async with wire(live.router.http_port) as caller:
        whole = post_form("/v1/audio/transcriptions", sent)
        step = -(-len(whole) // pieces)
        for start in range(0, len(whole), step):
            await caller.send(whole[start : start + step])
        answer = await caller.answer()
    (asked,) = live.upstreams["a"].requests

    assert (200, json.dumps(text).encode()) == (answer.status, bytes(answer.body))
    wanted = sent.replace(b"\r\n\r\nwhisper\r\n", b"\r\n\r\nup-whisper\r\n")
    assert hashlib.sha256(wanted).digest() == hashlib.sha256(asked.body).digest()
    assert (CONTENT_TYPE, "/v1/audio/transcriptions") == (asked.headers["content-type"], asked.target)
    row = await last_row(live)
    assert ("audio", 12_500 * 100, 0, 0) == tuple(
        row[name] for name in ("route", "cost_nano_usd", "input_tokens", "usage_estimated")
    )


async def test_tokens_of_a_transcription_are_paid_for_as_tokens(live: Pool) -> None:
    usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59}
    live.script(a=says({"text": "hello", "usage": usage}))
    answer = await ask_form(live, "/v1/audio/transcriptions", form(("file", b"RIFF1234"), ("model", "scribe")))
    row = await last_row(live)

    assert 200 == answer.status
    assert (14, 45, 0, 14 * 5_000 + 45 * 40_000) == tuple(
        [row[name] for name in ("input_tokens", "output_tokens", "usage_estimated", "cost_nano_usd")]
    )


async def test_tokens_that_nobody_bounds_are_refused_under_a_budget(live: Pool) -> None:
    answer = await ask_form(live, "/v1/audio/transcriptions", form(("file", b"RIFF1234"), ("model", "deaf")))

    assert (403, "price_unknown") == (answer.status, answer.error["code"])
    assert {} == live.asked


async def test_sound_goes_by_byte_for_byte_under_its_own_type(live: Pool) -> None:
    steps = [SOUND[start : start + 50_000] for start in range(0, len(SOUND), 50_000)]
    live.script(a=Reply(headers=(("content-type", "audio/mpeg"),), steps=tuple(steps), framing=Framing.CHUNKED))
    answer = await ask(live, "/v1/audio/speech", {"model": "tts", "input": "héllo", "voice": "alloy"})

    assert (200, "audio/mpeg") == (answer.status, answer.headers["content-type"])
    assert hashlib.sha256(SOUND).digest() == hashlib.sha256(answer.body).digest()
    row = await last_row(live)
    assert ("completed", 5 * 15_000) == (row["outcome"], row["cost_nano_usd"])


async def test_text_of_a_transcription_is_billed_by_a_guess_of_its_length(live: Pool) -> None:
    live.script(a=says(b"1\n00:00:00,000 --> 00:00:01,000\nhi\n", "text/plain; charset=utf-8"))
    sent = form(("file", bytes(40_000)), ("model", "whisper"), ("response_format", "srt"))
    answer = await ask_form(live, "/v1/audio/transcriptions", sent)
    row = await last_row(live)

    assert (200, "text/plain; charset=utf-8") == (answer.status, answer.headers["content-type"])
    assert (10_000 * 100, 1) == (row["cost_nano_usd"], row["usage_estimated"])


DONE = event("speech.audio.done", usage={"input_tokens": 3, "output_tokens": 20, "total_tokens": 23})
DELTAS = [event("speech.audio.delta", audio="aGk=") for _ in range(3)]


async def test_events_go_by_and_tell_what_was_used(live: Pool) -> None:
    live.script(a=streamed([*DELTAS, DONE]))
    sent = {"model": "scribe", "input": "hi", "voice": "x", "stream_format": "sse"}
    answer = await ask(live, "/v1/audio/speech", sent)
    row = await last_row(live)

    assert (200, b"".join([*DELTAS, DONE])) == (answer.status, bytes(answer.body))
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert ("completed", 3 * 5_000 + 20 * 40_000, 1) == (row["outcome"], row["cost_nano_usd"], row["stream"])


async def test_events_that_were_cut_never_look_like_success(live: Pool) -> None:
    live.script(a=streamed(DELTAS))
    sent = {"model": "tts", "input": "hi", "voice": "x", "stream_format": "sse"}
    answer = await ask(live, "/v1/audio/speech", sent)

    assert answer.body.endswith(b"\n\n")
    assert "upstream_stream_interrupted" == json.loads(answer.body.split(b"data: ")[-1])["error"]["code"]
    assert "interrupted" == (await last_row(live))["outcome"]


async def test_sound_that_was_cut_ends_its_connection_too(live: Pool) -> None:
    sound = Reply(
        headers=(("content-type", "audio/mpeg"),), steps=(b"abc", asyncio.Event(), Cut.CLOSE), framing=Framing.CHUNKED
    )
    live.script(a=sound)
    async with wire(live.router.http_port) as caller:
        await caller.send(post(body={"model": "tts", "input": "hi", "voice": "x"}, target="/v1/audio/speech"))
        answer = await caller.answer_until(lambda answer: answer.body == b"abc")
        assert isinstance(sound.steps[1], asyncio.Event)
        sound.steps[1].set()
        rest = await caller.rest()
    row = await last_row(live)

    assert (200, b"", False) == (answer.status, rest, answer.complete)
    assert ("interrupted", 2 * 15_000) == (row["outcome"], row["cost_nano_usd"])


async def test_an_error_of_the_provider_comes_in_openais_shape_and_costs_nothing(live: Pool) -> None:
    live.script(a=error(400, "no such voice", code="bad_voice"))
    answer = await ask(live, "/v1/audio/speech", {"model": "tts", "input": "hi", "voice": "x"})
    row = await last_row(live)

    assert (400, "no such voice", "bad_voice") == (answer.status, answer.error["message"], answer.error["code"])
    assert 0 == row["cost_nano_usd"]


async def test_a_provider_that_thinks_for_long_still_gives_its_own_status(live: Pool) -> None:
    """No head goes out before the reply is known, not even that of a stream: it may be no stream."""
    slow = dataclasses.replace(error(400, "no"), before_head=(Gap(0.3),))
    live.script(a=slow)
    sent = {"model": "tts", "input": "hi", "voice": "x", "stream_format": "sse"}

    assert 400 == (await ask(live, "/v1/audio/speech", sent)).status


async def test_a_form_is_sent_again_elsewhere_when_its_provider_fails(live: Pool) -> None:
    sent = form(("file", SOUND), ("model", "whisper"))
    live.script(a=error(500), b=says({"text": "hello", "usage": {"type": "duration", "seconds": 2}}))
    answer = await ask_form(live, "/v1/audio/translations", sent)

    assert 200 == answer.status
    assert {live.upstreams[name].requests[0].body for name in "ab"} == {sent.replace(b"\r\nwhisper", b"\r\nup-whisper")}
    assert 2_000 * 100 == (await last_row(live))["cost_nano_usd"]


async def test_a_page_that_is_no_reply_never_looks_like_success(live: Pool) -> None:
    page = says(b"<html>busy</html>", "text/html")
    live.script(a=page, b=page)
    answers = [
        await ask(live, "/v1/audio/speech", {"model": "tts", "input": "hi", "voice": "x"}),
        await ask(live, "/v1/images/generations", {"model": "dalle", "prompt": "hi"}),
    ]

    assert [502, 502] == [answer.status for answer in answers]


async def test_a_budget_refuses_what_does_not_fit_before_it_is_sent(live: Pool) -> None:
    sent = form(("file", SOUND), ("model", "whisper"))
    answers = [
        await ask(live, "/v1/images/generations", {"model": "dalle", "prompt": "a"}, "sk-poor-key"),
        await ask(live, "/v1/audio/speech", {"model": "tts", "input": "a" * 700, "voice": "x"}, "sk-poor-key"),
        await ask_form(live, "/v1/audio/transcriptions", sent, "sk-poor-key"),
        await ask(live, "/v1/rerank", {"model": "rerank", "query": "q", "documents": ["a"] * 600}, "sk-poor-key"),
    ]

    assert [(429, "budget_exceeded")] * 4 == [(answer.status, answer.error["code"]) for answer in answers]
    assert {} == live.asked
    unpriced = await ask(live, "/v1/images/generations", {"model": "unpriced", "prompt": "a"}, "sk-poor-key")
    assert (403, "price_unknown") == (unpriced.status, unpriced.error["code"])


async def test_a_rate_limit_counts_them(live: Pool) -> None:
    live.script(a=says({"results": []}))
    body = {"model": "omni-moderation", "input": "a"}
    answers = [await ask(live, "/v1/moderations", body, "sk-slow-key") for _ in range(2)]

    assert [200, 429] == [answer.status for answer in answers]
    assert "0" == answers[0].headers["x-ratelimit-remaining-requests"]


async def test_a_moderation_that_names_no_model_goes_to_the_one_for_it(live: Pool) -> None:
    live.script(a=says({"results": []}))
    answer = await ask(live, "/v1/moderations", {"input": ["a", "b"]})
    (asked,) = live.upstreams["a"].requests

    assert (200, "up-omni-moderation") == (answer.status, asked.json["model"])
    assert "omni-moderation" == (await last_row(live))["asked_model"]


async def test_who_has_no_such_route_is_not_asked(live: Pool) -> None:
    answer = await ask(live, "/v1/images/generations", {"model": "talker", "prompt": "a"})

    assert (400, "capability_missing") == (answer.status, answer.error["code"])


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (form(("file", b"x")), CONTENT_TYPE, 400),
        (form(("model", "whisper"), ("model", "dalle"), ("file", b"x")), CONTENT_TYPE, 400),
        (form(("model", "whisper"), ("file", b"x"))[:-8], CONTENT_TYPE, 400),
        (form(("model", "whisper"), ("api_base", "http://evil"), ("file", b"x")), CONTENT_TYPE, 400),
        (form(("model", "nobody"), ("file", b"x")), CONTENT_TYPE, 404),
        (form(("model", "whisper"), ("file", b"x")), "multipart/form-data", 400),
        (b"model=whisper", "application/x-www-form-urlencoded", 415),
    ],
)
async def test_what_cannot_be_read_plainly_is_refused(live: Pool, body: bytes, content_type: str, status: int) -> None:
    answer = await ask_form(live, "/v1/audio/transcriptions", body, content_type=content_type)

    assert status == answer.status
    assert "message" in answer.error
    assert {} == live.asked


async def test_a_form_where_none_is_taken_is_refused(live: Pool) -> None:
    answer = await ask_form(live, "/v1/audio/speech", form(("model", "tts"), ("input", "hi")))

    assert (415, "unsupported_media_type") == (answer.status, answer.error["code"])


async def test_a_form_that_is_too_large_is_refused_by_its_head_and_while_it_comes(live: Pool) -> None:
    async with wire(live.router.http_port) as caller:
        await caller.send(post_form("/v1/audio/transcriptions", b"--", length=BODY_MAX + 1))
        by_head = await caller.answer()
    lines = post_form("/v1/audio/transcriptions", b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
    async with wire(live.router.http_port) as caller:
        await caller.send(lines)
        for _ in range(9):
            await caller.send(b"%x\r\n%b\r\n" % (MIB, bytes(MIB)))
        while_it_comes = await caller.answer()

    assert [(413, "request_too_large")] * 2 == [(one.status, one.error["code"]) for one in (by_head, while_it_comes)]
    assert {} == live.asked


async def test_a_caller_that_leaves_while_it_sends_has_cost_nobody_anything(live: Pool) -> None:
    sent = post_form("/v1/audio/transcriptions", form(("file", SOUND), ("model", "whisper")))
    await live.router.idle()
    before = len(live.router.rows())
    async with wire(live.router.http_port) as caller:
        await caller.send(sent[: len(sent) // 2])
        caller.close()
    await live.router.idle()

    assert ({}, before) == (live.asked, len(live.router.rows()))


async def test_a_caller_that_leaves_while_it_listens_closes_the_provider_at_once(live: Pool) -> None:
    never = asyncio.Event()
    live.script(a=Reply(headers=(("content-type", "audio/mpeg"),), steps=(b"abc", never), framing=Framing.CHUNKED))
    async with wire(live.router.http_port) as caller:
        await caller.send(post(body={"model": "tts", "input": "hi", "voice": "x"}, target="/v1/audio/speech"))
        await caller.answer_until(lambda answer: answer.body == b"abc")
    (asked,) = live.upstreams["a"].requests
    async with asyncio.timeout(1):
        await asked.closed.wait()
    row = await last_row(live)

    assert ("client_cancelled", 2 * 15_000) == (row["outcome"], row["cost_nano_usd"])


async def test_a_caller_that_leaves_before_the_reply_closes_the_provider_and_pays_the_guess(live: Pool) -> None:
    never = asyncio.Event()
    live.script(a=Reply(before_head=(never,)))
    async with wire(live.router.http_port) as caller:
        await caller.send(post(body={"model": "dalle", "prompt": "hi", "n": 2}, target="/v1/images/generations"))
        asked = await live.upstreams["a"].received(1)
    async with asyncio.timeout(1):
        await asked.closed.wait()
    row = await last_row(live)

    assert ("client_cancelled", 2 * 20_000_000) == (row["outcome"], row["cost_nano_usd"])


def _stands_still(seen: list[int], now: int) -> bool:
    seen.append(now)
    return len(seen) > 60 and seen[-60:] == [now] * 60


async def test_a_reader_that_is_slow_slows_its_provider_down(live: Pool) -> None:
    piece = bytes(64 * 1024)
    live.script(a=Reply(headers=(("content-type", "audio/mpeg"),), steps=(piece,) * 640, framing=Framing.CHUNKED))
    async with wire(live.router.http_port, receive_buffer=32 * 1024) as caller:
        await caller.send(post(body={"model": "tts", "input": "hi", "voice": "x"}, target="/v1/audio/speech"))
        asked = await live.upstreams["a"].received(1)
        await caller.answer_until(lambda answer: len(answer.body) > len(piece))
        sent: list[int] = []
        await until(lambda: _stands_still(sent, asked.sent_bytes), within_s=10)
        assert asked.sent_bytes < 20 * MIB
        answer = await caller.answer()

    assert 640 * len(piece) == len(answer.body)


async def test_openais_own_client_uses_all_of_them(live: Pool) -> None:
    async with sdk(f"{live.router.url}/v1", KEY) as client:
        live.script(a=says(IMAGES))
        images = await client.images.generate(model="dalle", prompt="a hat", n=2)
        edited = await client.images.edit(model="dalle", image=("a.png", b"png"), prompt="a hat", n=2)
        live.script(a=says(SOUND, "audio/mpeg"))
        spoken = await client.audio.speech.create(model="tts", voice="alloy", input="hi")
        live.script(a=says({"text": "hello", "usage": {"type": "duration", "seconds": 1}}))
        heard = await client.audio.transcriptions.create(model="whisper", file=("a.wav", SOUND))
        live.script(a=streamed([event("transcript.text.delta", delta="hi"), event("transcript.text.done", text="hi")]))
        stream = await client.audio.transcriptions.create(model="whisper", file=("a.wav", SOUND), stream=True)
        events = [one async for one in stream]
        live.script(a=says({"id": "m", "model": "x", "results": []}))
        moderated = await client.moderations.create(input="hello")

    assert (2, 2) == (len(images.data or ()), len(edited.data or ()))
    assert (SOUND, "hello", "m") == (spoken.content, heard.text, moderated.id)
    assert ["transcript.text.delta", "transcript.text.done"] == [one.type for one in events]
