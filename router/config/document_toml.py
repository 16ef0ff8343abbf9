"""Read TOML, and find the line of each key by a light scan, because the standard parser does not tell."""

import re
import tomllib
from datetime import date, datetime, time
from decimal import Decimal
from typing import Final, TypeAlias

from router.config.problems import ConfigInvalid, problem_at
from router.config.tree import Branch, KeyPath, Leaf, Node, Origin, Row

_Value: TypeAlias = "str | int | Decimal | bool | datetime | date | time | list[_Value] | dict[str, _Value]"

_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY: Final = re.compile(r"\s*((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=")
_PART: Final = re.compile(r"[\w-]+|\"[^\"]*\"|'[^']*'")
_LINE: Final = re.compile(r"at line (\d+)")


def parse_toml(text: str, origin: Origin) -> Node:
    """Return the tree. Raises `ConfigInvalid` for text that is not TOML."""
    try:
        data: dict[str, _Value] = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as exc:
        found = _LINE.search(str(exc))
        place = Origin(source=origin.source, line=int(found[1]) if found else None, folder=origin.folder)
        raise ConfigInvalid([problem_at(place, (), f"not TOML: {exc}", "look at this line")]) from None
    return _grow(data, (), origin, _lines(text))


def _grow(value: _Value, path: KeyPath, above: Origin, lines: dict[KeyPath, int]) -> Node:
    origin = Origin(source=above.source, line=lines.get(path, above.line), folder=above.folder)
    if isinstance(value, dict):
        entries = {key: _grow(below, (*path, key), origin, lines) for key, below in value.items()}
        return Branch(entries=entries, origin=origin)
    if isinstance(value, list):
        items = tuple(_grow(item, (*path, index), origin, lines) for index, item in enumerate(value))
        return Row(items=items, origin=origin)
    return Leaf(value=value.isoformat() if isinstance(value, date | time) else value, origin=origin)


def _lines(text: str) -> dict[KeyPath, int]:
    """Map the paths that start a line to it. Keys inside inline tables have the line of their outermost key."""
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _table(header[1], _parts(header[2]), counts)
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            path = table
            for part in _parts(key[1]):
                path = (*path, part)
                lines.setdefault(path, number)
    return lines


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in _PART.findall(dotted)]


def _table(brackets: str, parts: list[str], counts: dict[KeyPath, int]) -> KeyPath:
    """Resolve a header to its path: a list on the way means its newest item."""
    path: KeyPath = ()
    for index, part in enumerate(parts):
        path = (*path, part)
        if brackets == "[[" and index == len(parts) - 1:
            counts[path] = counts.get(path, 0) + 1
        if path in counts:
            path = (*path, counts[path] - 1)
    return path
