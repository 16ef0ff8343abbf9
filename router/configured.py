"""Hold the configuration in force, and swap it whole for the next one or not at all."""

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from router.config import ConfigInvalid, Loaded, Sources, compile_snapshot, load, notices, restart_needed
from router.domain.catalog import Snapshot
from router.domain.pricing import Catalogue
from router.ports.clock import Clock

_log = logging.getLogger(__name__)

Follow = Callable[[Snapshot], Awaitable[None]]
"""Called with a new snapshot before it is in force; ValueError or OSError refuses it."""


class Configured:
    """The `Snapshots` port, and what a reload changes."""

    def __init__(self, loaded: Loaded, *, sources: Sources, first_key: str, catalogue: Catalogue, clock: Clock) -> None:
        """`first_key`: the admin key of a start without any configuration, kept until there is one."""
        self._sources = sources
        self._first_key = first_key
        self._catalogue = catalogue
        self._clock = clock
        self._loaded = loaded
        self._stamps = _stamps(self._watched())
        self.current: Snapshot = self._compile(loaded, revision=1)

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
            snapshot = self._compile(loaded, revision=self.current.revision + 1)
            await follow(snapshot)
        except ConfigInvalid as exc:
            _log.error("reload refused: %s", "; ".join(str(problem) for problem in exc.problems))
            return
        except (ValueError, OSError) as exc:
            _log.error("reload refused: %s", exc)
            return
        self._loaded = loaded
        self.current = snapshot
        _log.info("configuration revision %d in force (%s)", snapshot.revision, snapshot.fingerprint[:12])
        for notice in notices(loaded.settings):
            _log.warning(notice)

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
