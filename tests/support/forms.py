"""Write forms byte by byte, as clients send them."""

from tests.support.running import KEY

BOUNDARY = "----form-boundary-7MA4YWxk"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"

Part = tuple[str, str | bytes]
"""A name with a text, or with a file."""


def form(*parts: Part, boundary: str = BOUNDARY) -> bytes:
    written = [_part(name, value, boundary) for name, value in parts]
    return b"".join([*written, f"--{boundary}--\r\n".encode()])


def _part(name: str, value: str | bytes, boundary: str) -> bytes:
    if isinstance(value, str):
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        return head.encode() + value.encode() + b"\r\n"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="a.bin"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + value + b"\r\n"


def post_form(
    target: str, body: bytes, *, key: str = KEY, content_type: str = CONTENT_TYPE, length: int | None = None
) -> bytes:
    """Write a POST of a form. `length`: what its head says, if not the truth."""
    lines = (
        f"POST {target} HTTP/1.1",
        "host: router",
        f"authorization: Bearer {key}",
        f"content-type: {content_type}",
        f"content-length: {len(body) if length is None else length}",
    )
    return "\r\n".join([*lines, "", ""]).encode() + body
