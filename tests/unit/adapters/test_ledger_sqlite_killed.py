"""What a server that was killed had promised is there at the next start, once, whatever it had committed."""

import asyncio
import shutil
import sqlite3
import sys
from pathlib import Path

import msgspec
import pytest

from router.domain.ids import CallId, DeploymentId, Epoch, ProviderId
from router.domain.settlement import Outcome, StoredRecord, StoredReply
from router.ports.ledger import CallRecord
from router.ports.telemetry import Anomaly
from tests.support.fakes import RecordingTelemetry
from tests.support.ledger_facts import STARTED_NS, attempt, open_record, reservation, settled_record, settlement
from tests.support.ledger_victim import BUDGETS, extension_of, hold_of, spent_of
from tests.support.sqlite_ledger import opened
from tests.support.usage import totals_by

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.db"


async def killed(path: Path, *, calls: int, commits: bool, after: int) -> tuple[set[int], set[int]]:
    """Run a victim, kill it after so many lines, and return the calls it had reported as open and as settled."""
    victim = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.support.ledger_victim", str(path), str(calls), "commits" if commits else "held"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert victim.stdout is not None
    lines = [await victim.stdout.readline() for _ in range(after)]
    victim.kill()
    lines += (await victim.stdout.read()).splitlines()
    await victim.wait()
    said = [line.decode().split() for line in lines]
    opened_, settled = (
        {int(line[1]) for line in said if len(line) == 2 and line[0] == what} for what in ("open", "settled")
    )
    return opened_, settled


def rows(path: Path, table: str = "calls") -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    found = connection.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()
    connection.close()
    return found


def posted(path: Path) -> list[int]:
    """What the accounts of the victim's budgets have posted."""
    connection = sqlite3.connect(path)
    found = dict(connection.execute("SELECT budget, SUM(posted) FROM balances GROUP BY budget").fetchall())
    connection.close()
    return [found[one.id] for one in BUDGETS]


def held_in(path: Path, number: int) -> int:
    connection = sqlite3.connect(path)
    (held,) = connection.execute("SELECT hold_nano_usd FROM calls WHERE id = ?", (number,)).fetchone()
    connection.close()
    assert held in (hold_of(number), hold_of(number) - extension_of(number))
    return int(held)


def forget(path: Path) -> None:
    path.unlink()


def journal_of(path: Path) -> Path:
    return path.with_name(path.name + ".journal")


def recovered_record(number: int, *, hold: int) -> CallRecord:
    opened = open_record(number, hold=hold)
    return CallRecord(
        **{
            **{name: getattr(opened, name) for name in CallRecord.__struct_fields__},
            "outcome": Outcome.RECOVERED_HELD,
            "cost_nano_usd": hold or None,
        }
    )


@pytest.mark.parametrize(
    ("calls", "commits", "after"),
    [
        pytest.param(40, False, 10, id="unsealed"),
        pytest.param(40, False, 59, id="sealed and not committed"),
        pytest.param(40, True, 59, id="waiting"),
        pytest.param(20_000, True, 2_000, id="at work", marks=pytest.mark.slow),
    ],
)
async def test_after_kill_9_nothing_promised_is_lost_or_doubled(
    path: Path, calls: int, commits: bool, after: int
) -> None:
    promised, settled = await killed(path, calls=calls, commits=commits, after=after)
    if not commits:
        assert [] == rows(path) + rows(path, "open_calls")
    async with opened(path) as ledger:
        records = {number: await ledger.read_call(CallId(number)) for number in promised}
        (totals,) = await totals_by(ledger.history, "key")

    assert Epoch(2) == ledger.epoch
    # The last call may have been reserved, or settled, after its last report was read.
    assert totals.calls - len(promised) in (0, 1)
    recovered = {number for number, record in records.items() if record and record.outcome is Outcome.RECOVERED_HELD}
    assert len(promised - settled) - len(recovered) in (0, 1)
    assert not settled & recovered
    for number in promised - recovered:
        assert settled_record(number, hold=hold_of(number), attempts=(attempt(1),)) == records[number]
    for number in recovered:
        assert recovered_record(number, hold=hold_of(number)) == records[number]
    # Posted is what was settled and the holds of what was open, in each account, and a second start changes nothing.
    calls_made = [CallId(row[0]) for row in rows(path)]
    expected = sum(hold_of(number) if number in recovered else spent_of(number) for number in promised)
    for number in set(calls_made) - promised:  # reserved, perhaps extended, and not reported any more
        expected += held_in(path, number)
    by_key, by_team, requests = posted(path)
    # A settlement may have been made and not been reported: then its call is not among the recovered.
    assert (expected, expected, len(calls_made)) == (by_key, by_team, requests)
    async with opened(path):
        pass
    assert [by_key, by_team, requests] == posted(path)
    assert after != 59 or (40, 19, 21) == (totals.calls, len(settled), len(recovered))


