"""Tenants are made, changed and deleted as their administrators say; the file's are left alone."""

import asyncio
import json

import msgspec
import pytest

from router.admin.tenants import PAGE_TENANTS_MAX, TenantAdmin, TenantFacts, TenantState
from router.domain.faults import Fault, RouterError
from router.domain.ids import KeyId
from router.domain.principal import Permission, Principal
from router.ports.records import AuditFilter, RecordKind
from tests.support.fakes import SECOND, FakeClock
from tests.support.records import MemoryRecords, PlainRecordRules, record

BOSS = Principal(key_id=KeyId("boss"), permissions=frozenset({Permission.ADMIN}))
USER = Principal(key_id=KeyId("user"))
LEAD = Principal(key_id=KeyId("lead"), organization="acme", team="lab", permissions=frozenset({Permission.TEAM_ADMIN}))
TEAM = RecordKind.TEAM


class Desk:
    """The service over fakes. `in_force` is the revision that was brought in force last."""

    def __init__(self) -> None:
        self.store = MemoryRecords()
        self.rules = PlainRecordRules(filed='{"name":"filed"}')
        self.clock = FakeClock()
        self.in_force = 0
        self.turn = asyncio.Lock()
        self.admin = TenantAdmin(
            store=self.store, rules=self.rules, refresh=self._refresh, clock=self.clock, turn=self.turn
        )

    async def _refresh(self) -> None:
        assert self.turn.locked()
        self.in_force = self.store._revision

    async def create(self, name: str = "acme/lab", **members: object) -> TenantFacts:
        return await self.admin.create(BOSS, TEAM, json.dumps({"name": name, **members}).encode())

    async def update(self, name: str, /, **members: object) -> TenantFacts:
        return await self.admin.update(BOSS, TEAM, name, json.dumps(members).encode())


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def refusal(asked: object) -> tuple[Fault, str]:
    with pytest.raises(RouterError) as refused:
        await asked  # type: ignore[misc]  # any of the service's answers
    return refused.value.refusal.fault, refused.value.refusal.message


async def test_a_new_tenant_is_in_force_before_the_answer(desk: Desk) -> None:
    facts = await desk.create(budget="team/acme/lab/usd")

    assert (TEAM, "acme/lab", "store", "active", "team/acme/lab/usd") == (
        facts.kind,
        facts.name,
        facts.source,
        facts.state,
        facts.budget,
    )
    assert facts.revision == desk.in_force == 1
    assert facts == await desk.admin.show(BOSS, TEAM, "acme/lab")


async def test_an_update_leaves_what_it_does_not_name_and_says_when_it_was(desk: Desk) -> None:
    await desk.create(limits={"rpm": 5, "tpm": 6}, budget="b")
    desk.clock.pass_ns(SECOND)
    facts = await desk.update("acme/lab", limits={"rpm": 7}, budget=None)

    assert {"name": "acme/lab", "limits": {"rpm": 7, "tpm": 6}} == json.loads(facts.settings_json)
    assert (facts.created_ns or 0) + SECOND == facts.updated_ns
    assert 2 == desk.in_force


async def test_every_change_is_on_record_with_both_sides(desk: Desk) -> None:
    await desk.create()
    await desk.update("acme/lab", x=1)
    await desk.admin.delete(BOSS, TEAM, "acme/lab")
    rows = await desk.store.audit(AuditFilter(), 10)

    before, after = '{"name":"acme/lab"}', '{"name":"acme/lab","x":1}'
    assert [("delete", after, None), ("update", before, after), ("create", None, before)] == [
        (row.change.action, row.change.before, row.change.after) for row in rows
    ]
    assert {("boss", "team", "acme/lab")} == {(row.change.actor, row.kind, row.subject) for row in rows}
    assert 3 == desk.in_force
    assert {} == desk.store.rows


async def test_tenants_are_listed_in_pages_those_of_the_file_included(desk: Desk) -> None:
    for name in ("a", "z"):
        await desk.create(name)
    await desk.admin.create(BOSS, RecordKind.USER, b'{"name":"other"}')
    first = await desk.admin.list(BOSS, TEAM, limit=2)
    second = await desk.admin.list(BOSS, TEAM, after=first.after, limit=10**9)

    assert [("a", "store", None), ("filed", "file", "f.yaml:3")] == [
        (one.name, one.source, one.place) for one in first.tenants
    ]
    assert (["z"], None) == ([one.name for one in second.tenants], second.after)
    assert 1 == len((await desk.admin.list(BOSS, TEAM, limit=-1)).tenants)
    assert PAGE_TENANTS_MAX > 1


async def test_what_the_file_says_is_left_alone_and_its_line_is_told(desk: Desk) -> None:
    for asked in (
        desk.create("filed"),
        desk.update("filed", x=1),
        desk.admin.delete(BOSS, TEAM, "filed"),
    ):
        fault, message = await refusal(asked)
        assert (Fault.CONFLICT, True) == (fault, "f.yaml:3" in message)
    assert {} == desk.store.rows


