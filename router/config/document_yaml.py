"""Read YAML with the line of every key, by the rules of YAML 1.2: `off` is a word, `2.10` keeps its digits."""

import re
from decimal import Decimal
from typing import Final

import yaml

from router.config.problems import ConfigInvalid, Problem, problem_at
from router.config.tree import Branch, KeyPath, Leaf, Node, Origin, Row, Scalar

_LOADER: Final = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
_TAG: Final = "tag:yaml.org,2002:"
_PLAIN_TAGS: Final = {_TAG + name for name in ("null", "bool", "int", "float", "timestamp", "merge", "value")}
_WORDS: Final[dict[str, bool | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_WHOLE: Final = re.compile(r"[-+]?[0-9]{1,30}", re.ASCII)
_FRACTION: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,2})?", re.ASCII)

NODES_MAX: Final = 100_000
"""Aliases can make a small file huge; so much is more than anybody writes."""
DEPTH_MAX: Final = 32


def parse_yaml(text: str, origin: Origin) -> tuple[Node, list[Problem]]:
    """Return the tree and the keys that were written twice. Raises `ConfigInvalid` for text that is not YAML."""
    try:
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else None
        message = f"not YAML: {exc.problem or 'cannot be read'}"
        fix = "look at this line and the one before it"
        raise ConfigInvalid([problem_at(_at(origin, line), (), message, fix)]) from None
    except yaml.YAMLError:
        raise ConfigInvalid([problem_at(origin, (), "not YAML", "save the file as UTF-8 text")]) from None
    if root is None:
        return Branch(entries={}, origin=origin), []
    reader = _Reader(origin)
    return reader.read(root, (), root.start_mark.line + 1), reader.problems


def _at(origin: Origin, line: int | None) -> Origin:
    return Origin(source=origin.source, line=line, folder=origin.folder)


class _Reader:
    """Turn composed nodes into a tree, counting them."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._nodes = 0
        self.problems: list[Problem] = []

    def read(self, node: yaml.Node, path: KeyPath, line: int) -> Node:
        """Read a node; `line` is where its key stands, which is where people look for it."""
        origin = _at(self._origin, line)
        self._nodes += 1
        if self._nodes > NODES_MAX or len(path) > DEPTH_MAX:
            raise ConfigInvalid([problem_at(origin, path, "too large", "use fewer aliases and less nesting")])
        if isinstance(node, yaml.MappingNode):
            return self._read_mapping(node, path, origin)
        if isinstance(node, yaml.SequenceNode):
            items = (self.read(item, (*path, index), item.start_mark.line + 1) for index, item in enumerate(node.value))
            return Row(items=tuple(items), origin=origin)
        return Leaf(value=self._read_scalar(node, path, origin), origin=origin)

    def _read_mapping(self, node: yaml.MappingNode, path: KeyPath, origin: Origin) -> Branch:
        entries: dict[str, Node] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(problem_at(_at(origin, line), path, "a key is not text", "use a plain word"))
                continue
            key = str(key_node.value)
            if key in entries:
                first = entries[key].origin.line
                message = f"written twice; the first is on line {first}"
                self.problems.append(problem_at(_at(origin, line), (*path, key), message, "keep one of them"))
            entries[key] = self.read(value_node, (*path, key), line)
        return Branch(entries=entries, origin=origin)

    def _read_scalar(self, node: yaml.Node, path: KeyPath, origin: Origin) -> Scalar:
        text = str(node.value)
        if node.tag not in _PLAIN_TAGS:
            if node.tag != _TAG + "str":
                message = f"the tag {node.tag} means nothing here"
                self.problems.append(problem_at(origin, path, message, "remove it"))
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _WHOLE.fullmatch(text):
            return int(text)
        return Decimal(text) if _FRACTION.fullmatch(text) else text
