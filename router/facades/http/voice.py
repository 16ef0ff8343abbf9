"""Say in each dialect what its provider would say otherwise: a refusal, the end of a stream, good or bad."""

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from router.domain.dialects.dialect import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES, Grammar
from router.domain.dialects.metered import METERED
from router.domain.faults import Refusal
from router.facades.http.errors import error_body

_encode: Final = msgspec.json.Encoder().encode
_ANTHROPIC_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class Voice(NamedTuple):
    """How one route speaks for the router."""

    grammar: Grammar
    error: Callable[[Refusal, str], bytes]
    """The body of a refusal. The second argument is the request id."""
    error_event: Callable[[Refusal, str], bytes]
    """What ends a stream that has begun."""
    done: bytes = b""
    """What ends a good stream, after all that its provider said."""
    passes: bytes | None = None
    """How headers begin that are part of a request in this dialect."""
    request_id_header: bytes | None = None
    """A second name under which its SDKs look for the request id."""


def _openai_error(refusal: Refusal, _request_id: str) -> bytes:
    return error_body(refusal)


def _openai_event(refusal: Refusal, _request_id: str) -> bytes:
    return b"data: " + error_body(refusal) + b"\n\n"


def _responses_event(refusal: Refusal, _request_id: str) -> bytes:
    """The event of its own that this dialect has, and beside it the member at which OpenAI's SDKs raise."""
    said = {
        "type": "error",
        "code": refusal.code or refusal.wire.code,
        "message": refusal.message,
        "param": refusal.param,
        **msgspec.json.decode(error_body(refusal)),
    }
    return b"event: error\ndata: " + _encode(said) + b"\n\n"


def _anthropic_error(refusal: Refusal, request_id: str) -> bytes:
    error: dict[str, object] = {
        "type": _ANTHROPIC_TYPES.get(refusal.status, "invalid_request_error" if refusal.status < 500 else "api_error"),
        "message": refusal.message,
    }
    if (code := refusal.code or refusal.wire.code) is not None:
        error["code"] = code
    if refusal.param is not None:
        error["param"] = refusal.param
    if refusal.details:
        error["details"] = dict(refusal.details)
    return _encode({"type": "error", "error": error, "request_id": request_id})


def _anthropic_event(refusal: Refusal, request_id: str) -> bytes:
    return b"event: error\ndata: " + _anthropic_error(refusal, request_id) + b"\n\n"


_DONE: Final = b"data: [DONE]\n\n"

CHAT_VOICE: Final = Voice(CHAT, _openai_error, _openai_event, done=_DONE)
VOICES: Final = {
    "/chat/completions": CHAT_VOICE,
    "/completions": Voice(COMPLETIONS, _openai_error, _openai_event, done=_DONE),
    "/embeddings": Voice(EMBEDDINGS, _openai_error, _openai_event),
    "/responses": Voice(RESPONSES, _openai_error, _responses_event),
    "/messages": Voice(
        MESSAGES, _anthropic_error, _anthropic_event, passes=b"anthropic-", request_id_header=b"request-id"
    ),
    **{str(grammar.route): Voice(grammar, _openai_error, _openai_event) for grammar in METERED},
}
"""By the path of the route, with or without `/v1` before it."""
BY_PATH: Final = {prefix + path: voice for path, voice in VOICES.items() for prefix in ("", "/v1")}
