"""Compile who may call and how much: keys, and the users, teams and organizations that they spend for.

Whatever is stored elsewhere than in the file comes through the same functions, as the same sections; of two of one
name the first holds, so the file's come first. A key names a team or a user that nobody configured at no risk: its
calls bear the name, and no budget or limit follows from it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from router.config.compiling_limits import compile_bounds, compile_scoped, compile_workflow_budget
from router.config.identity import digest_of, is_local
from router.config.profiles import with_profile
from router.config.schema import Settings
from router.config.schema_budgets import ScopedBudgetSettings
from router.config.schema_controls import WorkflowSettings
from router.config.schema_tenants import KeySettings, OrganizationSettings, TeamSettings, UserSettings
from router.domain.governance.budget import EACH, Budget, BudgetId, BudgetMode, ScopeKind, Unit
from router.domain.governance.priority import Grant
from router.domain.ids import KeyId
from router.domain.principal import Bounds, KeyEntry, Mode, Permission, Principal

_OF_A_KEY: Final = frozenset({ScopeKind.KEY, ScopeKind.TEAM, ScopeKind.ORGANIZATION})
"""Scopes whose value a key decides for good. A caller may name another user, where its key has none."""
_UNBOUND: Final = Bounds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenants:
    """What all keys share, compiled."""

    organizations: Mapping[str, Bounds]
    teams: Mapping[str, Bounds]
    """By `organization/team`."""
    users: Mapping[str, Bounds]
    key_budgets: tuple[Budget, ...]
    """Those of `budgets` whose account a key decides: by key, team, organization, in this order."""
    tree_budgets: tuple[Budget, ...]
    """Those whose account each call decides: by workflow, user, agent, tag, model, in this order."""

    def budgets(self) -> Iterator[Budget]:
        """Yield all of them; keys have further ones of their own."""
        for tenants in (self.users, self.teams, self.organizations):
            for bounds in tenants.values():
                if bounds.budget is not None:
                    yield bounds.budget
        yield from self.key_budgets
        yield from self.tree_budgets


def compile_tenants(
    *,
    organizations: Iterable[OrganizationSettings] = (),
    teams: Iterable[tuple[str, TeamSettings]] = (),
    users: Iterable[UserSettings] = (),
    budgets: Iterable[ScopedBudgetSettings] = (),
    workflows: WorkflowSettings | None = None,
) -> Tenants:
    """Compile all tenants. `teams` are those that stand apart from their organization, each with that one's name."""
    organizations = tuple(organizations)
    inside = ((one.name, team) for one in organizations for team in one.teams)
    every_team = ((f"{name}/{team.name}", team) for name, team in (*inside, *teams))
    across: dict[str, Budget] = {}
    for budget in budgets:
        across.setdefault(budget.name, compile_scoped(budget))
    scoped = list(across.values())
    if workflows is not None and workflows.budget_usd is not None:
        scoped.insert(0, compile_workflow_budget(workflows.budget_usd))
    scoped.sort(key=lambda budget: budget.scope.kind.rank)
    return Tenants(
        organizations=_compile(ScopeKind.ORGANIZATION, ((one.name, one) for one in organizations)),
        teams=_compile(ScopeKind.TEAM, every_team),
        users=_compile(ScopeKind.USER, ((one.name, one) for one in users)),
        key_budgets=tuple(budget for budget in scoped if budget.scope.kind in _OF_A_KEY),
        tree_budgets=tuple(budget for budget in scoped if budget.scope.kind not in _OF_A_KEY),
    )


def _compile(
    kind: ScopeKind, named: Iterable[tuple[str, OrganizationSettings | TeamSettings | UserSettings]]
) -> Mapping[str, Bounds]:
    found: dict[str, Bounds] = {}
    for name, tenant in named:
        found.setdefault(name, compile_bounds(kind, name, tenant.budget, tenant.limits))
    return MappingProxyType(found)


def tenants_of(settings: Settings) -> Tenants:
    """Compile the tenants of the file."""
    return compile_tenants(
        organizations=settings.organizations,
        users=settings.users,
        budgets=settings.budgets,
        workflows=settings.workflows,
    )


def compile_key(key: KeySettings, tenants: Tenants, *, mode: Mode) -> KeyEntry:
    """Compile a key with all that it and those it spends for must keep to. `mode` holds where the key says nothing."""
    key = with_profile(key)
    own = compile_bounds(ScopeKind.KEY, key.name, key.budget, key.limits)
    organization, _, team = (key.team or "").partition("/")
    path = (
        own,
        tenants.users.get(key.user or "", _UNBOUND),
        tenants.teams.get(key.team or "", _UNBOUND),
        tenants.organizations.get(organization, _UNBOUND),
    )
    accounts = _accounts(path, tenants, key)
    in_usd = next((budget for budget, _ in accounts if budget.unit is Unit.USD and not budget.observe), None)
    permissions = frozenset(key.permissions)
    if permissions & {Permission.ADMIN, Permission.TEAM_ADMIN}:
        permissions |= {Permission.INFERENCE}
    digest = digest_of(key)
    assert digest is not None, "a key without a secret does not load"
    classes = key.priority
    assert classes.default is not None, "a profile says it, if only that of keys without one"
    assert classes.max is not None, "as the default"
    principal = Principal(
        key_id=KeyId(key.name),
        organization=organization or None,
        team=team or None,
        user=key.user,
        models=key.models if Permission.INFERENCE in permissions else (),
        permissions=permissions,
        accounts=tuple((budget.id, value) for budget, value in accounts),
        rate_limits=tuple(limit for bounds in path for limit in bounds.rate_limits),
        concurrency_limits=tuple(limit for bounds in path for limit in bounds.concurrency_limits),
        mode=key.mode or mode,
        may_set_attribution=key.allow.set_attribution,
        may_substitute=key.allow.substitution,
        priority=Grant(default=classes.default, highest=classes.max),
        budget_mode=in_usd.mode if in_usd else BudgetMode.STRICT,
        clamp=in_usd.clamp if in_usd else False,
    )
    return KeyEntry(
        sha256=digest,
        principal=principal,
        local_only=is_local(key),
        expires_ns=key.expires,
        revoked=key.revoked,
        budget=own.budget,
    )


def _accounts(path: Iterable[Bounds], tenants: Tenants, key: KeySettings) -> list[tuple[Budget, str]]:
    """List the budgets that a key decides on, each with the value of its account, narrowest first."""
    found = [(bounds.budget, bounds.budget.scope.value) for bounds in path if bounds.budget is not None]
    values = {ScopeKind.KEY: key.name}
    if key.team is not None:
        values |= {ScopeKind.TEAM: key.team, ScopeKind.ORGANIZATION: key.team.partition("/")[0]}
    for budget in tenants.key_budgets:
        value = values.get(budget.scope.kind)
        if value is not None and budget.scope.value in (EACH, value):
            found.append((budget, value))
    return sorted(found, key=lambda account: account[0].scope.kind.rank)


def all_budgets(tenants: Tenants, keys: Iterable[KeyEntry]) -> Mapping[BudgetId, Budget]:
    """Put the budgets of tenants and keys together, as a snapshot has them."""
    of_keys = (key.budget for key in keys if key.budget is not None)
    return MappingProxyType({budget.id: budget for budget in (*tenants.budgets(), *of_keys)})
