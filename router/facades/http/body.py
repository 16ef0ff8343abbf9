"""Read a request's body, never more of it than allowed."""

import asyncio
from collections.abc import Iterable
from typing import Final

from router.domain.dialects.form import is_form
from router.domain.faults import Fault, RouterError, refuse
from router.facades.http.asgi import Receive

_BLOCK_BYTES: Final = 1024 * 1024
"""A longer body is kept in blocks, which are joined beside the event loop: to grow one of 30 MiB takes milliseconds."""
_JSON: Final = b"application/json"
_NO_JSON: Final = "The body must be JSON. Send `content-type: application/json`."
_NO_FORM: Final = "The body must be a form or JSON. Send `content-type: multipart/form-data`, with its boundary."


class CallerGone(Exception):
    """The caller hung up before its request was whole: there is nobody to answer."""


async def read_body(receive: Receive, *, max_bytes: int, begun: bytes = b"") -> bytes:
    """Return the whole body. Its pauses are bounded by the listener. Raises `RouterError` and `CallerGone`.

    `begun`: what was read of it before.
    """
    message = await receive()
    if message["type"] == "http.disconnect":
        raise CallerGone
    body, size = bytearray(begun + message.get("body", b"")), 0
    blocks: list[bytes] = []
    while message.get("more_body", False):
        if size + len(body) > max_bytes:
            raise too_large(max_bytes)
        if len(body) >= _BLOCK_BYTES:
            blocks.append(bytes(body))
            size += len(body)
            body.clear()
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerGone
        body += message.get("body", b"")
    if size + len(body) > max_bytes:
        raise too_large(max_bytes)
    if not blocks:
        return bytes(body)
    return await asyncio.to_thread(b"".join, [*blocks, bytes(body)])


async def read_piece(receive: Receive) -> bytes:
    """Return what has come next of a body of which more must come. Raises `CallerGone`."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerGone
        piece: bytes = message.get("body", b"")
        if piece:
            return piece


def length_of(pairs: Iterable[tuple[bytes, bytes]]) -> int | None:
    """Return how long the body is; None where its head does not say."""
    length = dict(pairs).get(b"content-length", b"")
    return int(length) if length.isdigit() else None


def check_body_headers(pairs: Iterable[tuple[bytes, bytes]], *, max_bytes: int, form: bool = False) -> bytes:
    """Return what kind of body it is. Raises `RouterError` for one that by its headers is too large, or no JSON.

    `form`: it may be one.
    """
    headers = dict(pairs)
    length = length_of(headers.items())
    if length is not None and length > max_bytes:
        raise too_large(max_bytes)
    content_type = headers.get(b"content-type", _JSON)
    if content_type != _JSON and not _is_json(content_type) and not (form and is_form(content_type)):
        raise refuse(Fault.UNSUPPORTED_MEDIA_TYPE, _NO_FORM if form else _NO_JSON)
    if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"", b"identity"):
        raise refuse(Fault.UNSUPPORTED_MEDIA_TYPE, "Compressed bodies are not accepted. Send it uncompressed.")
    return content_type


def _is_json(content_type: bytes) -> bool:
    media = content_type.split(b";", 1)[0].strip().lower()
    return media in (b"", _JSON, b"text/json") or media.endswith(b"+json")


def too_large(max_bytes: int) -> RouterError:
    """The refusal of a body of more than `max_bytes`."""
    return refuse(Fault.REQUEST_TOO_LARGE, f"The body is larger than {max_bytes} bytes, this router's limit.")
