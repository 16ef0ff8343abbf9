"""Read `CHECKREIN_SECTION__KEY` variables, typed by the schema: JSON where a list or a mapping is meant.

Names without `__` that no section bears are left alone: Kubernetes puts `CHECKREIN_SERVICE_HOST` and its like
into every container beside a service of our name.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from difflib import get_close_matches
from typing import Final

from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource
from pydantic_settings.sources.utils import parse_env_vars

from router.config.problems import Problem
from router.config.schema import Settings
from router.config.tree import Branch, KeyPath, Leaf, Node, Origin, Plain, grow, put

PREFIX: Final = "CHECKREIN_"
_DELIMITER: Final = "__"
_ALIASES: Final[Mapping[str, KeyPath]] = {"DATABASE_URL": ("store", "url"), "REDIS_URL": ("shared", "url")}
"""Names that platforms set by themselves; our own names win over them."""


class _Source(EnvSettingsSource):
    """The library's reading of variables, over a mapping that is given instead of the process's own."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._given = env
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return parse_env_vars(self._given, parse_none_str=self.env_parse_none_str)

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: object) -> Plain:
        """Keep text that is not JSON: validation then says what was expected at that place."""
        text = str(value)
        try:
            decoded: Plain = json.loads(text, parse_float=Decimal)
        except ValueError:
            return text
        return decoded


def read_environment(env: Mapping[str, str]) -> tuple[Node, list[Problem]]:
    """Return the layer that the variables make, and the variables that name no section."""
    ours = {name: value for name, value in env.items() if name.startswith(PREFIX)}
    found: Mapping[str, Plain] = _Source(ours)()
    layer: Node = Branch(entries={}, origin=Origin(source="environment"))
    for name, path in _ALIASES.items():
        if env.get(name):
            layer = put(layer, path, Leaf(value=env[name], origin=Origin(source=name)))
    for section, value in found.items():
        layer = _lay(layer, (section,), value, ours)
    return layer, _unknown(ours)


def _lay(layer: Node, path: KeyPath, value: Plain, ours: Mapping[str, str]) -> Node:
    """Put a value of the library's result into the layer, each leaf with the variable that it must be from."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            layer = _lay(layer, (*path, key), below, ours)
        return layer
    names = (PREFIX + _DELIMITER.join(map(str, path[:depth])).upper() for depth in range(len(path), 0, -1))
    source = next((name for name in names if name in ours), "environment")
    return put(layer, path, grow(value, Origin(source=source)))


def _unknown(ours: Mapping[str, str]) -> list[Problem]:
    problems = []
    for name in sorted(ours):
        section, delimiter, rest = name.removeprefix(PREFIX).lower().partition(_DELIMITER)
        if delimiter and section not in Settings.model_fields:
            close = get_close_matches(section, Settings.model_fields, 1)
            fix = f"did you mean {PREFIX}{close[0].upper()}{_DELIMITER}{rest.upper()}?" if close else "unset it"
            problems.append(Problem(path="", file=name, message=f"there is no section {section!r}", fix=fix))
    return problems
