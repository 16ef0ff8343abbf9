"""Print what was used and what it cost, as a person reads it."""

from collections.abc import Iterable, Sequence

from router.domain.money import NanoUsd, format_usd
from router.ports.ledger import UsageGroup, UsageTotal

_HEADINGS = ("calls", "failed", "input", "cached", "output", "cost USD", "unpriced")


def render_usage(tables: Iterable[tuple[UsageGroup, Sequence[UsageTotal]]]) -> str:
    """Write one table a grouping, dearest first, each with its total."""
    return "\n".join(line for group, totals in tables for line in _table(group, totals))


def _table(group: UsageGroup, totals: Sequence[UsageTotal]) -> list[str]:
    rows = [(total.group or "-", *_cells(total)) for total in totals]
    rows.append(("total", *_cells(_sum(totals))))
    heading = (f"by {group}", *_HEADINGS)
    widths = [max(len(row[column]) for row in (heading, *rows)) for column in range(len(heading))]
    return [_line(row, widths) for row in (heading, *rows)] + [""]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers = row
    return "  ".join(
        [name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True))]
    )


def _cells(total: UsageTotal) -> tuple[str, ...]:
    return (
        str(total.calls),
        str(total.failed_calls),
        str(total.input_tokens),
        str(total.cached_input_tokens),
        str(total.output_tokens),
        format_usd(NanoUsd(total.cost_nano_usd)),
        str(total.unpriced_calls),
    )


def _sum(totals: Sequence[UsageTotal]) -> UsageTotal:
    return UsageTotal(
        group="total",
        calls=sum(total.calls for total in totals),
        failed_calls=sum(total.failed_calls for total in totals),
        input_tokens=sum(total.input_tokens for total in totals),
        cached_input_tokens=sum(total.cached_input_tokens for total in totals),
        output_tokens=sum(total.output_tokens for total in totals),
        cost_nano_usd=sum(total.cost_nano_usd for total in totals),
        unpriced_calls=sum(total.unpriced_calls for total in totals),
    )
