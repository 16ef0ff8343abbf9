"""Write the rows of a group into the journal, and make the group again from what a dead process left there."""

from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import Final, cast

import msgspec

from router.adapters.sql.journal import HALF_BYTES, Journal, create_journal, read_journal
from router.adapters.sql.sqlite_commit import Group
from router.adapters.sql.sqlite_rows import Row
from router.adapters.sql.sqlite_store import StoreUnusable, latest_version
from router.domain.ids import CallId


class RecordKind(IntEnum):
    OPEN = 0
    SETTLED = 1
    EXTENDED = 2


_OPEN: Final = RecordKind.OPEN.value
_SETTLED: Final = RecordKind.SETTLED.value
_EXTENDED: Final = RecordKind.EXTENDED.value

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(tuple[RecordKind, tuple[int | str | None, ...]])

UNWRITABLE: Final = (OverflowError, UnicodeEncodeError)
"""What encoding raises for a row that no store could hold either."""


def open_record(row: Row) -> bytes:
    """Raises one of `UNWRITABLE`."""
    return _encoder.encode((_OPEN, row))


def settled_record(row: Row) -> bytes:
    """Raises one of `UNWRITABLE`."""
    return _encoder.encode((_SETTLED, row))


def extended_record(row: Row) -> bytes:
    """Raises one of `UNWRITABLE`."""
    return _encoder.encode((_EXTENDED, row))


def group_of(records: Iterable[bytes]) -> Group:
    """Replay records in their order."""
    group = Group()
    for record in records:
        kind, row = _decoder.decode(record)
        call_id = CallId(cast(int, row[0]))
        if kind is RecordKind.OPEN:
            group.open(call_id, row)
        elif kind is RecordKind.EXTENDED:
            group.extend(call_id, row)
        else:
            group.settle(call_id, row)
    return group


def left_behind(store: Path) -> Group:
    """Read what a process that was killed had promised. Raises OSError, or `StoreUnusable` for another schema's."""
    path = _journal_of(store)
    left = read_journal(path)
    if left.records and left.layout != latest_version():
        raise StoreUnusable(
            f"{path} holds rows of schema {left.layout}, this release writes {latest_version()}: "
            "start the release that was running once, and stop it"
        )
    return group_of(left.records)


def new_journal(store: Path | None) -> Journal:
    """Start the journal of a store, in memory for one in memory. Raises `StoreUnusable`."""
    path = None if store is None else _journal_of(store)
    try:
        return create_journal(path, layout=latest_version())
    except OSError as exc:
        raise StoreUnusable(
            f"{path} cannot be written: {exc.strerror}. Make room for {2 * HALF_BYTES >> 20} MiB or change store.url"
        ) from exc


def _journal_of(store: Path) -> Path:
    return store.with_name(store.name + ".journal")
