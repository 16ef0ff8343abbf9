"""Whoever may not administer sees nothing; limits are brought into bounds; a page says where the next begins."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from router.admin.ledger import PAGE_ROWS_MAX, Asked, LedgerAdmin
from router.domain.faults import Fault, RouterError
from router.domain.ids import CallId, KeyId, format_call_id
from router.domain.principal import Permission, Principal
from router.ports.ledger import CallRecord, LedgerUnavailable
from router.ports.ledger_pages import AttemptPlace, AttemptRecord, CallFilter
from tests.support.fakes import principal
from tests.support.ledger_facts import open_record
from tests.support.pages import ListedPages, attempt_record

BOSS = Principal(key_id=KeyId("boss"), permissions=frozenset({Permission.ADMIN}))
DAY_NS = 86_400 * 10**9


class BrokenPages:
    async def read_calls(self, sought: CallFilter, before: CallId, limit: int) -> Sequence[CallRecord]:
        raise LedgerUnavailable("broken by the test")

    async def read_attempts(self, sought: CallFilter, after: AttemptPlace, limit: int) -> Sequence[AttemptRecord]:
        raise LedgerUnavailable("broken by the test")


def pages_of(calls: int) -> ListedPages:
    return ListedPages(
        calls=[open_record(number) for number in range(calls, 0, -1)],
        attempts=[attempt_record(call, number) for call in range(calls, 0, -1) for number in (1, 2)],
    )


async def test_pages_go_through_all_calls_once() -> None:
    admin = LedgerAdmin(pages_of(5))
    seen, asked = [], Asked(limit=2)
    while True:
        page = await admin.calls(BOSS, asked)
        seen.append([call.id for call in page.rows])
        if page.next is None:
            break
        asked = replace(asked, after=page.next)

    assert [[5, 4], [3, 2], [1]] == seen


async def test_pages_go_through_all_attempts_once() -> None:
    admin = LedgerAdmin(pages_of(2))
    first = await admin.attempts(BOSS, Asked(limit=3))
    second = await admin.attempts(BOSS, Asked(limit=3, after=first.next))

    assert f"{format_call_id(CallId(1))}-1" == first.next
    assert [(2, 1), (2, 2), (1, 1)] == [(one.call_id, one.number) for one in first.rows]
    assert ([(1, 2)], None) == ([(one.call_id, one.number) for one in second.rows], second.next)


@pytest.mark.parametrize(("limit", "rows"), [(10**30, PAGE_ROWS_MAX), (1_001, PAGE_ROWS_MAX), (0, 1), (-5, 1), (7, 7)])
async def test_a_limit_is_brought_into_its_bounds(limit: int, rows: int) -> None:
    page = await LedgerAdmin(pages_of(PAGE_ROWS_MAX + 1)).calls(BOSS, Asked(limit=limit))

    assert rows == len(page.rows)


async def test_what_is_asked_for_is_looked_for() -> None:
    pages = pages_of(0)
    words = {name: name for name in ("key", "team", "agent", "workflow", "model", "fault")}
    await LedgerAdmin(pages).attempts(BOSS, Asked(**words, outcome="open"))  # type: ignore[arg-type]  # words alone

    assert [CallFilter(**words, outcome="open")] == pages.sought  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        (Asked(outcome="lost"), "outcome"),
        (Asked(since="yesterday"), "since"),
        (Asked(since="2027-01-01T00:00:00"), "since"),
        (Asked(until="1798761600000"), "until"),
        (Asked(until=""), "until"),
        (Asked(after="7"), "after"),
        (Asked(after="call_ffffffffffffffff-1"), "after"),
    ],
)
async def test_what_cannot_be_meant_is_refused_by_name(asked: Asked, param: str) -> None:
    for look in (LedgerAdmin(pages_of(1)).calls, LedgerAdmin(pages_of(1)).attempts):
        with pytest.raises(RouterError) as refused:
            await look(BOSS, asked)
        assert (Fault.INVALID_REQUEST, param) == (refused.value.refusal.fault, refused.value.refusal.param)


async def test_only_administrators_look() -> None:
    pages = pages_of(1)
    for look in (LedgerAdmin(pages).calls, LedgerAdmin(pages).attempts):
        with pytest.raises(RouterError) as refused:
            await look(principal(), Asked())
        assert Fault.PERMISSION_DENIED == refused.value.refusal.fault

    assert [] == pages.sought


async def test_a_ledger_that_cannot_be_read_is_told() -> None:
    for look in (LedgerAdmin(BrokenPages()).calls, LedgerAdmin(BrokenPages()).attempts):
        with pytest.raises(RouterError) as refused:
            await look(BOSS, Asked())
        assert Fault.OVERLOADED == refused.value.refusal.fault
