"""Make, change and delete the organizations, teams, users and budgets of the store. Those of the file are shown only.

A change is in force here before its reply is written, and in other processes when they look at the store's revision.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from router.admin.authority import team_of
from router.admin.merge_patch import merge_patch
from router.admin.storing import conflict, decoded, encode, members_of, require_admin, told
from router.domain.faults import Fault, refuse
from router.domain.principal import Principal
from router.ports.clock import Clock
from router.ports.keys import Change, SettingsRefused
from router.ports.records import FiledRecord, Record, RecordKind, RecordRules, Records

PAGE_TENANTS: Final = 100
PAGE_TENANTS_MAX: Final = 1_000


class TenantSource(StrEnum):
    FILE = "file"
    STORE = "store"


class TenantState(StrEnum):
    ACTIVE = "active"
    SHADOWED = "shadowed"
    """The file has one of this name, which holds."""
    BROKEN = "broken"
    """Somebody wrote settings into the store that are no such section; it is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantFacts:
    """What anybody who administers tenants may know of one."""

    kind: RecordKind
    name: str
    source: TenantSource
    state: TenantState = TenantState.ACTIVE
    settings_json: str
    budget: str | None = None
    """The id of its budget, which outlives changes of its amount, not of its unit, window or scope."""
    place: str | None = None
    """Where the file has it."""
    created_ns: int | None = None
    updated_ns: int | None = None
    revision: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantPage:
    tenants: tuple[TenantFacts, ...]
    after: str | None
    """Where the next page goes on; None: this is the last."""


