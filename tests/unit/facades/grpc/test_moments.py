"""Moments and spans keep every nanosecond, both ways."""

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from router.facades.grpc.moments import duration_of, ns_of, timestamp_of


@pytest.mark.parametrize("ns", [0, 1, 999_999_999, 10**9, 1_800_000_000_123_456_789, 2**63 - 1])
def test_what_is_written_is_read_again(ns: int) -> None:
    moment, span = timestamp_of(ns), duration_of(ns)

    assert moment is not None
    assert span is not None
    assert (ns, ns) == (ns_of(moment), ns_of(span))
    assert (ns // 10**9, ns % 10**9) == (moment.seconds, moment.nanos) == (span.seconds, span.nanos)


def test_nothing_is_nothing() -> None:
    assert (None, None) == (timestamp_of(None), duration_of(None))


def test_what_no_clock_has_is_read_as_far_out_as_it_is() -> None:
    assert 2**62 * 10**9 == ns_of(Timestamp(seconds=2**62))
    assert -1_500_000_000 == ns_of(Duration(seconds=-1, nanos=-500_000_000))
