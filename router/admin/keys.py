"""Make, change and end the keys of the store. Those of the file are shown and left alone.

A secret exists in the reply of `create` and `rotate` only: what is stored is its SHA-256. A change is in force here
before its reply is written, and in other processes as soon as they look at the store's revision.
"""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from router.admin.authority import Authority, require_key_admin
from router.admin.merge_patch import merge_patch
from router.admin.storing import conflict, decoded, encode, members_of, require_admin, told
from router.domain.faults import Fault, RouterError, refuse
from router.domain.instants import parse_duration_ns
from router.domain.principal import STORED_PREFIX, Permission, Principal
from router.domain.secret import Secret
from router.ports.clock import Clock
from router.ports.keys import (
    AuditRow,
    Change,
    KeyRules,
    Keys,
    KeyTerms,
    LimitFact,
    SecretDigest,
    SettingsRefused,
    StoredKey,
)

PAGE_KEYS: Final = 100
PAGE_KEYS_MAX: Final = 1_000
AUDIT_ROWS: Final = 100
AUDIT_ROWS_MAX: Final = 1_000
SECRETS_MAX: Final = 8
"""Secrets of one key that work at the same time."""
OVERLAP_DEFAULT: Final = "24h"
OVERLAP_NS_DEFAULT: Final = parse_duration_ns(OVERLAP_DEFAULT)
OVERLAP_NS_MAX: Final = 90 * 86_400 * 1_000_000_000
_PUBLIC_ID_CHARS: Final = 12
_SECRET_BYTES: Final = 32
_SECRET_MEMBERS: Final = ("key", "key_file", "key_sha256")


class KeySource(StrEnum):
    FILE = "file"
    STORE = "store"


class KeyState(StrEnum):
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    BROKEN = "broken"
    """Somebody wrote settings into the store that are not a key's; it is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """What anybody who administers keys may know of one."""

    name: str
    source: KeySource
    state: KeyState
    settings_json: str
    public_id: str | None = None
    created_ns: int | None = None
    updated_ns: int | None = None
    revision: int | None = None
    secrets_until_ns: tuple[int | None, ...] = ()
    """For each secret that works now, newest first: until when; None is as long as the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    key: KeyFacts
    secret: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPage:
    keys: tuple[KeyFacts, ...]
    after: str | None
    """Where the next page goes on; None: this is the last."""


