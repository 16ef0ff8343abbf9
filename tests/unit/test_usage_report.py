"""The table that a person reads: aligned, with a total, and a name for calls without one."""

from router.ports.ledger import UsageTotal
from router.usage_report import render_usage


def total(group: str, calls: int, cost: int) -> UsageTotal:
    return UsageTotal(
        group=group,
        calls=calls,
        failed_calls=1,
        input_tokens=2_000,
        cached_input_tokens=10,
        output_tokens=300,
        cost_nano_usd=cost,
        unpriced_calls=0,
    )


def test_each_grouping_is_a_table_with_its_total() -> None:
    page = render_usage([("key", [total("ci", 12, 1_500_000_000), total("", 3, 2_000_000)])])
    heading, ci, nameless, summed, blank = page.split("\n")

    assert ["by", "key", "calls", "failed", "input", "cached", "output", "cost", "USD", "unpriced"] == heading.split()
    assert ["ci", "12", "1", "2000", "10", "300", "1.50", "0"] == ci.split()
    assert ["-", "3", "1", "2000", "10", "300", "0.002", "0"] == nameless.split()
    assert ["total", "15", "2", "4000", "20", "600", "1.502", "0"] == summed.split()
    assert "" == blank
    assert 1 == len({len(line) for line in (heading, ci, nameless, summed)})


def test_nothing_used_is_a_total_of_nothing() -> None:
    assert ["total", "0", "0", "0", "0", "0", "0.00", "0"] == render_usage([("model", [])]).split("\n")[1].split()
