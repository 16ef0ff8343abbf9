"""A report says the same in JSON and in CSV; no value of a caller's becomes a formula or breaks a line."""

import csv
import json

import msgspec
import pytest

from router.admin.usage_text import usage_csv, usage_json
from router.ports.usage import UsageReport
from tests.support.usage import REPORT


def test_json_names_each_grouping_and_says_null_for_none() -> None:
    told = json.loads(usage_json(("key",), REPORT))

    assert ("list", True, False) == (told["object"], told["truncated"], told["partial"])
    assert [
        {
            "object": "usage",
            "group": {"key": "=ci"},
            "calls": 3,
            "failed_calls": 1,
            "input_tokens": 100,
            "cached_input_tokens": 30,
            "output_tokens": 7,
            "reasoning_tokens": 2,
            "cost_nano_usd": 1_500_000_001,
            "unpriced_calls": 1,
        }
    ] == told["data"][:1]
    assert {"key": None} == told["data"][1]["group"]


def test_csv_has_a_heading_and_exact_dollars() -> None:
    assert (
        "key,calls,failed_calls,input_tokens,cached_input_tokens,output_tokens,reasoning_tokens,cost_nano_usd,"
        "unpriced_calls,cost_usd\r\n"
        "'=ci,3,1,100,30,7,2,1500000001,1,1.500000001\r\n"
        ",1,0,0,0,0,0,0,0,0.00\r\n"
    ) == usage_csv(("key",), REPORT)


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("a=1", "a=1"),
        ('a,"b"\r\nc', 'a,"b"\r\nc'),
        ("", ""),
    ],
)
def test_a_cell_is_read_as_text(value: str, cell: str) -> None:
    total = msgspec.structs.replace(REPORT.totals[0], group=(value, value))
    report = UsageReport(totals=(total,), truncated=False, partial=False)
    _, row = csv.reader(usage_csv(("agent", "tag"), report).splitlines(keepends=True))

    assert [cell, cell] == row[:2]
