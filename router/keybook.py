"""Read stored keys as the sections of the configuration that they are, and say where each limit of a key was set."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import msgspec
from pydantic import ValidationError

from router.config import (
    BudgetSettings,
    KeySettings,
    LimitSettings,
    ScopedBudgetSettings,
    Settings,
    Tenants,
    compile_key,
    with_profile,
)
from router.config.tree import KeyPath, Node, follow, format_path
from router.domain.governance.budget import EACH, ScopeKind, Unit
from router.domain.principal import KeyEntry, Mode
from router.ports.keys import LimitFact, SettingsRefused, StoredKey

_DEFAULT = "default"
_SECRETS = {"key", "key_file", "key_sha256"}
_RATES = ("rpm", "tpm", "input_tpm", "output_tpm", "concurrency")

Place = Callable[[KeyPath], str]
"""Says where a value of a section was written."""


def read_key(settings_json: str) -> KeySettings:
    """Type the settings of a key. Raises `SettingsRefused`, with every problem and no value."""
    try:
        return KeySettings.model_validate(msgspec.json.decode(settings_json))
    except msgspec.DecodeError:
        raise SettingsRefused("no JSON") from None
    except ValidationError as error:
        # Not `from error`: a traceback of pydantic's holds the values.
        raise SettingsRefused("; ".join(_problems(error))) from None


def _problems(error: ValidationError) -> Iterator[str]:
    for found in error.errors(include_url=False, include_input=False):
        fix = found.get("ctx", {}).get("fix")
        path = format_path(tuple(found["loc"]))
        yield f"`{path}` {found['msg']}" + (f", {fix}" if fix else "")


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
        replace(entry, sha256=digest, expires_ns=_earlier(entry.expires_ns, secret.until_ns))
        for digest, secret in zip(digests, stored.secrets, strict=True)
    )


def _earlier(first_ns: int | None, second_ns: int | None) -> int | None:
    ends = [end_ns for end_ns in (first_ns, second_ns) if end_ns is not None]
    return min(ends, default=None)


def limits_of(key: KeySettings, settings: Settings, tree: Node) -> Iterator[LimitFact]:
    """Yield all that a key must keep to, narrowest first. A key that the file has is looked up there."""
    rows = [row for row, other in enumerate(settings.keys) if other.name == key.name]
    own = _within(tree, ("keys", rows[0])) if rows else _in_store(key)
    filled, scope = with_profile(key), f"key:{key.name}"
    profile = f"profile {key.profile}"
    for name in _RATES:
        value = getattr(filled.limits, name)
        if value is not None:
            said = getattr(key.limits, name) is not None
            yield LimitFact(
                scope=scope, limit=name, value=str(value), set_by=own(("limits", name)) if said else profile
            )
    if key.budget is not None:
        yield _budget(scope, key.budget, own(("budget",)))
    yield LimitFact(scope=scope, limit="models", value=" ".join(key.models), set_by=own(("models",)))
    if key.expires is not None:
        expires = str(key.model_dump(mode="json")["expires"])
        yield LimitFact(scope=scope, limit="expires", value=expires, set_by=own(("expires",)))
    mode = own(("mode",)) if key.mode else _written(tree, ("mode",))
    yield LimitFact(scope=scope, limit="mode", value=key.mode or settings.mode, set_by=mode)
    yield from _of_tenants(key, settings, tree)
    for row, budget in enumerate(settings.budgets):
        if _covers(budget, key):
            yield _budget(f"budget:{budget.name}", budget, _written(tree, ("budgets", row)))


def _of_tenants(key: KeySettings, settings: Settings, tree: Node) -> Iterator[LimitFact]:
    for row, user in enumerate(settings.users):
        if user.name == key.user:
            yield from _section(f"user:{user.name}", user.limits, user.budget, _within(tree, ("users", row)))
    for row, organization in enumerate(settings.organizations):
        if organization.name != (key.team or "").partition("/")[0]:
            continue
        path: KeyPath = ("organizations", row)
        for column, team in enumerate(organization.teams):
            if f"{organization.name}/{team.name}" == key.team:
                place = _within(tree, (*path, "teams", column))
                yield from _section(f"team:{key.team}", team.limits, team.budget, place)
        place = _within(tree, path)
        yield from _section(f"organization:{organization.name}", organization.limits, organization.budget, place)


def _section(scope: str, limits: LimitSettings, budget: BudgetSettings | None, place: Place) -> Iterator[LimitFact]:
    for name in _RATES:
        value = getattr(limits, name)
        if value is not None:
            yield LimitFact(scope=scope, limit=name, value=str(value), set_by=place(("limits", name)))
    if budget is not None:
        yield _budget(scope, budget, place(("budget",)))


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
    return LimitFact(scope=scope, limit="budget", value=value, set_by=set_by)


def _in_store(key: KeySettings) -> Place:
    def place(path: KeyPath) -> str:
        return "store" if path[0] in key.model_fields_set else _DEFAULT

    return place


def _within(tree: Node, above: KeyPath) -> Place:
    def place(path: KeyPath) -> str:
        return _written(tree, (*above, *path))

    return place


def _written(tree: Node, path: KeyPath) -> str:
    """Return file and line of a value, or the variable that gave it."""
    found, node = follow(tree, path)
    if found != path:
        return _DEFAULT
    return f"{node.origin.source}:{node.origin.line}" if node.origin.line else node.origin.source
