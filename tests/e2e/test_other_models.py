"""Another model answers only where it may and can, is priced as what it is, and gets nothing that it could not read."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support import fake_upstream as fake
from tests.support.fake_upstream import Reply, Request
from tests.support.phrasings import TOO_LONG, Said
from tests.support.pool import RICH, Pool, asks, at, free, pool, served_by
from tests.support.running import ADMIN, KEY
from tests.support.wire import Answer, post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

PLAIN_KEY = "sk-test-no-stand-in"
DEAR = {"input": 4.0, "output": 20.0}
DOWN = free(fake.error(500, "down"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    """`small` at a falls back to `dear` at e; `mixed` runs at both; `short` at a has larger models to fall back to."""
    small = {"context_window": 8_000}
    models = [
        served_by("small", at("a"), fallbacks=["dear"]),
        served_by("dear", at("e", price=DEAR)),
        served_by("mixed", at("a", name="a-mixed"), at("b", name="b-mixed", tier=2)),
        served_by("short", at("a", name="a-short", **small), context_window_fallbacks=["tiny", "long"]),
        served_by("tiny", at("c", name="c-tiny", context_window=10)),
        served_by("long", at("b", name="b-long", context_window=200_000)),
        served_by("alone", at("a", name="a-alone", **small), context_window_fallbacks=["tiny", "fails"]),
        served_by("fails", at("d", name="d-fails", context_window=200_000)),
        served_by(
            "long-winded",
            at("a", name="a-winded", **small),
            context_window_fallbacks=["half", "same", "tried", "unsaid", "fails"],
        ),
        served_by("half", at("c", name="c-half", context_window=4_000)),
        served_by("same", at("c", name="c-same", context_window=8_000)),
        served_by("tried", at("b", name="b-tried", context_window=16_000)),
        served_by("unsaid", at("e", name="e-unsaid", price=DEAR)),
        served_by("blind", at("a", name="a-blind", capabilities=["tools"]), fallbacks=["mute", "able"]),
        served_by("mute", at("c", name="c-mute", capabilities=[])),
        served_by("able", at("b", name="b-able", capabilities=["tools", "vision", "json_schema"])),
    ]
    keys = [
        {"name": "test", "key": KEY, "budget": RICH},
        {"name": "plain", "key": PLAIN_KEY, "budget": RICH, "allow": {"substitution": False}},
        {"name": "admin", "key": ADMIN, "permissions": ["admin"]},
    ]
    retry = {"attempts_per_deployment": 1, "retry_ratio_pct": 100}
    folder = tmp_path_factory.mktemp("router")
    async with pool(folder, "a", "b", "c", "d", "e", models=models, keys=keys, retry=retry) as providers:
        yield providers


@pytest_asyncio.fixture(loop_scope="module")
async def providers(running: Pool) -> AsyncIterator[Pool]:
    fresh = running.start_over()
    yield fresh
    await fresh.books(e=2)


# --- T18: what only its provider can read ----------------------------------------------------------------------------

SIGNED = "c2lnbmVk"
CALLS: list[dict[str, Any]] = [
    {
        "id": f"call_{number}",
        "type": "function",
        "function": {"name": "look", "arguments": '{"at": "x"}'},
        "extra_content": {"google": {"thought_signature": SIGNED}},
    }
    for number in (1, 2)
]
HISTORY: list[dict[str, Any]] = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "look twice"},
    {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "hm", "signature": SIGNED}, {"type": "text", "text": "looking"}],
        "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": SIGNED}],
        "reasoning_details": [{"type": "reasoning.encrypted", "data": SIGNED}],
        "tool_calls": CALLS,
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "one"},
    {"role": "tool", "tool_call_id": "call_2", "content": "two"},
]
SCOPED = ("thinking_blocks", "reasoning_details", "signature", "thought_signature", "extra_content", SIGNED)


def messages_of(request: Request) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = json.loads(request.body)["messages"]
    return messages


async def test_another_provider_gets_nothing_that_only_the_first_can_read(providers: Pool) -> None:
    """T18: no foreign signature, tool calls and their answers in pairs; back at the first everything is there again."""
    session = "x-session-id: signed"
    first = await providers.ask(asks(model="mixed", messages=HISTORY[:2]), session)
    healthy = providers.upstreams["a"].handler
    providers.script(a=DOWN)
    second = await providers.ask(asks(model="mixed", messages=HISTORY), session)
    providers.upstreams["a"].handler = healthy
    providers.script(b=DOWN)  # it moved there, and comes back
    third = await providers.ask(asks(model="mixed", messages=HISTORY), session)
    await providers.router.idle()

    served = [reply.headers["x-checkrein-deployment"] for reply in (first, second, third)]
    assert ["a-mixed", "b-mixed", "a-mixed"] == served
    sent = providers.upstreams["b"].requests[0]
    assert [] == [mark for mark in SCOPED if mark in sent.body.decode()]
    there = messages_of(sent)
    assert [message["role"] for message in HISTORY] == [message["role"] for message in there]
    assert [one["id"] for one in there[2]["tool_calls"]] == [message["tool_call_id"] for message in there[3:]]
    assert [one["function"] for one in CALLS] == [one["function"] for one in there[2]["tool_calls"]]
    assert [{"type": "text", "text": "looking"}] == there[2]["content"]
    assert HISTORY == messages_of(providers.upstreams["a"].requests[1]), "it wrote them: as they came"


async def test_at_the_provider_that_wrote_them_they_stay(providers: Pool) -> None:
    """T18: a conversation that nobody has moved."""
    session = "x-session-id: at home"
    for _ in range(2):
        reply = await providers.ask(asks(model="mixed", messages=HISTORY), session)
        assert 200 == reply.status, reply.error

    sent = providers.upstreams["a"].requests
    assert [HISTORY, HISTORY] == [messages_of(request) for request in sent]


async def test_new_conversations_begin_in_the_first_tier(providers: Pool) -> None:
    """T17: however many there are, as long as it serves them."""
    for number in range(10):
        await providers.ask(asks(model="mixed"), f"x-session-id: new {number}")

    assert {"a": 10} == providers.asked


TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
NEEDS: dict[str, dict[str, Any]] = {
    "tools": {"tools": [TOOL]},
    "json_schema": {"response_format": SCHEMA},
}


@pytest.mark.parametrize("need", NEEDS)
async def test_who_cannot_do_what_a_request_needs_is_not_asked(providers: Pool, need: str) -> None:
    """T18: skipped and not tried; among the fallbacks as well."""
    providers.script(a=DOWN)
    reply = await providers.ask(asks(model="blind", **NEEDS[need]))

    # The model itself can do the one and is asked; it cannot do the other, nor can the first of its fallbacks.
    asked = {"a": 1, "b": 1} if need == "tools" else {"b": 1}
    assert (200, "b-able", asked) == (reply.status, reply.headers["x-checkrein-deployment"], providers.asked)


async def test_what_nobody_can_do_is_refused(providers: Pool) -> None:
    """T18: and no provider hears of it."""
    reply = await providers.ask(asks(model="mute", tools=[TOOL]))

    assert (400, "capability_missing", {}) == (reply.status, reply.error["code"], providers.asked)


# --- T19: who was asked for, and who served --------------------------------------------------------------------------


def cost_of(reply: Answer) -> int:
    return round(float(reply.headers["x-checkrein-cost-usd"]) * 10**9)


async def test_a_stand_in_is_told_and_priced_as_what_it_is(providers: Pool) -> None:
    """T19: in headers and row; one word of input and 60 of output at the dearer price."""
    providers.script(a=DOWN)
    reply = await providers.ask(asks())
    row = await providers.router.call(reply.call_id)

    assert (200, "e/small", "2") == (
        reply.status,
        reply.headers["x-checkrein-deployment"],
        reply.headers["x-checkrein-attempts"],
    )
    assert ("small", "e/small", "completed") == (row["asked_model"], row["served_deployment"], row["outcome"])
    assert 1 * 4_000 + 60 * 20_000 == row["cost_nano_usd"] == cost_of(reply)
    attempts = row["attempts"]
    assert isinstance(attempts, list)
    assert [0, row["cost_nano_usd"]] == [one["cost_nano_usd"] for one in attempts]


async def test_an_unknown_model_is_nobody_s(providers: Pool) -> None:
    """T19: 404, and no provider hears of it; nor does a fallback that does not exist."""
    reply = await providers.ask(asks(model="unheard"))
    named = await providers.ask(asks(fallbacks=["unheard"]))

    assert (404, "model_not_found") == (reply.status, reply.error["code"])
    assert (404, "model_not_found") == (named.status, named.error["code"])
    assert {} == providers.asked


async def test_a_key_that_wants_no_stand_in_gets_the_error(providers: Pool) -> None:
    """T19: the original one; and one that says so in the request as well."""
    providers.script(a=free(fake.error(503, "closed for today")))
    async with wire(providers.router.http_port) as caller:
        await caller.send(post(body=asks(), key=PLAIN_KEY))
        by_key = await caller.answer()
        by_request = await caller.ask(asks(disable_fallbacks=True))

    assert [(502, "closed for today")] * 2 == [(one.status, one.error["message"]) for one in (by_key, by_request)]
    assert {"a": 2} == providers.asked


@pytest.mark.parametrize("model", ["small", "mixed"])
@pytest.mark.parametrize("status", [400, 404, 422])
async def test_what_would_be_wrong_everywhere_is_sent_nowhere_else(providers: Pool, model: str, status: int) -> None:
    """T7b: neither to another deployment nor to another model."""
    providers.script(a=free(fake.error(status, "not like this", type="invalid_request_error")))
    reply = await providers.ask(asks(model=model))

    assert (status, "not like this", {"a": 1}) == (reply.status, reply.error["message"], providers.asked)


# --- T30: prompts that are too long ----------------------------------------------------------------------------------


def says(said: Said) -> Reply:
    headers = tuple((name.decode(), value.decode()) for name, value in said.headers)
    return Reply(
        status=said.status, headers=(("content-type", "application/json"), *headers), steps=(said.body.encode(),)
    )


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("said", TOO_LONG, ids=lambda said: said.who)
async def test_a_prompt_that_is_too_long_goes_where_it_fits(providers: Pool, said: Said, stream: bool) -> None:
    """T30: to nobody whose window is too small; and counts against nobody."""
    providers.script(a=free(says(said)))
    served = await providers.ask(asks(model="short", stream=stream))
    providers.script(d=DOWN)
    refused = await providers.ask(asks(model="alone", stream=stream))
    states = providers.router.lifecycle._pipeline.means.breakers.states(0)
    row = await providers.router.call(refused.call_id)

    assert (200, "b-long") == (served.status, served.headers["x-checkrein-deployment"])
    assert (400, "context_length_exceeded") == (refused.status, refused.error["code"])
    assert "invalid_request_error" == refused.error["type"]
    assert {"a": 2, "b": 1, "d": 1} == providers.asked
    assert 0 == sum(one.failures for one in states if one.provider == "a")
    assert ("failed", "context_length_exceeded") == (row["outcome"], row["fault"])


async def test_who_seems_too_small_is_not_asked_first(providers: Pool) -> None:
    """T30: 40,000 bytes are some 10,000 tokens, and the window has 8,000; the larger model reads it at once."""
    reply = await providers.ask(asks(model="short", messages=[{"role": "user", "content": "word " * 8_000}]))

    assert 200 == reply.status, reply.error
    assert (200, "b-long", {"b": 1}) == (reply.status, reply.headers["x-checkrein-deployment"], providers.asked)


async def test_who_is_no_larger_than_who_found_it_too_long_is_not_asked(providers: Pool) -> None:
    """T30: however short we guess the prompt is, the provider has counted it; whose window nobody knows is asked."""
    too_long = free(says(TOO_LONG[0]))
    providers.script(a=too_long, b=too_long, e=too_long, d=DOWN)
    reply = await providers.ask(asks(model="long-winded"))

    assert {"a": 1, "b": 1, "e": 1, "d": 1} == providers.asked, "and c, which has the small ones, not at all"
    assert (400, "context_length_exceeded") == (reply.status, reply.error["code"])
    assert json.loads(TOO_LONG[0].body)["error"]["message"] == reply.error["message"], "the first one, not the last"
