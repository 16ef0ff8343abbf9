"""Read stored keys as the sections of the configuration that they are, and say where each limit of a key was set."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache

from router.config import (
    BudgetSettings,
    KeySettings,
    OrganizationSettings,
    ScopedBudgetSettings,
    Settings,
    TeamSettings,
    Tenants,
    UserSettings,
    compile_key,
    with_profile,
)
from router.config.section import Section
from router.config.tree import KeyPath, Node, follow
from router.domain.delegation import KeyGrants
from router.domain.governance.budget import EACH, ScopeKind, Unit
from router.domain.principal import KeyEntry, Mode
from router.ports.keys import KEYS_MAX, LimitFact, SettingsRefused, StoredKey
from router.stored_section import read_section
from router.tenantbook import Book, Placed

_DEFAULT = "default"
_IN_STORE = "store"
_SECRETS = {"key", "key_file", "key_sha256"}
_RATES = ("rpm", "tpm", "input_tpm", "output_tpm", "concurrency")

Place = Callable[[KeyPath], str]
"""Says where a value of a section was written."""


@lru_cache(maxsize=KEYS_MAX)
def read_key(settings_json: str) -> KeySettings:
    """Type the settings of a key. Raises `SettingsRefused`, with every problem and no value."""
    return read_section(KeySettings, settings_json)


def write_key(key: KeySettings) -> str:
    """Write what was said about a key as JSON, without its secret."""
    return key.model_dump_json(exclude=_SECRETS, exclude_unset=True)


def entries_of(stored: StoredKey, tenants: Tenants, *, mode: Mode) -> tuple[KeyEntry, ...]:
    """Compile a stored key, an entry for each of its secrets. Raises `SettingsRefused`."""
    if not stored.secrets:
        raise SettingsRefused("no secret")
    key = read_key(stored.settings_json)
    if key.name != stored.name:
        raise SettingsRefused("`name` is another one")
    try:
        digests = [bytes.fromhex(secret.sha256) for secret in stored.secrets]
    except ValueError:
        raise SettingsRefused("a digest is not hexadecimal") from None
    entry = compile_key(key.model_copy(update={"key_sha256": stored.secrets[0].sha256}), tenants, mode=mode)
    return tuple(
        replace(entry, stored=True, sha256=digest, expires_ns=_earlier(entry.expires_ns, secret.until_ns))
        for digest, secret in zip(digests, stored.secrets, strict=True)
    )


def _earlier(first_ns: int | None, second_ns: int | None) -> int | None:
    ends = [end_ns for end_ns in (first_ns, second_ns) if end_ns is not None]
    return min(ends, default=None)


def grants_of(key: KeySettings, settings: Settings) -> KeyGrants:
    """Say what a key may, as far as it can give it to another one. A class that is not there any more gives nothing."""
    classes = [one.name for one in settings.priority.classes]
    priority = with_profile(key).priority
    places = [classes.index(name) for name in (priority.default, priority.max) if name in classes]
    return KeyGrants(
        team=key.team,
        user=key.user,
        permissions=frozenset(key.permissions),
        models=key.models,
        observed=key.mode is Mode.OBSERVE,
        allowed=frozenset(name for name, is_so in key.allow if is_so),
        urgency=min(places, default=len(classes)),
    )


def limits_of(key: KeySettings, book: Book, settings: Settings, tree: Node) -> Iterator[LimitFact]:
    """Yield all that a key must keep to, narrowest first. A key that the file has is looked up there."""
    rows = [row for row, other in enumerate(settings.keys) if other.name == key.name]
    own = _within(tree, ("keys", rows[0])) if rows else _in_store(key)
    filled, scope = with_profile(key), f"key:{key.name}"
    profile = f"profile {key.profile}"
    for name in _RATES:
        value = getattr(filled.limits, name)
        if value is not None:
            said = getattr(key.limits, name) is not None
            set_by = own(("limits", name)) if said else profile
            yield LimitFact(scope=scope, limit=name, value=str(value), set_by=set_by, observed=filled.limits.observe)
    if key.budget is not None:
        yield _budget(scope, key.budget, own(("budget",)))
    yield LimitFact(scope=scope, limit="models", value=" ".join(key.models), set_by=own(("models",)))
    if key.expires is not None:
        expires = str(key.model_dump(mode="json")["expires"])
        yield LimitFact(scope=scope, limit="expires", value=expires, set_by=own(("expires",)))
    mode = own(("mode",)) if key.mode else place_of(tree, ("mode",))
    yield LimitFact(scope=scope, limit="mode", value=key.mode or settings.mode, set_by=mode)
    yield from _of_tenants(key, book, tree)
    for budget in book.budgets.values():
        if _covers(budget.section, key):
            set_by = _IN_STORE if budget.path is None else place_of(tree, budget.path)
            yield _budget(f"budget:{budget.section.name}", budget.section, set_by)


def _of_tenants(key: KeySettings, book: Book, tree: Node) -> Iterator[LimitFact]:
    organization = (key.team or "").partition("/")[0]
    yield from _section(f"user:{key.user}", book.users.get(key.user or ""), tree)
    yield from _section(f"team:{key.team}", book.teams.get(key.team or ""), tree)
    yield from _section(f"organization:{organization}", book.organizations.get(organization), tree)


def _section(
    scope: str,
    tenant: Placed[UserSettings] | Placed[TeamSettings] | Placed[OrganizationSettings] | None,
    tree: Node,
) -> Iterator[LimitFact]:
    if tenant is None:
        return
    section = tenant.section
    place = _in_store(section) if tenant.path is None else _within(tree, tenant.path)
    for name in _RATES:
        value = getattr(section.limits, name)
        if value is not None:
            set_by = place(("limits", name))
            yield LimitFact(scope=scope, limit=name, value=str(value), set_by=set_by, observed=section.limits.observe)
    if section.budget is not None:
        yield _budget(scope, section.budget, place(("budget",)))


def _covers(budget: ScopedBudgetSettings, key: KeySettings) -> bool:
    organization = key.team.partition("/")[0] if key.team else None
    values = {
        ScopeKind.KEY: key.name,
        ScopeKind.USER: key.user,
        ScopeKind.TEAM: key.team,
        ScopeKind.ORGANIZATION: organization,
    }
    return any(
        value is not None and getattr(budget.scope, kind.value) in (EACH, value) for kind, value in values.items()
    )


def _budget(scope: str, budget: BudgetSettings, set_by: str) -> LimitFact:
    unit = next(unit for unit in Unit if getattr(budget, f"limit_{unit}") is not None)
    value = f"{getattr(budget, f'limit_{unit}')} {unit}, window {budget.window}"
    return LimitFact(scope=scope, limit="budget", value=value, set_by=set_by, observed=budget.observe)


def _in_store(section: Section) -> Place:
    def place(path: KeyPath) -> str:
        return _IN_STORE if path[0] in section.model_fields_set else _DEFAULT

    return place


def _within(tree: Node, above: KeyPath) -> Place:
    def place(path: KeyPath) -> str:
        return place_of(tree, (*above, *path))

    return place


def place_of(tree: Node, path: KeyPath) -> str:
    """Return file and line of a value, or the variable that gave it."""
    found, node = follow(tree, path)
    if found != path:
        return _DEFAULT
    return f"{node.origin.source}:{node.origin.line}" if node.origin.line else node.origin.source
