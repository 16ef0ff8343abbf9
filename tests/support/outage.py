"""Take the store away from a router that runs, as disks and other programs do, and give it back."""

import contextlib
import fcntl
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.process import Served

_LOCKS: Final = (120, 8)
"""Offset and count of the bytes of `-shm` by which SQLite's connections exclude each other: writers, readers, all."""
_WRITERS: Final = (120, 1)


@contextlib.contextmanager
def disk_full(router: Served, _: Path) -> Iterator[None]:
    """No file of the process grows, nor changes beyond its first byte: SQLite has a disk I/O error, logs are lost."""
    pid, most = router.process.pid, resource.RLIM_INFINITY
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, most))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))


@contextlib.contextmanager
def write_locked(_: Served, store: Path) -> Iterator[None]:
    """Another process writes and does not come to its end, as a backup tool that hangs: reading goes on."""
    with _locked(store, *_WRITERS):
        yield


@contextlib.contextmanager
def out_of_reach(_: Served, store: Path) -> Iterator[None]:
    """Nobody reads and nobody writes; SQLite tries for some 10 s, and then gives up."""
    with _locked(store, *_LOCKS):
        yield


@contextlib.contextmanager
def _locked(store: Path, offset: int, count: int) -> Iterator[None]:
    """Hold locks of SQLite's as another process. They end with any other file of the store that we close meanwhile."""
    descriptor = os.open(store.with_name(store.name + "-shm"), os.O_RDWR)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX, count, offset)
        yield
    finally:
        os.close(descriptor)