class TenantAdmin:
    """What every façade offers of tenants and budgets. Every method raises `RouterError`."""

    def __init__(
        self,
        *,
        store: Records,
        rules: RecordRules,
        refresh: Callable[[], Awaitable[None]],
        clock: Clock,
        turn: asyncio.Lock,
    ) -> None:
        """`refresh` brings in force what is stored; `turn` lets one change at a time be checked and made."""
        self._store = store
        self._rules = rules
        self._refresh = refresh
        self._clock = clock
        self._turn = turn

    def require_admin(self, caller: Principal) -> None:
        """Refuse who may not administer, before more is read of the request."""
        require_admin(caller, "tenants")

    async def list(
        self, caller: Principal, kind: RecordKind, *, after: str | None = None, limit: int = PAGE_TENANTS
    ) -> TenantPage:
        """Return what there is of a kind by name, of file and store. A limit out of bounds is brought into them."""
        self.require_admin(caller)
        limit = min(max(limit, 1), PAGE_TENANTS_MAX)
        filed, stored = self._rules.filed(kind), await self._stored(kind)
        names = sorted(name for name in {*filed, *stored} if after is None or name > after)
        page = tuple(
            self._filed(kind, name, filed[name]) if name in filed else self._facts(stored[name])
            for name in names[:limit]
        )
        return TenantPage(tenants=page, after=names[limit - 1] if len(names) > limit else None)

    async def show(self, caller: Principal, kind: RecordKind, name: str) -> TenantFacts:
        """Return one by its name. A team's administrator is shown its team."""
        if kind is not RecordKind.TEAM or team_of(caller) != name:
            self.require_admin(caller)
        filed = self._rules.filed(kind).get(name)
        return self._filed(kind, name, filed) if filed else self._facts(await self._find(kind, name))

    async def create(self, caller: Principal, kind: RecordKind, body: bytes) -> TenantFacts:
        """Make one with the settings that the configuration's section has."""
        self.require_admin(caller)
        settings_json = encode(members_of(body))
        async with self._change():
            name = self._check(kind, settings_json)
            self._require_not_in_file(kind, name)
            now_ns = self._clock.wall_ns()
            record = Record(kind=kind, name=name, settings_json=settings_json, created_ns=now_ns, updated_ns=now_ns)
            with told(kind, name):
                record = await self._store.insert(record, change_of(caller, "create", now_ns, None, record))
        return self._facts(record)

    async def update(self, caller: Principal, kind: RecordKind, name: str, patch: bytes) -> TenantFacts:
        """Change settings by a merge patch: what is absent stays, null means the default again."""
        self.require_admin(caller)
        members = members_of(patch)
        async with self._change():
            self._require_not_in_file(kind, name)
            record = await self._find(kind, name)
            if members.get("name", name) != name:
                message = f"A {kind} keeps its name: keys and the ledger know it by it. Make another one."
                raise conflict(message, param="name")
            before = decoded(record.settings_json)
            merged = merge_patch(before if isinstance(before, dict) else {}, {**members, "name": name})
            settings_json = encode(merged)
            self._check(kind, settings_json)
            now_ns = self._clock.wall_ns()
            after = msgspec.structs.replace(record, settings_json=settings_json, updated_ns=now_ns)
            with told(kind, name):
                after = await self._store.replace(after, change_of(caller, "update", now_ns, record, after))
        return self._facts(after)

    async def delete(self, caller: Principal, kind: RecordKind, name: str) -> None:
        """Delete what nothing needs any more. What its budget has posted stays in the ledger."""
        self.require_admin(caller)
        async with self._change():
            shadowed = name in self._rules.filed(kind)
            if shadowed and name not in await self._stored(kind):
                self._require_not_in_file(kind, name)
            record = await self._find(kind, name)
            needed_by = self._rules.needed_by(kind, name)
            if needed_by is not None and not shadowed:
                raise conflict(f"The {kind} {name!r} is named by {needed_by}. Change or end that first.")
            change = change_of(caller, "delete", self._clock.wall_ns(), record, None)
            with told(kind, name):
                await self._store.delete(record, change)

    @asynccontextmanager
    async def _change(self) -> AsyncIterator[None]:
        """Look at what is in force now, change it and put that in force, while nobody else changes anything here."""
        async with self._turn:
            await self._refresh()
            yield
            await self._refresh()

    async def _stored(self, kind: RecordKind) -> dict[str, Record]:
        with told(kind):
            found = await self._store.read()
        return {record.name: record for record in found.records if record.kind is kind}

    async def _find(self, kind: RecordKind, name: str) -> Record:
        record = (await self._stored(kind)).get(name)
        if record is None:
            raise refuse(Fault.NOT_FOUND, f"There is no such {kind}. See GET /admin/v1/{kind}s.")
        return record

    def _require_not_in_file(self, kind: RecordKind, name: str) -> None:
        filed = self._rules.filed(kind).get(name)
        if filed is not None:
            message = f"The {kind} {name!r} is written at {filed.place}. Change it there, or use another name."
            raise conflict(message, param="name")

    def _check(self, kind: RecordKind, settings_json: str) -> str:
        try:
            return self._rules.check_record(kind, settings_json)
        except SettingsRefused as exc:
            article = "an" if kind is RecordKind.ORGANIZATION else "a"
            message = f"These are no settings of {article} {kind}: {exc}."
            raise refuse(Fault.INVALID_REQUEST, message, param=exc.param) from None

    def _filed(self, kind: RecordKind, name: str, filed: FiledRecord) -> TenantFacts:
        return TenantFacts(
            kind=kind,
            name=name,
            source=TenantSource.FILE,
            settings_json=filed.settings_json,
            budget=self._rules.budget_of(kind, filed.settings_json),
            place=filed.place,
        )

    def _facts(self, record: Record) -> TenantFacts:
        state, settings_json, budget = TenantState.ACTIVE, record.settings_json, None
        if record.name in self._rules.filed(record.kind):
            state = TenantState.SHADOWED
        try:
            budget = self._rules.budget_of(record.kind, settings_json)
            if self._rules.name_of(record.kind, settings_json) != record.name:
                raise SettingsRefused("`name` is another one")
        except SettingsRefused:
            state, settings_json = TenantState.BROKEN, "{}"
        return TenantFacts(
            kind=record.kind,
            name=record.name,
            source=TenantSource.STORE,
            state=state,
            settings_json=settings_json,
            budget=budget,
            created_ns=record.created_ns,
            updated_ns=record.updated_ns,
            revision=record.revision,
        )


def change_of(caller: Principal, action: str, now_ns: int, before: Record | None, after: Record | None) -> Change:
    """Write down who changes a record, and its settings on both sides."""
    return Change(
        actor=caller.key_id,
        action=action,
        at_ns=now_ns,
        before=None if before is None else encode(decoded(before.settings_json)),
        after=None if after is None else encode(decoded(after.settings_json)),
    )
