"""One call over HTTP and over gRPC, where it is routed, limited, priced and translated: the same, case by case.

Each case says what it comes to, so that nothing is compared that did not happen.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from tests.support import fake_upstream as fake
from tests.support.dialects import message, message_events, streamed, whole
from tests.support.fake_upstream import Handler, Reply, Request
from tests.support.money import request_of
from tests.support.parity import Case, both, keys_of, named, over_all
from tests.support.pool import Pool, asks, at, free, pool, served_by
from tests.support.running import chat

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

NEVER = asyncio.Event()
NOTHING = {"limit_usd": 0, "window": "lifetime"}
LOWER = [{"at_pct": 0, "action": "lower_priority"}]
LIMITED_KEYS: dict[str, dict[str, object]] = {
    "plain": {"allow": {"substitution": False}},
    "spent": {"budget": {"limit_usd": 0.01, "window": "lifetime"}},
    "one": {"limits": {"concurrency": 1}},
    "lowered": {"budget": {"limit_usd": 1, "window": "lifetime", "thresholds": LOWER}},
    "tokens": {"limits": {"tpm": 500}},
}
DOWN = free(fake.error(500, "down"))
LIMITED = free(fake.error(429, "busy", code="rate_limit_exceeded"))
REFUSING_KEY = free(fake.error(401, "no"))


def says(*choices: Mapping[str, object], usage: Mapping[str, object] | None = None) -> Handler:
    """Answer with these choices: whole, or each in the pieces in which `delta` lists them."""

    def handler(request: Request) -> Reply:
        frame = {"id": "x", "created": 1, "model": request.json["model"]}
        used = {"usage": dict(usage or fake.usage(request, 5))}
        if not request.json.get("stream"):
            merged = [
                {key: value for key, value in {**one, "index": index}.items() if key != "deltas"}
                for index, one in enumerate(choices)
            ]
            body = {**frame, "object": "chat.completion", "choices": merged, **used}
            return Reply(steps=(json.dumps(body).encode(),))
        frame["object"] = "chat.completion.chunk"
        events = []
        for index, one in enumerate(choices):
            for piece in one["deltas"]:  # type: ignore[attr-defined]  # a list of what the test wrote
                choice = {"index": index, "finish_reason": None, **piece}
                events.append(fake.sse({**frame, "choices": [choice]}))
            end = {"index": index, "delta": {}, "finish_reason": one["finish_reason"]}
            events.append(fake.sse({**frame, "choices": [end]}))
        events.append(fake.sse({**frame, "choices": [], **used}))
        return fake.event_stream(*events, b"data: [DONE]\n\n")

    return handler


def speaking_messages(request: Request) -> Reply:
    return streamed(message_events("one two three")) if request.json.get("stream") else whole(message("one two three"))


CALLS = [
    {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "x",  "n": 1.0}'}},
    {"id": "call_2", "type": "function", "function": {"name": "wait", "arguments": ""}},
]
TOOL_CALLS = {
    "message": {"role": "assistant", "content": None, "tool_calls": CALLS},
    "finish_reason": "tool_calls",
    "deltas": [
        {"delta": {"role": "assistant", "content": None}},
        {"delta": {"tool_calls": [{"index": 0, **CALLS[0], "function": {"name": "look", "arguments": ""}}]}},
        {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": '{"at": '}}]}},
        {"delta": {"tool_calls": [{"index": 1, **CALLS[1]}]}},
        {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": '"x",  "n": 1.0}'}}]}},
    ],
}
TOKEN = {
    "token": "é",
    "logprob": -0.25,
    "bytes": [195, 169],
    "top_logprobs": [{"token": "e", "logprob": -1, "bytes": [101]}],
}
PROBABLE = {
    "message": {"role": "assistant", "content": "é", "refusal": None},
    "logprobs": {"content": [TOKEN], "refusal": None},
    "finish_reason": "stop",
    "deltas": [{"delta": {"content": "é"}, "logprobs": {"content": [TOKEN], "refusal": None}}],
}
THOUGHTFUL = {
    "message": {"role": "assistant", "reasoning_content": "hm\n", "content": "Yes."},
    "finish_reason": "stop",
    "deltas": [
        {"delta": {"role": "assistant", "reasoning_content": "hm"}},
        {"delta": {"reasoning_content": "\n", "content": None}},
        {"delta": {"content": "Yes."}},
    ],
}
PLAIN: dict[str, Any] = {
    "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop", "deltas": [{"delta": {"content": "a"}}],
}  # fmt: skip
CACHED = {
    "prompt_tokens": 1_000, "completion_tokens": 50, "total_tokens": 1_050,
    "prompt_tokens_details": {"cached_tokens": 600, "audio_tokens": 0},
}  # fmt: skip
THOUGHT = {
    "prompt_tokens": 1_000, "completion_tokens": 50, "total_tokens": 1_050,
    "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 0},
}  # fmt: skip
CACHED_COST = 400 * 2_000 + 600 * 200 + 50 * 10_000
LONG = free(fake.error(400, "This model's maximum context length is 8192 tokens. Yours has 9000 tokens."))
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]


REFUSED = {"status": 429, "should_retry": False, "row.outcome": "refused", "row.fault": "budget_exhausted"}
STOOD_IN = {"status": 200, "error": None}
CASES: dict[str, Case] = {
    # Who stands in.
    **named(
        "a model whose providers are down",
        both(
            asks(model="frail"),
            providers={"c": REFUSING_KEY},
            before=asks(model="frail"),
            expects={**STOOD_IN, "substituted": "frail->small;down"},
        ),
    ),
    **named(
        "a budget that is used up so far",
        both(
            asks(model="thrifty"),
            key="spent",
            before=request_of(model="alone", max_completion_tokens=100),
            expects={**STOOD_IN, "substituted": "thrifty->small;budget"},
        ),
    ),
    **named(
        "a tag that asks for another",
        both(asks(model="tagged"), headers={"x-checkrein-tags": "cheap"}, expects={"substituted": "tagged->small;tag"}),
    ),
    **named(
        "a key that wants what it asks for",
        both(asks(model="frail"), key="plain", providers={"c": DOWN}, expects={"substituted": None, "status": 502}),
    ),
    **named(
        "a fallback of the operator",
        both(
            asks(model="backed"),
            providers={"a": DOWN},
            expects={"substituted": "backed->other;fallback", "attempts": 3},
        ),
    ),
    **named(
        "a fallback of the request",
        both(
            asks(model="alone", fallbacks=["other"]),
            providers={"a": DOWN},
            expects={"substituted": "alone->other;fallback"},
        ),
    ),
    **named("a fallback that is none", both(asks(model="alone", fallbacks=["nobody"]), expects={"status": 404})),
    **named("fallbacks of another kind", both(asks(model="alone", fallbacks=7), expects={"status": 400})),
    **named(
        "no fallback wanted",
        both(
            asks(model="backed", disable_fallbacks=True),
            providers={"a": DOWN},
            expects={"status": 502, "substituted": None},
        ),
    ),
    **named(
        "a prompt that is too long for one",
        both(
            asks(model="short"), providers={"a": LONG}, expects={"substituted": "short->long;fallback", "status": 200}
        ),
    ),
    # Who is asked again. Each case has a model of its own, because what a model has saved up for retries is spent.
    **{
        f"{name}, {kind}": Case(
            {**asks(model=f"{count}-{kind}"), "stream": kind == "streamed"},
            {"a": LIMITED, "b": LIMITED},
            headers={"x-stainless-retry-count": count},
            expects={"status": 429, "should_retry": last, "row.fault": "upstream_rate_limited"},
        )
        for name, count, last in (
            ("everybody limits", "0", False),
            ("a caller that has tried once", "1", False),
            ("a caller that has tried thrice", "3", True),
        )
        for kind in ("whole", "streamed")
    },
    # What may not be spent.
    **{
        f"no budget of this {scope}, {kind}": case
        for scope, header in {"agent": "agent", "tag": "tags", "user": "user", "workflow": "workflow"}.items()
        for kind, case in both(asks(model="alone"), headers={f"x-checkrein-{header}": "poor"}, expects=REFUSED).items()
    },
    **named(
        "one call too many at once",
        both(
            asks(model="alone"),
            key="one",
            held=True,
            providers={"a": fake.silence(NEVER)},
            expects={"status": 429, "retry_after": True},
        ),
    ),
    **named(
        "more tokens than a minute has",
        both(request_of(5_000, model="alone", max_completion_tokens=100), key="tokens", expects={"status": 400}),
    ),
    **named(
        "a class that its budget lowers",
        both(asks(model="alone"), key="lowered", expects={"notices": ["priority=batch"], "row.priority": "batch"}),
    ),
    # What it costs.
    **named(
        "tokens from a cache",
        both(
            asks(model="alone"),
            providers={"a": says(PLAIN, usage=CACHED)},
            expects={"row.cost_nano_usd": CACHED_COST, "row.cached_input_tokens": 600},
        ),
    ),
    **named(
        "tokens that were thought",
        both(
            asks(model="alone"),
            providers={"a": says(PLAIN, usage=THOUGHT)},
            expects={"row.reasoning_tokens": 20, "row.cost_nano_usd": 1_000 * 2_000 + 50 * 10_000},
        ),
    ),
    # What is said.
    **named(
        "tools that are called",
        both(asks(model="alone", tools=TOOLS, tool_choice="auto"), providers={"a": says(TOOL_CALLS)}, expects=STOOD_IN),
    ),
    **named(
        "probabilities",
        both(asks(model="alone", logprobs=True, top_logprobs=1), providers={"a": says(PROBABLE)}, expects=STOOD_IN),
    ),
    **named(
        "several answers", both(asks(model="alone", n=2), providers={"a": says(PLAIN, PROBABLE)}, expects=STOOD_IN)
    ),
    **named("thoughts", both(asks(model="alone"), providers={"a": says(THOUGHTFUL)}, expects=STOOD_IN)),
    "usage not asked for": Case(
        chat(model="alone", stream=True, stream_options={"include_usage": False}), expects=STOOD_IN
    ),
    "usage not asked for in other words": Case(chat(model="alone", stream=True, stream_options={}), expects=STOOD_IN),
    # What another dialect says.
    **named(
        "a provider of another dialect",
        both(asks(model="claude"), providers={"m": speaking_messages}, expects={"row.served_deployment": "m/claude"}),
    ),
    **named(
        "what another dialect cannot say",
        both(asks(model="claude", logit_bias={"1": 1}), providers={"m": speaking_messages}, expects={"status": 400}),
    ),
    **named(
        "what another dialect may leave out",
        both(
            asks(model="claude", logit_bias={"1": 1}, drop_params=True),
            providers={"m": speaking_messages},
            expects={"dropped": ["logit_bias"]},
        ),
    ),
    **named("a choice that is none", both(asks(model="alone", drop_params=7), expects={"status": 400})),
}


def stands_in(name: str, at_provider: str, **when: object) -> dict[str, object]:
    return served_by(
        name, at(at_provider, name=f"{at_provider}-{name}"), substitutes=[{"model": "small", "when": when}]
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    models = [
        served_by("small", at("b")),
        served_by("alone", at("a")),
        served_by("other", at("b", name="b-other")),
        served_by("backed", at("a", name="a-backed"), fallbacks=["other"]),
        served_by("short", at("a", name="a-short", context_window=8_000), context_window_fallbacks=["long"]),
        served_by("long", at("b", name="b-long", context_window=200_000)),
        *[
            served_by(
                f"{count}-{kind}",
                *[at(at_, name=f"{at_}-{count}-{kind}-{tier}", tier=tier) for tier, at_ in enumerate("aba", 1)],
            )
            for count in "013"
            for kind in ("whole", "streamed")
        ],
        stands_in("frail", "c", down=True),
        stands_in("thrifty", "a", budget_used_pct={"gte": 5}),
        stands_in("tagged", "a", tag="cheap"),
        served_by("claude", {**at("m"), "model": "claude"}),
    ]
    budgets = [
        {"name": f"poor-{scope}", "scope": {scope: "poor"}, **NOTHING} for scope in ("agent", "tag", "workflow", "user")
    ]
    folder = tmp_path_factory.mktemp("router")
    members: dict[str, dict[str, object]] = {"m": {"kind": "anthropic"}}
    async with pool(
        folder, "a", "b", "c", "m", models=models, members=members, keys=keys_of(LIMITED_KEYS), budgets=budgets
    ) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def providers(running: Pool) -> AsyncIterator[Pool]:
    yield running.start_over()
    await running.router.idle()


@pytest.mark.parametrize("name", CASES)
async def test_a_call_is_the_same_over_every_wire(providers: Pool, name: str) -> None:
    await over_all(providers, CASES[name])
