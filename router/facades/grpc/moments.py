"""Write moments and spans as protobuf has them, and read them: all times inside are integer nanoseconds."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from router.domain.instants import NS_PER_S


def timestamp_of(unix_ns: int | None) -> Timestamp | None:
    if unix_ns is None:
        return None
    seconds, nanos = divmod(unix_ns, NS_PER_S)
    return Timestamp(seconds=seconds, nanos=nanos)


def duration_of(span_ns: int | None) -> Duration | None:
    """Return a span, which is never negative."""
    if span_ns is None:
        return None
    seconds, nanos = divmod(span_ns, NS_PER_S)
    return Duration(seconds=seconds, nanos=nanos)


def ns_of(said: Timestamp | Duration) -> int:
    """Return what was sent, however far out it is: who takes it has bounds."""
    return said.seconds * NS_PER_S + said.nanos
