"""What all meters have in common: an event is read however its lines are laid out, and what is not JSON is told."""

import json

import msgspec
import pytest
from msgspec import Raw

from router.domain.dialects.dialect import Dialect
from router.domain.dialects.meter import decode, failure_of, payload
from router.domain.dialects.meters import METERS
from router.domain.dispatch.failure import FailureKind
from router.domain.stream import Event, EventKind

ANY = msgspec.json.Decoder(dict[str, object])


@pytest.mark.parametrize(
    "raw",
    [b'data: {"a":1}\n\n', b'event: x\ndata: {"a":1}\n\n', b'data: {"a":\ndata: 1}\n\n', b'event: x\ndata:{"a":1}\n\n'],
)
def test_the_payload_of_an_event_is_its_json(raw: bytes) -> None:
    assert {"a": 1} == json.loads(bytes(payload(raw)))


def test_half_a_surrogate_pair_is_read_as_a_character_nobody_knows() -> None:
    assert {"a": "\ufffd"} == decode(ANY, b'{"a":"\\ud800"}')


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("text", [b'{"a":,}', b"{", b"[" * 100_000])
def test_a_whole_reply_that_is_no_json_has_not_begun_and_has_failed(dialect: Dialect, text: bytes) -> None:
    meter = METERS[dialect](wants_usage=True)

    assert [] == meter.take([Event(EventKind.COMPLETE, text)])
    assert meter.failure is not None
    assert (FailureKind.MALFORMED, False) == (meter.failure.kind, meter.started)


def test_an_error_that_is_no_object_is_still_one() -> None:
    assert FailureKind.ERROR_EVENT is failure_of(Raw(b'"busy"')).kind
