"""Put variables into text: `${VAR}`, `${VAR:-default}`, and `$${` for a literal `${`. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_PIECE: Final = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_VARIABLE: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpolated:
    text: str
    unset: tuple[str, ...] = ()
    """Variables without a value and without a default; they left nothing in the text."""
    malformed: tuple[str, ...] = ()


def interpolate(text: str, env: Mapping[str, str]) -> Interpolated:
    """Replace every variable. As in a shell, the default stands in for a variable that is unset or empty."""
    unset: list[str] = []
    malformed: list[str] = []

    def resolve(piece: re.Match[str]) -> str:
        if piece[0] == "$${":
            return "${"
        variable = _VARIABLE.fullmatch(piece[1]) if piece[1] is not None else None
        if variable is None:
            malformed.append(piece[0])
            return piece[0]
        name, default = variable[1], variable[2]
        if default is not None:
            return env.get(name) or default
        if name not in env:
            unset.append(name)
        return env.get(name, "")

    replaced = _PIECE.sub(resolve, text)
    return Interpolated(text=replaced, unset=tuple(unset), malformed=tuple(malformed))
