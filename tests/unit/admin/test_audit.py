"""The audit is for administrators, newest first, page by page; moments and places are checked before it is read."""

import pytest

from router.admin.audit import PAGE_ROWS_MAX, AuditAdmin, AuditAsked
from router.domain.faults import Fault, RouterError
from router.domain.ids import KeyId
from router.domain.principal import Permission, Principal
from router.ports.keys import Change
from tests.support.keys import NOW_NS
from tests.support.records import MemoryRecords, record

BOSS = Principal(key_id=KeyId("boss"), permissions=frozenset({Permission.ADMIN}))


@pytest.fixture
async def store() -> MemoryRecords:
    filled = MemoryRecords()
    for number, name in enumerate("abcde"):
        actor = "ann" if number % 2 else "bob"
        await filled.insert(record(name), Change(actor=actor, action="create", at_ns=NOW_NS + number * 10**9))
    return filled


async def names(store: MemoryRecords, asked: AuditAsked) -> tuple[list[str], str | None]:
    page = await AuditAdmin(store).list(BOSS, asked)
    return [row.subject for row in page.rows], page.next


async def test_pages_go_through_all_changes_once_newest_first(store: MemoryRecords) -> None:
    first, after = await names(store, AuditAsked(limit=2))
    second, onward = await names(store, AuditAsked(limit=2, after=after))
    third, end = await names(store, AuditAsked(limit=10**9, after=onward))

    assert (["e", "d"], ["c", "b"], ["a"], None) == (first, second, third, end)
    assert ["e"] == (await names(store, AuditAsked(limit=-1)))[0]
    assert PAGE_ROWS_MAX > 1


async def test_what_is_asked_for_narrows_it_down(store: MemoryRecords) -> None:
    second = NOW_NS // 10**9 + 1

    assert ["d", "b"] == (await names(store, AuditAsked(actor="ann")))[0]
    assert ["c"] == (await names(store, AuditAsked(subject="c", kind="organization", action="create")))[0]
    assert [] == (await names(store, AuditAsked(subject="c", kind="key")))[0]
    assert ["b"] == (await names(store, AuditAsked(since=str(second), until=str(second + 1))))[0]


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        (AuditAsked(since="soon"), "since"),
        (AuditAsked(until="2027-01-31"), "until"),
        (AuditAsked(after="x"), "after"),
        (AuditAsked(after="-1"), "after"),
        (AuditAsked(after="9" * 19), "after"),
        (AuditAsked(after="٣"), "after"),
        (AuditAsked(after=""), "after"),
    ],
)
async def test_what_cannot_be_read_is_refused(store: MemoryRecords, asked: AuditAsked, param: str) -> None:
    with pytest.raises(RouterError) as refused:
        await AuditAdmin(store).list(BOSS, asked)

    assert (Fault.INVALID_REQUEST, param) == (refused.value.refusal.fault, refused.value.refusal.param)


async def test_only_administrators_read_it_and_only_while_the_store_is_there(store: MemoryRecords) -> None:
    lead = Principal(key_id=KeyId("lead"), team="lab", permissions=frozenset({Permission.TEAM_ADMIN}))
    with pytest.raises(RouterError) as refused:
        await AuditAdmin(store).list(lead, AuditAsked())
    store.broken = True
    with pytest.raises(RouterError) as unavailable:
        await AuditAdmin(store).list(BOSS, AuditAsked())

    assert Fault.PERMISSION_DENIED is refused.value.refusal.fault
    assert Fault.OVERLOADED is unavailable.value.refusal.fault
