"""A row is the same after a stay in the journal, and replayed records make the group that they came from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from router.adapters.sql.journal import Journal, create_journal
from router.adapters.sql.journal_records import (
    UNWRITABLE,
    extended_record,
    group_of,
    left_behind,
    new_journal,
    open_record,
    settled_record,
)
from router.adapters.sql.sqlite_commit import Group
from router.adapters.sql.sqlite_rows import extended_row, open_row, settled_row
from router.adapters.sql.sqlite_store import StoreUnusable, latest_version
from router.domain.faults import Fault
from router.domain.governance.budget import Amounts
from router.domain.ids import CallId, Epoch
from router.domain.settlement import Labels
from router.domain.usage import TokenUsage
from tests.support.ledger_facts import reservation, settlement

EPOCH = Epoch(3)
OPEN = open_row(reservation(1, hold=2**62, labels=Labels(agent="Zoë")), EPOCH, None)
SETTLED = settled_row(settlement(2, fault=Fault.TIMEOUT, attempts=3, cost=None), EPOCH, 5, None)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "calls.db"


@pytest.fixture
def journal(store: Path) -> Iterator[Journal]:
    journal = new_journal(store)
    yield journal
    journal.close()


def test_rows_come_back_as_they_were() -> None:
    group = group_of([open_record(OPEN), settled_record(SETTLED)])

    assert {CallId(1): OPEN} == group.opens
    assert {CallId(2): SETTLED} == group.settlements
    assert [CallId(2)] == group.closes
    assert {int, str, type(None)} == {type(value) for value in group.settlements[CallId(2)]}


def test_records_are_replayed_in_their_order() -> None:
    first, second = (settled_row(settlement(1, cost=cost), EPOCH, 0, None) for cost in (1, 2))
    group = group_of([open_record(OPEN), settled_record(first), settled_record(second)])

    assert (({}, {CallId(1): first})) == (group.opens, group.settlements)


def test_the_last_extension_counts_and_a_call_that_ended_keeps_its_own() -> None:
    holds = [extended_row(CallId(1), Amounts(usd=usd)) for usd in (5, 9)]
    group = group_of([open_record(OPEN), *map(extended_record, holds)])
    ended = group_of([open_record(OPEN), extended_record(holds[1]), settled_record((1, *SETTLED[1:]))])

    assert {CallId(1): (1, 9, "[9,0,0,0]")} == group.extended
    assert ({CallId(1): OPEN}, group.extended) == (ended.ended, ended.extended)


def test_a_row_that_no_store_could_hold_is_not_written() -> None:
    with pytest.raises(UNWRITABLE):
        settled_record(settled_row(settlement(1, request_id="\ud800"), EPOCH, 0, None))
    with pytest.raises(UNWRITABLE):
        settled_record(settled_row(settlement(1, usage=TokenUsage(input=2**64)), EPOCH, 0, None))


def test_what_was_promised_is_left_behind_by_name_of_the_store(store: Path, journal: Journal) -> None:
    journal.append(open_record(OPEN))

    assert store.with_name("calls.db.journal").exists()
    assert {CallId(1): OPEN} == left_behind(store).opens


def test_nothing_is_left_behind_where_no_journal_is(store: Path) -> None:
    assert Group() == left_behind(store)


def test_rows_of_another_schema_are_refused_and_left_alone(store: Path) -> None:
    path = store.with_name("calls.db.journal")
    other = create_journal(path, layout=latest_version() + 1)
    assert Group() == left_behind(store)
    other.append(open_record(OPEN))
    other.close()
    content = path.read_bytes()

    with pytest.raises(StoreUnusable, match=f"rows of schema {latest_version() + 1}"):
        left_behind(store)
    assert content == path.read_bytes()


def test_a_journal_that_cannot_be_created_is_named(store: Path) -> None:
    store.with_name("calls.db.journal").mkdir()

    with pytest.raises(
        StoreUnusable, match=r"calls\.db\.journal cannot be written: Is a directory\. Make room for 8 MiB"
    ):
        new_journal(store)


def test_a_store_in_memory_has_its_journal_there() -> None:
    journal = new_journal(None)
    assert journal.append(open_record(OPEN))

    journal.discard()
