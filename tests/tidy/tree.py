"""Give the tidy tests the project's files: those that git would track, and the router's modules parsed."""

import ast
import fnmatch
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One Python file; `name` is its path from the project's root, with slashes."""

    name: str
    text: str
    tree: ast.Module

    def at(self, node: ast.stmt | ast.expr | ast.excepthandler | ast.keyword) -> str:
        return f"{self.name}:{node.lineno}"


@cache
def tracked() -> tuple[str, ...]:
    """Every file that .gitignore does not leave out, with or without a repository around it."""
    return tuple(sorted(_walk()))


@cache
def modules(folder: str) -> tuple[Module, ...]:
    return tuple(_parse(name) for name in tracked() if name.startswith(f"{folder}/") and name.endswith(".py"))


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _parse(name: str) -> Module:
    text = read(name)
    return Module(name=name, text=text, tree=ast.parse(text, name))


def _walk() -> Iterator[str]:
    ignored = [line for line in read(".gitignore").splitlines() if line and not line.startswith("#")]
    folders = [".git", *(line.rstrip("/") for line in ignored if line.endswith("/"))]
    for folder, names, files in os.walk(ROOT):
        names[:] = [name for name in names if not _any_match(name, folders)]
        for file in files:
            if not _any_match(file, ignored):
                yield (Path(folder) / file).relative_to(ROOT).as_posix()


def _any_match(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
