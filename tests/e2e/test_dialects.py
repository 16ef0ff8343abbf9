"""Each dialect over sockets, at a provider that speaks it: the bytes go by as they are, and every law holds on the way.

Key, budget, stream honesty, settlement and row are the same whatever a caller speaks.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
import pytest_asyncio

from tests.support import fake_upstream as fake
from tests.support.dialects import SSE, event, message, message_events, response, response_events, streamed, whole
from tests.support.fake_upstream import Reply, Request
from tests.support.pool import RICH_KEYS, Pool, at, pool, served_by
from tests.support.wire import Answer, post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

MESSAGES: dict[str, object] = {
    "model": "claude",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Say hello."}],
}
RESPONSES: dict[str, object] = {"model": "gpt", "input": "Say hello.", "max_output_tokens": 100}
COMPLETIONS: dict[str, object] = {"model": "gpt", "prompt": "Say hello.", "max_tokens": 100}
EMBEDDINGS: dict[str, object] = {"model": "gpt", "input": ["one", "two"], "encoding_format": "base64"}

VECTORS = {
    "object": "list",
    "model": "up",
    "data": [{"object": "embedding", "index": at, "embedding": "AACAPw=="} for at in range(2)],
    "usage": {"prompt_tokens": 2, "total_tokens": 2},
}
TEXT = {
    "object": "text_completion",
    "model": "up",
    "choices": [{"index": 0, "text": "Hello there", "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 4, "completion_tokens": 2},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    """`claude` at a provider of Anthropic's kind, `gpt` at one that has all of OpenAI's routes."""
    models = [
        served_by("claude", at("a", name="claude", model="claude")),
        served_by("gpt", at("o", name="gpt", model="gpt-5")),
        served_by("both", at("a", name="both", model="claude"), at("a2", name="both2", model="claude")),
    ]
    poor = {"name": "poor", "key": "sk-poor-key", "budget": {"limit_usd": 0.000001, "window": "lifetime"}}
    async with pool(
        tmp_path_factory.mktemp("router"),
        "a",
        "a2",
        "o",
        models=models,
        keys=[*RICH_KEYS, poor],
        members={
            "a": {"kind": "anthropic"},
            "a2": {"kind": "anthropic"},
            "o": {"dialects": ["chat", "completions", "embeddings", "responses"]},
        },
    ) as providers:
        yield providers


@pytest.fixture
def live(running: Pool) -> Pool:
    return running.start_over()


async def ask(live: Pool, path: str, body: Mapping[str, object], *lines: str, key: str = "sk-test-key") -> Answer:
    async with wire(live.router.http_port) as caller:
        await caller.send(post(*lines, body=body, target=path, key=key))
        return await caller.answer()


async def last_row(live: Pool) -> dict[str, Any]:
    await live.router.idle()
    return live.router.rows()[-1]


def answers(body: Mapping[str, object]) -> Callable[[Request], Reply]:
    return lambda _: whole(body)


async def test_a_message_goes_by_as_it_is(live: Pool) -> None:
    body = message("Hello there", cached=5)
    live.script(a=answers(body))
    sent = {**MESSAGES, "unknown": {"a": [None, 12345678901234567890]}}
    reply = await ask(live, "/v1/messages", sent, "anthropic-version: 2024-01-01", "anthropic-beta: tools-x")
    (asked,) = live.upstreams["a"].requests

    assert (200, json.dumps(body).encode()) == (reply.status, bytes(reply.body))
    assert sent == asked.json
    assert ("/v1/messages", "2024-01-01", "tools-x") == (
        asked.target,
        asked.headers["anthropic-version"],
        asked.headers["anthropic-beta"],
    )
    assert reply.headers["request-id"] == reply.headers["x-request-id"]
    row = await last_row(live)
    assert ("messages", 25, 5, 2, "completed") == tuple(
        row[name] for name in ("route", "input_tokens", "cached_input_tokens", "output_tokens", "outcome")
    )
    assert 20 * 2_000 + 5 * 200 + 2 * 10_000 == row["cost_nano_usd"]


@pytest.mark.parametrize(
    ("path", "body", "events", "end"),
    [
        ("/v1/messages", MESSAGES, message_events("one two three"), b""),
        ("/v1/responses", RESPONSES, response_events("one two three"), b""),
        (
            "/v1/completions",
            COMPLETIONS,
            [b'data: {"choices":[{"index":0,"text":"one","finish_reason":"stop"}]}\n\n', b"data: [DONE]\n\n"],
            b"",
        ),
    ],
)
async def test_a_stream_goes_by_byte_for_byte(
    live: Pool, path: str, body: Mapping[str, object], events: list[bytes], end: bytes
) -> None:
    live.script(a=streamed(events), o=streamed(events))
    reply = await ask(live, path, {**body, "stream": True})

    assert (200, b"".join(events) + end) == (reply.status, bytes(reply.body))
    assert "completed" == (await last_row(live))["outcome"]


@pytest.mark.parametrize(
    ("path", "body", "answer", "tokens"),
    [
        ("/v1/responses", RESPONSES, response("Hello there"), (20, 2)),
        ("/v1/completions", COMPLETIONS, TEXT, (4, 2)),
        ("/v1/embeddings", EMBEDDINGS, VECTORS, (2, 0)),
    ],
)
async def test_openais_other_routes_go_by_as_they_are(
    live: Pool, path: str, body: Mapping[str, object], answer: dict[str, object], tokens: tuple[int, int]
) -> None:
    live.script(o=answers(answer))
    reply = await ask(live, path, body)
    (asked,) = live.upstreams["o"].requests

    assert (200, json.dumps(answer).encode()) == (reply.status, bytes(reply.body))
    assert ({**body, "model": "gpt-5"}, path) == (asked.json, asked.target)
    row = await last_row(live)
    assert (path.rsplit("/", 1)[1], *tokens) == (row["route"], row["input_tokens"], row["output_tokens"])
    assert (
        tokens[0] * 2_000 + tokens[1] * 10_000 - (8 * 1_800 if path == "/v1/responses" else 0) == row["cost_nano_usd"]
    )


@pytest.mark.parametrize(("path", "body"), [("/v1/messages", MESSAGES), ("/v1/embeddings", EMBEDDINGS)])
async def test_a_bad_key_and_an_empty_purse_are_refused_on_every_route(
    live: Pool, path: str, body: Mapping[str, object]
) -> None:
    unknown = await ask(live, path, body, key="sk-nobody")
    poor = await ask(live, path, body, key="sk-poor-key")

    assert (401, 429) == (unknown.status, poor.status)
    assert {} == live.asked
    said = [json.loads(reply.body) for reply in (unknown, poor)]
    if path == "/v1/messages":
        assert [("error", "authentication_error"), ("error", "rate_limit_error")] == [
            (one["type"], one["error"]["type"]) for one in said
        ]
    assert "budget_exceeded" == said[1]["error"]["code"]


async def test_an_error_of_the_provider_is_said_in_the_callers_shape(live: Pool) -> None:
    live.script(
        a=Reply(status=400, steps=(b'{"type":"error","error":{"type":"invalid_request_error","message":"m"}}',))
    )
    reply = await ask(live, "/v1/messages", MESSAGES)

    assert 400 == reply.status
    assert ("error", "m") == (json.loads(reply.body)["type"], json.loads(reply.body)["error"]["message"])


async def test_an_error_before_the_first_token_of_a_stream_goes_to_the_next(live: Pool) -> None:
    busy = [*message_events()[:2], event("error", error={"type": "overloaded_error", "message": "busy"})]
    good = message_events("one two")
    live.script(a=streamed(busy), a2=streamed(good))
    replies = [await ask(live, "/v1/messages", {**MESSAGES, "model": "both", "stream": True}) for _ in range(4)]

    assert {b"".join(good)} == {bytes(reply.body) for reply in replies}
    assert 4 == live.asked["a2"]


async def test_an_error_after_the_first_token_is_one_event_and_nothing_more(live: Pool) -> None:
    events = [*message_events("one two")[:4], event("error", error={"type": "overloaded_error", "message": "busy"})]
    live.script(a=streamed(events))
    reply = await ask(live, "/v1/messages", {**MESSAGES, "stream": True})
    *passed, last = bytes(reply.body).split(b"\n\n")[:-1]

    assert events[:4] == [raw + b"\n\n" for raw in passed]
    assert last.startswith(b'event: error\ndata: {"type":"error"')
    assert ("interrupted", True) == ((await last_row(live))["outcome"], reply.complete)


async def test_a_stream_that_was_cut_never_looks_like_success(live: Pool) -> None:
    live.script(a=streamed(message_events("one two")[:-1]), o=streamed(response_events("one two")[:-1]))
    cut = await ask(live, "/v1/messages", {**MESSAGES, "stream": True})
    cut_too = await ask(live, "/v1/responses", {**RESPONSES, "stream": True})

    assert b"event: error\n" in cut.body
    assert b"message_stop" not in cut.body
    assert b"event: error\n" in cut_too.body
    assert b"response.completed" not in cut_too.body


@pytest.mark.parametrize("text", ['{"a":,}', "{]}", ""])
async def test_a_whole_reply_that_is_no_json_never_looks_like_success(live: Pool, text: str) -> None:
    live.script(a=Reply(steps=(text.encode(),)), o=Reply(steps=(text.encode(),)))
    replies = [
        await ask(live, "/v1/messages", MESSAGES),
        await ask(live, "/v1/responses", RESPONSES),
        await ask(live, "/v1/chat/completions", {"model": "gpt", "messages": []}),
    ]

    assert [502] * 3 == [reply.status for reply in replies]


async def test_what_nobody_speaks_is_refused_and_says_so(live: Pool) -> None:
    reply = await ask(live, "/v1/embeddings", {**EMBEDDINGS, "model": "claude"})

    assert (400, "capability_missing") == (reply.status, reply.error["code"])
    assert {} == live.asked


async def test_the_invoice_of_every_dialect_is_in_the_ledger(live: Pool) -> None:
    """Under a budget: what is held covers what is billed, and nothing stays held."""
    live.script(
        a=streamed(message_events("one two three")),
        o=lambda request: (
            streamed(response_events("one")) if request.target.endswith("responses") else fake.answer(request)
        ),
    )
    for _ in range(3):
        await ask(live, "/v1/messages", {**MESSAGES, "stream": True})
        await ask(live, "/v1/responses", {**RESPONSES, "stream": True})
    await live.router.idle()
    accounts = await live.router.accounts()
    posted = sum(int(str(row["cost_nano_usd"])) for row in live.router.rows())

    assert {0} == {account["reserved"] for account in accounts.values()}
    assert posted == sum(account["used"] for account in accounts.values())


async def test_callers_may_leave_the_version_out_of_the_path(live: Pool) -> None:
    live.script(a=answers(message()))

    assert 200 == (await ask(live, "/messages", MESSAGES)).status


async def test_a_query_does_not_hide_the_route(live: Pool) -> None:
    """As the SDK's beta calls have one."""
    live.script(a=answers(message()))

    assert 200 == (await ask(live, "/v1/messages?beta=true", MESSAGES)).status


async def test_a_caller_that_leaves_closes_the_provider(live: Pool) -> None:
    never = asyncio.Event()
    live.script(a=Reply(headers=SSE, steps=(*message_events("one two")[:4], never), framing=fake.Framing.CHUNKED))
    async with wire(live.router.http_port) as caller:
        await caller.send(post(body={**MESSAGES, "stream": True}, target="/v1/messages"))
        await caller.answer_until(lambda answer: b"content_block_delta" in answer.body)
    (asked,) = live.upstreams["a"].requests
    await asked.closed.wait()

    assert "client_cancelled" == (await last_row(live))["outcome"]
