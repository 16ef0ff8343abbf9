"""Measure usage reports over a long history: `python -m load_tests.usage_rows FOLDER [CALLS] [DAYS] [KEYS]`.

Makes a store of CALLS settled calls (2,000,000) over DAYS (365) and KEYS (100) in FOLDER, which must exist and gets
about 600 bytes a call, has them added up by day in the steps of the server, and prints what the fold cost, how long
reports take, what a row takes, and what deleting old rows takes. Each report is the median of nine over a connection of
its own, with the file out of the kernel's memory and with it there. It ends with an error if the report by key takes
more than 100 ms by the clock on the wall, or a row more than 600 bytes. The store is removed in the end.
"""

import asyncio
import os
import sqlite3
import statistics
import sys
import time
from pathlib import Path
from typing import Final

from router.adapters.sql import sqlite_statements as sql
from router.adapters.sql.sqlite_fold import STEP_CALLS_MAX, delete_older, fold
from router.adapters.sql.sqlite_reader import open_sqlite_reader
from router.adapters.sql.sqlite_rows import settled_row
from router.adapters.sql.sqlite_store import configure, migrate
from router.domain.ids import CallId, DeploymentId, Epoch, KeyId, ProviderId, first_call_id
from router.domain.money import NanoUsd
from router.domain.settlement import AttemptRow, Labels, Outcome, Settlement
from router.domain.stream import ReplyMode
from router.domain.usage import TokenUsage
from router.ports.usage import UsageGroup, UsageQuery

BEGAN_NS: Final = 1_798_761_600 * 10**9
REPORT_MS_MAX: Final = 100
ROW_BYTES_MAX: Final = 600
READINGS: Final = 9
MODELS: Final = 4
AGENTS: Final = 3
BATCH: Final = 20_000
_BOOKED: Final = '[["key","k00042",1798761600000000000,0],["team","acme/team-2",1798761600000000000,0]]'


def settled(number: int, started_ns: int, keys: int) -> Settlement:
    """Make a call as they are with two budgets: labels, one attempt, a price."""
    key, model = number * 7_919 % keys, f"model-{number * 31 % MODELS}"
    usage = TokenUsage(input=2_006, cached_input=1_920, output=300, reasoning=40)
    deployment, provider = DeploymentId(f"openai:{model}"), ProviderId("openai")
    attempt = AttemptRow(
        number=1,
        deployment=deployment,
        provider=provider,
        upstream_model=model,
        started_ns=started_ns + 250_000,
        duration_ns=1_800_000_000,
        first_token_ns=410_000_000,
        fault=None,
        upstream_status=200,
        usage=usage,
        cost_nano_usd=NanoUsd(3_556_000),
        price_version="config-1",
    )
    return Settlement(
        id=CallId(first_call_id(started_ns) + number % 1_000),
        request_id=f"req_{number:032x}",
        key_id=KeyId(f"k{key:05}"),
        organization="acme",
        team=f"team-{key % 10}",
        user=None,
        labels=Labels(workflow_id=f"wf-{number // 20}", agent=f"agent-{number % AGENTS}", tags="nightly,eu"),
        route="chat",
        mode=ReplyMode.STREAM,
        asked_model=model,
        served_deployment=deployment,
        served_model=model,
        started_ns=started_ns,
        duration_ns=1_800_600_000,
        first_token_ns=410_500_000,
        outcome=Outcome.COMPLETED,
        fault=None,
        usage=usage,
        cost_nano_usd=NanoUsd(3_556_000),
        price_version="config-1",
        attempts=(attempt,),
    )


def fill(connection: sqlite3.Connection, calls: int, days: int, keys: int) -> None:
    """Write each batch's first row for real and the others after it in SQL: only what groups differ by changes."""
    span_ns = days * sql.DAY_NS // calls
    names = [row[1] for row in connection.execute("PRAGMA table_info(calls)")]
    changed = {
        "id": f"id + (((started_ns / 1000000 + n * {span_ns} / 1000000) - started_ns / 1000000) << 22) + n % 1000",
        "started_ns": f"started_ns + n * {span_ns}",
        "key_id": f"printf('k%05d', n * 7919 % {keys})",
        "team": f"printf('team-%d', n * 7919 % {keys} % 10)",
        "workflow_id": "printf('wf-%d', id % 1000000 + n / 20)",
        "agent": f"printf('agent-%d', n % {AGENTS})",
        "request_id": "printf('req_%032x', id + n)",
        "booked": f"'{_BOOKED}'",
        "spent": "'[3556000,2306,1,2]'",
        "asked_model": f"printf('model-%d', n * 31 % {MODELS})",
        "served_deployment": f"printf('openai:model-%d', n * 31 % {MODELS})",
    }
    columns = ", ".join(changed.get(name, name) for name in names)
    copy = f"""
        WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < ?)
        INSERT INTO calls ({", ".join(names)}) SELECT {columns} FROM counted JOIN calls ON calls.id = ?
    """
    for start in range(0, calls, BATCH):
        first = settled(start, BEGAN_NS + start * span_ns, keys)
        connection.execute(sql.BEGIN)
        connection.execute(sql.SETTLE_CALLS[1], settled_row(first, Epoch(1), 0, None))
        connection.execute(copy, (min(BATCH, calls - start) - 1, first.id))
        connection.execute(sql.COMMIT)


def timed(label: str, calls: int, began_ns: int, cpu_ns: int) -> None:
    wall_s, cpu_s = (time.perf_counter_ns() - began_ns) / 1e9, (time.process_time_ns() - cpu_ns) / 1e9
    print(f"{label}: {wall_s:.1f} s, {wall_s * 1e6 / calls:.2f} µs a call, CPU {cpu_s * 1e6 / calls:.2f} µs a call")


