"""`checkrein usage` prints tables for people and one table for programs, and says what it cannot."""

import csv
import json
import sqlite3
import time
from pathlib import Path

import msgspec
import pytest

from router.adapters.sql import sqlite_statements as sql
from router.adapters.sql.sqlite_rows import settled_row
from router.adapters.sql.sqlite_store import migrate
from router.cli.commands import main
from router.cli.usage import render_usage
from router.domain.ids import Epoch
from router.domain.settlement import Labels
from router.ports.usage import UsageReport, UsageTotal
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
    for number, key, model, hours in ((1, "ci", "small", 1), (2, "=dev", "large", 2), (3, "ci", "large", 40)):
        made = settlement(number, key=key, model=model, cost=number * 10**9, labels=Labels(), attempts=0)
        made = msgspec.structs.replace(
            made,
            started_ns=time.time_ns() - hours * HOUR_NS,  # noqa: TID251 - the command asks the same clock
        )
        connection.execute(sql.SETTLE_CALLS[1], settled_row(made, Epoch(1), 0, None))
    connection.close()
    return path


def total(*group: str, calls: int, cost: int) -> UsageTotal:
    return UsageTotal(
        group=group,
        calls=calls,
        failed_calls=1,
        input_tokens=2_000,
        cached_input_tokens=10,
        output_tokens=300,
        reasoning_tokens=4,
        cost_nano_usd=cost,
        unpriced_calls=0,
    )


def report(*totals: UsageTotal) -> UsageReport:
    return UsageReport(totals=totals, truncated=False, partial=False)


def test_each_grouping_is_a_table_with_its_total() -> None:
    ci, nobody = total("ci", calls=12, cost=1_500_000_000), total("", calls=3, cost=2_000_000)
    heading, first, nameless, summed, blank = render_usage([(("key",), report(ci, nobody))]).split("\n")

    assert [
        "by",
        "key",
        "calls",
        "failed",
        "input",
        "cached",
        "output",
        "reasoning",
        "cost",
        "USD",
        "unpriced",
    ] == heading.split()
    assert ["ci", "12", "1", "2000", "10", "300", "4", "1.50", "0"] == first.split()
    assert ["-", "3", "1", "2000", "10", "300", "4", "0.002", "0"] == nameless.split()
    assert ["total", "15", "2", "4000", "20", "600", "8", "1.502", "0"] == summed.split()
    assert "" == blank
    assert 1 == len({len(line) for line in (heading, first, nameless, summed)})


def test_several_groupings_are_columns_of_one_table() -> None:
    lines = render_usage([(("key", "model"), report(total("ci", "small", calls=1, cost=0)))]).split("\n")

    assert ["by", "key", "model", "calls"] == lines[0].split()[:4]
    assert ["ci", "small", "1"] == lines[1].split()[:3]
    assert ["total", "1"] == lines[2].split()[:2]


def test_tags_have_no_total_since_a_call_may_have_two() -> None:
    lines = render_usage([(("tag",), report(total("eu", calls=1, cost=0)))]).split("\n")

    assert [["by", "tag"], ["eu", "1"], []] == [line.split()[:2] for line in lines]


def test_nothing_used_is_a_total_of_nothing() -> None:
    line = render_usage([(("model",), report())]).split("\n")[1]

    assert ["total", "0", "0", "0", "0", "0", "0", "0.00", "0"] == line.split()


@pytest.mark.usefixtures("store")
def test_people_who_say_nothing_get_keys_models_and_agents(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["usage"])
    lines = [line.split()[:3] for line in capsys.readouterr().out.splitlines()]

    assert ["by key calls", "by model calls", "by agent calls"] == [" ".join(line) for line in lines if "by" in line]
    assert ["ci", "2"] == lines[1][:2]


@pytest.mark.usefixtures("store")
def test_a_program_gets_csv_of_the_span(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["usage", "--by", "key, model", "--since", "24h", "--format", "csv"])
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))

    assert [("'=dev", "large", "2.00"), ("ci", "small", "1.00")] == [
        (row["key"], row["model"], row["cost_usd"]) for row in rows
    ]


@pytest.mark.usefixtures("store")
def test_a_program_gets_json_by_key_unless_it_says_more(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["usage", "--format", "json"])
    told = json.loads(capsys.readouterr().out)

    assert [({"key": "ci"}, 2), ({"key": "=dev"}, 1)] == [(one["group"], one["calls"]) for one in told["data"]]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("by", ["x", "", "key,key", "key,model,agent,day"])
def test_a_grouping_that_is_none_is_a_usage_error(by: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["usage", "--by", by])
    assert "--by: Calls are grouped by" in capsys.readouterr().err


def test_what_was_deleted_is_said(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    connection = sqlite3.connect(store, isolation_level=None)
    connection.execute("INSERT INTO usage_spans SELECT MIN(started_ns) / ?, 0, 0, 1 FROM calls", (sql.DAY_NS,))
    connection.close()

    assert 0 == main(["usage", "--by", "workflow"])
    assert "rows that this needs were deleted" in capsys.readouterr().err


def test_a_span_before_time_began_is_all_there_is(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert store.exists()
    assert 0 == main(["usage", "--by", "key", "--since", "99999d"])
    assert "total" in capsys.readouterr().out
