"""Lay one configuration over another: mappings merge, lists of named objects merge by name, all else is replaced.

Associative, later wins, as long as the layers agree about the kind of each key (a mapping, a list, a value).
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import reduce
from typing import Final

from router.config.tree import Branch, Node, Row, text_at

_ALTERNATIVES: Final = (
    frozenset({"api_key", "api_key_file"}),
    frozenset({"key", "key_file", "key_sha256"}),
    frozenset({"secret", "secret_file"}),
    frozenset({"limit_usd", "limit_tokens", "limit_requests", "limit_seconds"}),
)
"""Ways to say one thing: saying it in a later layer takes back the other ways of the earlier ones."""


def merge_all(lowest: Node, layers: Iterable[Node]) -> Node:
    return reduce(merge, layers, lowest)


def merge(lower: Node, upper: Node) -> Node:
    """Lay `upper` over `lower`. What comes from `upper` keeps its origin."""
    match lower, upper:
        case Branch(), Branch():
            return _merge_branches(lower, upper)
        case Row(), Row() if _is_named(lower) and _is_named(upper):
            return _merge_named(lower, upper)
        case Row(), Row() if _is_named(lower) and not upper.items:
            return lower
        case _:
            return upper


def _merge_branches(lower: Branch, upper: Branch) -> Branch:
    said = upper.entries.keys()
    taken_back = {key for group in _ALTERNATIVES if group & said for key in group - said}
    entries = {key: value for key, value in lower.entries.items() if key not in taken_back}
    for key, value in upper.entries.items():
        entries[key] = merge(entries[key], value) if key in entries else value
    return replace(upper, entries=entries)


def _merge_named(lower: Row, upper: Row) -> Row:
    """Known names merge where they stand, new names follow in their order."""
    items = {text_at(item, "name"): item for item in lower.items}
    for item in upper.items:
        name = text_at(item, "name")
        items[name] = merge(items[name], item) if name in items else item
    return replace(upper, items=tuple(items.values()))


def _is_named(row: Row) -> bool:
    return bool(row.items) and all(text_at(item, "name") is not None for item in row.items)
