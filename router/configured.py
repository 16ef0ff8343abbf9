"""Hold the configuration in force: the file's, swapped whole or not at all, and beside it what is stored."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from router.collector import Undisturbed
from router.config import (
    ConfigInvalid,
    KeySettings,
    Loaded,
    Sources,
    Tenants,
    all_budgets,
    compile_key,
    compile_loaded,
    load,
    notices,
    restart_needed,
)
from router.domain.catalog import Snapshot
from router.domain.delegation import KeyGrants
from router.domain.governance.budget import Budget, BudgetId, ScopeKind
from router.domain.instants import NS_PER_S
from router.domain.pricing import Catalogues
from router.domain.principal import KeyEntry, Principal
from router.keybook import entries_of, grants_of, limits_of, place_of, read_key, write_key
from router.ports.clock import Clock
from router.ports.keys import Keys, KeyTerms, LimitFact, SettingsRefused, StoredKey
from router.ports.records import FiledRecord, Record, RecordKind, Records, TopUpTerms
from router.tenantbook import (
    Book,
    budget_of,
    check_references,
    needed_by,
    read_book,
    read_tenant,
    read_top_up,
    write_tenant,
)

_log = logging.getLogger(__name__)

UNSEEN_NS_MIN: Final = 2 * NS_PER_S
"""A look at the store comes twice a second; when none has succeeded for so long, it is out of reach."""

Follow = Callable[[Snapshot], Awaitable[None]]
"""Called with a new snapshot before it is in force; ValueError or OSError refuses it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """All that is stored, as of one revision."""

    revision: int
    keys: tuple[StoredKey, ...] = ()
    records: tuple[Record, ...] = ()


