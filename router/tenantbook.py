"""Read stored tenants, budgets and top-ups as the sections that they are, and join them with the file's."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Generic, TypeVar, assert_never

import msgspec

from router.config import (
    KeySettings,
    OrganizationSettings,
    ScopedBudgetSettings,
    Settings,
    TeamSettings,
    Tenants,
    UserSettings,
    compile_bounds,
    compile_scoped,
    compile_tenants,
)
from router.config.section import Section
from router.config.tree import KeyPath
from router.domain.governance.budget import EACH, ScopeKind, TopUp
from router.ports.keys import SettingsRefused
from router.ports.records import RECORDS_MAX, Record, RecordKind, TopUpTerms
from router.stored_section import read_section

_log = logging.getLogger(__name__)

S_co = TypeVar("S_co", bound=Section, covariant=True)
Tenant = OrganizationSettings | TeamSettings | UserSettings | ScopedBudgetSettings

SECTIONS: Final[Mapping[RecordKind, type[Tenant]]] = {
    RecordKind.ORGANIZATION: OrganizationSettings,
    RecordKind.TEAM: TeamSettings,
    RecordKind.USER: UserSettings,
    RecordKind.BUDGET: ScopedBudgetSettings,
}
_SCOPES: Final = {
    RecordKind.ORGANIZATION: ScopeKind.ORGANIZATION,
    RecordKind.TEAM: ScopeKind.TEAM,
    RecordKind.USER: ScopeKind.USER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed(Generic[S_co]):
    """A section, and where it was written."""

    section: S_co
    path: KeyPath | None = None
    """In the file's tree; None: in the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """All tenants of file and store, by name; of two of one name the file's."""

    organizations: Mapping[str, Placed[OrganizationSettings]]
    teams: Mapping[str, Placed[TeamSettings]]
    """By `organization/team`."""
    users: Mapping[str, Placed[UserSettings]]
    budgets: Mapping[str, Placed[ScopedBudgetSettings]]
    top_ups: Mapping[str, tuple[TopUp, ...]]
    """By the id of their budget."""
    tenants: Tenants

    def of(self, kind: RecordKind) -> Mapping[str, Placed[Section]]:
        shelves: Mapping[RecordKind, Mapping[str, Placed[Section]]] = {
            RecordKind.ORGANIZATION: self.organizations,
            RecordKind.TEAM: self.teams,
            RecordKind.USER: self.users,
            RecordKind.BUDGET: self.budgets,
        }
        return shelves.get(kind, {})


@lru_cache(maxsize=RECORDS_MAX)
def read_tenant(kind: RecordKind, settings_json: str) -> tuple[str, Tenant]:
    """Type the section of a tenant or budget, and name it. Raises `SettingsRefused`, as `read_section`."""
    if kind is not RecordKind.TEAM:
        section = read_section(SECTIONS[kind], settings_json)
        if isinstance(section, OrganizationSettings) and section.teams:
            raise SettingsRefused("`teams` are resources of their own, make them one by one", param="teams")
        return section.name, section
    try:
        members = msgspec.json.decode(settings_json, type=dict[str, object])
    except msgspec.DecodeError:
        raise SettingsRefused("no JSON object") from None
    organization, slash, name = str(members.get("name", "")).partition("/")
    if not slash:
        raise SettingsRefused("`name` is not a team, write it as organization/team", param="name")
    read_section(OrganizationSettings, msgspec.json.encode({"name": organization}).decode())
    team = read_section(TeamSettings, msgspec.json.encode(members | {"name": name}).decode())
    return f"{organization}/{team.name}", team


def read_top_up(settings_json: str) -> TopUpTerms:
    """Raises `SettingsRefused`."""
    try:
        return msgspec.json.decode(settings_json, type=TopUpTerms)
    except msgspec.DecodeError as exc:
        raise SettingsRefused(str(exc)) from None


def write_tenant(name: str, section: Section) -> str:
    """Write what was said of a tenant as JSON, with the name that it has here."""
    said = section.model_dump(mode="json", exclude={"teams"}, exclude_unset=True)
    return msgspec.json.encode(said | {"name": name}).decode()


def budget_of(kind: RecordKind, settings_json: str) -> str | None:
    """Return the id of the budget that a section makes. Raises `SettingsRefused`."""
    name, section = read_tenant(kind, settings_json)
    if isinstance(section, ScopedBudgetSettings):
        return compile_scoped(section).id
    made = compile_bounds(_SCOPES[kind], name, section.budget, section.limits).budget
    return None if made is None else made.id


def read_book(settings: Settings, records: Iterable[Record] = ()) -> Book:
    """Join the file's tenants with the stored ones. What is broken or has the name of one of the file is left out."""
    organizations, teams = {}, {}
    for row, one in enumerate(settings.organizations):
        organizations[one.name] = Placed(section=one, path=("organizations", row))
        for column, team in enumerate(one.teams):
            path: KeyPath = ("organizations", row, "teams", column)
            teams[f"{one.name}/{team.name}"] = Placed(section=team, path=path)
    users = {one.name: Placed(section=one, path=("users", row)) for row, one in enumerate(settings.users)}
    budgets = {one.name: Placed(section=one, path=("budgets", row)) for row, one in enumerate(settings.budgets)}
    top_ups: dict[str, list[TopUp]] = defaultdict(list)
    for record, (name, section) in _readable(records):
        match section:
            case TopUpTerms():
                more = TopUp(amount=section.amount, until_ns=section.until_ns, value=section.value)
                top_ups[section.budget].append(more)
                continue
            case OrganizationSettings():
                held: Section = organizations.setdefault(name, Placed(section=section)).section
            case TeamSettings():
                held = teams.setdefault(name, Placed(section=section)).section
            case UserSettings():
                held = users.setdefault(name, Placed(section=section)).section
            case ScopedBudgetSettings():
                held = budgets.setdefault(name, Placed(section=section)).section
            case never:
                assert_never(never)
        if held is not section:
            _log.warning("the stored %s %s is not in force: the file has one of this name", record.kind, name)
    tenants = compile_tenants(
        organizations=(one.section for one in organizations.values()),
        teams=((name.partition("/")[0], one.section) for name, one in teams.items() if one.path is None),
        users=(one.section for one in users.values()),
        budgets=(one.section for one in budgets.values()),
        workflows=settings.workflows,
    )
    return Book(
        organizations=organizations,
        teams=teams,
        users=users,
        budgets=budgets,
        top_ups={budget: tuple(found) for budget, found in top_ups.items()},
        tenants=tenants,
    )


