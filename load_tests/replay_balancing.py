"""Replay arrivals of a public trace through the router's own balancing: `python -m load_tests.replay_balancing DIR`.

Prints, for each way of choosing among 8 deployments, what share of the prompts' tokens was cached where they were sent,
how long first tokens took, and how unevenly the work fell: at the trace's own pace and at 1.4 times it. Ends with an
error if `expected_ttft` misses a target, or if the trace is not in DIR.

The trace is kvcache-ai/Mooncake's conversation trace (FAST25-release): 12,031 prompts, their tokens and the names of
their blocks of 512 tokens. Each deployment reads prompts one after another, 8,000 tokens a second, keeps the last 2,000
blocks, and streams a reply at 20 ms a token beside that; an answer is known to the calls that arrive after it. It is a
model: it ranks strategies and predicts nobody's latency. Time is virtual, and every run is the same.
"""

import heapq
import json
import random
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from router.domain.catalog import Deployment, Strategy
from router.domain.ids import DeploymentId, ProviderId
from router.domain.instants import NS_PER_MS, NS_PER_S
from router.domain.planning.load import Loads
from router.domain.planning.prefix import BLOCK_TOKENS, Prefixes
from router.domain.planning.ranking import Ask, Known, rank, slowness_ns

TRACE: Final = "mooncake_conversation.jsonl"
DEPLOYMENTS: Final = 8
TOKENS_PER_S: Final = 8_000
BLOCKS: Final = 2_000
TOKEN_NS: Final = 20 * NS_PER_MS
PACES: Final = (1.0, 1.4)
SEED: Final = 7

MEAN_S_MAX: Final = {1.0: 1.5, 1.4: 1.9}
P99_S_MAX: Final = 10.5
IMBALANCE_MAX: Final = 1.10


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    at_ms: int
    input_tokens: int
    output_tokens: int
    blocks: tuple[int, ...]
    """The last one may be less than whole."""


def read_mooncake(path: Path) -> list[Arrival]:
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [
        Arrival(
            at_ms=row["timestamp"],
            input_tokens=row["input_length"],
            output_tokens=row["output_length"],
            blocks=tuple(row["hash_ids"]),
        )
        for row in sorted(rows, key=lambda row: row["timestamp"])
    ]


@dataclass(slots=True)
class Server:
    """What is behind one deployment: a queue of prompts and a cache of blocks. The router cannot see into it."""

    free_at: int = 0
    work_tokens: int = 0
    cache: OrderedDict[int, None] = field(default_factory=OrderedDict)

    def read(self, arrival: Arrival, now: int) -> int:
        """Take a prompt; return the tokens that were not cached. `free_at` is then when its first token comes."""
        hits = 0
        while hits < len(arrival.blocks) and arrival.blocks[hits] in self.cache:
            hits += 1
        for block in reversed(arrival.blocks):  # ends of prompts go before their beginnings
            self.cache[block] = None
            self.cache.move_to_end(block)
        while len(self.cache) > BLOCKS:
            self.cache.popitem(last=False)
        uncached = max(arrival.input_tokens - hits * BLOCK_TOKENS, 1)
        self.free_at = max(self.free_at, now) + uncached * NS_PER_S // TOKENS_PER_S
        self.work_tokens += uncached
        return uncached


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    cached_percent: float
    mean_s: float
    p99_s: float
    imbalance: float
    """The most work of a deployment over the mean of all."""


Choose = Callable[[Sequence[Deployment], Ask, Known], Deployment]


def round_robin() -> Choose:
    turn = 0

    def choose(deployments: Sequence[Deployment], _ask: Ask, _known: Known) -> Deployment:
        nonlocal turn
        turn += 1
        return deployments[turn % len(deployments)]

    return choose


def by(strategy: Strategy) -> Choose:
    return lambda deployments, ask, known: rank(strategy, deployments, ask, known)[0]


def lowest_peak(deployments: Sequence[Deployment], ask: Ask, known: Known) -> Deployment:
    """The score of `latency` over all deployments, not over two of them: better alone, worse where several look."""
    return min(deployments, key=lambda each: slowness_ns(known.loads[each.target], ask.now))