def fold_all(connection: sqlite3.Connection) -> None:
    began_ns, cpu_ns, steps, longest_ns = time.perf_counter_ns(), time.process_time_ns(), 0, 0
    more = True
    while more:
        step_ns = time.perf_counter_ns()
        more = fold(connection, CallId((1 << 63) - 1))
        longest_ns, steps = max(longest_ns, time.perf_counter_ns() - step_ns), steps + 1
    (calls,) = connection.execute("SELECT COUNT(*) FROM calls").fetchone()
    timed(f"fold, {steps} steps of {STEP_CALLS_MAX}, the longest {longest_ns / 1e6:.0f} ms", calls, began_ns, cpu_ns)


def rows_and_bytes(connection: sqlite3.Connection, path: Path, calls: int, empty: int) -> int:
    size = path.stat().st_size
    (days,) = connection.execute("SELECT COUNT(*) FROM usage_days").fetchone()
    (blocks,) = connection.execute("SELECT COUNT(*) FROM usage_blocks").fetchone()
    sums = (size - empty) / calls
    print(f"rows of sums: {days} of days and {blocks} of blocks for {calls} calls")
    print(f"file: {size / calls:.0f} bytes a call, {sums:.0f} of them sums")
    return empty // calls


def forget(path: Path) -> None:
    """Have the kernel read the file from the disk again."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


async def report(path: Path, label: str, asked: UsageQuery, readings: int = READINGS) -> float:
    """Print the medians, and return that of the wall clock with the file in memory."""
    walls: dict[bool, list[float]] = {False: [], True: []}
    cpus = []
    for warm in (False, True):
        for _ in range(readings):
            if not warm:
                forget(path)
            async with await open_sqlite_reader(f"sqlite:///{path}") as reader:
                began_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
                told = await reader.usage(asked)
                walls[warm].append((time.perf_counter_ns() - began_ns) / 1e6)
                cpus.append((time.process_time_ns() - cpu_ns) / 1e6)
    cold_ms, warm_ms = (statistics.median(walls[warm]) for warm in (False, True))
    cpu_ms, more = statistics.median(cpus[readings:]), " (truncated)" if told.truncated else ""
    print(f"{label:40} cold {cold_ms:9.1f} ms, warm {warm_ms:9.1f}, CPU {cpu_ms:9.1f}, {len(told.totals)} groups{more}")
    return warm_ms


async def reports(path: Path, days: int) -> float:
    """Print what reports take, and return what the one by key takes."""
    cut = BEGAN_NS + days // 2 * sql.DAY_NS + 5 * 3_600 * 10**9
    month = BEGAN_NS + max(days - 30, 0) * sql.DAY_NS
    block_ns = sql.BLOCK_DAYS * sql.DAY_NS
    since = -(-BEGAN_NS // block_ns) * block_ns + sql.DAY_NS
    until = (BEGAN_NS // sql.DAY_NS + days) * sql.DAY_NS // block_ns * block_ns - sql.DAY_NS
    by: dict[str, tuple[UsageGroup, ...]] = {"key": ("key",), "model": ("model",), "day": ("day",), "tag": ("tag",)}
    by |= {"key, model": ("key", "model"), "key, day, model": ("key", "day", "model")}
    by_key = await report(path, "by key, everything", UsageQuery(by=("key",)))
    await report(
        path, "by key, most days that are in no block", UsageQuery(by=("key",), since_ns=since, until_ns=until)
    )
    await report(path, "by key, since a moment that cuts a day", UsageQuery(by=("key",), since_ns=cut))
    await report(path, "by day, one key", UsageQuery(by=("day",), key="k00001"))
    for name, groups in by.items():
        await report(path, f"by {name}, everything", UsageQuery(by=groups))
        await report(path, f"by {name}, the last 30 days", UsageQuery(by=groups, since_ns=month))
    await report(path, "by workflow, everything: by row", UsageQuery(by=("workflow",), limit=100), readings=1)
    return by_key


def delete_half(connection: sqlite3.Connection, calls: int, days: int) -> None:
    began_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
    while delete_older(connection, BEGAN_NS + days // 2 * sql.DAY_NS):
        pass
    (left,) = connection.execute("SELECT COUNT(*) FROM calls").fetchone()
    timed(f"deleting the older half, {calls - left} rows", calls - left, began_ns, cpu_ns)


def main(folder: Path, calls: int = 2_000_000, days: int = 365, keys: int = 100) -> int:
    path = folder / "usage.db"
    if path.exists():
        raise SystemExit(f"{path} is there already; it was not touched")
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        configure(connection, "process")
        migrate(connection)
        fill(connection, calls, days, keys)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        empty = path.stat().st_size
        fold_all(connection)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        row_bytes = rows_and_bytes(connection, path, calls, empty)
        by_key_ms = asyncio.run(reports(path, days))
        delete_half(connection, calls, days)
    finally:
        connection.close()
        for file in folder.glob("usage.db*"):
            file.unlink()
    return 0 if by_key_ms <= REPORT_MS_MAX and row_bytes <= ROW_BYTES_MAX else 1


if __name__ == "__main__":
    match sys.argv[1:]:
        case [folder, *numbers] if len(numbers) <= 3:
            raise SystemExit(main(Path(folder), *map(int, numbers)))
        case _:
            raise SystemExit(f"usage: python -m load_tests.usage_rows FOLDER [CALLS] [DAYS] [KEYS]\n\n{__doc__}")