async def read_stored(keys: Keys, records: Records) -> Stored:
    """Read the keys and the tenants that they name. Raises `KeysUnavailable`."""
    found, beside = await keys.read(), await records.read()
    # Between the two somebody may have changed something: the earlier revision makes the next look read again.
    return Stored(revision=min(found.revision, beside.revision), keys=found.keys, records=beside.records)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compiled:
    """What was compiled with one file. Never changed: whoever joins it with what is stored makes another one."""

    book: Book
    of_file: tuple[KeyEntry, ...] | None = None
    """The file's keys with the tenants of the book; None: as the file alone has them."""
    keys: Mapping[str, tuple[StoredKey, tuple[KeyEntry, ...]]] = field(default_factory=dict)
    """The entries of stored keys by name, each with what it was compiled of. Bounded by the store."""

    def following(self, book: Book) -> "_Compiled":
        """Return it with other tenants, without the keys that have to be compiled again for them."""
        before, after = self.book.tenants, book.tenants
        if before == after:
            return replace(self, book=book)
        if before.key_budgets != after.key_budgets:
            return _Compiled(book=book)
        changed = _changed(before, after)
        keys = {
            name: (stored, entries)
            for name, (stored, entries) in self.keys.items()
            if not any(tenant in changed for entry in entries[:1] for tenant in _tenants_of(entry.principal))
        }
        return _Compiled(book=book, keys=keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Joined:
    """The file's configuration with what is stored."""

    snapshot: Snapshot
    compiled: _Compiled
    budgets: tuple[Budget, ...]
    """Those of the snapshot that are others than before, or new."""


def _tenants_of(principal: Principal) -> tuple[tuple[ScopeKind, str], ...]:
    return (
        (ScopeKind.USER, principal.user or ""),
        (ScopeKind.TEAM, f"{principal.organization}/{principal.team}"),
        (ScopeKind.ORGANIZATION, principal.organization or ""),
    )


def _changed(before: Tenants, after: Tenants) -> set[tuple[ScopeKind, str]]:
    """Name the tenants that differ."""
    pairs = (
        (ScopeKind.USER, before.users, after.users),
        (ScopeKind.TEAM, before.teams, after.teams),
        (ScopeKind.ORGANIZATION, before.organizations, after.organizations),
    )
    return {(kind, name) for kind, was, now in pairs for name in {*was, *now} if was.get(name) != now.get(name)}


class Configured:
    """The `Snapshots`, `KeyRules` and `RecordRules` ports, and what a reload or a change of the store changes."""

    def __init__(
        self, loaded: Loaded, *, sources: Sources, first_key: str, catalogues: Catalogues, clock: Clock
    ) -> None:
        """`first_key`: the admin key of a start without any configuration, kept until there is one."""
        self._sources = sources
        self._first_key = first_key
        self._catalogues = catalogues
        self._clock = clock
        self._loaded = loaded
        self._price_files = loaded.settings.prices.files
        self._stamps = _stamps(self._watched())
        self._stored = Stored(revision=-1)
        self._seen_at: int | None = None
        self._compiled = _Compiled(book=read_book(loaded.settings))
        self._taking = asyncio.Lock()
        self._undisturbed = Undisturbed()
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
            self._price_files = loaded.settings.prices.files
            self._stamps = _stamps(self._watched()) | self._stamps  # from before they are read
            of_file = self._compile(loaded, revision=self.current.revision + 1)
            while True:
                stored = self._stored
                compiled = _Compiled(book=read_book(loaded.settings))
                joined = await asyncio.to_thread(
                    self._undisturbed, _join, of_file, loaded, compiled, stored, self.current
                )
                snapshot = replace(joined.snapshot, revision=self.current.revision + 1)
                await follow(snapshot)
                if stored is self._stored:  # it may have changed while the upstreams followed
                    break
        except ConfigInvalid as exc:
            _log.error("reload refused: %s", "; ".join(str(problem) for problem in exc.problems))
            return
        except (ValueError, OSError) as exc:
            _log.error("reload refused: %s", exc)
            return
        self._loaded, self._of_file, self._compiled = loaded, of_file, joined.compiled
        self.current = snapshot
        _log.info("configuration revision %d in force (%s)", snapshot.revision, snapshot.fingerprint[:12])
        for notice in notices(loaded.settings):
            _log.warning(notice)

    def store_seen(self) -> None:
        """Note that the store could be looked at just now."""
        self._seen_at = self._clock.monotonic_ns()

    @property
    def store_unseen_ns(self) -> int:
        if self._seen_at is None:
            return 0
        unseen_ns = self._clock.monotonic_ns() - self._seen_at
        return unseen_ns if unseen_ns > UNSEEN_NS_MIN else 0

    @property
    def stored_revision(self) -> int:
        """The store's revision that is in force; -1 before the first."""
        return self._stored.revision

    async def take_stored(self, stored: Stored, set_budgets: Callable[[Iterable[Budget]], None]) -> None:
        """Put what is stored in force, its changed budgets first. Older than what is in force already, it is ignored.

        10,000 keys take a second to compile: another thread does it, and calls are served meanwhile as before.
        """
        async with self._taking:
            while stored.revision > self._stored.revision:
                of_file = self._of_file
                if not any(one.keys or one.records for one in (self._stored, stored)):
                    self._stored = stored
                    return
                joined = await asyncio.to_thread(
                    self._undisturbed, _join, of_file, self._loaded, self._compiled, stored, self.current
                )
                if of_file is not self._of_file:
                    continue  # a reload was quicker
                set_budgets(joined.budgets)
                before = [(self.current, self._compiled, self._stored)]
                self._stored, self._compiled = stored, joined.compiled
                self.current = replace(joined.snapshot, revision=self.current.revision + 1)
                counts = len(stored.keys), len(stored.records)
                _log.info("what is stored is in force, revision %d: %d keys, %d records", stored.revision, *counts)
                await asyncio.to_thread(_let_go, before)

    def file_keys(self) -> Mapping[str, str]:
        return {key.name: write_key(key) for key in self._loaded.settings.keys}

    def check(self, settings_json: str) -> KeyTerms:
        key = read_key(settings_json)
        settings = self._loaded.settings
        if key.name.startswith("sk-"):
            raise SettingsRefused("`name` looks like a secret, and names are shown everywhere", param="name")
        if key.team is not None and key.team not in self._book.teams:
            raise SettingsRefused("`team` is not there, make it first", param="team")
        classes = {one.name for one in settings.priority.classes}
        if not {key.priority.default, key.priority.max} <= {None, *classes}:
            fix = f"use one of {', '.join(sorted(classes))}"
            raise SettingsRefused(f"`priority` names no class, {fix}", param="priority")
        return self.terms(settings_json)

    def terms(self, settings_json: str) -> KeyTerms:
        key = read_key(settings_json)
        return KeyTerms(name=key.name, team=key.team, expires_ns=key.expires, revoked=key.revoked)

    def grants(self, settings_json: str) -> KeyGrants:
        return grants_of(read_key(settings_json), self._loaded.settings)

    def limits(self, settings_json: str) -> Sequence[LimitFact]:
        return tuple(limits_of(read_key(settings_json), self._book, self._loaded.settings, self._loaded.tree))

    def filed(self, kind: RecordKind) -> Mapping[str, FiledRecord]:
        tree = self._loaded.tree
        return {
            name: FiledRecord(settings_json=write_tenant(name, one.section), place=place_of(tree, one.path))
            for name, one in self._book.of(kind).items()
            if one.path is not None
        }

    def check_record(self, kind: RecordKind, settings_json: str) -> str:
        name, section = read_tenant(kind, settings_json)
        if name.startswith("sk-"):
            raise SettingsRefused("`name` looks like a secret, and names are shown everywhere", param="name")
        names = {*self.file_keys(), *(key.name for key in self._stored.keys)}
        check_references(section, name, self._book, names, lambda model: self.current.find_model(model) is not None)
        return name

    def name_of(self, kind: RecordKind, settings_json: str) -> str:
        return read_tenant(kind, settings_json)[0]

    def budget_of(self, kind: RecordKind, settings_json: str) -> str | None:
        return budget_of(kind, settings_json)

    def top_up_of(self, settings_json: str) -> TopUpTerms:
        return read_top_up(settings_json)

    def needed_by(self, kind: RecordKind, name: str) -> str | None:
        return needed_by(kind, name, self._book, [*self._loaded.settings.keys, *self._readable_keys()])

    @property
    def _book(self) -> Book:
        return self._compiled.book

    def _readable_keys(self) -> Iterator[KeySettings]:
        for stored in self._stored.keys:
            with suppress(SettingsRefused):
                yield read_key(stored.settings_json)

    def _compile(self, loaded: Loaded, *, revision: int) -> Snapshot:
        created_s = self._clock.wall_ns() // 1_000_000_000
        return compile_loaded(loaded, revision=revision, created_s=created_s, catalogues=self._catalogues)

    def _watched(self) -> tuple[Path, ...]:
        return (*self._sources.files(), *map(Path, self._price_files))


def _stamps(files: tuple[Path, ...]) -> dict[Path, tuple[int, int]]:
    stamps = {}
    for file in files:
        try:
            found = file.stat()
        except OSError:
            continue
        stamps[file] = (found.st_mtime_ns, found.st_ino)
    return stamps


def _join(of_file: Snapshot, loaded: Loaded, compiled: _Compiled, stored: Stored, before: Snapshot) -> _Joined:
    """Add what is stored to the file's; of two of one name or secret the file's holds. What is unchanged is kept.

    May be called on any thread. `before` is what is in force.
    """
    compiled = compiled.following(read_book(loaded.settings, stored.records))
    tenants = compiled.book.tenants
    if not (stored.keys or stored.records):
        return _Joined(
            snapshot=of_file, compiled=_Compiled(book=compiled.book), budgets=_other_budgets(of_file, before)
        )
    keys = dict(_compiled_keys(stored.keys, loaded, compiled))
    files = compiled.of_file
    if files is None:
        files = tuple(compile_key(key, tenants, mode=loaded.settings.mode) for key in loaded.settings.keys)
    entries = [*(entry for _, compiled_ in keys.values() for entry in compiled_), *files]
    budgets = dict(all_budgets(tenants, entries))
    for named, top_ups in compiled.book.top_ups.items():
        budget = budgets.get(BudgetId(named))
        if budget is not None:
            budgets[budget.id] = replace(budget, top_ups=top_ups)
    snapshot = replace(
        of_file,
        keys=MappingProxyType({entry.sha256: entry for entry in entries}),
        users=tenants.users,
        budgets=MappingProxyType(budgets),
        tree_budgets=tenants.tree_budgets,
    )
    compiled = _Compiled(book=compiled.book, of_file=files, keys=MappingProxyType(keys))
    return _Joined(snapshot=snapshot, compiled=compiled, budgets=_other_budgets(snapshot, before))


def _let_go(of: list[tuple[Snapshot, _Compiled, Stored]]) -> None:
    """Free the keys of what is not in force any more one by one: 10,000 at once hold every thread up for 20 ms.

    `of` has the last reference, unless a call that is under way keeps it.
    """
    snapshot, compiled, stored = of.pop()
    held = [*stored.keys, *snapshot.keys.values(), *snapshot.budgets.values(), *compiled.keys.values()]
    del snapshot, compiled, stored
    while held:
        held.pop()


def _other_budgets(after: Snapshot, before: Snapshot) -> tuple[Budget, ...]:
    return tuple([budget for budget in after.budgets.values() if before.budgets.get(budget.id) != budget])


def _compiled_keys(
    keys: Iterable[StoredKey], loaded: Loaded, compiled: _Compiled
) -> Iterator[tuple[str, tuple[StoredKey, tuple[KeyEntry, ...]]]]:
    """Yield the stored keys by name, each with the entries of its secrets; one that is not good has none."""
    taken = {key.name for key in loaded.settings.keys}
    for stored in keys:
        known = compiled.keys.get(stored.name)
        if known is not None and known[0] == stored:
            yield stored.name, known
            continue
        entries: tuple[KeyEntry, ...] = ()
        try:
            if stored.name in taken:
                _log.warning("the stored key %s is not in force: the file has a key of this name", stored.name)
            else:
                entries = entries_of(stored, compiled.book.tenants, mode=loaded.settings.mode)
        except SettingsRefused as exc:
            _log.error("the stored key %s is refused: %s", stored.name, exc)
        yield stored.name, (stored, entries)