async def test_what_the_file_took_over_is_shadowed_and_can_be_deleted(desk: Desk) -> None:
    await desk.create("late")
    desk.rules.of_file["late"] = desk.rules.of_file["filed"]
    desk.rules.needs = lambda _kind, _name: "the key ci"
    (_, shown) = (await desk.admin.list(BOSS, TEAM)).tenants
    assert "file" == shown.source

    await desk.admin.delete(BOSS, TEAM, "late")
    assert {} == desk.store.rows


async def test_what_is_needed_is_not_deleted(desk: Desk) -> None:
    await desk.create()
    desk.rules.needs = lambda kind, name: f"the key of {kind} {name}"
    fault, message = await refusal(desk.admin.delete(BOSS, TEAM, "acme/lab"))

    assert (Fault.CONFLICT, True) == (fault, "named by the key of team acme/lab" in message)
    assert 1 == len(desk.store.rows)


async def test_a_name_is_given_once_and_kept(desk: Desk) -> None:
    await desk.create()

    assert Fault.CONFLICT is (await refusal(desk.create()))[0]
    assert "keeps its name" in (await refusal(desk.update("acme/lab", name="acme/x")))[1]
    assert Fault.CONFLICT is (await refusal(desk.update("acme/lab", name="acme/x")))[0]
    assert "acme/lab" == (await desk.update("acme/lab", name="acme/lab")).name


async def test_what_is_not_there_is_said(desk: Desk) -> None:
    for asked in (
        desk.admin.show(BOSS, TEAM, "never"),
        desk.update("never", x=1),
        desk.admin.delete(BOSS, TEAM, "never"),
    ):
        assert (Fault.NOT_FOUND, "There is no such team. See GET /admin/v1/teams.") == await refusal(asked)


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}"])
async def test_a_body_that_is_no_tenant_is_refused(body: bytes, desk: Desk) -> None:
    assert Fault.INVALID_REQUEST is (await refusal(desk.admin.create(BOSS, TEAM, body)))[0]
    assert {} == desk.store.rows


async def test_settings_are_refused_with_the_member_that_is_wrong(desk: Desk) -> None:
    with pytest.raises(RouterError) as refused:
        await desk.admin.create(BOSS, TEAM, b"{}")

    assert "name" == refused.value.refusal.param


async def test_only_administrators_get_anything_but_a_team_its_own(desk: Desk) -> None:
    await desk.create()
    for caller in (USER, LEAD):
        for asked in (
            desk.admin.list(caller, TEAM),
            desk.admin.show(caller, RecordKind.ORGANIZATION, "acme/lab"),
            desk.admin.show(caller, TEAM, "acme/other"),
            desk.admin.create(caller, TEAM, b"{"),
            desk.admin.update(caller, TEAM, "acme/lab", b"{"),
            desk.admin.delete(caller, TEAM, "acme/lab"),
        ):
            assert Fault.PERMISSION_DENIED is (await refusal(asked))[0]
    assert Fault.PERMISSION_DENIED is (await refusal(desk.admin.show(USER, TEAM, "acme/lab")))[0]

    assert "acme/lab" == (await desk.admin.show(LEAD, TEAM, "acme/lab")).name


async def test_a_store_out_of_reach_is_said_without_its_place(desk: Desk) -> None:
    desk.store.broken = True
    fault, message = await refusal(desk.create())

    assert (Fault.OVERLOADED, False) == (fault, "secret/place" in message)
    assert not desk.turn.locked()


@pytest.mark.parametrize("settings", ["nonsense", '{"name":"another"}'])
async def test_settings_that_somebody_broke_are_shown_as_such_and_can_be_changed_and_deleted(
    settings: str, desk: Desk
) -> None:
    broken = msgspec.structs.replace(record("acme/lab", TEAM), settings_json=settings)
    desk.store.rows[TEAM, "acme/lab"] = broken
    assert TenantState.BROKEN is (await desk.admin.show(BOSS, TEAM, "acme/lab")).state

    facts = await desk.update("acme/lab", x=1)
    assert TenantState.ACTIVE is facts.state
    await desk.admin.delete(BOSS, TEAM, "acme/lab")


async def test_a_change_that_somebody_else_overtook_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.create()
    stale = await desk.store.read()
    await desk.update("acme/lab", x=1)

    async def read() -> object:
        return stale

    monkeypatch.setattr(desk.store, "read", read)

    assert "changed meanwhile" in (await refusal(desk.update("acme/lab", x=2)))[1]
    assert "changed meanwhile" in (await refusal(desk.admin.delete(BOSS, TEAM, "acme/lab")))[1]
