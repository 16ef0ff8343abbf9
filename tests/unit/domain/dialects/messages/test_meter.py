"""What is learned from a reply in Messages as it goes by."""

import json

import pytest

from router.domain.dialects.messages.meter import MessagesMeter
from router.domain.dispatch.failure import FailureKind
from router.domain.stream import END_EVENT, Event, EventKind
from router.domain.usage import TokenUsage
from tests.support.dialects import event, message, message_events


def chunks(*raws: bytes) -> list[Event]:
    return [Event(EventKind.CHUNK, raw) for raw in raws]


def test_a_stream_passes_as_it_came_and_is_counted() -> None:
    meter = MessagesMeter(wants_usage=True)
    sent = [*chunks(*message_events("one two three", cached=5)), END_EVENT]

    assert sent == meter.take(sent)
    assert (True, True, 3, "claude") == (meter.started, meter.finished, meter.counted_tokens, meter.served_model)
    assert TokenUsage(input=25, cached_input=5, output=3) == meter.measured(10**6)


def test_a_reply_starts_with_its_first_content_and_ends_with_its_last_event() -> None:
    meter = MessagesMeter(wants_usage=True)
    begun, block, ping, first, *rest, last = chunks(*message_events("one two"))

    meter.take([begun, block, ping])
    assert not meter.started
    meter.take([first])
    assert (True, {0}) == (meter.started, meter.unfinished)
    meter.take(rest)
    assert not meter.finished
    meter.take([last])
    assert meter.finished


@pytest.mark.parametrize(
    "delta",
    [
        {"type": "input_json_delta", "partial_json": "{"},
        {"type": "thinking_delta", "thinking": "hm"},
        {"type": "text_delta", "text": " "},
    ],
)
def test_any_kind_of_content_counts(delta: dict[str, str]) -> None:
    meter = MessagesMeter(wants_usage=True)
    meter.take(chunks(event("content_block_delta", index=0, delta=delta)))

    assert (True, 1) == (meter.started, meter.counted_tokens)


def test_the_call_of_a_tool_is_content_when_it_begins() -> None:
    meter = MessagesMeter(wants_usage=True)
    meter.take(chunks(event("content_block_start", index=0, content_block={"type": "tool_use", "name": "f"})))

    assert meter.started


def test_of_a_stream_that_was_cut_the_input_is_certain_and_the_output_is_what_was_seen() -> None:
    meter = MessagesMeter(wants_usage=True)
    meter.take(chunks(*message_events("one two three", cached=5)[:5]))

    assert TokenUsage(input=25, cached_input=5, output=2, estimated=True) == meter.measured(10**6)


def test_numbers_in_quotes_are_numbers() -> None:
    meter = MessagesMeter(wants_usage=True)
    quoted = [raw.replace(b'"output_tokens": 3', b'"output_tokens": "3"') for raw in message_events("one two three")]
    meter.take(chunks(*quoted))

    assert b'"3"' in b"".join(quoted)
    assert TokenUsage(input=20, output=3) == meter.usage


def test_a_provider_that_says_nothing_of_its_usage_is_estimated() -> None:
    meter = MessagesMeter(wants_usage=True)
    meter.take(chunks(event("content_block_delta", index=0, delta={"text": "x"}), event("message_stop")))

    assert TokenUsage(input=25, output=1, estimated=True) == meter.measured(100)


def test_a_whole_reply_is_read_at_once() -> None:
    meter = MessagesMeter(wants_usage=True)
    sent = [Event(EventKind.COMPLETE, json.dumps(message("one two", cached=5)).encode())]

    assert sent == meter.take(sent)
    assert (TokenUsage(input=25, cached_input=5, output=2), True) == (meter.usage, meter.finished)


def test_an_error_within_a_stream_ends_it() -> None:
    meter = MessagesMeter(wants_usage=True)
    first, error, after = chunks(
        event("content_block_delta", index=0, delta={"text": "x"}),
        event("error", error={"type": "overloaded_error", "message": "busy sk-secret"}),
        event("message_stop"),
    )

    assert [first] == meter.take([first, error, after])
    assert meter.failure is not None
    assert (FailureKind.ERROR_EVENT, "overloaded_error") == (meter.failure.kind, meter.failure.type)
    assert "sk-secret" not in meter.failure.message


def test_what_is_no_json_is_counted_and_dropped() -> None:
    meter = MessagesMeter(wants_usage=True)

    assert [] == meter.take(chunks(b"event: ping\ndata: {\n\n"))
    assert 1 == meter.malformed


def test_a_stream_that_grew_too_long_ends_as_a_client_expects() -> None:
    meter = MessagesMeter(wants_usage=True, tokens_max=2)
    passed = meter.take(chunks(*message_events("one two three four")[:6]))
    ends = [json.loads(one.raw.partition(b"data: ")[2]) for one in meter.cut()]

    assert 6 == len(passed)
    assert ["content_block_stop", "message_delta", "message_stop"] == [end["type"] for end in ends]
    assert ({"stop_reason": "max_tokens", "stop_sequence": None}, 3) == (
        ends[1]["delta"],
        ends[1]["usage"]["output_tokens"],
    )
