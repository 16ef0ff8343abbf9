"""One call is the same over HTTP and over gRPC: what is answered, used, paid, refused, put on record.

Each case is made over each wire, gRPC's with JSON and typed. Tests of FAILURES that say what becomes of a call have
their twins here; what is a wire's own has its own file. More cases are in test_parity_routes.py.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.test_broken_streams import AFTER_CONTENT, BEFORE_CONTENT
from tests.e2e.test_fallbacks import FAULTS, TIMEOUTS
from tests.support import fake_upstream as fake
from tests.support.fake_upstream import Reply, Request
from tests.support.money import billing, request_of
from tests.support.parity import Case, both, keys_of, named, over_all
from tests.support.pool import Pool, asks, at, free, pool, served_by
from tests.support.running import chat

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

NEVER = asyncio.Event()
CENT = {"limit_usd": 0.01, "window": "lifetime"}
OBSERVED = {"mode": "observe", "budget": {"limit_usd": 0}}
LIMITED_KEYS: dict[str, dict[str, object]] = {
    "penniless": {"budget": {"limit_usd": 0}},
    "cent": {"budget": CENT},
    "observed": OBSERVED,
    "narrow": {"models": ["alone"]},
    "admin": {"permissions": ["admin"]},
    "once": {"limits": {"rpm": 1}},
    "told": {"limits": {"rpm": 100, "tpm": 1_000_000}},
    "low": {"priority": {"default": "batch", "max": "batch"}},
}
"""What a key may, whose name each way has a copy of: what one spends the others have still."""


KEYS = keys_of(LIMITED_KEYS)


def rejected(status: int, message: str, **members: str) -> Reply:
    return fake.error(status, message, **members)


def two_choices(request: Request) -> Reply:
    pieces = [fake.sse(_two(request, index)) for index in (0, 1)]
    return fake.event_stream(*pieces, *fake.ending(request, 2))


def _two(request: Request, index: int) -> dict[str, object]:
    delta = {"role": "assistant", "content": f"é{index}", "x_new": None}
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
    return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


LONG = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
ALONE = asks(model="alone")
CASES: dict[str, Case] = {
    **named("a usual call", both(asks(model="small"))),
    **named(
        "usage asked for", {"streamed": Case(chat(model="alone", stream=True, stream_options={"include_usage": True}))}
    ),
    **named(
        "labels",
        both(
            ALONE,
            headers={
                "x-checkrein-agent": "a1",
                "x-checkrein-workflow": "w1",
                "x-checkrein-tags": "b,a",
                "x-checkrein-parent-call": "c1",
            },
        ),
    ),
    **named(
        "priced", both(request_of(1_000, model="alone", max_completion_tokens=70), providers={"a": billing(123, 45)})
    ),
    "two choices": Case(asks(model="alone", stream=True, n=2), {"a": two_choices}),
    **named("no such model", both(asks(model="nobody"))),
    **named("a model that is not granted", both(asks(model="small"), key="narrow")),
    **named("a key that only administers", both(ALONE, key="admin")),
    **named("no such key", both(ALONE, key="nobody")),
    **named("a label too long", both(ALONE, headers={"x-checkrein-agent": "x" * 129})),
    **named("a timeout that is none", both(ALONE, headers={"x-checkrein-timeout": "soon"})),
    **named("a class above the key's", both(ALONE, key="low", headers={"x-checkrein-priority": "critical"})),
    **named("no content", both({"model": "alone", "messages": "hi"})),
    **named("a destination", both(asks(model="alone", base_url="http://there"))),
    **named("a price that is not known", both(asks(model="unpriced"), key="cent")),
    **named("no budget", both(ALONE, key="penniless")),
    **named("more than the budget has", both(asks(model="alone") | {"max_completion_tokens": 5_000}, key="cent")),
    **named("a budget that shortens", both(chat(model="alone"), key="cent")),
    **named("only observed", both(ALONE, key="observed")),
    **named("limits that are told", both(ALONE, key="told")),
    **named("one too many in the minute", both(ALONE, key="once", before=ALONE)),
    **named("a context that is too long", both(ALONE, providers={"a": free(rejected(400, LONG))})),
    **named("a content filter", both(ALONE, providers={"a": free(rejected(400, "filtered", code="content_filter"))})),
    **named("refused with 404", both(ALONE, providers={"a": free(rejected(404, "no such model there"))})),
    **named("refused with 413", both(ALONE, providers={"a": free(rejected(413, "too large"))})),
    **named(
        "refused with 422", both(ALONE, providers={"a": free(rejected(422, "no such member", param="temperature"))})
    ),
    **named("a credential that is not taken", both(ALONE, providers={"a": free(rejected(401, "no"))})),
    **named(
        "a quota that is used up", both(ALONE, providers={"a": free(rejected(429, "no", code="insufficient_quota"))})
    ),
    **named("silence", both(ALONE, providers={"a": fake.silence(NEVER)})),
    **named(
        "a caller's time", both(ALONE, providers={"a": fake.silence(NEVER)}, headers={"x-checkrein-timeout": "0.1"})
    ),
    **{
        f"before content: {name}": Case({**members, "model": "alone"}, {"a": reply})
        for name, (members, reply, _status, _error) in BEFORE_CONTENT.items()
    },
    **{f"after content: {broken.__name__}": Case({**ALONE, "stream": True}, {"a": broken}) for broken in AFTER_CONTENT},
    **{
        f"fallback: {name}, {kind}": Case(
            {**asks(model="small"), "stream": kind == "streamed"},
            {"a": fault.streamed if kind == "streamed" else fault.unary},
        )
        for name, fault in FAULTS.items()
        for kind in ("whole", "streamed")
    },
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    models = [
        served_by("small", at("a"), at("b", tier=2)),
        served_by("alone", at("a")),
        {"name": "unpriced", "deployments": [{"provider": "a", "model": "nobody-prices-this"}]},
    ]
    folder = tmp_path_factory.mktemp("router")
    members = {"a": {"timeouts": TIMEOUTS}}
    async with pool(folder, "a", "b", models=models, members=members, keys=KEYS) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def providers(running: Pool) -> AsyncIterator[Pool]:
    yield running.start_over()
    await running.router.idle()


@pytest.mark.parametrize("name", CASES)
async def test_a_call_is_the_same_over_every_wire(providers: Pool, name: str) -> None:
    await over_all(providers, CASES[name])
