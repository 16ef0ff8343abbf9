"""Race 200 callers for a $0.10 budget, kill the router among them, and hold its ledger against the provider's invoice.

`make demo-race`. Router and provider are separate processes on loopback. Ends with 1 if money or a row is lost.
"""

import asyncio
import contextlib
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import uvloop
import yaml

from tests.support.audit import Audit
from tests.support.fake_upstream import FakeUpstream
from tests.support.money import KEYS, TEN_CENTS, account_of, billing, model, request_of, worst_case
from tests.support.process import served
from tests.support.running import config_for
from tests.support.wire import Wire, post, wire

_KEY: Final = "sk-racer"
_CALLERS: Final = 200
_ROUNDS: Final = 2
"""The router is killed within the first and lives through the last."""
_INPUT_BOUND: Final = 70
_OUTPUT_MAX: Final = 6
_INPUT_BILLED: Final = 35
_OUTPUT_BILLED: Final = 5
_GAP_S: Final = 0.004
"""Between two tokens: long enough for many calls to be open at the kill."""
_KILL_AFTER: Final = TEN_CENTS // worst_case(_INPUT_BOUND, _OUTPUT_MAX) // 2
"""Calls that have reached the provider by then: money is left for the next round."""
_CONFIG: Final = "checkrein.yaml"
_LEDGER: Final = "ledger.db"


class Race:
    """What the callers saw. Each asks until it is refused or its router is gone."""

    def __init__(self) -> None:
        self.replies: Counter[str] = Counter()
        self.asked = 0

    async def run(self, callers: list[Wire], *, stream: bool) -> None:
        async with asyncio.TaskGroup() as tasks:
            for caller in callers:
                tasks.create_task(self._ask(caller, stream=stream))

    async def _ask(self, caller: Wire, *, stream: bool) -> None:
        body = request_of(_INPUT_BOUND, max_completion_tokens=_OUTPUT_MAX, stream=stream)
        while True:
            self.asked += 1
            await caller.send(post(f"x-request-id: race-{self.asked}", body=body, key=_KEY))
            try:
                reply = await caller.answer_until(lambda answer: answer.complete)
            except ConnectionError:
                reply = None
            if reply is None or not reply.complete:
                self.replies["unanswered"] += 1
                return
            if reply.status != 200:
                self.replies["refused" if reply.error["code"] == "budget_exceeded" else "wrong"] += 1
                return
            self.replies["accepted"] += 1


async def race(folder: Path) -> int:
    seen = Race()
    async with FakeUpstream(handler=billing(_INPUT_BILLED, _OUTPUT_BILLED, gap_s=_GAP_S)) as provider:
        key = {"name": "racer", "key": _KEY, "budget": {"limit_usd": 0.10, "window": "lifetime"}}
        store = {"url": f"sqlite:///{folder / _LEDGER}"}
        config = config_for(provider, models=[model()], keys=[*KEYS, key], store=store)
        (folder / _CONFIG).write_text(yaml.safe_dump(config), encoding="utf-8")
        for number in range(1, _ROUNDS + 1):
            async with served(folder, "--config", _CONFIG) as router, AsyncExitStack() as stack:
                callers = [await stack.enter_async_context(wire(router.http_port)) for _ in range(_CALLERS)]
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(seen.run(callers, stream=number % 2 == 1))
                    if number < _ROUNDS:
                        await provider.received(len(provider.requests) + _KILL_AFTER)
                        await router.stop(signal.SIGKILL)
                if number == _ROUNDS:
                    used, reserved = await account_of(router.http_port, key=_KEY)
        audit = Audit.of(provider.requests, folder / _LEDGER)
    for line in report(seen, len(provider.requests), audit, used, reserved):
        print(line)
    whole = audit.sound and audit.ledger == used <= TEN_CENTS and not reserved and not seen.replies["wrong"]
    print("nothing is lost" if whole else "MONEY OR A ROW IS LOST")
    return 0 if whole else 1


def report(seen: Race, upstream_calls: int, audit: Audit, used: int, reserved: int) -> Iterator[str]:
    """Lay out what happened, one line each."""
    budget, worst = usd(TEN_CENTS), usd(worst_case(_INPUT_BOUND, _OUTPUT_MAX))
    yield f"{_CALLERS} callers at once, a budget of {budget}, at most {worst} a call, kill -9 after {_KILL_AFTER} calls"
    yield f"  accepted          {seen.replies['accepted']}"
    yield f"  refused           {seen.replies['refused']}"
    yield f"  unanswered        {seen.replies['unanswered']} (by the kill)"
    yield f"  upstream calls    {upstream_calls}"
    yield f"  upstream invoice  {usd(audit.invoice)}"
    yield f"  ledger            {usd(audit.ledger)}, of which {usd(audit.held_at_kills)} held by calls open at the kill"
    yield f"  budget            {usd(used)} used, {usd(reserved)} reserved, of {budget}"
    yield f"  rows recovered    {audit.recovered}"
    yield f"  rows lost         {len(audit.lost)}"
    yield f"  rows doubled      {len(audit.doubled)}"
    yield f"  rows wrong        {len(audit.wrong)}"


def usd(nano_usd: int) -> str:
    return f"${nano_usd / 1e9:.9f}"


def main() -> int:
    with (
        tempfile.TemporaryDirectory(prefix="checkrein-") as name,
        contextlib.suppress(KeyboardInterrupt),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(race(Path(name)))
    return 1


if __name__ == "__main__":
    sys.exit(main())