POLICIES: Final[tuple[tuple[str, Callable[[], Choose]], ...]] = (
    ("round robin", round_robin),
    ("weighted", lambda: by(Strategy.WEIGHTED)),
    ("least-busy", lambda: by(Strategy.LEAST_BUSY)),
    ("peak-EWMA of two (latency)", lambda: by(Strategy.LATENCY)),
    ("peak-EWMA of all", lambda: lowest_peak),
    ("expected_ttft", lambda: by(Strategy.EXPECTED_TTFT)),
)


def replay(arrivals: Iterable[Arrival], choose: Choose, pace: float) -> Result:
    deployments = [
        Deployment(id=DeploymentId(f"replay/{number}"), provider=ProviderId("replay"), upstream_model="m")
        for number in range(DEPLOYMENTS)
    ]
    servers = {each.target: Server() for each in deployments}
    known, chance = Known(Loads(), Prefixes()), random.Random(SEED)
    events: list[tuple[int, int, Callable[[int], None]]] = []
    waits: list[int] = []
    tokens = uncached_tokens = 0
    for arrival in arrivals:
        now = int(arrival.at_ms * NS_PER_MS / pace)
        while events and events[0][0] <= now:
            at, _, happen = heapq.heappop(events)
            happen(at)
        chain = arrival.blocks[: arrival.input_tokens // BLOCK_TOKENS]
        ask = Ask(now, chance.random(), arrival.input_tokens, arrival.output_tokens, chain)
        target = choose(deployments, ask, known).target
        expected = known.prefixes.uncached_tokens(target, chain, arrival.input_tokens, now)
        call = known.loads.started(target, expected, now)
        known.prefixes.sent(target, chain, now)
        server = servers[target]
        uncached_tokens += server.read(arrival, now)
        tokens += arrival.input_tokens
        waits.append(server.free_at - now)
        heapq.heappush(events, (server.free_at, 2 * len(waits), call.began))
        heapq.heappush(events, (server.free_at + arrival.output_tokens * TOKEN_NS, 2 * len(waits) + 1, call.ended))
    waits.sort()
    work = [server.work_tokens for server in servers.values()]
    return Result(
        cached_percent=100 * (1 - uncached_tokens / tokens),
        mean_s=sum(waits) / len(waits) / NS_PER_S,
        p99_s=waits[len(waits) * 99 // 100] / NS_PER_S,
        imbalance=max(work) * len(work) / sum(work),
    )


def meets(result: Result, pace: float) -> bool:
    return (
        result.mean_s <= MEAN_S_MAX[pace]
        and (pace != 1.0 or result.p99_s <= P99_S_MAX)
        and result.imbalance <= IMBALANCE_MAX
    )


def main(folder: Path) -> int:
    if not (folder / TRACE).is_file():
        print(f"SKIPPED: {TRACE} is not in {folder}", file=sys.stderr)
        return 1
    arrivals = read_mooncake(folder / TRACE)
    print(
        f"{len(arrivals)} calls, {DEPLOYMENTS} deployments of {TOKENS_PER_S} tokens/s and {BLOCKS} blocks; "
        f"first tokens in seconds\n{'':28}"
        + "".join(f"{f'at {pace}x: cached %':>20}{'mean':>8}{'p99':>8}{'max/mean work':>15}" for pace in PACES)
    )
    met = True
    for name, policy in POLICIES:
        results = {pace: replay(arrivals, policy(), pace) for pace in PACES}
        line = "".join(
            f"{each.cached_percent:20.1f}{each.mean_s:8.2f}{each.p99_s:8.2f}{each.imbalance:15.3f}"
            for each in results.values()
        )
        if name == Strategy.EXPECTED_TTFT:
            met = all(meets(result, pace) for pace, result in results.items())
            line += "  met" if met else "  MISSED"
        print(f"{name:28}{line}", flush=True)
    print(
        f"targets of the last: mean {MEAN_S_MAX[1.0]} and p99 {P99_S_MAX} at 1.0x, mean {MEAN_S_MAX[1.4]} at 1.4x, "
        f"max/mean work {IMBALANCE_MAX:.2f}"
    )
    return 0 if met else 1


if __name__ == "__main__":
    match sys.argv[1:]:
        case [folder]:
            raise SystemExit(main(Path(folder)))
        case _:
            raise SystemExit(f"usage: python -m load_tests.replay_balancing DIR\n\n{__doc__}")
