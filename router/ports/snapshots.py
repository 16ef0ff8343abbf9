"""Hand out the configuration in force. A call takes it once and keeps it to its end."""

from typing import Protocol

from router.domain.catalog import Snapshot


class Snapshots(Protocol):
    @property
    def current(self) -> Snapshot: ...
