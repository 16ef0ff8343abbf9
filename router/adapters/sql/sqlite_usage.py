"""Add up what calls used: whole blocks and days as the fold summed them, by row what a moment cuts and what is latest.

A statement is put together from the fixed texts of this module; values enter as parameters only.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from router.adapters.sql.sqlite_statements import BLOCK_DAYS, DAY_NS
from router.adapters.sql.sqlite_store import roll_back
from router.domain.settlement import tag_values
from router.ports.usage import UsageGroup, UsageQuery, UsageReport, UsageTotal

_INTEGER_MAX: Final = (1 << 63) - 1

_OF_DAYS: Final[Mapping[UsageGroup, str]] = {
    "key": "key_id",
    "team": "CASE WHEN team = '' OR organization = '' THEN team ELSE organization || '/' || team END",
    "organization": "organization",
    "user": "user",
    "agent": "agent",
    "model": "asked_model",
    "deployment": "served_deployment",
    "tag": "tags",
    "day": "day",
}
_OF_ROWS: Final[Mapping[UsageGroup, str]] = {
    "key": "key_id",
    "team": "COALESCE(organization || '/' || team, team, '')",
    "organization": "COALESCE(organization, '')",
    "user": "COALESCE(user, '')",
    "agent": "COALESCE(agent, '')",
    "workflow": "COALESCE(workflow_id, '')",
    "model": "asked_model",
    "deployment": "COALESCE(served_deployment, '')",
    "tag": "COALESCE(tags, '')",
    "day": f"started_ns / {DAY_NS}",
}
_FILTERS: Final = {
    "key": "key_id = :key",
    "team": "(team = :team OR organization || '/' || team = :team)",
    "agent": "agent = :agent",
    "workflow": "workflow_id = :workflow",
    "model": "asked_model = :model",
}
_SHOWN: Final[Mapping[str, str]] = {"tag": "each_tag.value", "day": "date({} * 86400, 'unixepoch')"}

_DAY_SUMS: Final = """
    SUM(calls) AS n, SUM(failed_calls) AS failed, SUM(input_tokens) AS input, SUM(cached_input_tokens) AS cached,
    SUM(output_tokens) AS output, SUM(reasoning_tokens) AS reasoning, SUM(cost_nano_usd) AS cost,
    SUM(unpriced_calls) AS unpriced
"""
_ROW_SUMS: Final = """
    COUNT(*) AS n, SUM(outcome NOT IN ('completed', 'client_cancelled')) AS failed, SUM(input_tokens) AS input,
    SUM(cached_input_tokens) AS cached, SUM(output_tokens) AS output, SUM(reasoning_tokens) AS reasoning,
    SUM(COALESCE(cost_nano_usd, 0)) AS cost, SUM(cost_nano_usd IS NULL) AS unpriced
"""
_TOTALS: Final = """
    SUM(n), SUM(failed), SUM(input), SUM(cached), SUM(output), SUM(reasoning), SUM(cost) AS cost, SUM(unpriced)
"""

_WHOLE_DAYS: Final = "day >= :first_day AND day < :last_day"
_WHOLE_BLOCKS: Final = f"block >= :blocks_since / {BLOCK_DAYS} AND block < :blocks_until / {BLOCK_DAYS}"
_DAYS_BEFORE: Final = "day >= :first_day AND day < :blocks_since"
_DAYS_AFTER: Final = "day >= :blocks_until AND day < :last_day"
_ALL_ROWS: Final = "started_ns >= :since AND started_ns < :until"
_LATEST_ROWS: Final = f"id > (SELECT up_to FROM usage_folded) AND {_ALL_ROWS}"
_CUT_ROWS: Final = """
    id >= (SELECT first_id FROM usage_spans WHERE day = :{name})
    AND id <= (SELECT last_id FROM usage_spans WHERE day = :{name})
    AND started_ns >= :{name}_since AND started_ns < :{name}_until
