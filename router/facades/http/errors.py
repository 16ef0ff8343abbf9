"""Write a refusal in the one shape that every error of every OpenAI route has."""

from typing import Final

import msgspec

from router.domain.faults import Fault, Refusal

Headers = list[tuple[bytes, bytes]]

_encoder: Final = msgspec.json.Encoder()
_JSON: Final = (b"content-type", b"application/json")

TOO_LARGE: Final = Refusal(
    fault=Fault.HEADERS_TOO_LARGE, message="The headers are too large. Send fewer or shorter ones."
)
TOO_SLOW: Final = Refusal(fault=Fault.REQUEST_TIMEOUT, message="The request did not arrive in time. Send it again.")
"""What a request is told that the application behind never sees whole."""


def error_body(refusal: Refusal) -> bytes:
    error: dict[str, object] = {
        "message": refusal.message,
        "type": refusal.wire.type,
        "param": refusal.param,
        "code": refusal.code or refusal.wire.code,
    }
    if refusal.details:
        error["details"] = dict(refusal.details)
    return _encoder.encode({"error": error})


def error_headers(refusal: Refusal) -> Headers:
    """`retry-after` in whole seconds and exactly; `x-should-retry: false` stops SDKs that would retry by status."""
    headers: Headers = [_JSON]
    if refusal.retry_after_ms is not None:
        headers.append((b"retry-after", b"%d" % -(-refusal.retry_after_ms // 1000)))
        headers.append((b"retry-after-ms", b"%d" % refusal.retry_after_ms))
    if refusal.final or not refusal.wire.retryable:
        headers.append((b"x-should-retry", b"false"))
    return headers
