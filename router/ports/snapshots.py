"""Hand out the configuration in force. A call takes it once and keeps it to its end."""

from typing import Protocol

from router.domain.catalog import Snapshot


class Snapshots(Protocol):
    @property
    def current(self) -> Snapshot: ...

    @property
    def store_unseen_ns(self) -> int:
        """For how long nobody could look at the store of the keys; 0 while all is well."""
        ...
