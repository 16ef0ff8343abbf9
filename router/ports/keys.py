"""Keep the keys that are made while the router runs, and know what the configuration says about any key."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

from router.domain.delegation import KeyGrants

KEYS_MAX: Final = 10_000
"""Keys in the store, revoked ones included: a name in the ledger means one key for ever."""


class KeysUnavailable(Exception):
    """The store cannot be read or written now. Keys and tenants that are in force stay so."""


class KeyExists(Exception):
    """There is a key of this name in the store."""


class KeyChanged(Exception):
    """Somebody else changed the key since it was read."""


class StoreFull(Exception):
    """There are `KEYS_MAX` keys."""


class SettingsRefused(Exception):
    """The settings are not those of a key. The text names every problem and no value."""

    def __init__(self, problems: str, *, param: str | None = None) -> None:
        """`param`: path of the member that the first problem is about, where it is about one."""
        super().__init__(problems)
        self.param = param


class SecretDigest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is kept of a secret."""

    sha256: str
    """64 hexadecimal digits."""
    until_ns: int | None = None
    """Unix nanoseconds from which on it is refused; None: as long as its key."""


class StoredKey(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    name: str
    public_id: str
    """The handle that the secret bears in front; never secret."""
    secrets: tuple[SecretDigest, ...]
    """Newest first."""
    settings_json: str
    """The configuration's section of a key, without its secret, as it was sent."""
    created_ns: int
    updated_ns: int
    revision: int = 0
    """The store's revision that this key was written with; 0: not written yet."""


class StoredKeys(msgspec.Struct, frozen=True, kw_only=True):
    """All keys of the store at one moment, by name."""

    revision: int
    keys: tuple[StoredKey, ...]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Who changes a key, how and when. `before` and `after` are JSON without secrets and digests."""

    actor: str
    action: str
    at_ns: int
    before: str | None = None
    after: str | None = None


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """A change that was made."""

    id: int = 0
    """Counts up with every change of anything."""
    kind: str = "key"
    """`key`, or the kind of a record."""
    subject: str
    revision: int
    change: Change


class Keys(Protocol):
    """Every method raises `KeysUnavailable`."""

    async def revision(self) -> int:
        """Return the number that every change by anybody counts up."""
        ...

    async def read(self) -> StoredKeys: ...

    async def insert(self, key: StoredKey, change: Change) -> StoredKey:
        """Store a key and its audit row. Raises `KeyExists` and `StoreFull`."""
        ...

    async def replace(self, key: StoredKey, change: Change) -> StoredKey:
        """Store a new version of a key that has the revision it was read with. Raises `KeyChanged`."""
        ...

    async def audit(self, name: str, limit: int) -> Sequence[AuditRow]:
        """Return the latest changes of a key, newest first."""
        ...

    async def close(self) -> None: ...


class KeyTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings of a key say about whose it is, and how long it is good."""

    name: str
    team: str | None = None
    expires_ns: int | None
    revoked: bool


class LimitFact(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a key must keep to, and where it was written."""

    scope: str
    """`key:ci`, `team:acme/research`."""
    limit: str
    value: str
    set_by: str
    """`checkrein.yaml:12`, `store`, `profile standard` or `default`."""
    observed: bool = False
    """It counts and tells, and refuses nothing."""


class KeyRules(Protocol):
    """The configuration in force, as far as keys go."""

    def file_keys(self) -> Mapping[str, str]:
        """Return the settings of the file's keys, without their secrets, by name."""
        ...

    def check(self, settings_json: str) -> KeyTerms:
        """Read what somebody wants to store. Raises `SettingsRefused`."""
        ...

    def terms(self, settings_json: str) -> KeyTerms:
        """Read what is stored, which an earlier configuration let in. Raises `SettingsRefused`."""
        ...

    def grants(self, settings_json: str) -> KeyGrants:
        """Say what a key may. Raises `SettingsRefused`."""
        ...

    def limits(self, settings_json: str) -> Sequence[LimitFact]:
        """List all that a key must keep to, its tenants' limits included. Raises `SettingsRefused`."""
        ...