class KeyAdmin:
    """What every façade offers of keys. Every method raises `RouterError`."""

    def __init__(
        self,
        *,
        store: Keys,
        rules: KeyRules,
        refresh: Callable[[], Awaitable[None]],
        clock: Clock,
        draw_bytes: Callable[[int], bytes],
        turn: asyncio.Lock,
    ) -> None:
        """`refresh` brings in force what is stored; `draw_bytes` gives randomness fit for secrets.

        `turn` lets one change at a time be checked and made.
        """
        self._store = store
        self._rules = rules
        self._refresh = refresh
        self._clock = clock
        self._draw_bytes = draw_bytes
        self._turn = turn

    def require_admin(self, caller: Principal) -> None:
        """Refuse who may not administer any key, before more is read of the request."""
        require_key_admin(caller)

    async def list(self, caller: Principal, *, after: str | None = None, limit: int = PAGE_KEYS) -> KeyPage:
        """Return keys by name, of file and store. A limit out of bounds is brought into them."""
        authority = await self._authority(caller)
        limit = min(max(limit, 1), PAGE_KEYS_MAX)
        of_file, facts = self._rules.file_keys(), {key.name: key for key in await self._read()}
        seen = {name: key.settings_json for name, key in facts.items()} | dict(of_file)
        names = sorted(
            name
            for name, settings_json in seen.items()
            if (after is None or name > after) and authority.sees(self._team_of(settings_json))
        )
        page = tuple(
            self._file_facts(name, of_file[name]) if name in of_file else self._facts(facts[name])
            for name in names[:limit]
        )
        return KeyPage(keys=page, after=names[limit - 1] if len(names) > limit else None)

    async def show(self, caller: Principal, handle: str) -> tuple[KeyFacts, Sequence[LimitFact]]:
        """Return a key, by name or public id, and all that it must keep to."""
        authority = await self._authority(caller)
        filed = self._rules.file_keys().get(handle)
        if filed is not None and authority.sees(self._team_of(filed)):
            facts = self._file_facts(handle, filed)
        else:
            facts = self._facts(await self._find(handle, authority))
        return facts, () if facts.state is KeyState.BROKEN else self._rules.limits(facts.settings_json)

    async def history(self, caller: Principal, handle: str, *, limit: int = AUDIT_ROWS) -> Sequence[AuditRow]:
        """Return the latest changes of a key of the store, newest first."""
        require_admin(caller, "the audit")
        key = await self._find(handle, Authority())
        with told("key"):
            return await self._store.audit(key.name, min(max(limit, 1), AUDIT_ROWS_MAX))

    async def create(self, caller: Principal, body: bytes) -> Issued:
        """Make a key with the settings that the configuration's section of a key has, but for the secret."""
        async with self._change(caller) as authority:
            settings_json = encode(authority.filled(_settings_of(body)))
            terms = self._check(settings_json, authority)
            self._require_not_in_file(terms.name)
            public_id = _base32(self._draw_bytes(_PUBLIC_ID_CHARS))[:_PUBLIC_ID_CHARS]
            secret, digest = self._draw_secret(public_id)
            now_ns = self._clock.wall_ns()
            key = StoredKey(
                name=terms.name,
                public_id=public_id,
                secrets=(digest,),
                settings_json=settings_json,
                created_ns=now_ns,
                updated_ns=now_ns,
            )
            with told("key", key.name):
                key = await self._store.insert(key, _change(caller, "create", now_ns, None, key))
        return Issued(key=self._facts(key), secret=secret)

    async def update(self, caller: Principal, handle: str, patch: bytes) -> KeyFacts:
        """Change settings by a merge patch: what is absent stays, null means the default again."""
        async with self._change(caller) as authority:
            key = await self._find_alive(handle, authority)
            members = _settings_of(patch)
            if members.get("name", key.name) != key.name:
                raise conflict("A key keeps its name: the ledger knows it by it. Make another key.", param="name")
            settings_json = encode(merge_patch(msgspec.json.decode(key.settings_json), members))
            self._check(settings_json, authority)
            return await self._replace(caller, "update", key, settings_json=settings_json)

    async def rotate(self, caller: Principal, handle: str, *, overlap_ns: int = OVERLAP_NS_DEFAULT) -> Issued:
        """Give a key a new secret. Those before it work for `overlap_ns` more, or less where they were told so."""
        async with self._change(caller) as authority:
            key = await self._find_alive(handle, authority)
            authority.require_gift(self._rules.grants(key.settings_json))
            if not 0 <= overlap_ns <= OVERLAP_NS_MAX:
                raise refuse(Fault.INVALID_REQUEST, "`overlap` is out of range: use 0s to 90d.", param="overlap")
            now_ns = self._clock.wall_ns()
            end_ns = now_ns + overlap_ns
            kept = tuple(
                SecretDigest(sha256=old.sha256, until_ns=until_ns)
                for old in key.secrets
                if (until_ns := end_ns if old.until_ns is None else min(old.until_ns, end_ns)) > now_ns
            )
            if len(kept) >= SECRETS_MAX:
                raise conflict(f"{SECRETS_MAX} secrets of this key work already. Rotate with a shorter `overlap`.")
            secret, digest = self._draw_secret(key.public_id)
            facts = await self._replace(caller, "rotate", key, secrets=(digest, *kept))
        return Issued(key=facts, secret=secret)

    async def revoke(self, caller: Principal, handle: str) -> KeyFacts:
        """Refuse a key from now on, for good. Revoking again changes nothing; what is being served is finished."""
        async with self._change(caller) as authority:
            self._require_not_in_file(handle, authority)
            key = await self._find(handle, authority)
            facts = self._facts(key)
            if facts.state is KeyState.BROKEN:
                return await self._replace(
                    caller, "revoke", key, settings_json=encode({"name": key.name, "revoked": True})
                )
            authority.require_change(self._rules.grants(key.settings_json))
            if facts.state is KeyState.REVOKED:
                return facts
            settings = msgspec.json.decode(key.settings_json)
            return await self._replace(caller, "revoke", key, settings_json=encode(settings | {"revoked": True}))

    async def _authority(self, caller: Principal) -> Authority:
        """Look up what a caller may do with keys, as its own key is now."""
        self.require_admin(caller)
        if Permission.ADMIN in caller.permissions:
            return Authority()
        own = self._rules.file_keys().get(caller.key_id)
        try:
            settings_json = own or (await self._find(caller.key_id, Authority())).settings_json
            grants = self._rules.grants(settings_json)
        except (SettingsRefused, RouterError) as exc:
            message = "The settings of this key cannot be read now, so it may not administer keys."
            raise refuse(Fault.PERMISSION_DENIED, message) from exc
        return Authority(own=grants, settings=msgspec.json.decode(settings_json, type=dict[str, object]))

    @asynccontextmanager
    async def _change(self, caller: Principal) -> AsyncIterator[Authority]:
        """Look at what is in force now, change it and put that in force, while nobody else changes anything here."""
        self.require_admin(caller)
        async with self._turn:
            await self._refresh()
            yield await self._authority(caller)
            await self._refresh()

    async def _replace(
        self,
        caller: Principal,
        action: str,
        old: StoredKey,
        *,
        settings_json: str | None = None,
        secrets: tuple[SecretDigest, ...] | None = None,
    ) -> KeyFacts:
        now_ns = self._clock.wall_ns()
        key = msgspec.structs.replace(
            old,
            settings_json=settings_json or old.settings_json,
            secrets=secrets or old.secrets,
            updated_ns=now_ns,
        )
        with told("key", key.name):
            key = await self._store.replace(key, _change(caller, action, now_ns, old, key))
        return self._facts(key)

    async def _read(self) -> Sequence[StoredKey]:
        with told("key"):
            return (await self._store.read()).keys

    async def _find(self, handle: str, authority: Authority) -> StoredKey:
        """Return a key of the store. One of another team than the caller's is as unknown as one that never was."""
        keys = await self._read()
        found = next((key for key in keys if key.name == handle), None)
        found = found or next((key for key in keys if key.public_id == handle), None)
        if found is None or not authority.sees(self._team_of(found.settings_json)):
            raise refuse(Fault.NOT_FOUND, "There is no such key in the store. See GET /admin/v1/keys.")
        return found

    async def _find_alive(self, handle: str, authority: Authority) -> StoredKey:
        self._require_not_in_file(handle, authority)
        key = await self._find(handle, authority)
        if self._facts(key).state in (KeyState.REVOKED, KeyState.BROKEN):
            raise conflict("This key was revoked, or is broken, and stays so. Make another one.")
        authority.require_change(self._rules.grants(key.settings_json))
        return key

    def _team_of(self, settings_json: str) -> str | None:
        try:
            return self._rules.terms(settings_json).team
        except SettingsRefused:
            return None

    def _require_not_in_file(self, name: str, authority: Authority | None = None) -> None:
        """Refuse to change a key of the file that the caller sees. To make one of its name is refused to all."""
        filed = self._rules.file_keys().get(name)
        if filed is not None and (authority is None or authority.sees(self._team_of(filed))):
            raise conflict(
                f"The key {name!r} is written in the configuration file. Change it there, or use another name.",
                param="name",
            )

    def _check(self, settings_json: str, authority: Authority) -> KeyTerms:
        try:
            # First: who may not name another team does not learn whether it is there.
            authority.require_gift(self._rules.grants(settings_json))
            return self._rules.check(settings_json)
        except SettingsRefused as exc:
            message = f"These are no settings of a key: {exc}."
            raise refuse(Fault.INVALID_REQUEST, message, param=exc.param) from None

    def _draw_secret(self, public_id: str) -> tuple[Secret, SecretDigest]:
        text = f"{STORED_PREFIX}{public_id}-{_base32(self._draw_bytes(_SECRET_BYTES))}"
        return Secret(text), SecretDigest(sha256=hashlib.sha256(text.encode()).hexdigest())

    def _file_facts(self, name: str, settings_json: str) -> KeyFacts:
        state = self._state(self._rules.terms(settings_json))
        return KeyFacts(name=name, source=KeySource.FILE, state=state, settings_json=settings_json)

    def _facts(self, key: StoredKey) -> KeyFacts:
        now_ns = self._clock.wall_ns()
        try:
            state = self._state(self._rules.terms(key.settings_json))
        except SettingsRefused:
            state = KeyState.BROKEN
        return KeyFacts(
            name=key.name,
            source=KeySource.STORE,
            state=state,
            settings_json="{}" if state is KeyState.BROKEN else key.settings_json,
            public_id=key.public_id,
            created_ns=key.created_ns,
            updated_ns=key.updated_ns,
            revision=key.revision,
            secrets_until_ns=tuple(
                one.until_ns for one in key.secrets if one.until_ns is None or one.until_ns > now_ns
            ),
        )

    def _state(self, terms: KeyTerms) -> KeyState:
        if terms.revoked:
            return KeyState.REVOKED
        expired = terms.expires_ns is not None and self._clock.wall_ns() >= terms.expires_ns
        return KeyState.EXPIRED if expired else KeyState.ACTIVE


def _settings_of(body: bytes) -> dict[str, object]:
    members = members_of(body)
    for name in _SECRET_MEMBERS:
        if name in members:
            raise refuse(Fault.INVALID_REQUEST, "The router makes the secrets of its keys. Leave it out.", param=name)
    return members


def _base32(noise: bytes) -> str:
    return base64.b32encode(noise).decode().rstrip("=").lower()


def _change(caller: Principal, action: str, now_ns: int, before: StoredKey | None, after: StoredKey) -> Change:
    return Change(
        actor=caller.key_id,
        action=action,
        at_ns=now_ns,
        before=None if before is None else _for_audit(before),
        after=_for_audit(after),
    )


def _for_audit(key: StoredKey) -> str:
    return encode(
        {
            "public_id": key.public_id,
            "settings": decoded(key.settings_json),
            "secrets_until_ns": [one.until_ns for one in key.secrets],
        }
    )
