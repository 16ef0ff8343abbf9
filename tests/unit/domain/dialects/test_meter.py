"""What all meters have in common: what is not JSON is told, and so is an error."""

import json

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


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("kind", [EventKind.CHUNK, EventKind.COMPLETE])
@pytest.mark.parametrize("member", [b'"model":"\xff"', b'"id":"\xff"', b'"type":"\xff"', b'"error":{"type":"\xff"}'])
def test_bytes_that_are_no_text_never_stop_a_meter(dialect: Dialect, kind: EventKind, member: bytes) -> None:
    written = b"{%b}" if kind is EventKind.COMPLETE else b"data: {%b}\n\n"

    meter = METERS[dialect](wants_usage=True)
    meter.take([Event(kind, written % member)])

    assert meter.served_model is None


def test_an_error_in_bytes_that_are_no_text_is_still_one() -> None:
    assert FailureKind.ERROR_EVENT is failure_of(Raw(b'{"type":"\xff"}')).kind


THOUGHT = {"type": "thinking", "thinking": "t", "signature": "s"}
SIGNED = [
    (Dialect.CHAT, {"choices": [{"delta": {"thinking_blocks": [THOUGHT]}}]}),
    (Dialect.CHAT, {"choices": [{"delta": {"reasoning_details": [{"type": "reasoning.encrypted"}]}}]}),
    (Dialect.CHAT, {"choices": [{"delta": {"tool_calls": [{"extra_content": {}}]}}]}),
    (Dialect.CHAT, {"choices": [{"delta": {"extra_content": {}}}]}),
    (Dialect.CHAT, {"choices": [{"delta": {"provider_specific_fields": {}}}]}),
    (Dialect.MESSAGES, {"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": "s"}}),
    (Dialect.MESSAGES, {"type": "content_block_start", "content_block": {"type": "redacted_thinking", "data": "d"}}),
    (Dialect.MESSAGES, {"type": "content_block_start", "content_block": THOUGHT}),
    (Dialect.RESPONSES, {"type": "response.output_item.done", "item": {"type": "reasoning", "encrypted_content": "s"}}),
]
UNSIGNED = [
    (Dialect.CHAT, {"choices": [{"delta": {"content": "x", "reasoning_content": "y"}}]}),
    (Dialect.MESSAGES, {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "s"}}),
    (Dialect.RESPONSES, {"type": "response.output_text.delta", "delta": "s"}),
]


@pytest.mark.parametrize(("dialect", "said"), [*SIGNED, *UNSIGNED])
def test_of_a_stream_only_what_may_be_signed_is_learned(dialect: Dialect, said: object) -> None:
    raw = b"data: " + json.dumps(said).encode() + b"\n\n"
    learned: list[bytes] = []
    silent, meter = METERS[dialect](wants_usage=True), METERS[dialect](wants_usage=True)
    meter.learn = learned.append

    assert silent.take([Event(EventKind.CHUNK, raw)]) == meter.take([Event(EventKind.CHUNK, raw)])
    assert ([raw] if (dialect, said) in SIGNED else []) == learned


@pytest.mark.parametrize("dialect", [Dialect.CHAT, Dialect.MESSAGES, Dialect.RESPONSES])
def test_a_whole_reply_is_learned_unless_it_failed(dialect: Dialect) -> None:
    learned: list[bytes] = []
    for raw in (b'{"x":1}', b'{"error":{"code":"x"}}', b"{"):
        meter = METERS[dialect](wants_usage=True)
        meter.learn = learned.append
        meter.take([Event(EventKind.COMPLETE, raw)])

    assert [b'{"x":1}'] == learned
