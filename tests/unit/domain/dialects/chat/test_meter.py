"""What is learned from a reply as it goes by."""

import pytest

from router.domain.dialects.chat.meter import ChatMeter
from router.domain.dispatch.failure import FailureKind
from router.domain.stream import END_EVENT, KEEP_ALIVE, Event, EventKind
from router.domain.usage import TokenUsage
from tests.support.fakes import chunk, usage_chunk


def data(text: str) -> Event:
    return Event(EventKind.CHUNK, f"data: {text}\n\n".encode())


def complete(text: str) -> Event:
    return Event(EventKind.COMPLETE, text.encode())


ROLE = data('{"model":"up","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}')


def test_a_reply_starts_with_its_first_content_not_with_its_role() -> None:
    meter = ChatMeter(wants_usage=False)

    meter.take([KEEP_ALIVE, ROLE])
    assert not meter.started
    meter.take([chunk("hi")])
    assert meter.started


@pytest.mark.parametrize(
    "delta",
    [
        '{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}',
        '{"reasoning_content":"hm"}',
        '{"reasoning":"hm"}',
        '{"refusal":"no"}',
        '{"audio":{"id":"a"}}',
    ],
)
def test_any_kind_of_content_starts_a_reply_and_counts(delta: str) -> None:
    meter = ChatMeter(wants_usage=False)
    meter.take([data(f'{{"choices":[{{"index":0,"delta":{delta}}}]}}')])

    assert (True, 1) == (meter.started, meter.counted_tokens)


def test_a_stream_is_finished_when_every_choice_gave_its_reason() -> None:
    meter = ChatMeter(wants_usage=False)

    meter.take([chunk("a", index=0), chunk("b", index=1), chunk("", finish="stop", index=1)])
    assert not meter.finished
    meter.take([chunk("", finish="length", index=0)])
    assert meter.finished


def test_an_empty_finish_reason_is_none() -> None:
    meter = ChatMeter(wants_usage=False)
    meter.take([data('{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":""}]}')])

    assert not meter.finished


def test_usage_nobody_asked_for_is_read_and_goes_no_further() -> None:
    meter = ChatMeter(wants_usage=False)

    assert [END_EVENT] == meter.take([usage_chunk(7, 3), END_EVENT])
    assert TokenUsage(input=7, output=3) == meter.usage


def test_usage_that_was_asked_for_is_passed_on() -> None:
    event = usage_chunk(7, 3)

    assert [event] == ChatMeter(wants_usage=True).take([event])


def test_usage_beside_content_is_passed_on_with_it() -> None:
    event = data('{"choices":[{"index":0,"delta":{"content":"x"}}],"usage":{"prompt_tokens":7,"completion_tokens":1}}')
    meter = ChatMeter(wants_usage=False)

    assert [event] == meter.take([event])
    assert TokenUsage(input=7, output=1) == meter.usage


def test_usage_inside_a_choiceless_delta_chunk_is_found() -> None:
    meter = ChatMeter(wants_usage=False)
    meter.take([data('{"choices":[{"delta":{}}],"usage":{"prompt_tokens":7,"completion_tokens":1}}')])

    assert TokenUsage(input=7, output=1) == meter.usage


def test_without_usage_the_tokens_are_estimated_and_say_so() -> None:
    meter = ChatMeter(wants_usage=False)
    meter.take([ROLE, *[chunk("word") for _ in range(40)]])

    assert TokenUsage(input=25, output=40, estimated=True) == meter.measured(100)


def test_explicit_zero_usage_is_believed() -> None:
    meter = ChatMeter(wants_usage=False)
    meter.take([chunk("x"), usage_chunk(0, 0)])

    assert TokenUsage() == meter.measured(100)


def test_a_malformed_event_is_counted_and_dropped() -> None:
    good = chunk("a")
    meter = ChatMeter(wants_usage=False)

    assert [good, good] == meter.take([good, data('{"choices":[{"del'), good])
    assert 1 == meter.malformed


def test_json_of_an_unknown_shape_passes() -> None:
    event = data('{"choices":"soon"}')
    meter = ChatMeter(wants_usage=False)

    assert [event] == meter.take([event])
    assert meter.started


def test_half_a_surrogate_pair_is_not_malformed() -> None:
    event = data('{"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}')
    meter = ChatMeter(wants_usage=False)

    assert [event] == meter.take([event])
    assert (0, True) == (meter.malformed, meter.started)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ('{"message":"slow down","type":"t","code":"rate_limit_exceeded"}', "rate_limit_exceeded"),
        ('{"message":"bad","code":503}', "503"),
        ('"plain text"', None),
        ("[1]", None),
    ],
)
def test_an_error_inside_a_success_is_a_failure_whose_text_goes_no_further(error: str, code: str | None) -> None:
    first = chunk("a")
    meter = ChatMeter(wants_usage=False)

    assert [first] == meter.take([first, data(f'{{"error":{error}}}'), chunk("b")])
    assert meter.failure is not None
    assert (FailureKind.ERROR_EVENT, code) == (meter.failure.kind, meter.failure.code)
    assert "The provider reported an error." == meter.failure.message


@pytest.mark.parametrize("error", ["null", "{}", '""'])
def test_an_empty_error_is_no_error(error: str) -> None:
    meter = ChatMeter(wants_usage=False)
    meter.take([data(f'{{"error":{error},"choices":[]}}')])

    assert meter.failure is None


def test_several_data_lines_are_one_json_text() -> None:
    meter = ChatMeter(wants_usage=False)
    meter.take([Event(EventKind.CHUNK, b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"x"}}]}\n\n')])

    assert (0, 1) == (meter.malformed, meter.counted_tokens)


def test_a_unary_reply_is_finished_and_tells_model_and_usage() -> None:
    meter = ChatMeter(wants_usage=False)
    event = complete('{"model":"gpt-5-2026","choices":[],"usage":{"prompt_tokens":2,"completion_tokens":1}}')

    assert [event] == meter.take([event])
    assert (True, True, "gpt-5-2026") == (meter.started, meter.finished, meter.served_model)
    assert TokenUsage(input=2, output=1) == meter.usage


def test_a_unary_reply_without_usage_is_estimated_from_its_text() -> None:
    meter = ChatMeter(wants_usage=False)
    meter.take([complete('{"choices":[{"index":0,"message":{"content":"' + "x" * 38 + '"}}]}')])

    assert TokenUsage(input=1, output=10, estimated=True) == meter.measured(4)


@pytest.mark.parametrize(
    "member",
    [
        '"tool_calls":["' + "x" * 36 + '"]',
        '"function_call":{"name":"' + "x" * 29 + '"}',
        '"reasoning":"' + "x" * 38 + '"',
        '"reasoning_content":"' + "x" * 38 + '","reasoning":"' + "x" * 38 + '"',
        '"refusal":"' + "x" * 38 + '"',
    ],
)
def test_whatever_a_unary_reply_says_is_estimated_and_once(member: str) -> None:
    meter = ChatMeter(wants_usage=False)
    meter.take([complete('{"choices":[{"index":0,"message":{"content":null,' + member + "}}]}")])

    assert 10 == meter.measured(4).output


@pytest.mark.parametrize(
    ("body", "kind"), [("<html>", FailureKind.MALFORMED), ('{"error":{"message":"no"}}', FailureKind.ERROR_EVENT)]
)
def test_a_unary_reply_that_is_no_reply_is_a_failure(body: str, kind: FailureKind) -> None:
    meter = ChatMeter(wants_usage=False)

    assert [] == meter.take([complete(body)])
    assert meter.failure is not None
    assert kind is meter.failure.kind
