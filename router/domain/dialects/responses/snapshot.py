"""Write the response object that a Responses reply is, and that its first and last events repeat."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Raw

from router.domain.dialects.responses.events import body_of_text, one_line

_NULL: Final = Raw(b"null")

_REPEATED: Final[Mapping[str, bytes]] = {
    "instructions": b"null",
    "max_output_tokens": b"null",
    "max_tool_calls": b"null",
    "metadata": b"{}",
    "parallel_tool_calls": b"true",
    "prompt_cache_key": b"null",
    "reasoning": b'{"effort":null,"summary":null}',
    "safety_identifier": b"null",
    "temperature": b"null",
    "text": b'{"format":{"type":"text"}}',
    "tool_choice": b'"auto"',
    "tools": b"[]",
    "top_logprobs": b"0",
    "top_p": b"null",
    "truncation": b'"disabled"',
    "user": b"null",
}
"""Members of the request that the reply repeats, and what it says when they were absent."""


class Snapshot:
    """What stays the same in every response object of one call."""

    __slots__ = ("_head", "_repeated")

    def __init__(self, *, reply_id: str, created_s: int, request: Mapping[str, Raw]) -> None:
        self._head = b'"id":"%b","object":"response","created_at":%d' % (body_of_text(reply_id), created_s)
        self._repeated = b",".join(
            [b'"%b":%b' % (name.encode(), _said(request, name, default)) for name, default in _REPEATED.items()]
        )

    def write(
        self,
        *,
        status: bytes,
        model: bytes,
        service_tier: bytes = b"null",
        output: Sequence[bytes] = (),
        usage: bytes = b"null",
        incomplete: bytes = b"null",
    ) -> bytes:
        return (
            b'{%b,"status":"%b","background":false,"error":null,"incomplete_details":%b,"model":%b,"output":[%b],'
            b'"previous_response_id":null,"service_tier":%b,"store":false,%b,"usage":%b}'
        ) % (self._head, status, incomplete, model, b",".join(output), service_tier, self._repeated, usage)


def _said(request: Mapping[str, Raw], name: str, default: bytes) -> bytes:
    raw = request.get(name, _NULL)
    return default if raw == _NULL else one_line(raw)
