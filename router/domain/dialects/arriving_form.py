"""Read a form while it comes: what decides about its call before the file, and the rest before any of that goes on.

Nobody is sent a field that was not judged: of what comes after the file nothing goes on until all of it is here.
"""

from enum import Enum
from typing import Final, NamedTuple

from router.domain.dialects.form import (
    PART_HEAD_BYTES_MAX,
    PARTS_MAX,
    Form,
    Malformed,
    boundary_in,
    malformed,
    parts_of,
    read_head,
)
from router.domain.faults import Fault, Refusal

OPENING_BYTES_MAX: Final = 64 * 1024
"""Before the content of the file; a form that says more there is held until it is whole."""
ENDING_BYTES_MAX: Final = 8 * 1024
"""After it. Text that comes there is taken to be as long when the call is sized."""
_MODEL: Final = "model"


class Sight(Enum):
    """Why a form cannot be passed on while it comes."""

    NOT_YET = "not_yet"
    """More of it may tell."""
    NEVER = "never"
    """It is to be read as a whole: its file comes before its model, or it is malformed, which the whole says best."""


class Opening(NamedTuple):
    form: Form
    ending: "Ending"
    first: bytes
    """What has come of the rest."""


def read_opening(content_type: bytes, begun: bytes, *, length: int, barred: frozenset[str]) -> Opening | Sight:
    """Read a form up to the content of its first file.

    `length`: bytes of the whole body. `barred`: names that may not come after the file, as they decide too much.
    """
    try:
        opening = _read_opening(content_type, begun, length, barred)
    except (Malformed, UnicodeDecodeError):
        return Sight.NEVER
    read = len(begun) if isinstance(opening, Sight) else len(opening.form.body)
    return opening if read <= OPENING_BYTES_MAX else Sight.NEVER


def _read_opening(content_type: bytes, begun: bytes, length: int, barred: frozenset[str]) -> Opening | Sight:
    boundary = boundary_in(content_type)
    if boundary is None:
        return Sight.NEVER
    delimiter = b"\r\n--" + boundary
    at = len(delimiter) - 2
    if not begun.startswith(delimiter[2:]):
        return Sight.NOT_YET if len(begun) < at else Sight.NEVER
    texts: dict[str, str] = {}
    model_at = None
    for _ in range(PARTS_MAX):
        head = read_head(begun, at)
        if head is None:
            return Sight.NOT_YET if len(begun) < at + PART_HEAD_BYTES_MAX else Sight.NEVER
        name, is_file, start = head
        if is_file:
            if name == _MODEL or model_at is None:
                return Sight.NEVER
            form = Form(
                body=begun[:start],
                content_type=content_type,
                texts=texts,
                model_at=model_at,
                files=(length - start,),
                late_bytes=ENDING_BYTES_MAX,
            )
            return Opening(form, Ending(content_type, delimiter, frozenset(texts), barred), begun[start:])
        end = begun.find(delimiter, start)
        if end < 0:
            return Sight.NOT_YET
        if name in texts and not name.endswith("[]"):
            return Sight.NEVER
        texts[name] = begun[start:end].decode()
        if name == _MODEL:
            model_at = start, end
        at = end + len(delimiter)
    return Sight.NEVER


class Ending:
    """The file of a form and what follows it."""

    __slots__ = ("_barred", "_content_type", "_delimiter", "_held", "_said", "_taken_bytes", "file_bytes")

    def __init__(self, content_type: bytes, delimiter: bytes, said: frozenset[str], barred: frozenset[str]) -> None:
        self._content_type = content_type
        self._delimiter = delimiter
        self._said = said
        self._barred = barred
        self._held = b""
        """What may be the file's boundary, or follows it. Bounded by `ENDING_BYTES_MAX`."""
        self._taken_bytes = 0
        self.file_bytes: int | None = None
        """None: it has not ended yet."""

    def take(self, data: bytes) -> bytes | Refusal:
        """Return what is known to be content of the file, and so may go on."""
        held = self._held + data
        if self.file_bytes is not None:
            if len(held) > ENDING_BYTES_MAX:
                return malformed(f"more than {ENDING_BYTES_MAX} bytes follow its file; send the file last")
            self._held = held
            return b""
        at = held.find(self._delimiter)
        if at >= 0:
            self.file_bytes = self._taken_bytes + at
            self._held = b""
            late = self.take(held[at:])
            return late if isinstance(late, Refusal) else held[:at]
        at = max(0, len(held) - len(self._delimiter) + 1)
        self._held = held[at:]
        self._taken_bytes += at
        return held[:at]

    def close(self) -> bytes | Refusal:
        """Return what follows the file, once all has come, or why nobody is to be sent it."""
        if self.file_bytes is None:
            return malformed("a part has no end")
        try:
            return self._judge(self._held[2:]) or self._held
        except Malformed as exc:
            return malformed(str(exc))
        except UnicodeDecodeError:
            return malformed("a part that is no file is not text in UTF-8")

    def _judge(self, rest: bytes) -> Refusal | None:
        said = set(self._said)
        for name, is_file, start, end in parts_of(self._content_type, rest):
            if is_file or name in self._barred:
                return Refusal(
                    fault=Fault.INVALID_REQUEST,
                    message=f"`{name[:64]}` comes after a large file, when the call has begun. Send the file last.",
                    param=name[:64],
                )
            if name in said and not name.endswith("[]"):
                raise Malformed("a part that is no list comes twice")
            rest[start:end].decode()
            said.add(name)
        return None
