"""Estimate the input tokens of a request in Messages, for callers who ask and a provider that cannot count them.

Text and the JSON around it count four bytes a token, which is near for English and code. What is no text counts by its
kind: an image as the largest that models see, a document by how much text its bytes usually hold.
"""

from typing import Final

import msgspec

from router.domain.dialects.request import Request
from router.domain.usage import estimate_tokens

IMAGE_TOKENS: Final = 1_600
"""Of an image as large as Anthropic's models see one; larger ones are made smaller."""
DOCUMENT_BYTES_PER_TOKEN: Final = 32
"""Of a document in base64: a page has some 2,000 tokens and 50 KB."""

_decode: Final = msgspec.json.Decoder().decode
_ENCODED: Final = b'"base64"'


def estimate_input(request: Request) -> int:
    """Return at least 1. What cannot be read as JSON counts as text."""
    fields = request.fields
    return max(1, sum(_estimate(bytes(fields[name])) for name in request.grammar.prompt if name in fields))


def _estimate(text: bytes) -> int:
    if b'"image"' not in text and _ENCODED not in text:
        return estimate_tokens(len(text))
    try:
        left: list[object] = [_decode(text)]
    except (msgspec.DecodeError, RecursionError):
        return estimate_tokens(len(text))
    tokens, encoded_bytes = 0, 0
    while left:
        one = left.pop()
        if isinstance(one, list):
            left += one
        elif isinstance(one, dict):
            source, data = one.get("source"), None
            if isinstance(source, dict) and source.get("type") == "base64":
                data = source.get("data")
            size = len(data) if isinstance(data, str) else 0  # base64 has a byte a character
            if one.get("type") == "image":
                tokens += IMAGE_TOKENS
            elif size:
                tokens += -(-size // DOCUMENT_BYTES_PER_TOKEN)
            encoded_bytes += size
            left += one.values()
    return tokens + estimate_tokens(max(0, len(text) - encoded_bytes))
