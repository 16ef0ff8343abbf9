"""What all meters have in common: what is not JSON is told, and so is an error."""

import pytest
from msgspec import Raw

from router.domain.dialects.dialect import Dialect
from router.domain.dialects.meter import failure_of
from router.domain.dialects.meters import METERS
from router.domain.dispatch.failure import FailureKind
from router.domain.stream import Event, EventKind


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("text", [b'{"a":,}', b"{", b"[" * 100_000])
def test_a_whole_reply_that_is_no_json_has_not_begun_and_has_failed(dialect: Dialect, text: bytes) -> None:
    meter = METERS[dialect](wants_usage=True)

    assert [] == meter.take([Event(EventKind.COMPLETE, text)])
    assert meter.failure is not None
    assert (FailureKind.MALFORMED, False) == (meter.failure.kind, meter.started)


def test_an_error_that_is_no_object_is_still_one() -> None:
    assert FailureKind.ERROR_EVENT is failure_of(Raw(b'"busy"')).kind
