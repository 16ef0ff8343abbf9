"""Moments are read exactly, whether they are written or counted."""

import pytest

from router.admin.moments import moment_ns
from router.domain.faults import Fault, RouterError

NEW_YEAR_NS = 1_798_761_600 * 10**9  # 2027-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("2027-01-01T00:00:00Z", NEW_YEAR_NS),
        ("2027-01-01 00:00:00Z", NEW_YEAR_NS),
        ("2027-01-01T02:00:00+02:00", NEW_YEAR_NS),
        ("2027-01-01T02:00:00 02:00", NEW_YEAR_NS),
        ("2027-01-01T00:00:00.000001Z", NEW_YEAR_NS + 1_000),
        ("1798761600", NEW_YEAR_NS),
        ("1798761600.000000007", NEW_YEAR_NS + 7),
        ("0", 0),
        ("0001-01-01T00:00:00Z", 0),
        ("9999-12-31T23:59:59Z", 2**63 - 1),
        ("9999999999", 2**63 - 1),
        (NEW_YEAR_NS + 7, NEW_YEAR_NS + 7),
        (0, 0),
        (-1, 0),
        (2**63, 2**63 - 1),
    ],
)
def test_a_moment_is_read_exactly(said: str | int, read: int) -> None:
    assert read == moment_ns(said, "since")


def test_no_moment_is_none() -> None:
    assert moment_ns(None, "since") is None


@pytest.mark.parametrize("text", ["", "yesterday", "2027-01-01T00:00:00", "1798761600000"])
def test_what_is_no_moment_is_refused_by_name(text: str) -> None:
    with pytest.raises(RouterError) as refused:
        moment_ns(text, "until")

    assert (Fault.INVALID_REQUEST, "until") == (refused.value.refusal.fault, refused.value.refusal.param)
