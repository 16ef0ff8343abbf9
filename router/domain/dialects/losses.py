"""Keep account of what another dialect cannot say: either it stops the translation, or it is left out and named."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Raw

NAMES_MAX: Final = 32
"""Names told of one request; a conversation of images to a dialect without any would fill every header."""

NAME_CHARS_MAX: Final = 120
MESSAGE_CHARS_MAX: Final = 400
"""Both quote what a caller wrote: a name may go into a header, a message into an error."""

NOTHING: Final[Mapping[str, tuple[bytes, ...]]] = MappingProxyType({})

_MORE: Final = "and more"
_NULL: Final = Raw(b"null")
_NOT_SHOWN: Final = re.compile(r"[^!-~]")


class Unsayable(Exception):
    """The other dialect cannot say this, or it is not of its own dialect."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(param, message)
        self.param = _shown(param)
        self.message = message[:MESSAGE_CHARS_MAX]


def malformed(param: str, wanted: str) -> Unsayable:
    return Unsayable(param, f"`{param}` must be {wanted}.")


class Losses:
    """What one request loses on its way into another dialect, which people know as `dialect`."""

    __slots__ = ("_dialect", "_drop", "_names", "extended")

    def __init__(self, *, dialect: str, drop: bool, extended: bool = False) -> None:
        self.extended = extended
        """Whoever reads it knows more than the dialect: hints that change no reply are kept, and thoughts."""
        self._dialect = dialect
        self._drop = drop
        self._names: dict[str, None] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._names)

    def lose(self, param: str, message: str = "") -> None:
        """Leave a member out if the caller wants that; raises `Unsayable` if not."""
        if not self._drop:
            raise Unsayable(param, message or f"{self._no_place_for(param)}. Remove it, or ask for it to be dropped.")
        name = _shown(param)
        if len(self._names) < NAMES_MAX or name in self._names:
            self._names[name] = None
        else:
            self._names[_MORE] = None

    def never(self, param: str, why: str) -> Unsayable:
        """Say that without this member the request would be another one, so that it is never left out."""
        return Unsayable(param, f"{self._no_place_for(param)}: {why}. Remove it.")

    def lose_unknown(
        self,
        fields: Mapping[str, Raw],
        known: frozenset[str],
        where: str,
        defaults: Mapping[str, tuple[bytes, ...]] = NOTHING,
    ) -> None:
        """Leave out members with a value that the dialect has no place for, or of which nobody knows the meaning.

        `defaults`: values that ask for nothing, without spaces.
        """
        if fields.keys() <= known:
            return
        for name, value in fields.items():
            if name not in known and value != _NULL and not asks_nothing(name, value, defaults):
                self.lose(f"{where}.{name}" if where else name)

    def _no_place_for(self, param: str) -> str:
        return f"`{param}` cannot be said in {self._dialect}, which this model's provider speaks"


def asks_nothing(name: str, value: Raw, defaults: Mapping[str, tuple[bytes, ...]]) -> bool:
    return name in defaults and bytes(value).replace(b" ", b"") in defaults[name]


def _shown(name: str) -> str:
    return _NOT_SHOWN.sub("?", name[:NAME_CHARS_MAX])
