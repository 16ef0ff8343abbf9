"""Hold the configuration in force: the file's, swapped whole or not at all, and the stored keys beside its own."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from router.config import (
    ConfigInvalid,
    Loaded,
    Sources,
    all_budgets,
    compile_snapshot,
    load,
    notices,
    restart_needed,
    tenants_of,
)
from router.domain.catalog import Snapshot
from router.domain.governance.budget import Budget
from router.domain.pricing import Catalogue
from router.domain.principal import KeyEntry
from router.keybook import entries_of, limits_of, read_key, write_key
from router.ports.clock import Clock
from router.ports.keys import KeyTerms, LimitFact, SettingsRefused, StoredKey, StoredKeys

_log = logging.getLogger(__name__)

Follow = Callable[[Snapshot], Awaitable[None]]
"""Called with a new snapshot before it is in force; ValueError or OSError refuses it."""


_Compiled = dict[str, tuple[StoredKey, tuple[KeyEntry, ...]]]
"""The entries of stored keys by name, each with what it was compiled of."""


class Configured:
    """The `Snapshots` and `KeyRules` ports, and what a reload or a change of the stored keys changes."""

    def __init__(self, loaded: Loaded, *, sources: Sources, first_key: str, catalogue: Catalogue, clock: Clock) -> None:
        """`first_key`: the admin key of a start without any configuration, kept until there is one."""
        self._sources = sources
        self._first_key = first_key
        self._catalogue = catalogue
        self._clock = clock
        self._loaded = loaded
        self._stamps = _stamps(self._watched())
        self._stored = StoredKeys(revision=-1, keys=())
        self._compiled: _Compiled = {}
        """With the file in force. Bounded by the store."""
        self._of_file: Snapshot = self._compile(loaded, revision=1)
        self.current: Snapshot = self._of_file

    def files_changed(self) -> bool:
        """Tell whether a file of the configuration was written, added or removed since the last look."""
        stamps = _stamps(self._watched())
        changed, self._stamps = stamps != self._stamps, stamps
        return changed

    async def reload(self, follow: Follow) -> None:
        """Load again and swap, or say why not and stay as we are."""
        try:
            loaded = load(self._sources, new_admin_key=self._first_key)
            fixed = restart_needed(self._loaded.settings, loaded.settings)
            if fixed:
                _log.error("reload refused: restart needed for %s", ", ".join(fixed))
                return
            of_file = self._compile(loaded, revision=self.current.revision + 1)
            while True:
                stored = self._stored
                compiled: _Compiled = {}
                snapshot = self._join(replace(of_file, revision=self.current.revision + 1), loaded, compiled)
                await follow(snapshot)
                if stored is self._stored:  # it may have changed while the upstreams followed
                    break
        except ConfigInvalid as exc:
            _log.error("reload refused: %s", "; ".join(str(problem) for problem in exc.problems))
            return
        except (ValueError, OSError) as exc:
            _log.error("reload refused: %s", exc)
            return
        self._loaded, self._of_file, self._compiled = loaded, of_file, compiled
        self.current = snapshot
        _log.info("configuration revision %d in force (%s)", snapshot.revision, snapshot.fingerprint[:12])
        for notice in notices(loaded.settings):
            _log.warning(notice)

    @property
    def keys_revision(self) -> int:
        """The store's revision whose keys are in force; -1 before the first."""
        return self._stored.revision

    def take_keys(self, stored: StoredKeys, set_budgets: Callable[[Iterable[Budget]], None]) -> None:
        """Put what is stored in force, its budgets first. Older than what is in force already, it is ignored."""
        if stored.revision <= self._stored.revision:
            return
        none, self._stored = not (stored.keys or self._stored.keys), stored
        if none:
            return
        snapshot = self._join(self._of_file, self._loaded, self._compiled)
        snapshot = replace(snapshot, revision=self.current.revision + 1)
        set_budgets(snapshot.budgets.values())
        self.current = snapshot
        _log.info("stored keys of revision %d in force: %d keys", stored.revision, len(stored.keys))

    def file_keys(self) -> Mapping[str, str]:
        return {key.name: write_key(key) for key in self._loaded.settings.keys}

    def check(self, settings_json: str) -> KeyTerms:
        key = read_key(settings_json)
        settings = self._loaded.settings
        if key.name.startswith("sk-"):
            raise SettingsRefused("`name` looks like a secret, and names are shown everywhere")
        if key.team is not None and key.team not in tenants_of(settings).teams:
            raise SettingsRefused("`team` is not configured, add it to the organizations of the file")
        classes = {one.name for one in settings.priority.classes}
        if not {key.priority.default, key.priority.max} <= {None, *classes}:
            raise SettingsRefused(f"`priority` names no class, use one of {', '.join(sorted(classes))}")
        return self.terms(settings_json)

    def terms(self, settings_json: str) -> KeyTerms:
        key = read_key(settings_json)
        return KeyTerms(name=key.name, expires_ns=key.expires, revoked=key.revoked)

    def limits(self, settings_json: str) -> Sequence[LimitFact]:
        return tuple(limits_of(read_key(settings_json), self._loaded.settings, self._loaded.tree))

    def _join(self, of_file: Snapshot, loaded: Loaded, compiled: _Compiled) -> Snapshot:
        """Add the stored keys to a file's; of two of one name or secret the file's holds. Unchanged ones are kept."""
        if not self._stored.keys:
            compiled.clear()
            return of_file
        tenants, mode = tenants_of(loaded.settings), loaded.settings.mode
        taken = {key.name for key in loaded.settings.keys}
        before = dict(compiled)
        compiled.clear()
        for stored in self._stored.keys:
            known = before.get(stored.name)
            if known is not None and known[0] == stored:
                compiled[stored.name] = known
                continue
            if stored.name in taken:
                _log.warning("the stored key %s is not in force: the file has a key of this name", stored.name)
                compiled[stored.name] = stored, ()
                continue
            try:
                compiled[stored.name] = stored, entries_of(stored, tenants, mode=mode)
            except SettingsRefused as exc:
                _log.error("the stored key %s is refused: %s", stored.name, exc)
                compiled[stored.name] = stored, ()
        entries = [entry for _, found in compiled.values() for entry in found]
        keys = {entry.sha256: entry for entry in entries} | dict(of_file.keys)
        budgets = all_budgets(tenants, [*of_file.keys.values(), *entries])
        return replace(of_file, keys=MappingProxyType(keys), budgets=budgets)

    def _compile(self, loaded: Loaded, *, revision: int) -> Snapshot:
        return compile_snapshot(
            loaded.settings,
            revision=revision,
            created_s=self._clock.wall_ns() // 1_000_000_000,
            catalogue=self._catalogue,
            fingerprint=loaded.fingerprint,
            tree=loaded.tree,
        )

    def _watched(self) -> tuple[Path, ...]:
        return tuple(self._sources.files())


def _stamps(files: tuple[Path, ...]) -> dict[Path, tuple[int, int]]:
    stamps = {}
    for file in files:
        try:
            found = file.stat()
        except OSError:
            continue
        stamps[file] = (found.st_mtime_ns, found.st_ino)
    return stamps
