"""Write a report of usage for programs, as JSON or as CSV: the same members, in the same order."""

import csv
import io
from collections.abc import Sequence
from typing import Final

import msgspec

from router.domain.money import NanoUsd, format_usd
from router.ports.usage import UsageGroup, UsageReport, UsageTotal

SUMS: Final = UsageTotal.__struct_fields__[1:]
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def usage_json(by: Sequence[UsageGroup], report: UsageReport) -> bytes:
    """Write a list of groups; a value that calls do not have is null."""
    data = [
        {
            "object": "usage",
            "group": {name: value or None for name, value in zip(by, total.group, strict=True)},
            **{name: getattr(total, name) for name in SUMS},
        }
        for total in report.totals
    ]
    return msgspec.json.encode(
        {"object": "list", "data": data, "truncated": report.truncated, "partial": report.partial}
    )


def usage_csv(by: Sequence[UsageGroup], report: UsageReport) -> str:
    """Write RFC 4180 with a heading; what a spreadsheet would take for a formula gets an apostrophe."""
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow([*by, *SUMS, "cost_usd"])
    for total in report.totals:
        values = [f"'{value}" if value.startswith(_FORMULA) else value for value in total.group]
        sums = [getattr(total, name) for name in SUMS]
        rows.writerow([*values, *sums, format_usd(NanoUsd(total.cost_nano_usd))])
    return text.getvalue()
