"""Write the embeddings of the scripted provider: unit vectors that are a function of the text alone.

They tell equal texts from others, and nothing more: they know no meaning.
"""

import base64
import hashlib
import math
import sys
from array import array
from collections.abc import Iterator
from typing import Final

import msgspec

from router.adapters.upstreams.script_request import decode_request, texts_of

DIMENSIONS_DEFAULT: Final = 64
NUMBERS_MAX: Final = 131_072
"""Of all vectors of a reply: 2,048 of the default size, which others of this process wait some 50 ms for."""

_BYTES_EACH: Final = 4
_MIDDLE: Final = 1 << (8 * _BYTES_EACH - 1)


class _VectorRequest(msgspec.Struct):
    input: str | list[str | int | list[int]]
    model: str = ""
    dimensions: int | None = None
    encoding_format: str | None = None


class _Embedding(msgspec.Struct, kw_only=True):
    object: str = "embedding"
    index: int
    embedding: list[float] | str


class _Usage(msgspec.Struct, kw_only=True):
    prompt_tokens: int
    total_tokens: int


class _Reply(msgspec.Struct, kw_only=True):
    object: str = "list"
    data: list[_Embedding]
    model: str
    usage: _Usage


_decoder: Final = msgspec.json.Decoder(_VectorRequest)
_encode: Final = msgspec.json.Encoder().encode


class VectorAnswer:
    """One reply, always whole: this dialect does not stream."""

    tokens: Final = 0

    def __init__(self, body: bytes) -> None:
        """Raises ValueError for a body that is not an embeddings request."""
        self._request = request = decode_request(_decoder, body)
        self._texts = texts_of(request.input, "input")
        self._size = DIMENSIONS_DEFAULT if request.dimensions is None else request.dimensions
        if not 1 <= self._size * len(self._texts) <= NUMBERS_MAX:
            raise ValueError(f"inputs times dimensions must be between 1 and {NUMBERS_MAX}")
        if request.encoding_format not in (None, "float", "base64"):
            raise ValueError("encoding_format must be float or base64")

    def steps(self) -> Iterator[list[bytes]]:
        return iter(())

    def whole(self) -> bytes:
        data = [_Embedding(index=at, embedding=self._written(text)) for at, text in enumerate(self._texts)]
        words = sum(len(text.split()) for text in self._texts)
        usage = _Usage(prompt_tokens=words, total_tokens=words)
        return _encode(_Reply(data=data, model=self._request.model, usage=usage))

    def _written(self, text: str) -> list[float] | str:
        numbers = array("f", _unit_vector(text, self._size))
        if self._request.encoding_format != "base64":
            return numbers.tolist()
        if sys.byteorder == "big":
            numbers.byteswap()
        return base64.b64encode(numbers.tobytes()).decode()


def _unit_vector(text: str, size: int) -> list[float]:
    digest = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(size * _BYTES_EACH)
    numbers = [int.from_bytes(digest[at : at + _BYTES_EACH]) - _MIDDLE for at in range(0, len(digest), _BYTES_EACH)]
    length = math.hypot(*numbers)
    return [number / length for number in numbers]
