import json

import pytest
from msgspec import Raw

from router.domain.dialects.messages.ends import MessagesUsage, finish_of, stop_of, usage_for_messages
from router.domain.usage import TokenUsage, read_usage


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
        ("", "stop"),
    ],
)
def test_every_stop_reason_has_a_finish(stop: str, finish: str) -> None:
    assert finish == finish_of(stop, has_calls=False)


@pytest.mark.parametrize(
    ("finish", "stop"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("tool_calls", "tool_use"),
        ("function_call", "tool_use"),
        ("content_filter", "refusal"),
        ("eos", "end_turn"),
        ("", "end_turn"),
    ],
)
def test_every_finish_has_a_stop_reason(finish: str, stop: str) -> None:
    assert stop == stop_of(finish, has_calls=False, refused=False)


def test_calls_and_refusals_are_told_where_an_ordinary_end_is_claimed() -> None:
    assert "tool_calls" == finish_of("end_turn", has_calls=True)
    assert "length" == finish_of("max_tokens", has_calls=True)
    assert "tool_use" == stop_of("stop", has_calls=True, refused=False)
    assert "refusal" == stop_of("stop", has_calls=True, refused=True)
    assert "max_tokens" == stop_of("length", has_calls=True, refused=True)


def test_a_stream_says_its_usage_twice_and_the_later_word_counts() -> None:
    usage = MessagesUsage()
    usage.take(
        Raw(b'{"input_tokens":10,"cache_read_input_tokens":5,"cache_creation_input_tokens":3,"output_tokens":1}')
    )
    usage.take(Raw(b'{"input_tokens":null,"output_tokens":42,"output_tokens_details":{"thinking_tokens":7}}'))
    usage.take(Raw(b'{"output_tokens":"many"}'))
    usage.take(Raw(b"null"))

    assert {
        "prompt_tokens": 18,
        "completion_tokens": 42,
        "total_tokens": 60,
        "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 7},
    } == json.loads(usage.for_chat())


def test_nothing_is_known_before_it_is_said() -> None:
    usage = MessagesUsage()
    usage.take(Raw(b"null"))

    assert not usage.known


@pytest.mark.parametrize(
    "used",
    [
        TokenUsage(input=18, cached_input=5, cache_write=3, output=42),
        TokenUsage(input=18, output=42, reasoning=0),
        TokenUsage(),
    ],
)
def test_usage_is_the_same_in_both_dialects(used: TokenUsage) -> None:
    usage = MessagesUsage()
    usage.take(Raw(usage_for_messages(used)))

    assert used == read_usage(usage.for_chat()) == read_usage(usage_for_messages(used))


def test_reasoning_stays_a_part_of_the_output() -> None:
    usage = MessagesUsage()
    usage.take(Raw(usage_for_messages(TokenUsage(input=1, output=42, reasoning=7))))

    assert TokenUsage(input=1, output=42, reasoning=7) == read_usage(usage.for_chat())
