"""Who may open a SQLite ledger, one server and readers beside it, and what a close leaves."""

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from router.adapters.sql import journal as journal_module
from router.adapters.sql.journal import create_journal
from router.adapters.sql.journal_records import open_record as open_record_of
from router.adapters.sql.sqlite_reader import open_sqlite_reader
from router.adapters.sql.sqlite_rows import open_row
from router.adapters.sql.sqlite_store import StoreUnusable, latest_version
from router.domain.ids import CallId, Epoch
from router.domain.settlement import Outcome
from router.ports.ledger import LedgerUnavailable
from router.ports.telemetry import Anomaly
from tests.support.fakes import RecordingTelemetry
from tests.support.ledger_facts import STARTED_NS, attempt, open_record, reservation, settled_record, settlement
from tests.support.sqlite_ledger import opened
from tests.support.usage import totals_by


def journal_of(path: Path) -> Path:
    return path.with_name(path.name + ".journal")


async def enter_and_leave(path: Path) -> None:
    async with opened(path):
        pass


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.db"


async def test_a_second_server_is_refused_until_the_first_is_gone(path: Path) -> None:
    async with opened(path) as ledger:
        await ledger.reserve(reservation(1), STARTED_NS)
        journal = journal_of(path).read_bytes()
        with pytest.raises(ExceptionGroup) as group:
            await enter_and_leave(path)
        assert group.group_contains(StoreUnusable, match="another server uses")
        assert journal == journal_of(path).read_bytes()

    async with opened(path) as ledger:
        assert Epoch(2) == ledger.epoch


async def test_rows_of_another_release_are_refused_before_the_schema_is_touched(path: Path) -> None:
    journal = create_journal(journal_of(path), layout=latest_version() + 1)
    journal.append(open_record_of(open_row(reservation(1), Epoch(1), None)))
    journal.close()

    with pytest.raises(ExceptionGroup) as group:
        await enter_and_leave(path)
    assert group.group_contains(StoreUnusable, match=f"rows of schema {latest_version() + 1}")
    assert {"calls.db.journal", "calls.db.lock"} == {file.name for file in path.parent.iterdir()}


async def test_a_disk_without_room_for_the_journal_is_refused_by_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_nothing(descriptor: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(journal_module, "_write_zeros", write_nothing)
        with pytest.raises(ExceptionGroup) as group:
            await enter_and_leave(path)
        assert group.group_contains(
            StoreUnusable, match=r"calls\.db\.journal cannot be written: No space left on device\. Make room for 8 MiB"
        )

    await enter_and_leave(path)


async def test_a_journal_that_cannot_be_read_is_refused_by_name(path: Path) -> None:
    journal_of(path).mkdir()

    with pytest.raises(ExceptionGroup) as group:
        await enter_and_leave(path)
    assert group.group_contains(StoreUnusable, match=r"Is a directory: '.*calls\.db\.journal'\. Check the file")


async def test_a_store_in_memory_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with opened(":memory:") as ledger:
        await ledger.reserve(reservation(1), STARTED_NS)
        assert open_record(1) == await ledger.read_call(CallId(1))

    assert [] == list(tmp_path.iterdir())  # noqa: ASYNC240 - nothing else runs any more


async def test_a_store_of_a_newer_release_is_refused_and_left_alone(path: Path) -> None:
    await enter_and_leave(path)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {latest_version() + 1}")
    connection.close()

    with pytest.raises(StoreUnusable, match=f"schema {latest_version() + 1}"):
        await open_sqlite_reader(f"sqlite:///{path}")
    with pytest.raises(ExceptionGroup) as group:
        await enter_and_leave(path)
    assert group.group_contains(StoreUnusable, match=f"schema {latest_version() + 1}")
    with sqlite3.connect(path) as connection:
        assert (1,) == connection.execute("SELECT COUNT(*) FROM epochs").fetchone()
    connection.close()


async def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("not a database" * 100)  # noqa: ASYNC240 - nothing else runs yet

    with pytest.raises(ExceptionGroup) as group:
        await enter_and_leave(path)
    assert group.group_contains(StoreUnusable, match="cannot be opened")


async def test_a_directory_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExceptionGroup) as group:
        await enter_and_leave(tmp_path / "missing" / "calls.db")
    assert group.group_contains(StoreUnusable, match="Create its directory")


async def test_a_reader_reads_beside_the_server_and_cannot_write(path: Path) -> None:
    async with opened(path) as ledger, await open_sqlite_reader(f"sqlite:///{path}") as reader:
        await ledger.reserve(reservation(1), STARTED_NS)
        assert open_record(1) == await ledger.read_call(CallId(1))
        assert open_record(1) == await reader.read_call(CallId(1))

        ledger.settle(settlement(1))
        await ledger.read_call(CallId(1))
        assert [1] == [total.calls for total in await totals_by(reader, "model")]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await reader._thread.run(lambda connection: connection.execute("DELETE FROM calls"))


async def test_a_reader_reads_a_store_that_no_server_holds(path: Path) -> None:
    async with opened(path) as ledger:
        ledger.settle(settlement(1))

    async with await open_sqlite_reader(f"sqlite:///{path}") as reader:
        assert settled_record(1, attempts=(attempt(1),)) == await reader.read_call(CallId(1))


@pytest.mark.parametrize("url", ["sqlite:////nowhere/calls.db", "sqlite:///:memory:"])
async def test_a_reader_of_nothing_is_refused(url: str) -> None:
    with pytest.raises(StoreUnusable, match="there is no store"):
        await open_sqlite_reader(url)


async def test_a_reader_that_was_closed_is_unavailable(path: Path) -> None:
    async with opened(path):
        async with await open_sqlite_reader(f"sqlite:///{path}") as reader:
            pass
        with pytest.raises(LedgerUnavailable):
            await reader.read_call(CallId(1))


async def test_a_clean_close_leaves_the_store_alone_in_its_file(path: Path) -> None:
    async with opened(path) as ledger:
        await ledger.reserve(reservation(1), STARTED_NS)
        assert journal_of(path).exists()
        ledger.settle(settlement(1))

    assert {"calls.db", "calls.db.lock"} == {file.name for file in path.parent.iterdir()}


async def test_a_settlement_after_the_close_is_counted(path: Path) -> None:
    telemetry = RecordingTelemetry()
    async with opened(path, telemetry) as ledger:
        await ledger.close()
        ledger.settle(settlement(1))
        ledger.settle(settlement(2, outcome=Outcome.REFUSED, attempts=0))

    assert [(Anomaly.LEDGER_ROW_DROPPED, 1)] * 2 == telemetry.anomalies
