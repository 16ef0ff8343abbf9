"""Break providers under load and judge what callers notice: one dead, all dead, one that fails at times, one back.

`python -m load_tests.fault_bench`, about 50 seconds. Load, providers and router are processes of their own, on
loopback. Ends with 1 if a goal is missed. Latencies are not judged: the three share this machine.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import httpx
import uvloop
import yaml

from clients.examples.local_router import KEY, local_router
from load_tests.fault_upstreams import UPSTREAMS, Arrival, Providers, providers
from load_tests.loopback import require_loopback
from router.domain.dispatch.retry import FLOOR_NS, RESERVE_MAX

_CALLS_PER_S: Final = 100
_HEALTHY_S: Final = 1.0
"""Before something breaks."""
_BROKEN_S: Final = 6.0
_NOTICED_S: Final = 1.0
"""From the break on, until which errors are forgiven."""
_TIMEOUT_S: Final = 10.0
_OPEN_S: Final = 1.0
"""How long a breaker stays open where a provider comes back."""
_NS: Final = 1_000_000_000

ERRORS_MAX_PCT: Final = 0.1
FAILED_CALLS_MAX: Final = 10
AMPLIFICATION_MAX: Final = 1.2
SAVED_MAX: Final = AMPLIFICATION_MAX + (RESERVE_MAX + _BROKEN_S * _NS / FLOOR_NS + 1) / (_BROKEN_S * _CALLS_PER_S)
"""Attempts a call without a breaker: what calls bring, what was saved before, one that is free in each second."""
SUCCESSES_MIN_PCT: Final = 99.5
ATTEMPTS_MAX: Final = 1.35
RECOVERY_MAX_S: Final = _OPEN_S + 1.0


class Reply(NamedTuple):
    sent_ns: int
    good: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One run: what callers got, what providers received, and when what was broken. Times are monotonic nanoseconds."""

    replies: list[Reply]
    arrivals: list[list[Arrival]]
    broken_ns: int
    mended_ns: int

    def errors_pct(self, since_ns: int) -> float:
        later = [reply.good for reply in self.replies if reply.sent_ns >= since_ns]
        return 100 * later.count(False) / len(later)

    @property
    def attempts_a_call(self) -> float:
        """While it was broken."""
        calls = sum(self.broken_ns <= reply.sent_ns < self.mended_ns for reply in self.replies)
        attempts = sum(self.broken_ns <= one.at_ns < self.mended_ns for each in self.arrivals for one in each)
        return attempts / calls


class Line(NamedTuple):
    """A figure, and whether it is as good as it has to be."""

    what: str
    figure: str
    goal: str
    met: bool


def dead_one(seen: Seen) -> Iterator[Line]:
    errors = seen.errors_pct(seen.broken_ns + int(_NOTICED_S * _NS))
    yield Line("client errors after 1 s", f"{errors:.2f} %", f"<= {ERRORS_MAX_PCT} %", errors <= ERRORS_MAX_PCT)
    failed = sum(not one.good for one in seen.arrivals[0])
    yield Line(
        "failed calls before it is left alone", f"{failed}", f"<= {FAILED_CALLS_MAX}", failed <= FAILED_CALLS_MAX
    )


def all_dead(seen: Seen) -> Iterator[Line]:
    attempts = seen.attempts_a_call
    yield Line("attempts a call", f"{attempts:.3f}", f"<= {AMPLIFICATION_MAX}", attempts <= AMPLIFICATION_MAX)


def all_dead_unbroken(seen: Seen) -> Iterator[Line]:
    attempts = seen.attempts_a_call
    yield Line("attempts a call", f"{attempts:.3f}", f"<= {SAVED_MAX:.3f}", attempts <= SAVED_MAX)


def brown_one(seen: Seen) -> Iterator[Line]:
    good = 100 - seen.errors_pct(seen.broken_ns)
    yield Line("successes", f"{good:.2f} %", f">= {SUCCESSES_MIN_PCT} %", good >= SUCCESSES_MIN_PCT)
    attempts = seen.attempts_a_call
    yield Line("attempts a call", f"{attempts:.3f}", f"<= {ATTEMPTS_MAX}", attempts <= ATTEMPTS_MAX)


