"""Read a request's body, never more of it than allowed."""

from typing import Final

from router.domain.faults import Fault, RouterError, refuse
from router.facades.http.asgi import Receive, Scope

_JSON_TYPES: Final = (b"application/json", b"text/json")


class CallerGone(Exception):
    """The caller hung up before its request was whole: there is nobody to answer."""


async def read_json_body(scope: Scope, receive: Receive, *, max_bytes: int) -> bytes:
    """Return the whole body. Its pauses are bounded by the listener.

    Raises `RouterError` for a body that is too large or no JSON by its headers, and `CallerGone`.
    """
    _check_headers(scope, max_bytes)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise CallerGone
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        parts = bytearray(body)
        while message.get("more_body", False):
            if len(parts) > max_bytes:
                raise _too_large(max_bytes)
            message = await receive()
            if message["type"] == "http.disconnect":
                raise CallerGone
            parts += message.get("body", b"")
        body = bytes(parts)
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    return body


def _check_headers(scope: Scope, max_bytes: int) -> None:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > max_bytes:
            raise _too_large(max_bytes)
        if name == b"content-type":
            media = value.split(b";", 1)[0].strip().lower()
            if media and media not in _JSON_TYPES and not media.endswith(b"+json"):
                raise refuse(
                    Fault.UNSUPPORTED_MEDIA_TYPE, "The body must be JSON. Send `content-type: application/json`."
                )
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise refuse(Fault.UNSUPPORTED_MEDIA_TYPE, "Compressed bodies are not accepted. Send it uncompressed.")


def _too_large(max_bytes: int) -> RouterError:
    return refuse(Fault.REQUEST_TOO_LARGE, f"The body is larger than {max_bytes} bytes, this router's limit.")
