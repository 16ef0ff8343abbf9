"""Keys in memory, rules without a configuration behind them, and a key to store, for tests of the control plane."""

from collections.abc import Mapping, Sequence

import msgspec

from router.domain.delegation import KeyGrants
from router.domain.principal import Permission
from router.ports.keys import (
    KEYS_MAX,
    AuditRow,
    Change,
    KeyChanged,
    KeyExists,
    KeysUnavailable,
    KeyTerms,
    LimitFact,
    SecretDigest,
    SettingsRefused,
    StoredKey,
    StoredKeys,
    StoreFull,
)

NOW_NS = 1_800_000_000_000_000_000


class MemoryKeys:
    """Passes the port's contract suite. Out of reach while `broken`."""

    def __init__(self) -> None:
        self.broken = False
        self.rows: dict[str, StoredKey] = {}
        self.changes: list[AuditRow] = []
        self._revision = 0

    async def revision(self) -> int:
        self._reach()
        return self._revision

    async def read(self) -> StoredKeys:
        self._reach()
        return StoredKeys(revision=self._revision, keys=tuple(self.rows[name] for name in sorted(self.rows)))

    async def insert(self, key: StoredKey, change: Change) -> StoredKey:
        self._reach()
        if len(self.rows) >= KEYS_MAX:
            raise StoreFull
        if key.name in self.rows or key.public_id in {row.public_id for row in self.rows.values()}:
            raise KeyExists(key.name)
        return self._write(key, change)

    async def replace(self, key: StoredKey, change: Change) -> StoredKey:
        self._reach()
        if key.name not in self.rows or self.rows[key.name].revision != key.revision:
            raise KeyChanged(key.name)
        return self._write(key, change)

    async def audit(self, name: str, limit: int) -> Sequence[AuditRow]:
        self._reach()
        return [row for row in reversed(self.changes) if row.subject == name][:limit]

    async def close(self) -> None:
        self.broken = True

    def _reach(self) -> None:
        if self.broken:
            raise KeysUnavailable("broken by the test at /secret/place")

    def _write(self, key: StoredKey, change: Change) -> StoredKey:
        self._revision += 1
        written = msgspec.structs.replace(key, revision=self._revision)
        self.rows[key.name] = written
        self.changes.append(AuditRow(subject=key.name, revision=self._revision, change=change))
        return written


class PlainRules:
    """Takes every object with a name for a key's settings; `expires` is a number here."""

    def __init__(self, **of_file: str) -> None:
        self.of_file = of_file

    def file_keys(self) -> Mapping[str, str]:
        return self.of_file

    def check(self, settings_json: str) -> KeyTerms:
        return self.terms(settings_json)

    def terms(self, settings_json: str) -> KeyTerms:
        settings = msgspec.json.decode(settings_json)
        if not isinstance(settings.get("name"), str):
            raise SettingsRefused("`name` is missing", param="name")
        return KeyTerms(
            name=settings["name"],
            team=settings.get("team"),
            expires_ns=settings.get("expires"),
            revoked=settings.get("revoked", False),
        )

    def grants(self, settings_json: str) -> KeyGrants:
        settings = msgspec.json.decode(settings_json)
        return KeyGrants(
            team=settings.get("team"),
            permissions=frozenset(map(Permission, settings.get("permissions", ["inference"]))),
            models=tuple(settings.get("models", ["*"])),
        )

    def limits(self, settings_json: str) -> Sequence[LimitFact]:
        return [LimitFact(scope=f"key:{self.terms(settings_json).name}", limit="rpm", value="6", set_by="store")]


def stored(name: str = "ci", **members: object) -> StoredKey:
    """A key as it is stored; `members` are settings besides its name."""
    return StoredKey(
        name=name,
        public_id=f"id-of-{name}",
        secrets=(SecretDigest(sha256="ab" * 32),),
        settings_json=msgspec.json.encode({"name": name, **members}).decode(),
        created_ns=NOW_NS,
        updated_ns=NOW_NS,
    )


def change(action: str = "create") -> Change:
    return Change(actor="boss", action=action, at_ns=NOW_NS, before=None, after="{}")
