"""Records in memory, rules without a configuration behind them, and a record to store."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from router.ports.keys import AuditRow, Change, KeysUnavailable, SettingsRefused, StoreFull
from router.ports.records import (
    RECORDS_MAX,
    AuditFilter,
    FiledRecord,
    Record,
    RecordChanged,
    RecordExists,
    RecordKind,
    StoredRecords,
    TopUpTerms,
)
from tests.support.keys import NOW_NS


class MemoryRecords:
    """Passes the port's contract suite. Out of reach while `broken`."""

    def __init__(self) -> None:
        self.broken = False
        self.rows: dict[tuple[RecordKind, str], Record] = {}
        self.changes: list[AuditRow] = []
        self._revision = 0

    async def read(self) -> StoredRecords:
        self._reach()
        return StoredRecords(revision=self._revision, records=tuple(self.rows[key] for key in sorted(self.rows)))

    async def insert(self, record: Record, change: Change) -> Record:
        self._reach()
        if len(self.rows) >= RECORDS_MAX:
            raise StoreFull
        if (record.kind, record.name) in self.rows:
            raise RecordExists(record.name)
        return self._write(record, change)

    async def replace(self, record: Record, change: Change) -> Record:
        self._reach()
        self._require_same(record)
        return self._write(record, change)

    async def delete(self, record: Record, change: Change) -> None:
        self._reach()
        self._require_same(record)
        self._write(record, change)
        del self.rows[record.kind, record.name]

    async def audit(self, sought: AuditFilter, limit: int) -> Sequence[AuditRow]:
        self._reach()
        wanted = (
            (sought.kind, lambda row: row.kind),
            (sought.subject, lambda row: row.subject),
            (sought.actor, lambda row: row.change.actor),
            (sought.action, lambda row: row.change.action),
        )
        found = [
            row
            for row in reversed(self.changes)
            if all(value is None or value == of(row) for value, of in wanted)
            and (sought.since_ns is None or row.change.at_ns >= sought.since_ns)
            and (sought.until_ns is None or row.change.at_ns < sought.until_ns)
            and (sought.before_id is None or row.id < sought.before_id)
        ]
        return found[:limit]

    async def close(self) -> None:
        self.broken = True

    def _reach(self) -> None:
        if self.broken:
            raise KeysUnavailable("broken by the test at /secret/place")

    def _require_same(self, record: Record) -> None:
        known = self.rows.get((record.kind, record.name))
        if known is None or known.revision != record.revision:
            raise RecordChanged(record.name)

    def _write(self, record: Record, change: Change) -> Record:
        self._revision += 1
        written = msgspec.structs.replace(record, revision=self._revision)
        self.rows[record.kind, record.name] = written
        number = len(self.changes) + 1
        row = AuditRow(id=number, kind=record.kind, subject=record.name, revision=self._revision, change=change)
        self.changes.append(row)
        return written


class PlainRecordRules:
    """Takes every object with a name for a section; one with a `budget` makes the budget of that id."""

    def __init__(self, **of_file: str) -> None:
        self.of_file = {name: FiledRecord(settings_json=text, place="f.yaml:3") for name, text in of_file.items()}
        self.needs: Callable[[RecordKind, str], str | None] = lambda _kind, _name: None

    def filed(self, kind: RecordKind) -> Mapping[str, FiledRecord]:
        return self.of_file

    def check_record(self, kind: RecordKind, settings_json: str) -> str:
        return self.name_of(kind, settings_json)

    def name_of(self, kind: RecordKind, settings_json: str) -> str:
        name = self._read(settings_json).get("name")
        if not isinstance(name, str):
            raise SettingsRefused("`name` is missing", param="name")
        return name

    def budget_of(self, kind: RecordKind, settings_json: str) -> str | None:
        budget = self._read(settings_json).get("budget")
        return None if budget is None else str(budget)

    def top_up_of(self, settings_json: str) -> TopUpTerms:
        try:
            return msgspec.json.decode(settings_json, type=TopUpTerms)
        except msgspec.DecodeError:
            raise SettingsRefused("no top-up") from None

    def needed_by(self, kind: RecordKind, name: str) -> str | None:
        return self.needs(kind, name)

    def _read(self, settings_json: str) -> dict[str, object]:
        try:
            return msgspec.json.decode(settings_json, type=dict[str, object])
        except msgspec.DecodeError:
            raise SettingsRefused("no JSON") from None


def record(name: str = "acme", kind: RecordKind = RecordKind.ORGANIZATION, **members: object) -> Record:
    """A record as it is stored; `members` are settings besides its name."""
    return Record(
        kind=kind,
        name=name,
        settings_json=msgspec.json.encode({"name": name, **members}).decode(),
        created_ns=NOW_NS,
        updated_ns=NOW_NS,
    )
