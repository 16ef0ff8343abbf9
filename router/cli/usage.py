"""The `checkrein usage` command: what was used and what it cost, read beside a running server or without one."""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from router.domain.money import NanoUsd, format_usd
from router.ports.usage import USAGE_GROUPS, UsageGroup, UsageQuery, UsageReport, UsageTotal

_TABLES: Final[tuple[tuple[UsageGroup, ...], ...]] = (("key",), ("model",), ("agent",))
"""What is printed for people who say nothing."""
_SINCE: Final = "30d"
_HEADINGS: Final = ("calls", "failed", "input", "cached", "output", "reasoning", "cost USD", "unpriced")
_EXIT_FAILED: Final = 1
_EXIT_CONFIG: Final = 2

Table = tuple[tuple[UsageGroup, ...], UsageReport]


def add_usage(parser: argparse.ArgumentParser) -> None:
    """Add the options to the command's parser."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file, above all other layers")
    parser.add_argument("--by", metavar="GROUPS", help=f"such as key,model; up to three of {', '.join(USAGE_GROUPS)}")
    parser.add_argument("--since", default=_SINCE, help=f"how far back, such as 24h or 30d ({_SINCE})")
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table", help="for people or programs")
    parser.set_defaults(run=_usage)


def render_usage(tables: Iterable[Table]) -> str:
    """Write one table a grouping, dearest first, each with its total."""
    return "\n".join(line for by, report in tables for line in _table(by, report))


def _table(by: Sequence[UsageGroup], report: UsageReport) -> list[str]:
    rows = [(*(value or "-" for value in total.group), *_cells(total)) for total in report.totals]
    if "tag" not in by:  # a call with two tags is in two rows
        rows.append(("total", *[""] * (len(by) - 1), *_cells(_sum(report.totals))))
    heading = (f"by {by[0]}", *by[1:], *_HEADINGS)
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
    return [_line(row, widths, names=len(by)) for row in (heading, *rows)] + [""]


def _line(row: Sequence[str], widths: Sequence[int], *, names: int) -> str:
    cells = list(zip(row, widths, strict=True))
    return "  ".join(
        [*(cell.ljust(width) for cell, width in cells[:names]), *(cell.rjust(width) for cell, width in cells[names:])]
    )


def _cells(total: UsageTotal) -> tuple[str, ...]:
    return (
        str(total.calls),
        str(total.failed_calls),
        str(total.input_tokens),
        str(total.cached_input_tokens),
        str(total.output_tokens),
        str(total.reasoning_tokens),
        format_usd(NanoUsd(total.cost_nano_usd)),
        str(total.unpriced_calls),
    )


def _sum(totals: Sequence[UsageTotal]) -> UsageTotal:
    names = UsageTotal.__struct_fields__[1:]
    return UsageTotal(group=("total",), **{name: sum(getattr(total, name) for total in totals) for name in names})


def _usage(options: argparse.Namespace) -> int:
    import asyncio

    from router.admin.usage import groupings
    from router.config import Sources, load
    from router.domain.instants import parse_duration_ns
    from router.ports.ledger import LedgerUnavailable

    try:
        span_ns = parse_duration_ns(options.since)
    except ValueError as exc:
        return _complain(f"--since: {exc}", _EXIT_CONFIG)
    try:
        tables = _tables(options.format) if options.by is None else (groupings([options.by]),)
    except ValueError as exc:
        return _complain(f"--by: {exc}", _EXIT_CONFIG)
    url = load(Sources.of_process(os.environ, explicit=options.config), new_admin_key="never-used").settings.store.url
    try:
        reports = asyncio.run(_read(url, tables, span_ns))
    except (LedgerUnavailable, ValueError) as exc:
        return _complain(str(exc), _EXIT_FAILED)
    _print(list(zip(tables, reports, strict=True)), options.format)
    return 0


async def _read(url: str, tables: Sequence[tuple[UsageGroup, ...]], span_ns: int) -> list[UsageReport]:
    """Add up the last `span_ns` by each grouping, beside a server that may be writing the ledger."""
    from router.adapters.clock_system import SystemClock
    from router.adapters.sql.sqlite_reader import open_sqlite_reader

    since_ns = max(SystemClock().wall_ns() - span_ns, 0)
    async with await open_sqlite_reader(url) as reader:
        return [await reader.usage(UsageQuery(by=by, since_ns=since_ns)) for by in tables]


def _tables(form: str) -> tuple[tuple[UsageGroup, ...], ...]:
    """Choose what is printed when nobody says: a program gets one table."""
    return _TABLES if form == "table" else _TABLES[:1]


def _print(tables: Sequence[Table], form: str) -> None:
    from router.admin.usage_text import usage_csv, usage_json

    if any(report.truncated for _, report in tables):
        _complain("not all groups are here: there are more than fit; choose fewer with --by or --since", 0)
    if any(report.partial for _, report in tables):
        _complain("rows that this needs were deleted (retention.ledger): it counts those that are left", 0)
    if form == "table":
        sys.stdout.write(f"{render_usage(tables)}\n")
    for by, report in tables if form != "table" else ():
        sys.stdout.write(usage_csv(by, report) if form == "csv" else f"{usage_json(by, report).decode()}\n")


def _complain(line: str, status: int) -> int:
    sys.stderr.write(f"{line}\n")
    return status
