"""Replay public traces through the router's own output estimates: `python -m load_tests.replay_reservations DATA_DIR`.

Two more arguments set other prices: nano-USD for a token of input and for one of output. The ratios depend on them.

Prints, for each trace, what is reserved for each unit of money that is spent, when every call reserves its caller's
maximum and when it reserves the learned p95 or p99 of its class and tops up while it streams; and how often a reply
outgrew its first reservation. Ends with an error if a target is missed. A trace that is not in DATA_DIR is skipped,
and said so; if none is there, that is an error too.

The traces are from Azure/AzurePublicDataset (AzureLLMInferenceTrace) and kvcache-ai/Mooncake (FAST25-release). They
tell arrivals and sizes only, so all calls are one caller's to one model, and a reply is taken to stream at 20 ms a
token: what a call teaches is known to those that arrive after it completed. Integers throughout.
"""

import csv
import heapq
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from router.domain.governance.output_estimate import OutputClass, OutputEstimates, class_of, top_up

MAX_TOKENS: Final = 4_096
TOKEN_MS: Final = 20
EXCEEDED_PER_100_000_MAX: Final = 1_200


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Nano-USD a token."""

    input: int = 2_000
    output: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    at_ms: int
    input_tokens: int
    output_tokens: int


@dataclass(slots=True)
class Tally:
    """Sums over one trace under one rule."""

    calls: int = 0
    reserved_nano_usd: int = 0
    spent_nano_usd: int = 0
    exceeded: int = 0
    top_ups: int = 0

    @property
    def reserved_percent(self) -> int:
        """Reserved money in per cent of spent money, rounded up."""
        return -(-self.reserved_nano_usd * 100 // self.spent_nano_usd)

    def per_100_000(self, count: int) -> int:
        return -(-count * 100_000 // self.calls)


def read_azure(path: Path) -> Iterator[Arrival]:
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            moment = datetime.strptime(row["TIMESTAMP"][:23], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
            yield Arrival(
                at_ms=int(moment.timestamp()) * 1_000 + moment.microsecond // 1_000,
                input_tokens=int(row["ContextTokens"]),
                output_tokens=int(row["GeneratedTokens"]),
            )


def read_mooncake(path: Path) -> Iterator[Arrival]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            yield Arrival(at_ms=row["timestamp"], input_tokens=row["input_length"], output_tokens=row["output_length"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    file: str
    read: Callable[[Path], Iterator[Arrival]]
    reserved_percent_max: int


TRACES: Final = (
    Trace(file="azure_llm_2023_code.csv", read=read_azure, reserved_percent_max=240),
    Trace(file="azure_llm_2023_conv.csv", read=read_azure, reserved_percent_max=190),
    Trace(file="mooncake_conversation.jsonl", read=read_mooncake, reserved_percent_max=140),
)


def replay(arrivals: list[Arrival], estimates: OutputEstimates | None, prices: Prices) -> Tally:
    """Reserve, stream and settle every call; without estimates each reserves its maximum."""
    tally = Tally()
    streaming: list[tuple[int, OutputClass, int]] = []
    for arrival in sorted(arrivals, key=lambda each: each.at_ms):
        output = min(arrival.output_tokens, MAX_TOKENS)
        reserved = MAX_TOKENS
        if estimates is not None:
            while streaming and streaming[0][0] <= arrival.at_ms:
                _, done, took = heapq.heappop(streaming)
                estimates.learn(done, took)
            alike = class_of("model", "caller", arrival.input_tokens)
            learned = estimates.estimate(alike)
            reserved = MAX_TOKENS if learned is None else min(learned, MAX_TOKENS)
            heapq.heappush(streaming, (arrival.at_ms + output * TOKEN_MS, alike, output))
        tally.exceeded += output > reserved
        for used in range(output + 1):
            more = top_up(used, reserved, MAX_TOKENS)
            tally.top_ups += more > 0
            reserved += more
        assert output <= reserved <= MAX_TOKENS
        tally.calls += 1
        tally.reserved_nano_usd += arrival.input_tokens * prices.input + reserved * prices.output
        tally.spent_nano_usd += arrival.input_tokens * prices.input + output * prices.output
    return tally


def _decimal(scaled: int, places: int) -> str:
    return f"{scaled // 10**places}.{scaled % 10**places:0{places}d}"


def judge(trace: Trace, folder: Path, prices: Prices) -> bool:
    """Print one trace's line; tell whether it met its targets."""
    arrivals = list(trace.read(folder / trace.file))
    worst, p95, p99 = (replay(arrivals, use, prices) for use in (None, OutputEstimates(95), OutputEstimates(99)))
    exceeded = p99.per_100_000(p99.exceeded)
    met = p99.reserved_percent <= trace.reserved_percent_max and exceeded <= EXCEEDED_PER_100_000_MAX
    ratios = "".join(f"{_decimal(tally.reserved_percent, 2):>8}x" for tally in (worst, p95, p99))
    print(
        f"{trace.file:30}{p99.calls:7}{ratios}{_decimal(trace.reserved_percent_max, 2):>8}x"
        f"{_decimal(exceeded, 3):>10} %{_decimal(p99.per_100_000(p99.top_ups), 5):>10}  {'met' if met else 'MISSED'}"
    )
    return met


def main(folder: Path, prices: Prices) -> int:
    print(
        f"reserved / spent, max_tokens {MAX_TOKENS}, {prices.input} and {prices.output} nano-USD a token; "
        f"learned in order of completion\n{'trace':30}{'calls':>7}"
        f"{'worst':>9}{'p95':>9}{'p99':>9}{'target':>9}{'exceeded':>12}{'top-ups':>10}"
    )
    there = [trace for trace in TRACES if (folder / trace.file).is_file()]
    met = [judge(trace, folder, prices) for trace in there]
    for trace in TRACES:
        if trace not in there:
            print(f"SKIPPED: {trace.file} is not in {folder}", file=sys.stderr)
    return 0 if met and all(met) else 1


if __name__ == "__main__":
    match sys.argv[1:]:
        case [folder]:
            raise SystemExit(main(Path(folder), Prices()))
        case [folder, for_input, for_output]:
            raise SystemExit(main(Path(folder), Prices(input=int(for_input), output=int(for_output))))
        case _:
            raise SystemExit(f"usage: python -m load_tests.replay_reservations DATA_DIR [INPUT OUTPUT]\n\n{__doc__}")