"""
_DELETED: Final = "SELECT 1 FROM usage_spans WHERE deleted AND day >= ? AND day <= ? LIMIT 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The part of a day that is asked for. Unix nanoseconds."""

    day: int
    since_ns: int
    until_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A stretch of time as whole UTC days, `last_day` not included, and the days that it cuts."""

    first_day: int
    last_day: int
    cuts: tuple[Cut, ...]

    def in_blocks(self) -> tuple[int, int]:
        """Tell the first of the days that are in whole blocks and the one after the last; the same if none is."""
        since, until = -(-self.first_day // BLOCK_DAYS) * BLOCK_DAYS, self.last_day // BLOCK_DAYS * BLOCK_DAYS
        return (since, until) if since < until else (self.first_day, self.first_day)


def split(since_ns: int, until_ns: int) -> Split:
    """Split from `since_ns` to before `until_ns`."""
    first_day, last_day = -(-since_ns // DAY_NS), until_ns // DAY_NS
    if first_day > last_day:  # both moments are within one day
        return Split(first_day=0, last_day=0, cuts=(Cut(day=last_day, since_ns=since_ns, until_ns=until_ns),))
    cuts = []
    if since_ns % DAY_NS:
        cuts.append(Cut(day=first_day - 1, since_ns=since_ns, until_ns=first_day * DAY_NS))
    if until_ns % DAY_NS:
        cuts.append(Cut(day=last_day, since_ns=last_day * DAY_NS, until_ns=until_ns))
    return Split(first_day=first_day, last_day=last_day, cuts=tuple(cuts))


def read_usage_report(connection: sqlite3.Connection, asked: UsageQuery) -> UsageReport:
    """Raises `sqlite3.Error`."""
    since_ns, until_ns = asked.since_ns or 0, _INTEGER_MAX if asked.until_ns is None else asked.until_ns
    if until_ns <= since_ns:
        return UsageReport(totals=(), truncated=False, partial=False)
    parts = split(since_ns, until_ns)
    by_row = "workflow" in asked.by or asked.workflow is not None
    cuts = {} if by_row else {f"cut{number}": cut for number, cut in enumerate(parts.cuts)}
    filters = msgspec.structs.asdict(asked)
    values: dict[str, int | str] = {name: filters[name] for name in _FILTERS if filters[name] is not None}
    values |= {"first_day": parts.first_day, "last_day": parts.last_day, "since": since_ns, "until": until_ns}
    values["blocks_since"], values["blocks_until"] = parts.in_blocks()
    for name, cut in cuts.items():
        values |= {name: cut.day, f"{name}_since": cut.since_ns, f"{name}_until": cut.until_ns}
    values["limit"] = asked.limit + 1
    text = _statement(asked, by_row=by_row, cuts=cuts)
    connection.create_function("tag_list", 1, _tag_list, deterministic=True)
    connection.execute("BEGIN")  # what is added up and what was deleted are of one moment
    try:
        rows = connection.execute(text, values).fetchall()
        wanted = (
            [(since_ns // DAY_NS, (until_ns - 1) // DAY_NS)] if by_row else [(cut.day,) * 2 for cut in cuts.values()]
        )
        partial = any(connection.execute(_DELETED, days).fetchone() is not None for days in wanted)
    finally:
        roll_back(connection)
    width = len(asked.by)
    totals = [
        UsageTotal(group=row[:width], **dict(zip(UsageTotal.__struct_fields__[1:], row[width:], strict=True)))
        for row in rows[: asked.limit]
    ]
    return UsageReport(totals=tuple(totals), truncated=len(rows) > asked.limit, partial=partial)


def _statement(asked: UsageQuery, *, by_row: bool, cuts: Mapping[str, Cut]) -> str:
    names = [f"g{place}" for place in range(len(asked.by))]
    shown = [_SHOWN.get(group, "{}").format(name) for group, name in zip(asked.by, names, strict=True)]
    groups = ", ".join(str(place) for place in range(1, len(names) + 1))
    tags = f", json_each(tag_list({names[asked.by.index('tag')]})) AS each_tag" if "tag" in asked.by else ""
    arms = " UNION ALL ".join(_arms(asked, by_row=by_row, cuts=cuts))
    return (
        f"SELECT {', '.join(shown)}, {_TOTALS} FROM ({arms}){tags} "
        f"GROUP BY {groups} ORDER BY cost DESC, {groups} LIMIT :limit"
    )


def _arms(asked: UsageQuery, *, by_row: bool, cuts: Mapping[str, Cut]) -> Iterator[str]:
    filters = msgspec.structs.asdict(asked)
    having = "".join(f" AND {text}" for name, text in _FILTERS.items() if filters[name] is not None)
    groups = ", ".join(str(place) for place in range(1, len(asked.by) + 1))

    def arm(table: str, texts: Mapping[UsageGroup, str], sums: str, where: str) -> str:
        columns = ", ".join(f"{texts[group]} AS g{place}" for place, group in enumerate(asked.by))
        return f"SELECT {columns}, {sums} FROM {table} WHERE {where}{having} GROUP BY {groups}"

    if by_row:
        yield arm("calls", _OF_ROWS, _ROW_SUMS, _ALL_ROWS)
        return
    if "day" in asked.by:
        yield arm("usage_days", _OF_DAYS, _DAY_SUMS, _WHOLE_DAYS)
    else:
        yield arm("usage_blocks", _OF_DAYS, _DAY_SUMS, _WHOLE_BLOCKS)
        yield arm("usage_days", _OF_DAYS, _DAY_SUMS, _DAYS_BEFORE)
        yield arm("usage_days", _OF_DAYS, _DAY_SUMS, _DAYS_AFTER)
    yield arm("calls", _OF_ROWS, _ROW_SUMS, _LATEST_ROWS)
    for name in cuts:
        yield arm("calls", _OF_ROWS, _ROW_SUMS, _CUT_ROWS.format(name=name))


def _tag_list(tags: str) -> str:
    """Give SQL each tag of a call, or '' for one without any."""
    return msgspec.json.encode(tag_values(tags) or [""]).decode()