def back_again(seen: Seen) -> Iterator[Line]:
    """The first good reply is a trial's; it is back when others follow."""
    good = [one.at_ns for one in seen.arrivals[0] if one.good and one.at_ns >= seen.mended_ns]
    after_s = (good[1] - seen.mended_ns) / _NS if len(good) > 1 else float("inf")
    yield Line("calls are back after", f"{after_s:.2f} s", f"<= {RECOVERY_MAX_S} s", after_s <= RECOVERY_MAX_S)


async def run(fakes: Providers, broken: dict[int, float], breaker: dict[str, object], after_s: float = 0.0) -> Seen:
    """Serve healthy, then broken, then for `after_s` healthy providers. `broken`: the share of failures of each."""
    await fakes.fail({})
    await fakes.arrivals()  # those of the run before
    with local_router(yaml.safe_dump(config(fakes.ports, breaker))) as router:
        require_loopback(router.url)
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=router.url, headers=headers, timeout=_TIMEOUT_S) as client:
            replies: list[Reply] = []
            async with asyncio.TaskGroup() as tasks:
                load = tasks.create_task(steady(client, replies, _HEALTHY_S + _BROKEN_S + after_s))
                await asyncio.sleep(_HEALTHY_S)
                broken_ns = await fakes.fail(broken)
                await asyncio.sleep(_BROKEN_S)
                mended_ns = await fakes.fail({}) if after_s else time.monotonic_ns()
                await load
        return Seen(replies=replies, arrivals=await fakes.arrivals(), broken_ns=broken_ns, mended_ns=mended_ns)


async def steady(client: httpx.AsyncClient, replies: list[Reply], span_s: float) -> None:
    """Begin so many calls a second, however long they take."""
    begun = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(span_s * _CALLS_PER_S)):
            await asyncio.sleep(begun + number / _CALLS_PER_S - time.monotonic())
            tasks.create_task(ask(client, replies, number))


async def ask(client: httpx.AsyncClient, replies: list[Reply], number: int) -> None:
    sent_ns = time.monotonic_ns()
    # Each prompt is another, so that no two calls are one conversation.
    body = {"model": "load", "messages": [{"role": "user", "content": f"Say {number}."}], "stream": number % 2 == 1}
    try:
        reply = await client.post("/v1/chat/completions", json=body)
        good = reply.status_code == 200 and (b'"finish_reason": "stop"' in reply.content or b"[DONE]" in reply.content)
        good = good and b'"error"' not in reply.content
    except httpx.HTTPError:
        good = False
    replies.append(Reply(sent_ns, good))


def config(ports: list[int], breaker: dict[str, object]) -> dict[str, object]:
    names = [f"up{number}" for number in range(UPSTREAMS)]
    return {
        "version": 1,
        "providers": [
            {
                "name": name,
                "kind": "openai_compatible",
                "base_url": f"http://127.0.0.1:{port}/v1",
                "api_key": "none",
                "network": {"allow_private": True},
            }
            for name, port in zip(names, ports, strict=True)
        ],
        "models": [{"name": "load", "deployments": [{"provider": name, "model": "load"} for name in names]}],
        "keys": [{"name": "load", "key": KEY}],
        "breaker": breaker,
    }


async def bench() -> int:
    met = True
    # A breaker that is open for the whole run shows how many calls it took to open it: nobody tries between.
    stays: dict[str, object] = {"open": "5m"}
    short: dict[str, object] = {"open": f"{_OPEN_S:g}s", "open_max": f"{_OPEN_S:g}s"}
    never: dict[str, object] = {"min_calls": 1_000_000, "consecutive_failures": 1_000_000}
    everyone = dict.fromkeys(range(UPSTREAMS), 1.0)
    async with providers() as fakes:
        for name, lines in (
            ("one of three is dead", dead_one(await run(fakes, {0: 1.0}, stays))),
            ("all are dead", all_dead(await run(fakes, everyone, {}))),
            ("all are dead, no breaker opens", all_dead_unbroken(await run(fakes, everyone, never))),
            ("one of three fails at 30 %", brown_one(await run(fakes, {0: 0.3}, {}))),
            (f"one is back, open for {_OPEN_S:g} s", back_again(await run(fakes, {0: 1.0}, short, after_s=4.0))),
        ):
            for line in lines:
                met &= line.met
                print(f"{name:30} {line.what:35} {line.figure:>9}   {line.goal:9} {'' if line.met else 'MISSED'}")
    return 0 if met else 1


def main() -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(bench())


if __name__ == "__main__":
    sys.exit(main())
