"""Hold a ledger against its provider's own invoice, request by request: what is lost, doubled, over or under."""

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.fake_upstream import Request

RECOVERED = "recovered_held"


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Requests are told apart by the id that their caller gave them. Money in nano-USD."""

    invoice: int
    ledger: int
    held_at_kills: int
    """Reserved by calls that were open when the router was killed; posted in full, since nobody knows better."""
    lost: tuple[str, ...]
    """Billed, and without a row."""
    doubled: tuple[str, ...]
    """With more than one row."""
    wrong: tuple[str, ...]
    """Settled at another cost than billed; or recovered at less than billed, or not at what was held."""
    recovered: int
    open: int
    """Rows that are still open: none, when nothing runs."""

    @classmethod
    def of(cls, requests: Sequence[Request], store: Path) -> Self:
        billed = {request.headers["x-request-id"]: request.cost_nano_usd for request in requests}
        assert len(billed) == len(requests), "a request was sent twice"
        rows, still_open = _read(store)
        recovered = [row for row in rows if row["outcome"] == RECOVERED]
        counts = Counter(row["request_id"] for row in rows)
        return cls(
            invoice=sum(billed.values()),
            ledger=sum(row["cost_nano_usd"] or 0 for row in rows),
            held_at_kills=sum(row["hold_nano_usd"] for row in recovered),
            lost=tuple(sorted(billed.keys() - counts.keys())),
            doubled=tuple(sorted(name for name, count in counts.items() if count > 1)),
            wrong=tuple(row["request_id"] for row in rows if not _right(row, billed.get(row["request_id"], 0))),
            recovered=len(recovered),
            open=still_open,
        )

    @property
    def sound(self) -> bool:
        """No row and no money is lost, and nothing is charged beyond what was held when nobody could know better."""
        within = self.invoice <= self.ledger <= self.invoice + self.held_at_kills
        return within and not (self.lost or self.doubled or self.wrong or self.open)


def _right(row: sqlite3.Row, billed: int) -> bool:
    if row["outcome"] == RECOVERED:
        return bool(billed <= row["cost_nano_usd"] == row["hold_nano_usd"])
    return bool((row["cost_nano_usd"] or 0) == billed)


def _read(store: Path) -> tuple[list[sqlite3.Row], int]:
    with contextlib.closing(sqlite3.connect(store)) as database:
        database.row_factory = sqlite3.Row
        rows = database.execute("SELECT * FROM calls ORDER BY id").fetchall()
        return rows, database.execute("SELECT count(*) FROM open_calls").fetchone()[0]
