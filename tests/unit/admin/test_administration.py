"""All that is administered is put together once, over what it is given, with one turn for all changes."""

import asyncio
from typing import Any

from router.admin.administration import administer
from router.admin.audit import AuditAsked
from router.domain.dispatch.breakers import Breakers
from router.domain.ids import KeyId
from router.domain.principal import Permission, Principal
from router.ports.records import RecordKind
from tests.support.fakes import FakeClock, FixedSnapshots, snapshot
from tests.support.keys import MemoryKeys, PlainRules
from tests.support.records import MemoryRecords, PlainRecordRules
from tests.support.waiting import turns

BOSS = Principal(key_id=KeyId("boss"), permissions=frozenset({Permission.ADMIN}))


class Everything(PlainRules, PlainRecordRules, FixedSnapshots):
    """The configuration in force."""

    def __init__(self) -> None:
        PlainRules.__init__(self)
        PlainRecordRules.__init__(self)
        FixedSnapshots.__init__(self, snapshot())


async def test_changes_of_keys_and_of_tenants_wait_for_each_other() -> None:
    under_way: list[str] = []
    most = 0

    async def refresh() -> None:
        nonlocal most
        under_way.append("")
        most = max(most, len(under_way))
        await turns()
        under_way.pop()

    unasked: Any = object()
    admin = administer(
        keys=MemoryKeys(),
        records=MemoryRecords(),
        rules=Everything(),
        refresh=refresh,
        accounts=unasked,
        history=unasked,
        limits=unasked,
        breakers=Breakers(uniform=lambda: 0.5, changed=lambda _transition: None),
        clock=FakeClock(),
        draw_bytes=bytes,
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(admin.keys.create(BOSS, b'{"name":"ci"}'))
        for number in range(3):
            body = b'{"name":"u%d"}' % number
            tasks.create_task(admin.tenants.create(BOSS, RecordKind.USER, body))

    assert 1 == most
    assert ["ci"] == [key.name for key in (await admin.keys.list(BOSS)).keys]
    assert 3 == len((await admin.tenants.list(BOSS, RecordKind.USER)).tenants)
    assert 3 == len((await admin.audit.list(BOSS, AuditAsked())).rows)
