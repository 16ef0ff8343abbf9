"""Read a request's body, never more of it than allowed."""

from typing import Final

from router.domain.faults import Fault, RouterError, refuse
from router.facades.http.asgi import Receive, Scope
from router.facades.http.protocol import connection_of

_JSON: Final = b"application/json"


class CallerGone(Exception):
    """The caller hung up before its request was whole: there is nobody to answer."""


async def read_json_body(scope: Scope, receive: Receive, *, max_bytes: int) -> bytes:
    """Return the whole body. Its pauses are bounded by the listener.

    Raises `RouterError` for a body that is too large or no JSON by its headers, and `CallerGone`.
    """
    _check_headers(dict(scope["headers"]), max_bytes)
    connection = connection_of(scope)
    body = None if connection is None else connection.whole_body()
    if body is None:
        body = await _receive_body(receive, max_bytes)
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    return body


async def _receive_body(receive: Receive, max_bytes: int) -> bytes:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise CallerGone
    body = bytearray(message.get("body", b""))
    while message.get("more_body", False):
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerGone
        body += message.get("body", b"")
    return bytes(body)


def _check_headers(headers: dict[bytes, bytes], max_bytes: int) -> None:
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > max_bytes:
        raise _too_large(max_bytes)
    content_type = headers.get(b"content-type", _JSON)
    if content_type != _JSON and not _is_json(content_type):
        raise refuse(Fault.UNSUPPORTED_MEDIA_TYPE, "The body must be JSON. Send `content-type: application/json`.")
    if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"", b"identity"):
        raise refuse(Fault.UNSUPPORTED_MEDIA_TYPE, "Compressed bodies are not accepted. Send it uncompressed.")


def _is_json(content_type: bytes) -> bool:
    media = content_type.split(b";", 1)[0].strip().lower()
    return media in (b"", _JSON, b"text/json") or media.endswith(b"+json")


def _too_large(max_bytes: int) -> RouterError:
    return refuse(Fault.REQUEST_TOO_LARGE, f"The body is larger than {max_bytes} bytes, this router's limit.")
