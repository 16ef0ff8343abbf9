"""Whatever a provider calls its tokens, input includes the cached ones and no part exceeds its whole."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.usage import TOKENS_MAX, TokenUsage, estimate_tokens, estimate_usage, read_usage

OPENAI_CHAT = {
    "prompt_tokens": 2_006,
    "completion_tokens": 300,
    "total_tokens": 2_306,
    "prompt_tokens_details": {"cached_tokens": 1_920, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 40},
}
OPENAI_RESPONSES = {
    "input_tokens": 2_006,
    "input_tokens_details": {"cached_tokens": 1_920},
    "output_tokens": 300,
    "output_tokens_details": {"reasoning_tokens": 40},
}
ANTHROPIC = {
    "input_tokens": 70,
    "cache_read_input_tokens": 1_920,
    "cache_creation_input_tokens": 16,
    "output_tokens": 300,
}
LITELLM_OF_ANTHROPIC = {
    "prompt_tokens": 2_006,
    "completion_tokens": 300,
    "prompt_tokens_details": {"cached_tokens": 1_920, "cache_creation_tokens": 16},
    "cache_read_input_tokens": 1_920,
    "cache_creation_input_tokens": 16,
}
OPENROUTER = {
    "prompt_tokens": 2_006,
    "completion_tokens": 300,
    "cost": 0.0036,
    "prompt_tokens_details": {"cached_tokens": 1_920, "cache_write_tokens": 16},
}


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        (TokenUsage(input=2_006, cached_input=1_920, output=300, reasoning=40), OPENAI_CHAT),
        (TokenUsage(input=2_006, cached_input=1_920, output=300, reasoning=40), OPENAI_RESPONSES),
        (TokenUsage(input=2_006, cached_input=1_920, cache_write=16, output=300), ANTHROPIC),
        (TokenUsage(input=2_006, cached_input=1_920, cache_write=16, output=300), LITELLM_OF_ANTHROPIC),
        (TokenUsage(input=2_006, cached_input=1_920, cache_write=16, output=300), OPENROUTER),
        (TokenUsage(input=5), {"prompt_tokens": 5}),
        (
            TokenUsage(input=5, output=3),
            {"prompt_tokens": 5, "completion_tokens": 3, "prompt_tokens_details": None},
        ),
        (TokenUsage(input=5, output=3), {"prompt_tokens": "5", "completion_tokens": 3.0}),
    ],
)
def test_every_providers_usage_becomes_one_convention(expected: TokenUsage, said: dict[str, object]) -> None:
    assert expected == read_usage(json.dumps(said).encode())


@pytest.mark.parametrize(
    "raw",
    [
        b"null",
        b"{}",
        b"[]",
        b'{"completion_tokens":3}',
        b'{"prompt_tokens":true}',
        b'{"prompt_tokens":',
        b'{"deep":' + b"[" * 100_000 + b"]" * 100_000 + b',"prompt_tokens":1}',
    ],
)
def test_what_is_not_understood_is_no_usage(raw: bytes) -> None:
    assert read_usage(raw) is None


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        (
            TokenUsage(input=10, cached_input=10, clamped=True),
            {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 11}},
        ),
        (
            TokenUsage(input=10, cached_input=8, cache_write=2, clamped=True),
            {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 3}},
        ),
        (
            TokenUsage(output=5, reasoning=5, clamped=True),
            {"prompt_tokens": 0, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 6}},
        ),
        (TokenUsage(clamped=True), {"prompt_tokens": -1, "completion_tokens": -2}),
        (TokenUsage(input=TOKENS_MAX, clamped=True), {"prompt_tokens": 10**30}),
        (TokenUsage(input=TOKENS_MAX), {"prompt_tokens": TOKENS_MAX}),
    ],
)
def test_parts_that_do_not_fit_are_cut_and_flagged(expected: TokenUsage, said: dict[str, object]) -> None:
    assert expected == read_usage(json.dumps(said).encode())


@pytest.mark.parametrize(("expected", "size"), [(0, 0), (1, 1), (1, 4), (2, 5)])
def test_an_estimate_is_a_token_for_four_bytes_begun(expected: int, size: int) -> None:
    assert expected == estimate_tokens(size)
    assert TokenUsage(input=expected, output=7, estimated=True) == estimate_usage(input_bytes=size, output_tokens=7)


COUNT = st.none() | st.integers(min_value=-(2**70), max_value=2**70)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "prompt_tokens": COUNT,
            "completion_tokens": COUNT,
            "input_tokens": COUNT,
            "output_tokens": COUNT,
            "cache_read_input_tokens": COUNT,
            "cache_creation_input_tokens": COUNT,
            "prompt_tokens_details": st.fixed_dictionaries({"cached_tokens": COUNT, "cache_write_tokens": COUNT}),
            "completion_tokens_details": st.fixed_dictionaries({"reasoning_tokens": COUNT}),
        },
    )
)
def test_no_part_is_ever_negative_or_more_than_its_whole(said: dict[str, object]) -> None:
    usage = read_usage(json.dumps(said).encode())

    if usage is not None:
        assert 0 <= usage.cached_input + usage.cache_write <= usage.input <= TOKENS_MAX
        assert 0 <= usage.reasoning <= usage.output <= TOKENS_MAX
        assert min(usage.cached_input, usage.cache_write, usage.reasoning) >= 0
