"""The `checkrein report` command: what would have been refused, had keys and limits not only been observed."""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from router.domain.money import NanoUsd, format_usd
from router.ports.observed import ObservedGroup, ObservedTotal

_GROUPS: Final[tuple[ObservedGroup, ...]] = ("reason", "agent", "key")
_SINCE: Final = "7d"
_HEADINGS: Final = ("calls", "cost USD", "unpriced")
_EXIT_FAILED: Final = 1
_EXIT_CONFIG: Final = 2


def add_report(parser: argparse.ArgumentParser) -> None:
    """Add the options to the command's parser."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file, above all other layers")
    parser.add_argument("--since", default=_SINCE, help=f"how far back, such as 24h or 30d ({_SINCE})")
    parser.set_defaults(run=_report)


def render_report(tables: Iterable[tuple[ObservedGroup, Sequence[ObservedTotal]]], since: str) -> str:
    """Write one table a grouping, dearest first, each with its total; one sentence when nothing was let pass."""
    shown = [(group, totals) for group, totals in tables if totals]
    if not shown:
        return f"Nothing would have been refused in the last {since}."
    heading = f"Would have been refused in the last {since}, and was served because it is only observed:"
    return "\n".join([heading, *(line for group, totals in shown for line in ("", *_table(group, totals)))])


def _table(group: ObservedGroup, totals: Sequence[ObservedTotal]) -> list[str]:
    summed = ObservedTotal(
        group="total",
        calls=sum(total.calls for total in totals),
        cost_nano_usd=sum(total.cost_nano_usd for total in totals),
        unpriced_calls=sum(total.unpriced_calls for total in totals),
    )
    rows = [(f"by {group}", *_HEADINGS), *map(_cells, totals), _cells(summed)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


def _cells(total: ObservedTotal) -> tuple[str, ...]:
    return (
        total.group or "-",
        str(total.calls),
        format_usd(NanoUsd(total.cost_nano_usd)),
        str(total.unpriced_calls),
    )


def _report(options: argparse.Namespace) -> int:
    import asyncio

    from router.config import Sources, load
    from router.domain.instants import parse_duration_ns
    from router.ports.ledger import LedgerUnavailable

    try:
        span_ns = parse_duration_ns(options.since)
    except ValueError as exc:
        sys.stderr.write(f"--since: {exc}\n")
        return _EXIT_CONFIG
    url = load(Sources.of_process(os.environ, explicit=options.config), new_admin_key="never-used").settings.store.url
    try:
        tables = asyncio.run(_read(url, span_ns))
    except (LedgerUnavailable, ValueError) as exc:
        sys.stderr.write(f"{exc}\n")
        return _EXIT_FAILED
    sys.stdout.write(f"{render_report(tables, options.since)}\n")
    return 0


async def _read(url: str, span_ns: int) -> list[tuple[ObservedGroup, Sequence[ObservedTotal]]]:
    """Read what observing let pass within the last `span_ns`, beside a server that may be writing it."""
    from router.adapters.clock_system import SystemClock
    from router.adapters.sql.sqlite_reader import open_sqlite_reader

    since_ns = SystemClock().wall_ns() - span_ns
    async with await open_sqlite_reader(url) as reader:
        return [(group, await reader.observed(group, since_ns)) for group in _GROUPS]
