"""The report says what observing let pass, by reason, agent and key, and nothing else."""

import sqlite3
import time
from pathlib import Path

import msgspec
import pytest

from router.adapters.sql import sqlite_statements as sql
from router.adapters.sql.sqlite_rows import settled_row
from router.adapters.sql.sqlite_store import migrate
from router.cli.commands import main
from router.cli.report import render_report
from router.domain.faults import Fault
from router.domain.ids import Epoch
from router.domain.settlement import Labels
from router.ports.observed import ObservedTotal
from tests.support.ledger_facts import settlement

HOUR_NS = 3_600 * 10**9


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a store where the configuration, which is empty, looks for one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("CHECKREIN_CONFIG", "CHECKREIN_STORE__URL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "checkrein.db"
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection)
    connection.close()
    return path


def put(store: Path, number: int, fault: Fault | None, *, age_ns: int, agent: str | None, cost: int | None) -> None:
    made = msgspec.structs.replace(
        settlement(number, cost=cost, labels=Labels(agent=agent), attempts=0),
        started_ns=time.time_ns() - age_ns,  # noqa: TID251 - the command asks the same clock
        would_refuse=fault,
    )
    connection = sqlite3.connect(store, isolation_level=None)
    connection.execute(sql.SETTLE_CALLS[1], settled_row(made, Epoch(1), 0, None))
    connection.close()


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_the_report_adds_up_what_was_let_pass(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(store, 1, Fault.BUDGET_EXHAUSTED, age_ns=HOUR_NS, agent="crawler", cost=1_500_000_000)
    put(store, 2, Fault.BUDGET_EXHAUSTED, age_ns=HOUR_NS, agent=None, cost=500_000_000)
    put(store, 3, Fault.RATE_LIMITED, age_ns=HOUR_NS, agent="crawler", cost=None)
    put(store, 4, None, age_ns=HOUR_NS, agent="crawler", cost=9)
    put(store, 5, Fault.RATE_LIMITED, age_ns=49 * HOUR_NS, agent="crawler", cost=9)
    assert 0 == main(["report", "--since", "2d"])
    printed = words(capsys.readouterr().out)

    assert [
        ["by", "reason", "calls", "cost", "USD", "unpriced"],
        ["budget_exhausted", "2", "2.00", "0"],
        ["rate_limited", "1", "0.00", "1"],
        ["total", "3", "2.00", "1"],
        [],
        ["by", "agent", "calls", "cost", "USD", "unpriced"],
        ["crawler", "2", "1.50", "1"],
        ["-", "1", "0.50", "0"],
        ["total", "3", "2.00", "1"],
        [],
        ["by", "key", "calls", "cost", "USD", "unpriced"],
        ["ci", "3", "2.00", "1"],
        ["total", "3", "2.00", "1"],
    ] == printed[2:]
    assert ["last", "2d,"] == printed[0][6:8]


@pytest.mark.usefixtures("store")
def test_nothing_let_pass_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["report"])
    assert "Nothing would have been refused in the last 7d.\n" == capsys.readouterr().out


def test_columns_are_aligned() -> None:
    totals = [
        ObservedTotal(group=group, calls=calls, cost_nano_usd=calls * 10**9, unpriced_calls=0)
        for group, calls in (("a", 1_000), ("quite-long", 7))
    ]
    table = render_report([("agent", totals)], "7d").split("\n")[2:]

    assert 4 == len(table)
    assert 1 == len({len(line) for line in table})


@pytest.mark.usefixtures("store")
def test_a_span_that_is_none_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["report", "--since", "yesterday"])
    assert "--since" in capsys.readouterr().err


def test_without_a_store_it_says_what_to_do(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.unlink()

    assert 1 == main(["report"])
    assert "there is no store" in capsys.readouterr().err
