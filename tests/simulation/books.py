"""Audit the rows of a store with another connection: what SQLite has, whatever the router believes."""

import json
import sqlite3
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.model import Place, law


@dataclass(frozen=True, slots=True)
class Row:
    """A settled call."""

    name: str
    outcome: str
    cost: int | None
    hold: int


def read_rows(path: Path) -> dict[int, Row]:
    found = _read(path, "SELECT id, request_id, outcome, cost_nano_usd, hold_nano_usd FROM calls")
    rows = {call_id: Row(*rest) for call_id, *rest in found}
    names = Counter(row.name for row in rows.values())
    law(all(count == 1 for count in names.values()), f"rows are doubled: {names}")
    return rows


def check_balances(path: Path) -> None:
    """Every balance is the sum of what its rows say they spent there, to the nano-USD."""
    spent: Counter[Place] = Counter()
    for booked, amounts in _read(path, "SELECT booked, spent FROM calls WHERE booked IS NOT NULL"):
        values = json.loads(amounts)
        for budget, value, start_ns, member in json.loads(booked):
            spent[budget, value, start_ns] += values[member]
    balances = {
        (*place,): posted for *place, posted in _read(path, "SELECT budget, value, start_ns, posted FROM balances")
    }
    wanted = {place: amount for place, amount in spent.items() if amount}
    kept = {place: posted for place, posted in balances.items() if posted}
    law(wanted == kept, f"rows say {sorted(wanted.items())}, balances {sorted(kept.items())}")


def open_ids(path: Path) -> list[int]:
    return [call_id for (call_id,) in _read(path, "SELECT id FROM open_calls")]


def _read(path: Path, statement: str) -> list[tuple]:  # type: ignore[type-arg] # whatever the columns are
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()
