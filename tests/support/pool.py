"""Several providers behind one router: script each, count whom it asked, compare what all of them billed."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from router.ports.clock import Clock
from tests.support.fake_upstream import FakeUpstream, Handler, Reply, Request
from tests.support.money import KEYS, PRICE, guessed_input
from tests.support.running import RunningRouter, chat, config_for, running_router
from tests.support.stage import Stage
from tests.support.wire import Answer

RICH: Final = {"limit_usd": 1_000, "window": "lifetime"}
RICH_KEYS: Final = ({**KEYS[0], "budget": RICH}, KEYS[1])
"""The caller's has money enough, so that each attempt holds some."""
PATIENT: Final = {"min_calls": 1_000_000, "consecutive_failures": 1_000_000}
"""A breaker that never opens by itself."""
QUICK: Final = {"backoff_base": "10ms", "backoff_cap": "10ms", "retry_ratio_pct": 100}
"""Short pauses, and a further attempt for each call: what failed in one test is not to be paid for in another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    upstreams: Mapping[str, FakeUpstream]
    router: RunningRouter
    earlier_rows: int = 0

    @property
    def stage(self) -> Stage:
        first = next(iter(self.upstreams.values()))
        return Stage(upstream=first, router=self.router, earlier_rows=self.earlier_rows)

    def start_over(self) -> "Pool":
        """Return it for the next test: nobody remembers anything, and only new rows are its own."""
        for upstream in self.upstreams.values():
            upstream.start_over()
        self.stage.forgive()
        return replace(self, earlier_rows=len(self.router.rows()))

    async def ask(self, members: Mapping[str, object], *lines: str) -> Answer:
        return await self.stage.ask(members, *lines)

    def script(self, **handlers: Handler | Reply) -> None:
        """Say what each provider answers from now on."""
        for name, handler in handlers.items():
            self.upstreams[name].handler = _always(handler) if isinstance(handler, Reply) else handler

    @property
    def asked(self) -> dict[str, int]:
        """How many requests came to each provider to which any came."""
        return {name: len(one.requests) for name, one in self.upstreams.items() if one.requests}

    async def books(self, **times: int) -> None:
        """See that nothing stays held, and that ledger, attempts, account and invoices say the same to the nano-USD.

        `times`: how much dearer than the others a provider is.
        """
        await self.router.idle()
        rows = self.router.rows()[self.earlier_rows :]
        attempts = self._attempts([row["id"] for row in rows])
        billed = {n: one.billed_nano_usd * times.get(n, 1) for n, one in self.upstreams.items() if one.requests}
        booked = dict.fromkeys(billed, 0)
        for attempt in attempts:
            name = attempt["provider"]
            booked[name] = booked.get(name, 0) + (attempt["cost_nano_usd"] or 0)
        assert billed == {name: cost for name, cost in booked.items() if name in billed or cost}
        assert sum(billed.values()) == sum(int(str(row["cost_nano_usd"])) for row in rows)
        accounts = await self.router.accounts()
        assert {0} >= {account["reserved"] for account in accounts.values()}
        posted = sum(int(str(row["cost_nano_usd"])) for row in self.router.rows())
        assert posted == sum(account["used"] for account in accounts.values())
        assert {} == self.router.lifecycle._pipeline.gate.permits.gauges()

    def _attempts(self, calls: Sequence[object]) -> list[dict[str, Any]]:
        with contextlib.closing(sqlite3.connect(self.router.folder / "ledger.db")) as store:
            store.row_factory = sqlite3.Row
            marks = ",".join("?" * len(calls))
            query = f"SELECT * FROM attempts WHERE call_id IN ({marks})"
            return [dict(row) for row in store.execute(query, calls)]


def _always(reply: Reply) -> Handler:
    return lambda _: reply


def asks(**members: object) -> dict[str, object]:
    """A request whose longest reply is said, so that the router writes none into it."""
    return chat(max_completion_tokens=100, **members)


def free(reply: Reply) -> Handler:
    """Answer so, and bill nothing: it is an error, and was said to be one."""

    def handler(request: Request) -> Reply:
        request.input_billed = 0
        return reply

    return handler


def unsaid(reply: Reply | Handler) -> Handler:
    """Answer so, and leave the reader to guess what it costs."""

    def handler(request: Request) -> Reply:
        request.input_billed = guessed_input(request)
        return reply if isinstance(reply, Reply) else reply(request)

    return handler


def at(provider: str, **members: object) -> dict[str, object]:
    """A deployment at one of the providers; its model is named as long as callers name it."""
    return {"provider": provider, "model": "small", "price": PRICE, **members}


def served_by(name: str, *deployments: Mapping[str, object], **members: object) -> dict[str, object]:
    return {"name": name, "deployments": list(deployments), **members}


@contextlib.asynccontextmanager
async def pool(
    folder: Path,
    *names: str,
    models: Sequence[Mapping[str, object]],
    members: Mapping[str, Mapping[str, object]] | None = None,
    clock: Clock | None = None,
    **sections: object,
) -> AsyncIterator[Pool]:
    """Run so many providers and a router before them. `members`: of a provider's section, by its name."""
    async with AsyncExitStack() as stack:
        upstreams = {name: await stack.enter_async_context(FakeUpstream()) for name in names}
        base: dict[str, object] = {"retry": QUICK, "breaker": PATIENT, "keys": list(RICH_KEYS), "models": list(models)}
        config = config_for(next(iter(upstreams.values())), **{**base, **sections})
        providers = config["providers"]
        assert isinstance(providers, list)
        config["providers"] = [
            {**providers[0], "name": name, "base_url": upstream.base_url, **(members or {}).get(name, {})}
            for name, upstream in upstreams.items()
        ]
        router = await stack.enter_async_context(running_router(config, folder, clock=clock))
        yield Pool(upstreams=upstreams, router=router)
