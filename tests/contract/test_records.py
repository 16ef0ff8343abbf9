"""What every store of records promises: one of a kind and name, no change lost, each on record and counted."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from router.adapters.records_sqlite import open_sqlite_records
from router.ports import records as port
from router.ports.keys import Change, KeysUnavailable, StoreFull
from router.ports.records import AuditFilter, RecordChanged, RecordExists, RecordKind, Records
from tests.support.keys import NOW_NS, change
from tests.support.records import MemoryRecords, record

ANY = AuditFilter()


@pytest.fixture(params=["memory", "sqlite", "sqlite in memory"])
async def records(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Records]:
    urls = {"sqlite": f"sqlite:///{tmp_path / 'records.db'}", "sqlite in memory": "sqlite:///:memory:"}
    opened: Records = await open_sqlite_records(urls[request.param]) if request.param in urls else MemoryRecords()
    yield opened
    await opened.close()


async def test_a_new_store_holds_nothing(records: Records) -> None:
    assert () == (await records.read()).records
    assert [] == list(await records.audit(ANY, 10))


async def test_a_record_comes_back_whole_with_the_revision_that_wrote_it(records: Records) -> None:
    before = (await records.read()).revision
    written = await records.insert(record("é/x", RecordKind.USER, limits={"rpm": 1}), change())
    found = await records.read()

    assert before + 1 == found.revision == written.revision
    assert (written,) == found.records


async def test_records_are_read_in_the_order_of_kind_and_name(records: Records) -> None:
    for name, kind in (("b", RecordKind.USER), ("a", RecordKind.USER), ("z", RecordKind.BUDGET)):
        await records.insert(record(name, kind), change())

    assert ["z", "a", "b"] == [one.name for one in (await records.read()).records]


async def test_a_name_is_given_once_in_its_kind(records: Records) -> None:
    await records.insert(record("a"), change())
    await records.insert(record("a", RecordKind.USER), change())
    with pytest.raises(RecordExists):
        await records.insert(record("a"), change())

    assert 2 == len((await records.read()).records)
    assert 2 == len(await records.audit(ANY, 10))


async def test_of_two_changes_to_what_was_read_the_second_is_refused(records: Records) -> None:
    first = await records.insert(record(), change())
    second = await records.replace(msgspec.structs.replace(first, settings_json="{}"), change("update"))
    with pytest.raises(RecordChanged):
        await records.replace(first, change("update"))
    with pytest.raises(RecordChanged):
        await records.delete(first, change("delete"))
    with pytest.raises(RecordChanged):
        await records.replace(record("nobody"), change("update"))

    assert (second,) == (await records.read()).records
    assert ["update", "create"] == [row.change.action for row in await records.audit(ANY, 10)]


async def test_a_deleted_record_leaves_its_audit_rows_and_its_name_is_free(records: Records) -> None:
    written = await records.insert(record(), change())
    before = (await records.read()).revision
    await records.delete(written, change("delete"))

    assert (before + 1, ()) == ((await records.read()).revision, (await records.read()).records)
    rows = await records.audit(AuditFilter(kind="organization", subject="acme"), 10)
    assert [("delete", before + 1), ("create", before)] == [(row.change.action, row.revision) for row in rows]
    await records.insert(record(), change())


async def test_the_audit_is_narrowed_down_and_paged_newest_first(records: Records) -> None:
    for number, (actor, name) in enumerate((("ann", "a"), ("bob", "b"), ("ann", "c"))):
        made = Change(actor=actor, action=f"act-{number}", at_ns=NOW_NS + number)
        await records.insert(record(name), made)
    rows = await records.audit(ANY, 10)

    async def names(**sought: object) -> list[str]:
        found = await records.audit(msgspec.convert(sought, AuditFilter), 10)
        return [row.subject for row in found]

    assert ["c", "b", "a"] == [row.subject for row in rows]
    assert sorted((row.id for row in rows), reverse=True) == [row.id for row in rows]
    assert ["c", "a"] == await names(actor="ann")
    assert ["b"] == await names(action="act-1")
    assert ["b"] == await names(subject="b", kind="organization")
    assert [] == await names(subject="b", kind="key")
    assert ["c", "b"] == await names(since_ns=NOW_NS + 1)
    assert ["a"] == await names(until_ns=NOW_NS + 1)
    assert ["a"] == await names(before_id=rows[1].id)
    assert 1 == len(await records.audit(ANY, 1))


async def test_a_full_store_takes_no_record(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("router.adapters.records_sqlite", "tests.support.records"):
        monkeypatch.setattr(f"{module}.RECORDS_MAX", 1)
    await records.insert(record("a"), change())
    with pytest.raises(StoreFull):
        await records.insert(record("b", RecordKind.USER), change())

    assert port.RECORDS_MAX > 1


async def test_a_closed_store_says_so(records: Records) -> None:
    await records.close()
    one = record()
    for asked in (
        records.read(),
        records.insert(one, change()),
        records.replace(one, change()),
        records.delete(one, change()),
        records.audit(ANY, 1),
    ):
        with pytest.raises(KeysUnavailable):
            await asked
