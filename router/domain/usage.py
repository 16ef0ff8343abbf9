"""Read what a provider says it used into one convention: input includes cached tokens, output includes reasoning.

OpenAI counts cached tokens inside `prompt_tokens`; Anthropic counts them beside `input_tokens`. Whoever mixes
the two charges cached tokens twice, so the difference ends here.
"""

from typing import Final

import msgspec


class TokenUsage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Tokens of one attempt. `cached_input` and `cache_write` are parts of `input`, `reasoning` of `output`."""

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    estimated: bool = False
    """We counted; the provider did not say."""
    clamped: bool = False
    """The provider's parts did not add up (more cached than input) and were cut to fit."""


NO_USAGE: Final = TokenUsage()

TOKENS_MAX: Final = 10**11
"""More than any model reads; with it no cost leaves the range of an SQL integer, whatever a provider says."""


class _InputDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_creation_tokens: int | None = None


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


_decoder: Final = msgspec.json.Decoder(_Usage, strict=False)


def read_usage(raw: bytes | msgspec.Raw) -> TokenUsage | None:
    """Normalise a provider's `usage` object; None when it is null or not understood (the caller estimates)."""
    try:
        said = _decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    asked = said.prompt_tokens_details or said.input_tokens_details or _InputDetails()
    answered = said.completion_tokens_details or said.output_tokens_details or _OutputDetails()
    cached = asked.cached_tokens or said.cache_read_input_tokens or 0
    written = asked.cache_write_tokens or asked.cache_creation_tokens or said.cache_creation_input_tokens or 0
    if said.prompt_tokens is not None:
        total = said.prompt_tokens
    elif said.input_tokens is not None:
        beside = said.input_tokens_details is None  # Anthropic: cached tokens stand beside the input, not in it
        total = said.input_tokens + (cached + written if beside else 0)
    else:
        return None
    output = said.completion_tokens if said.completion_tokens is not None else said.output_tokens or 0
    return fit(total, cached, written, output, answered.reasoning_tokens or 0)


def fit(total: int, cached: int, written: int, output: int, reasoning: int) -> TokenUsage:
    """Cut parts that exceed their whole, so that no price is ever negative, and say that it happened."""
    if cached >= 0 <= written and cached + written <= total <= TOKENS_MAX and 0 <= reasoning <= output <= TOKENS_MAX:
        return TokenUsage(input=total, cached_input=cached, cache_write=written, output=output, reasoning=reasoning)
    input_ = _within(total, TOKENS_MAX)
    cached_fit = _within(cached, input_)
    written_fit = _within(written, input_ - cached_fit)
    output_fit = _within(output, TOKENS_MAX)
    reasoning_fit = _within(reasoning, output_fit)
    fitted = (input_, cached_fit, written_fit, output_fit, reasoning_fit)
    return TokenUsage(
        input=input_,
        cached_input=cached_fit,
        cache_write=written_fit,
        output=output_fit,
        reasoning=reasoning_fit,
        clamped=fitted != (total, cached, written, output, reasoning),
    )


BYTES_PER_TOKEN: Final = 4
"""For estimates only: English text in common vocabularies. Reservations use bounds instead."""


def estimate_tokens(size: int) -> int:
    return -(-size // BYTES_PER_TOKEN)


def estimate_usage(*, input_bytes: int, output_tokens: int) -> TokenUsage:
    """Stand in for a provider that did not say what it used."""
    return TokenUsage(input=estimate_tokens(input_bytes), output=output_tokens, estimated=True)


def _within(tokens: int, most: int) -> int:
    return min(max(tokens, 0), most)