@pytest.mark.parametrize("commits", [True, False])
async def test_a_journal_that_is_replayed_twice_gives_the_same_rows(path: Path, commits: bool) -> None:
    await killed(path, calls=40, commits=commits, after=59)
    left = journal_of(path).read_bytes()
    async with opened(path):
        pass
    once, money = rows(path), posted(path)
    journal_of(path).write_bytes(left)
    async with opened(path):
        pass

    assert 40 == len(once)
    assert once == rows(path)
    assert money == posted(path)
    assert [] == rows(path, "open_calls")


async def test_a_recovered_call_stays_recovered(path: Path) -> None:
    await killed(path, calls=1, commits=True, after=1)

    async with opened(path) as ledger:
        ledger.settle(settlement(1))
        assert recovered_record(1, hold=hold_of(1)) == await ledger.read_call(CallId(1))
    async with opened(path) as ledger:
        assert recovered_record(1, hold=hold_of(1)) == await ledger.read_call(CallId(1))


async def test_an_open_call_of_a_closed_ledger_is_recovered_at_the_next_start(path: Path) -> None:
    async with opened(path) as ledger:
        await ledger.reserve(reservation(1, hold=70), STARTED_NS)

    async with opened(path) as ledger:
        assert recovered_record(1, hold=70) == await ledger.read_call(CallId(1))


@pytest.mark.parametrize("garbage", [b"", b"\0" * 100, b"not a journal" * 1_000_000])
async def test_a_journal_that_is_garbage_is_replaced(path: Path, garbage: bytes) -> None:
    journal_of(path).write_bytes(garbage)
    async with opened(path) as ledger:
        await ledger.reserve(reservation(1), STARTED_NS)
        assert 8 << 20 == journal_of(path).stat().st_size
        assert open_record(1) == await ledger.read_call(CallId(1))


async def test_a_replayed_row_that_no_store_can_hold_is_counted(path: Path) -> None:
    telemetry = RecordingTelemetry()
    async with opened(path) as ledger:
        await ledger.reserve(reservation(1, hold=70), STARTED_NS)
        ledger.settle(settlement(1, cost=2**63))
        left = journal_of(path).read_bytes()
    forget(path)
    journal_of(path).write_bytes(left)
    async with opened(path, telemetry) as ledger:
        assert recovered_record(1, hold=70) == await ledger.read_call(CallId(1))
    assert [(Anomaly.LEDGER_ROW_DROPPED, 1)] == telemetry.anomalies


async def test_where_a_reply_is_stored_is_known_though_its_row_was_never_committed(path: Path, tmp_path: Path) -> None:
    kept = StoredReply("resp_1", DeploymentId("o/gpt"), ProviderId("o"), "second")
    after = tmp_path / "after"
    async with opened(path) as ledger:
        await ledger.reserve(reservation(7), STARTED_NS)
        ledger.settle(msgspec.structs.replace(settlement(7), stored=kept))
        shutil.copytree(tmp_path, after, ignore=lambda *_: ["after"])  # as the disk is when the process is killed
        assert await ledger.read_stored("resp_1") is None

    async with opened(after / path.name) as ledger:
        assert StoredRecord(key_id="ci", started_ns=STARTED_NS + 7, reply=kept) == await ledger.read_stored("resp_1")
