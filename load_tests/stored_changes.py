"""Measure how long a change of what is stored holds the loop up: `python -m load_tests.stored_changes FOLDER [KEYS]`.

Makes a store of KEYS keys (10,000) of one team in FOLDER, which must exist, each with a budget and limits of its own;
puts it in force; then changes the team, its organization, one key, and adds a budget for every key, as another process
would. Prints for each change how long it took until it was in force, and the longest that the loop did nothing else
meanwhile; of three rounds the worst. It ends with an error if that is more than 20 ms. The store is removed in the end.
"""

import asyncio
import json
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

from router.adapters.clock_system import SystemClock
from router.adapters.keys_sqlite import SqliteKeys, open_sqlite_keys
from router.adapters.ledger_sqlite import SqliteLedger, open_sqlite_ledger
from router.adapters.records_sqlite import SqliteRecords, open_sqlite_records
from router.collector import settle
from router.config import Sources, load
from router.configured import Configured, read_stored
from tests.support.fakes import RecordingTelemetry

PAUSE_MS_MAX: Final = 20
ROUNDS: Final = 3
TICK_S: Final = 0.001
_CONFIG: Final = """\
version: 1
providers: [{ name: demo, kind: scripted }]
models: [{ name: m, deployments: [{ provider: demo, model: demo, price: { input: 1, output: 1 } }] }]
"""


def fill(path: Path, keys: int) -> None:
    """Store an organization, its team, and the team's keys."""
    with sqlite3.connect(path) as connection:
        for kind, name in (("organization", "acme"), ("team", "acme/lab")):
            _put(connection, kind, name, {"name": name})
        connection.executemany(
            "INSERT INTO stored_keys (name, public_id, secrets, settings, created_ns, updated_ns, revision)"
            " VALUES (?, ?, ?, ?, 0, 0, 1)",
            (_key(number) for number in range(keys)),
        )
    connection.close()


def _key(number: int) -> tuple[str, str, str, str]:
    name = f"key-{number:05}"
    settings = {
        "name": name,
        "team": "acme/lab",
        "user": f"user-{number % 1_000}",
        "profile": "standard",
        "budget": {"limit_usd": 5, "window": "day"},
        "limits": {"rpm": 60},
    }
    secrets = [{"sha256": sha256(name.encode()).hexdigest(), "until_ns": None}]
    return name, f"id{number:05}", json.dumps(secrets), json.dumps(settings)


def _put(connection: sqlite3.Connection, kind: str, name: str, settings: dict[str, object]) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO records (kind, name, settings, created_ns, updated_ns, revision)"
        " VALUES (?, ?, ?, 0, 0, 1)",
        (kind, name, json.dumps(settings)),
    )


def change_team(connection: sqlite3.Connection, round_: int) -> None:
    _put(connection, "team", "acme/lab", {"name": "acme/lab", "limits": {"rpm": 1_000 + round_}})


def change_organization(connection: sqlite3.Connection, round_: int) -> None:
    _put(connection, "organization", "acme", {"name": "acme", "budget": {"limit_usd": 10 + round_}})


def change_key(connection: sqlite3.Connection, round_: int) -> None:
    connection.execute("UPDATE stored_keys SET updated_ns = ? WHERE name = 'key-00000'", (round_ + 1,))


def add_budget(connection: sqlite3.Connection, round_: int) -> None:
    settings = {"name": f"every-{round_}", "scope": {"key": "*"}, "limit_usd": 1, "window": "day"}
    _put(connection, "budget", f"every-{round_}", settings)


CHANGES: Final[dict[str, Callable[[sqlite3.Connection, int], None]]] = {
    "one key": change_key,
    "their team": change_team,
    "their organization": change_organization,
    "a budget for every key": add_budget,
}


class Store:
    """What is stored, and what of it is in force."""

    def __init__(self, ledger: SqliteLedger, keys: SqliteKeys, records: SqliteRecords, configured: Configured) -> None:
        self._ledger = ledger
        self._keys = keys
        self._records = records
        self.configured = configured

    async def refresh(self) -> None:
        await self.configured.take_stored(await read_stored(self._keys, self._records), self._ledger.set_budgets)


@asynccontextmanager
async def opened(folder: Path, keys: int) -> AsyncIterator[Store]:
    url = f"sqlite:///{folder / 'calls.db'}"
    file = folder / "checkrein.yaml"
    file.write_text(_CONFIG)
    sources = Sources(explicit=file, env={}, overrides={}, system=file, user=file, project=file)
    configured = Configured(
        load(sources), sources=sources, first_key="", catalogues=lambda _files: lambda _name: None, clock=SystemClock()
    )
    async with asyncio.TaskGroup() as tasks:
        ledger = await open_sqlite_ledger(
            url, durability="process", clock=SystemClock(), telemetry=RecordingTelemetry(), tasks=tasks
        )
        fill(folder / "calls.db", keys)
        stored_keys, records = await open_sqlite_keys(url), await open_sqlite_records(url)
        store = Store(ledger, stored_keys, records, configured)
        try:
            await store.refresh()
            ledger.set_budgets(configured.current.budgets.values())
            settle()  # as the server does
            yield store
        finally:
            await records.close()
            await stored_keys.close()
            await ledger.close()


async def longest_pause_s(until: asyncio.Event) -> float:
    """Look how late a timer of a millisecond rings, at worst."""
    worst = 0.0
    while not until.is_set():
        began = time.perf_counter()
        await asyncio.sleep(TICK_S)
        worst = max(worst, time.perf_counter() - began - TICK_S)
    return worst


async def measured(store: Store) -> tuple[float, float]:
    """Return how long it took until what is stored was in force, and the longest pause meanwhile; seconds."""
    ended = asyncio.Event()
    pause = asyncio.ensure_future(longest_pause_s(ended))
    await asyncio.sleep(TICK_S)
    began = time.perf_counter()
    await store.refresh()
    took = time.perf_counter() - began
    await asyncio.sleep(TICK_S)
    ended.set()
    return took, await pause


def count_for_a_second() -> None:
    end, count = time.perf_counter() + 1, 0
    while time.perf_counter() < end:
        count += 1


async def control() -> float:
    """Return the longest pause beside a thread that does nothing but count: what no change can be better than."""
    ended = asyncio.Event()
    pause = asyncio.ensure_future(longest_pause_s(ended))
    await asyncio.to_thread(count_for_a_second)
    ended.set()
    return await pause


async def run(folder: Path, keys: int) -> int:
    worst_ms = 0.0
    async with opened(folder, keys) as store:
        print(f"{'a thread that counts':<47} longest pause of the loop {await control() * 1_000:7.1f} ms")
        for what, change in CHANGES.items():
            found = []
            for round_ in range(ROUNDS):
                with sqlite3.connect(folder / "calls.db") as connection:
                    change(connection, round_)
                connection.close()
                found.append(await measured(store))
            took_ms, pause_ms = (max(column) * 1_000 for column in zip(*found, strict=True))
            worst_ms = max(worst_ms, pause_ms)
            print(f"{what:<24} in force after {took_ms:7.0f} ms, longest pause of the loop {pause_ms:7.1f} ms")
    for name in ("calls.db", "calls.db-wal", "calls.db-shm", "calls.db.lock", "calls.db.journal", "checkrein.yaml"):
        (folder / name).unlink(missing_ok=True)
    return 0 if worst_ms <= PAUSE_MS_MAX else 1


def main() -> int:
    folder, *rest = sys.argv[1:]
    return asyncio.run(run(Path(folder), int(rest[0]) if rest else 10_000))


if __name__ == "__main__":
    sys.exit(main())
