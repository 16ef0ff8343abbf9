"""Hold a configuration before it is typed: values that remember the file and the line they came from."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Final, TypeAlias

Scalar: TypeAlias = str | int | Decimal | bool | None
Plain: TypeAlias = "Scalar | Sequence[Plain] | Mapping[str, Plain]"
KeyPath: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a value was written. Only values of files (with a folder) may use variables and relative paths."""

    source: str
    line: int | None = None
    folder: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    value: Scalar
    origin: Origin
    shown: str | None = None
    """What problems may quote instead of the value, once a variable or a file has given it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    entries: Mapping[str, "Node"]
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    items: tuple["Node", ...]
    origin: Origin


Node: TypeAlias = Leaf | Branch | Row

_EACH: Final = "[]"
_STEP: Final = re.compile(r"[^.\[\]]+|\[\]")


def grow(plain: Plain, origin: Origin) -> Node:
    """Make a tree whose every value has the same origin."""
    if isinstance(plain, Mapping):
        return Branch(entries={key: grow(value, origin) for key, value in plain.items()}, origin=origin)
    if isinstance(plain, Sequence) and not isinstance(plain, str):
        return Row(items=tuple(grow(value, origin) for value in plain), origin=origin)
    return Leaf(value=plain, origin=origin)


def flatten(node: Node) -> Plain:
    """Return the tree as plain mappings, lists and scalars."""
    match node:
        case Branch():
            return {key: flatten(value) for key, value in node.entries.items()}
        case Row():
            return [flatten(item) for item in node.items]
        case Leaf():
            return node.value


def child(node: Node, step: str | int) -> Node | None:
    match node, step:
        case Branch(), str():
            return node.entries.get(step)
        case Row(), int() if 0 <= step < len(node.items):
            return node.items[step]
        case _:
            return None


def follow(node: Node, path: KeyPath) -> tuple[KeyPath, Node]:
    """Walk along a path as far as the tree goes; return how far, and what is there."""
    for depth, step in enumerate(path):
        below = child(node, step)
        if below is None:
            return path[:depth], node
        node = below
    return path, node


def text_of(node: Node | None) -> str | None:
    """Return the text of a value, or of a number that stands where text is meant; None for anything else."""
    if not isinstance(node, Leaf) or node.value is None or isinstance(node.value, bool):
        return None
    return str(node.value)


def text_at(node: Node, key: str) -> str | None:
    return text_of(child(node, key))


def steps(pattern: str) -> tuple[str, ...]:
    """Split `models[].fallbacks[]` into its steps, `[]` being each item of a list or each value of a mapping."""
    return tuple(_STEP.findall(pattern))


def select(node: Node, pattern: str) -> Iterator[tuple[KeyPath, Node]]:
    """Yield everything in the tree that a pattern such as `models[].deployments[].provider` names."""
    yield from _select(node, steps(pattern), ())


def _select(node: Node, rest: tuple[str, ...], path: KeyPath) -> Iterator[tuple[KeyPath, Node]]:
    if not rest:
        yield path, node
    elif rest[0] != _EACH:
        below = child(node, rest[0])
        if below is not None:
            yield from _select(below, rest[1:], (*path, rest[0]))
    elif isinstance(node, Row):
        for index, item in enumerate(node.items):
            yield from _select(item, rest[1:], (*path, index))
    elif isinstance(node, Branch):
        for key, value in node.entries.items():
            yield from _select(value, rest[1:], (*path, key))


def leaves(node: Node, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Leaf]]:
    match node:
        case Leaf():
            yield path, node
        case Branch():
            for key, value in node.entries.items():
                yield from leaves(value, (*path, key))
        case Row():
            for index, item in enumerate(node.items):
                yield from leaves(item, (*path, index))


def put(node: Node, path: KeyPath, value: Node) -> Node:
    """Return the tree with a value at a path; missing branches on the way are made, wrong steps change nothing."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(node, Branch) and isinstance(step, str):
        below = node.entries.get(step) or Branch(entries={}, origin=value.origin)
        return replace(node, entries={**node.entries, step: put(below, rest, value)})
    if isinstance(node, Row) and isinstance(step, int) and step < len(node.items):
        items = list(node.items)
        items[step] = put(items[step], rest, value)
        return replace(node, items=tuple(items))
    return node


def format_path(path: KeyPath) -> str:
    """Write a path as people do: `models[0].deployments[1].price.input`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")
