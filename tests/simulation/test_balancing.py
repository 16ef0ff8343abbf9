"""On a virtual clock, conversations find their warm caches again, load stays even, and expected first tokens win."""

import heapq
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random  # noqa: TID251 - seeded, so every run is the same

import pytest
from msgspec import Raw

from load_tests.replay_balancing import TRACE, Arrival, Result, by, main, replay, round_robin
from router.domain.catalog import Deployment, Strategy
from router.domain.ids import DeploymentId, ProviderId, TargetId
from router.domain.instants import NS_PER_MS, NS_PER_S
from router.domain.planning.affinity import Affinities, Conversation, conversation_of
from router.domain.planning.load import Loads
from router.domain.planning.prefix import Prefixes, chain_of
from router.domain.planning.ranking import Ask, Known, rank
from tests.support.asked import asked

DEPLOYMENTS = tuple(
    Deployment(id=DeploymentId(f"mock/{name}"), provider=ProviderId("mock"), upstream_model=name) for name in "abcd"
)
SESSIONS, TURNS = 50, 20
TTL_NS = 300 * NS_PER_S
PINNED = [Strategy.WEIGHTED, Strategy.LEAST_BUSY, Strategy.LATENCY, Strategy.COST]


@dataclass
class Replica:
    """One router process: what it knows, as its pipeline would use it."""

    strategy: Strategy
    draw: Random
    known: Known = field(default_factory=lambda: Known(Loads(), Prefixes()))
    affinities: Affinities = field(default_factory=Affinities)
    coming: list[tuple[int, int, Callable[[int], None]]] = field(default_factory=list)
    """What is still to happen: when, a number, what."""
    calls: int = 0

    def choose(self, body: bytes, session: str | None, up: tuple[Deployment, ...], now: int) -> Deployment:
        while self.coming and self.coming[0][0] <= now:
            at, _, happen = heapq.heappop(self.coming)
            happen(at)
        conversation = conversation_of("key", "m", asked({"messages": Raw(body)}), session)
        assert isinstance(conversation, Conversation)
        drawn = self.affinities.draw(conversation, self.draw.random())
        home = self.affinities.find(conversation, now, TTL_NS)
        ask = Ask(now, drawn, len(body) // 4, 200, chain_of((b"m", body[:-1])), home)
        loads = self.known.loads
        ranked = rank(self.strategy, up, ask, self.known)
        chosen = self.affinities.prefer(self.strategy, ranked, conversation, loads, now=now, ttl_ns=TTL_NS)[0]
        self.affinities.pin(conversation, chosen.target, now=now, ttl_ns=TTL_NS)
        tokens = self.known.prefixes.uncached_tokens(chosen.target, ask.chain, ask.input_tokens, now)
        call = loads.started(chosen.target, tokens, now)
        self.known.prefixes.sent(chosen.target, ask.chain, now)
        self.calls += 2
        began = now + 100 * NS_PER_MS + tokens * NS_PER_S // 8_000
        heapq.heappush(self.coming, (began, self.calls, call.began))
        heapq.heappush(self.coming, (began + 2 * NS_PER_S, self.calls + 1, call.ended))
        return chosen


def turn(session: int, number: int) -> bytes:
    """The messages of one turn: all that was said, and one thing more. Each grows it by about 2 KB."""
    said = [{"role": "system", "content": "You are terse." * 100}]
    for each in range(number + 1):
        said.append({"role": "user", "content": f"Session {session}, question {each}. " * 40})
        said.append({"role": "assistant", "content": f"Session {session}, answer {each}. " * 30})
    return json.dumps(said[:-1]).encode()


@dataclass
class Story:
    """Where the turns of all sessions went, and what was cached there."""

    targets: list[list[TargetId]] = field(default_factory=lambda: [[] for _ in range(SESSIONS)])
    caches: dict[TargetId, dict[int, int]] = field(default_factory=dict)
    tokens: int = 0
    cached: int = 0

    def sent(self, session: int, number: int, target: TargetId) -> None:
        self.targets[session].append(target)
        cache, size = self.caches.setdefault(target, {}), len(turn(session, number))
        if number:
            self.tokens += size
            self.cached += cache.get(session, 0)
        cache[session] = size

    @property
    def load(self) -> Counter[TargetId]:
        return Counter(target for turns in self.targets for target in turns)

    @property
    def moved(self) -> int:
        return sum(a != b for turns in self.targets for a, b in pairwise(turns))


def play(replicas: list[Replica], *, named: bool, failing: range = range(0), seed: int = 1) -> Story:
    """Play all sessions side by side, a turn of each every 10 s; in those of `failing` one deployment is not there."""
    story, draw = Story(), Random(seed)
    for number in range(TURNS):
        up = DEPLOYMENTS[1:] if number in failing else DEPLOYMENTS
        for place, session in enumerate(draw.sample(range(SESSIONS), SESSIONS)):
            replica = draw.choice(replicas)
            now = (number * 10 + 1) * NS_PER_S + place * 100 * NS_PER_MS
            name = f"session-{session}" if named else None
            story.sent(session, number, replica.choose(turn(session, number), name, up, now).target)
    return story


@pytest.mark.slow
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("strategy", [*PINNED, Strategy.EXPECTED_TTFT])
def test_later_turns_go_where_the_first_one_went(strategy: Strategy, named: bool) -> None:
    story = play([Replica(strategy, Random(4))], named=named)

    assert story.moved <= SESSIONS * (TURNS - 1) // 100
    assert story.cached >= 0.9 * story.tokens
    assert max(story.load.values()) <= 1.5 * SESSIONS * TURNS / len(DEPLOYMENTS)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_replicas_that_share_nothing_agree_on_named_conversations_but_for_a_few(seed: int) -> None:
    replicas = [Replica(Strategy.WEIGHTED, Random(seed + number)) for number in range(3)]
    story = play(replicas, named=True, seed=seed)

    assert max(story.load.values()) <= 1.5 * SESSIONS * TURNS / len(DEPLOYMENTS)
    assert story.moved <= SESSIONS * (TURNS - 1) // 5  # two thirds of them, did they not


@pytest.mark.slow
@pytest.mark.parametrize("strategy", PINNED)
def test_the_conversations_of_a_failed_deployment_move_once_and_no_other_moves(strategy: Strategy) -> None:
    story = play([Replica(strategy, Random(4))], named=True, failing=range(8, 12))
    failed = DEPLOYMENTS[0].target
    were_there = sum(turns[7] == failed for turns in story.targets)

    assert were_there
    assert were_there == story.moved
    assert not any(failed in turns[8:] for turns in story.targets)


@pytest.mark.parametrize("strategy", [*PINNED, Strategy.EXPECTED_TTFT])
def test_calls_of_no_session_are_balanced_though_all_are_alike(strategy: Strategy) -> None:
    replica, body = Replica(strategy, Random(2)), turn(0, 0)
    chosen = Counter(replica.choose(body, None, DEPLOYMENTS, number * NS_PER_S).id for number in range(1, 1_001))

    if strategy is not Strategy.EXPECTED_TTFT:  # which knows where this very prompt is cached
        assert max(chosen.values()) <= 1.25 * 1_000 / len(DEPLOYMENTS)


def synthetic(seed: int, count: int) -> list[Arrival]:
    """Conversations whose prompts repeat what was said before."""
    draw, said, arrivals = Random(seed), dict[int, tuple[int, ...]](), []
    for number in range(count):
        session = draw.randrange(200)
        blocks = (*said.get(session, (session,)), *(1_000 + 40 * number + each for each in range(draw.randint(1, 20))))
        said[session] = blocks if len(blocks) < 60 else (session,)
        tokens = 512 * len(blocks) - draw.randint(0, 511)
        arrivals.append(
            Arrival(at_ms=number * 180, input_tokens=tokens, output_tokens=draw.randint(10, 400), blocks=blocks)
        )
    return arrivals


def test_expected_first_tokens_beat_turns_and_the_fewest_calls_on_a_synthetic_trace() -> None:
    arrivals = synthetic(1, 1_500)
    turns, fewest, expected = (
        replay(arrivals, choose, 1.0) for choose in (round_robin(), by(Strategy.LEAST_BUSY), by(Strategy.EXPECTED_TTFT))
    )

    assert expected.mean_s < 0.1 * min(fewest.mean_s, turns.mean_s)
    assert expected.cached_percent > turns.cached_percent + 20
    assert expected.imbalance < 1.3
    assert expected == replay(arrivals, by(Strategy.EXPECTED_TTFT), 1.0)


def test_a_replay_counts_what_a_server_had_cached_and_how_long_prompts_waited() -> None:
    blocks = tuple(range(10))
    first = Arrival(at_ms=0, input_tokens=5_000, output_tokens=1, blocks=blocks)
    again = Arrival(at_ms=0, input_tokens=5_120, output_tokens=1, blocks=(*blocks[:5], 20, 21, 22, 23, 24))
    result = replay([first, again], lambda deployments, _ask, _known: deployments[0], 1.0)

    assert (
        Result(
            cached_percent=pytest.approx(100 * 2_560 / 10_120), mean_s=pytest.approx(0.785), p99_s=0.945, imbalance=8.0
        )
        == result
    )


def test_a_replay_without_its_trace_says_so_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == main(tmp_path)
    assert "SKIPPED" in capsys.readouterr().err


def test_a_replay_that_misses_a_target_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"timestamp": 0, "input_length": 51_200, "output_length": 9, "hash_ids": list(range(100 * at, 100 * at + 100))}
        for at in range(100)
    ]
    (tmp_path / TRACE).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")

    assert 1 == main(tmp_path)
    assert "MISSED" in capsys.readouterr().out
    (tmp_path / TRACE).write_text(json.dumps(rows[0] | {"input_length": 512, "hash_ids": [1]}), encoding="utf-8")
    assert 1 == main(tmp_path)
