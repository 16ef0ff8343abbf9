"""What is learned from a reply in Responses as it goes by."""

import json

import pytest

from router.domain.dialects.responses.meter import REPLY_ID_CHARS_MAX, ResponsesMeter
from router.domain.dispatch.failure import FailureKind
from router.domain.stream import END_EVENT, Event, EventKind
from router.domain.usage import TokenUsage
from tests.support.dialects import event, response, response_events


def chunks(*raws: bytes) -> list[Event]:
    return [Event(EventKind.CHUNK, raw) for raw in raws]


def test_a_stream_passes_as_it_came_and_is_counted() -> None:
    meter = ResponsesMeter(wants_usage=True)
    sent = [*chunks(*response_events("one two three")), END_EVENT]

    assert sent == meter.take(sent)
    assert (True, True, 3, "gpt-5") == (meter.started, meter.finished, meter.counted_tokens, meter.served_model)
    assert TokenUsage(input=20, cached_input=8, output=3) == meter.usage


def test_a_reply_starts_with_its_first_content_not_with_its_frame() -> None:
    meter = ResponsesMeter(wants_usage=True)
    *frame, first = chunks(*response_events("one two")[:4])

    meter.take(frame)
    assert not meter.started
    meter.take([first])
    assert (True, {0}) == (meter.started, meter.unfinished)


def test_the_call_of_a_tool_is_content_when_it_begins() -> None:
    meter = ResponsesMeter(wants_usage=True)
    meter.take(chunks(event("response.output_item.added", item={"type": "function_call", "name": "f"})))

    assert meter.started


@pytest.mark.parametrize("name", ["response.reasoning_summary_text.delta", "response.function_call_arguments.delta"])
def test_any_kind_of_delta_counts(name: str) -> None:
    meter = ResponsesMeter(wants_usage=True)
    meter.take(chunks(event(name, delta="x")))

    assert 1 == meter.counted_tokens


def test_an_incomplete_response_is_finished() -> None:
    meter = ResponsesMeter(wants_usage=True)
    meter.take(chunks(event("response.incomplete", response=response(status="incomplete"))))

    assert meter.finished


@pytest.mark.parametrize(
    "raw",
    [
        event("response.failed", response={"error": {"code": "rate_limit_exceeded", "message": "m"}}),
        event("error", code="rate_limit_exceeded", message="m", param=None),
    ],
)
def test_a_response_that_failed_is_a_failure(raw: bytes) -> None:
    meter = ResponsesMeter(wants_usage=True)

    assert [] == meter.take(chunks(raw))
    assert meter.failure is not None
    assert (FailureKind.ERROR_EVENT, "rate_limit_exceeded") == (meter.failure.kind, meter.failure.code)


def test_a_whole_reply_is_read_at_once() -> None:
    meter = ResponsesMeter(wants_usage=True)
    sent = [Event(EventKind.COMPLETE, json.dumps(response("one two")).encode())]

    assert sent == meter.take(sent)
    assert (TokenUsage(input=20, cached_input=8, output=2), True) == (meter.usage, meter.finished)


def test_a_stream_that_grew_too_long_ends_as_incomplete_with_what_was_whole() -> None:
    meter = ResponsesMeter(wants_usage=True, tokens_max=2)
    events = response_events("one two three")
    meter.take(chunks(*events[:-1]))
    (end,) = meter.cut()
    said = json.loads(end.raw.partition(b"data: ")[2])

    assert end.raw.startswith(b"event: response.incomplete\n")
    assert (len(events) - 1, "resp_1", "incomplete", {"reason": "max_output_tokens"}) == (
        said["sequence_number"],
        said["response"]["id"],
        said["response"]["status"],
        said["response"]["incomplete_details"],
    )
    assert ["item_1"] == [item["id"] for item in said["response"]["output"]]


def test_the_id_of_a_reply_is_known_from_its_beginning_on() -> None:
    streamed, whole = ResponsesMeter(wants_usage=True), ResponsesMeter(wants_usage=True)
    streamed.take(chunks(*response_events()[:1]))
    whole.take([Event(EventKind.COMPLETE, json.dumps(response()).encode())])

    assert ("resp_1", "resp_1") == (streamed.reply_id, whole.reply_id)


@pytest.mark.parametrize("name", ["", None, 7, "r" * (REPLY_ID_CHARS_MAX + 1)])
def test_what_no_later_request_could_name_is_no_id(name: object) -> None:
    meter = ResponsesMeter(wants_usage=True)
    meter.take([Event(EventKind.COMPLETE, json.dumps({**response(), "id": name}).encode())])

    assert (None, True) == (meter.reply_id, meter.finished)


def test_a_stream_that_is_cut_repeats_its_items_as_they_came() -> None:
    item = b'{"id":"item_1","type":"message","content":[{"type":"output_text","text":"a\\ud83d"}]}'
    done = b'data: {"type":"response.output_item.done","sequence_number":1,"item":%b}\n\n' % item
    meter = ResponsesMeter(wants_usage=True, tokens_max=1)
    meter.take([Event(EventKind.CHUNK, done)])
    (end,) = meter.cut()

    assert b'"text":"a\\ud83d"' in end.raw
