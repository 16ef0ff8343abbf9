"""A conversation stays where its prompt cache is warm, and leaves only a provider that cannot serve it."""

import asyncio
import json
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import pairwise
from random import Random

import pytest
import pytest_asyncio

from tests.support import fake_upstream as fake
from tests.support.fake_upstream import Reply, Request
from tests.support.pool import Pool, at, free, pool, served_by
from tests.support.running import MovableClock, chat
from tests.support.wire import Wire, post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

SESSIONS, TURNS = 50, 20
NAMES = ("a", "b", "c", "d")
DOWN = free(fake.error(500, "down"))
REMEMBERED = 19
"""Conversations in a provider's cache: its fair share of them, and a little more."""
STICKY, CACHED, RANDOM_CACHED, UNEVEN = 0.99, 0.90, 0.30, 1.5


class PromptCache:
    """What one provider remembers of the prompts it has read: the latest few conversations, each as far as it came."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, int] = OrderedDict()
        """Prompts without their last bracket, and their words; the one used last is last."""
        self.seen = 0
        self.cached = 0

    def answer(self, request: Request) -> Reply:
        messages = request.json["messages"]
        prompt, words = json.dumps(messages)[:-1], len(json.dumps(messages).split())
        warm = next((known for known in reversed(self._known) if prompt.startswith(known)), None)
        self.seen += words
        if warm is not None:
            self.cached += self._known.pop(warm)
        self._known[prompt] = words
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return fake.completion(request, 5)


def prompt(session: int, turn: int) -> list[dict[str, object]]:
    """Turn 0 is the opening; each turn after it adds an answer and a question."""
    messages: list[dict[str, object]] = [{"role": "system", "content": f"s{session} " + "word " * 200}]
    for number in range(turn + 1):
        if number:
            messages.append({"role": "assistant", "content": f"answer {number} of s{session} " + "and " * 20})
        messages.append({"role": "user", "content": f"question {number} of s{session} " + "so " * 20})
    return messages


def random_share() -> float:
    """What the same conversations would have in caches if each turn went anywhere."""
    caches = [PromptCache() for _ in NAMES]
    draw = Random(20_261_121)
    for turn in range(TURNS):
        for session in range(SESSIONS):
            body = json.dumps({"messages": prompt(session, turn)}).encode()
            draw.choice(caches).answer(Request(1, "POST", "/", {}, body))
    return sum(one.cached for one in caches) / sum(one.seen for one in caches)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clock() -> MovableClock:
    return MovableClock(datetime(2026, 11, 21, 9, tzinfo=UTC))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory, clock: MovableClock) -> AsyncIterator[Pool]:
    models = [served_by("small", *[at(name) for name in NAMES])]
    async with pool(
        tmp_path_factory.mktemp("router"), *NAMES, models=models, clock=clock, breaker={"min_calls": 1_000}
    ) as providers:
        yield providers


@pytest_asyncio.fixture(loop_scope="module")
async def providers(running: Pool) -> AsyncIterator[Pool]:
    fresh = running.start_over()
    yield fresh
    await fresh.router.idle()


def caches_of(providers: Pool) -> dict[str, PromptCache]:
    caches = {name: PromptCache() for name in NAMES}
    for name, cache in caches.items():
        providers.upstreams[name].handler = cache.answer
    return caches


async def turn_of(caller: Wire, session: int, turn: int, *lines: str) -> str:
    """Ask one turn of a conversation; return who served it."""
    reply = await caller.ask(chat(messages=prompt(session, turn), max_completion_tokens=50), *lines)
    assert 200 == reply.status, reply.error
    return reply.headers["x-checkrein-deployment"].partition("/")[0]


@pytest.mark.parametrize("named", [True, False], ids=["named", "by their beginning"])
async def test_fifty_conversations_stay_where_their_cache_is_warm(providers: Pool, named: bool) -> None:
    """T17: 20 turns each, all at once; where they stay is also fair to the providers."""
    caches = caches_of(providers)
    went: dict[int, list[str]] = {}

    async def converse(session: int) -> None:
        lines = [f"x-session-id: n{session}"] if named else []
        async with wire(providers.router.http_port) as caller:
            went[session] = [await turn_of(caller, session, turn, *lines) for turn in range(TURNS)]

    async with asyncio.TaskGroup() as tasks:
        for session in range(SESSIONS):
            tasks.create_task(converse(session))
    await providers.router.idle()

    later = [here == there for turns in went.values() for here, there in pairwise(turns)]
    assert sum(later) / len(later) >= STICKY
    seen = sum(cache.seen for cache in caches.values())
    assert sum(cache.cached for cache in caches.values()) / seen >= CACHED
    assert random_share() <= RANDOM_CACHED, "what the figure above is to be compared with"
    served = Counter(name for turns in went.values() for name in turns)
    assert max(served.values()) <= UNEVEN * SESSIONS * TURNS / len(NAMES), served
    assert len(providers.stage.rows()) == SESSIONS * TURNS


async def test_a_conversation_whose_provider_fails_moves_once(providers: Pool) -> None:
    """T17: it stays where it moved to, also when the first provider is back."""
    caches_of(providers)
    async with wire(providers.router.http_port) as caller:
        first = await turn_of(caller, 1_000, 0, "x-session-id: moves")
        healthy = providers.upstreams[first].handler
        providers.upstreams[first].handler = DOWN
        second = await turn_of(caller, 1_000, 1, "x-session-id: moves")
        providers.upstreams[first].handler = healthy
        rest = {await turn_of(caller, 1_000, turn, "x-session-id: moves") for turn in range(2, 10)}

    assert first != second
    assert {second} == rest


async def test_no_conversation_outranks_a_breaker(providers: Pool) -> None:
    """T17: opened by hand, its provider is not asked once more."""
    caches_of(providers)
    breakers = providers.router.lifecycle._pipeline.means.breakers
    async with wire(providers.router.http_port) as caller:
        first = await turn_of(caller, 2_000, 0, "x-session-id: shut out")
        target = next(one.target for one in breakers.states(0) if one.provider == first)
        breakers.open(target)
        asked = len(providers.upstreams[first].requests)
        others = {await turn_of(caller, 2_000, turn, "x-session-id: shut out") for turn in range(1, 6)}

    assert first not in others
    assert 1 == len(others)
    assert asked == len(providers.upstreams[first].requests)


async def test_after_its_time_a_conversation_is_placed_anew(providers: Pool, clock: MovableClock) -> None:
    """T17: what moved it is forgotten 5 minutes after its last turn, so it is back where it would be placed."""
    caches_of(providers)
    clock.skip(301)  # so that no other conversation takes room, the first time as the last
    async with wire(providers.router.http_port) as caller:
        lines = "x-session-id: forgotten"
        first = await turn_of(caller, 3_000, 0, lines)
        healthy = providers.upstreams[first].handler
        providers.upstreams[first].handler = DOWN
        second = await turn_of(caller, 3_000, 1, lines)
        providers.upstreams[first].handler = healthy
        clock.skip(299)
        kept = await turn_of(caller, 3_000, 2, lines)
        clock.skip(301)
        back = await turn_of(caller, 3_000, 3, lines)

    assert (second, first) == (kept, back)


async def test_calls_of_no_conversation_are_spread(providers: Pool) -> None:
    """T17: 400 openings that are all the same."""
    caches_of(providers)
    async with wire(providers.router.http_port) as caller:
        for _ in range(400):
            await caller.send(post(body=chat(max_completion_tokens=50)))
            assert 200 == (await caller.answer()).status

    assert max(providers.asked.values()) <= UNEVEN * 100
    assert min(providers.asked.values()) >= 100 / UNEVEN