def _readable(records: Iterable[Record]) -> Iterator[tuple[Record, tuple[str, Tenant | TopUpTerms]]]:
    for record in records:
        try:
            if record.kind is RecordKind.TOP_UP:
                yield record, (record.name, read_top_up(record.settings_json))
                continue
            name, section = read_tenant(record.kind, record.settings_json)
            if name != record.name:
                raise SettingsRefused("`name` is another one")
        except SettingsRefused as exc:
            _log.error("the stored %s %s is left out: %s", record.kind, record.name, exc)
        else:
            yield record, (name, section)


def check_references(
    section: Tenant, name: str, book: Book, keys: Iterable[str], models: Callable[[str], bool]
) -> None:
    """Require what the file's references must have: each name that a section mentions is there. `SettingsRefused`."""
    if isinstance(section, TeamSettings) and (organization := name.partition("/")[0]) not in book.organizations:
        raise SettingsRefused(f"the organization {organization!r} is not there, make it first", param="name")
    if not isinstance(section, ScopedBudgetSettings):
        return
    scope = section.scope
    known = (
        ("team", scope.team, lambda value: value in book.teams),
        ("organization", scope.organization, lambda value: value in book.organizations),
        ("key", scope.key, lambda value: value in set(keys)),
        ("model", scope.model, models),
    )
    for noun, value, exists in known:
        if value not in (None, EACH) and not exists(str(value)):
            raise SettingsRefused(f"`scope.{noun}` names no {noun} that is there", param=f"scope.{noun}")


def needed_by(kind: RecordKind, name: str, book: Book, keys: Iterable[KeySettings]) -> str | None:
    """Name something that would be left without its tenant. A revoked key needs nobody."""
    return next(_needing(kind, name, book, keys), None)


def _needing(kind: RecordKind, name: str, book: Book, keys: Iterable[KeySettings]) -> Iterator[str]:
    scope = _SCOPES.get(kind)
    if scope is None:
        return
    for key in keys:
        organization = (key.team or "").partition("/")[0]
        of_key = {ScopeKind.USER: key.user, ScopeKind.TEAM: key.team, ScopeKind.ORGANIZATION: organization}
        if of_key[scope] == name and not key.revoked:
            yield f"the key {key.name}"
    if kind is RecordKind.ORGANIZATION:
        yield from (f"the team {team}" for team in book.teams if team.partition("/")[0] == name)
    for budget in book.budgets.values():
        if getattr(budget.section.scope, scope) == name:
            yield f"the budget {budget.section.name}"
