"""Read a multipart/form-data body as far as the router must, and name another model in it without touching the rest.

Whoever reads the same body after us must read the same: what two readers may take for different things is refused.
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from router.domain.faults import Fault, Refusal

PARTS_MAX: Final = 256
PART_HEAD_BYTES_MAX: Final = 8 * 1024
LARGE_BYTES_MIN: Final = 1024 * 1024
"""From here on a form is read and written beside the event loop, which would stand still for milliseconds."""
_WINDOW_BYTES: Final = 1024 * 1024
_MODEL: Final = "model"

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_VALUE: Final = rb'(?:"(?:[^"\\\r\n]|\\.)*"|' + _TOKEN + rb")"
_PARAMETERS: Final = rb"((?:\s*;\s*" + _TOKEN + rb"=" + _VALUE + rb")+)\s*;?"
_PARAMETER: Final = re.compile(rb"\s*;\s*(" + _TOKEN + rb")=(" + _VALUE + rb")")
_MULTIPART: Final = re.compile(rb"multipart/form-data" + _PARAMETERS, re.IGNORECASE)
_FORM_DATA: Final = re.compile(rb"form-data" + _PARAMETERS, re.IGNORECASE)
_BOUNDARY: Final = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_HEADER: Final = re.compile(rb"(" + _TOKEN + rb"):([^\r\n]*)")
_ESCAPED: Final = re.compile(rb"\\(.)")


class Malformed(Exception):
    """`str()` says why."""


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """A body whose parts are known by where they are in it."""

    body: bytes
    """All of it; of one that is passed on while it comes, what comes before the content of its file."""
    content_type: bytes
    """The header's value as it came: it names the boundary."""
    texts: dict[str, str]
    """Of the parts that are no files."""
    model_at: tuple[int, int] | None
    """Where the value of the part `model` begins and ends."""
    files: tuple[int, ...]
    """Their sizes, in bytes; of one that has not come yet, the most that it can have."""
    late_bytes: int = 0
    """The most text that may come after what is here."""

    def named(self, model: str) -> bytes:
        """Return the body with another model's name in it, each other byte as it came."""
        assert self.model_at is not None, "only a form that names a model is sent on"
        start, end = self.model_at
        return b"".join([*_windows(self.body, 0, start), model.encode(), *_windows(self.body, end, len(self.body))])


def is_form(content_type: bytes) -> bool:
    return content_type.split(b";", 1)[0].strip().lower() == b"multipart/form-data"


def read_form(content_type: bytes, body: bytes) -> Form | Refusal:
    """Read a body into its parts."""
    texts: dict[str, str] = {}
    files: list[int] = []
    model_at = None
    try:
        for name, is_file, start, end in parts_of(content_type, body):
            if is_file and name != _MODEL:
                files.append(end - start)
                continue
            if is_file or (name in texts and not name.endswith("[]")):
                raise Malformed("the part `model` is a file" if is_file else "a part that is no list comes twice")
            texts[name] = body[start:end].decode()
            if name == _MODEL:
                model_at = start, end
    except Malformed as exc:
        return malformed(str(exc))
    except UnicodeDecodeError:
        return malformed("a part that is no file is not text in UTF-8")
    return Form(body=body, content_type=content_type, texts=texts, model_at=model_at, files=tuple(files))


def parts_of(content_type: bytes, body: bytes) -> Iterator[tuple[str, bool, int, int]]:
    """Yield the name of each part, whether it is a file, and where its content begins and ends. Raises `Malformed`."""
    boundary = boundary_in(content_type)
    if boundary is None:
        raise Malformed("`content-type` names no boundary, or a wrong one")
    delimiter = b"\r\n--" + boundary
    at = len(delimiter) - 2
    if not body.startswith(delimiter[2:]):
        raise Malformed("it does not begin with its boundary")
    parts = 0
    while not body.startswith(b"--", at):
        parts += 1
        if parts > PARTS_MAX:
            raise Malformed(f"it has more than {PARTS_MAX} parts")
        head = read_head(body, at)
        if head is None:
            raise Malformed("a part has no head")
        name, is_file, start = head
        end = _find(body, delimiter, start)
        if end < 0:
            raise Malformed("a part has no end")
        yield name, is_file, start, end
        at = end + len(delimiter)
    if body[at + 2 :].strip(b" \t\r\n"):
        raise Malformed("something follows its end")


def read_head(body: bytes, at: int) -> tuple[str, bool, int] | None:
    """Return the name of the part whose boundary ends at `at`, whether it is a file, and where its content begins.

    None: there is no end of its head. Raises `Malformed`.
    """
    head_end = body.find(b"\r\n\r\n", at, at + PART_HEAD_BYTES_MAX)
    if head_end < 0:
        return None
    if not body.startswith(b"\r\n", at):
        raise Malformed("a part has no head")
    name, is_file = _name_in(body[at + 2 : head_end])
    return name, is_file, head_end + 4


def _windows(body: bytes, start: int, end: int) -> Iterator[bytes]:
    """Copy in pieces. While they are joined other threads run too, but only if all of them are `bytes`."""
    for at in range(start, end, _WINDOW_BYTES):
        yield body[at : min(at + _WINDOW_BYTES, end)]


def _find(body: bytes, what: bytes, start: int) -> int:
    """Do `body.find(what, start)`, but let other threads run now and then: one search of all of it would hold them."""
    while True:
        at = body.find(what, start, start + _WINDOW_BYTES + len(what) - 1)
        start += _WINDOW_BYTES
        if at >= 0 or start >= len(body):
            return at


def boundary_in(content_type: bytes) -> bytes | None:
    match = _MULTIPART.fullmatch(content_type.strip())
    if match is None:
        return None
    found = _parameters(match[1]).get(b"boundary", [])
    return found[0] if len(found) == 1 and _BOUNDARY.fullmatch(found[0]) else None


def _name_in(head: bytes) -> tuple[str, bool]:
    """Return the name of a part and whether it is a file. Raises `Malformed` if that is not told, or not plainly."""
    dispositions = []
    for line in head.split(b"\r\n"):
        header = _HEADER.fullmatch(line)
        if header is None:
            raise Malformed("the head of a part has a line that is no header")
        if header[1].lower() == b"content-disposition":
            dispositions.append(header[2].strip())
    match = _FORM_DATA.fullmatch(dispositions[0]) if len(dispositions) == 1 else None
    parameters = {} if match is None else _parameters(match[1])
    names = parameters.get(b"name", [])
    if len(names) != 1 or b"name*" in parameters:
        raise Malformed("a part has no name, or more than one")
    return names[0].decode(), b"filename" in parameters or b"filename*" in parameters


def _parameters(text: bytes) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for match in _PARAMETER.finditer(text):
        value = match[2]
        if value[:1] == b'"':
            value = _ESCAPED.sub(rb"\1", value[1:-1])
        found.setdefault(match[1].lower(), []).append(value)
    return found


def malformed(why: str) -> Refusal:
    return Refusal(fault=Fault.INVALID_REQUEST, message=f"The body is not a form that can be read: {why}.")
