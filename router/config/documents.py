"""Read one configuration file into a tree, YAML or TOML by its suffix."""

from pathlib import Path
from typing import Final

from router.config.document_toml import parse_toml
from router.config.document_yaml import parse_yaml
from router.config.problems import ConfigInvalid, Problem, problem_at
from router.config.tree import Branch, Node, Origin

FILE_BYTES_MAX: Final = 8 << 20


def read_document(path: Path) -> tuple[Branch, list[Problem]]:
    """Return the file's tree and what is wrong in it. Raises `ConfigInvalid` when it cannot be read at all."""
    origin = Origin(source=str(path), line=None, folder=path.parent)
    text = _read_text(path, origin)
    problems: list[Problem] = []
    root: Node
    if path.suffix == ".toml":
        root = parse_toml(text, origin)
    elif path.suffix in (".yaml", ".yml"):
        root, problems = parse_yaml(text, origin)
    else:
        raise ConfigInvalid([problem_at(origin, (), "neither YAML nor TOML", "end its name in .yaml or .toml")])
    if not isinstance(root, Branch):
        raise ConfigInvalid([problem_at(origin, (), "not a mapping of sections", "start with `version: 1`")])
    return root, problems


def _read_text(path: Path, origin: Origin) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as exc:
        message = f"cannot be read: {exc.strerror}"
        raise ConfigInvalid([problem_at(origin, (), message, "check the path and its permissions")]) from None
    if len(raw) > FILE_BYTES_MAX:
        raise ConfigInvalid([problem_at(origin, (), "larger than 8 MiB", "this is not a configuration")])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigInvalid([problem_at(origin, (), "not UTF-8", "save the file as UTF-8 text")]) from None
