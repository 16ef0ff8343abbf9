"""Keep the tenants, budgets and top-ups that are made while the router runs, and what was changed by whom."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from router.domain.governance.budget import EACH
from router.ports.keys import AuditRow, Change

RECORDS_MAX: Final = 10_000
"""Records in the store, of all kinds together."""


class RecordKind(StrEnum):
    ORGANIZATION = "organization"
    TEAM = "team"
    """Its name is `organization/team`."""
    USER = "user"
    BUDGET = "budget"
    """One across tenants. The budget of a tenant or a key is part of its settings."""
    TOP_UP = "top_up"


class RecordExists(Exception):
    """There is a record of this kind and name in the store."""


class RecordChanged(Exception):
    """Somebody else changed or deleted the record since it was read."""


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    kind: RecordKind
    name: str
    settings_json: str
    """The configuration's section as it was sent; of a top-up, `TopUpTerms`."""
    created_ns: int
    updated_ns: int
    revision: int = 0
    """The store's revision that this record was written with; 0: not written yet."""


class StoredRecords(msgspec.Struct, frozen=True, kw_only=True):
    """All records of the store at one moment, by kind and name."""

    revision: int
    records: tuple[Record, ...] = ()


class TopUpTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of a top-up."""

    budget: str
    """The id of the budget."""
    amount: int
    """nano-USD, or whole ones of the budget's unit."""
    until_ns: int
    value: str = EACH
    """Whose account it is for; `*`: for each that the budget has."""
    reason: str = ""


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for. None: anything."""

    kind: str | None = None
    subject: str | None = None
    actor: str | None = None
    action: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    """Half open: rows before it."""
    before_id: int | None = None
    """Rows that are older than this one."""


class Records(Protocol):
    """Over the store of the keys, whose revision every change counts up. Every method raises `KeysUnavailable`."""

    async def read(self) -> StoredRecords: ...

    async def insert(self, record: Record, change: Change) -> Record:
        """Store a record and its audit row. Raises `RecordExists` and `StoreFull`."""
        ...

    async def replace(self, record: Record, change: Change) -> Record:
        """Store a new version of a record that has the revision it was read with. Raises `RecordChanged`."""
        ...

    async def delete(self, record: Record, change: Change) -> None:
        """Delete a record that has the revision it was read with; its audit rows stay. Raises `RecordChanged`."""
        ...

    async def audit(self, sought: AuditFilter, limit: int) -> Sequence[AuditRow]:
        """Return the latest changes of keys and records, newest first."""
        ...

    async def close(self) -> None: ...


class FiledRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A section of the configuration file, which nobody changes here."""

    settings_json: str
    place: str
    """`checkrein.yaml:12`."""


class RecordRules(Protocol):
    """The configuration in force, as far as tenants and budgets go."""

    def filed(self, kind: RecordKind) -> Mapping[str, FiledRecord]:
        """Return the file's sections of a kind by name."""
        ...

    def check_record(self, kind: RecordKind, settings_json: str) -> str:
        """Read what somebody wants to store and return its name. Raises `SettingsRefused`."""
        ...

    def name_of(self, kind: RecordKind, settings_json: str) -> str:
        """Read what is stored, which an earlier configuration let in. Raises `SettingsRefused`."""
        ...

    def budget_of(self, kind: RecordKind, settings_json: str) -> str | None:
        """Return the id of the budget that a section makes, if it makes one. Raises `SettingsRefused`."""
        ...

    def top_up_of(self, settings_json: str) -> TopUpTerms:
        """Read what is stored of a top-up. Raises `SettingsRefused`."""
        ...

    def needed_by(self, kind: RecordKind, name: str) -> str | None:
        """Name something that would be left without its tenant: a key in use, a team, a budget."""
        ...
