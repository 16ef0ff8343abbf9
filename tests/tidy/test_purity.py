"""The domain decides and does nothing else: it imports nothing that waits, looks at the world or rolls dice."""

import ast
import sys
from collections.abc import Iterator
from typing import Final

import pytest

from tests.tidy.tree import Module, modules

WAITS: Final = {"asyncio", "concurrent", "multiprocessing", "select", "selectors", "signal", "threading", "time"}
SYSTEM: Final = {
    "io",
    "locale",
    "logging",
    "os",
    "pathlib",
    "platform",
    "shutil",
    "sqlite3",
    "subprocess",
    "sys",
    "tempfile",
}
NETWORK: Final = {"http", "socket", "ssl", "urllib.request"}
CHANCE: Final = {"random", "secrets", "uuid"}
IMPURE: Final = WAITS | SYSTEM | NETWORK | CHANCE
IMPURE_CALLS: Final = {"input", "open", "print"}

DOMAIN: Final = modules("router/domain")


def imports(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def pure(name: str) -> bool:
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:
        return top not in IMPURE and name not in IMPURE
    return top == "msgspec" or name.startswith("router.domain")


def test_a_decision_imports_only_what_is_pure() -> None:
    assert [] == [f"{module.name}: {name}" for module in DOMAIN for name in imports(module) if not pure(name)]


def test_a_decision_neither_waits_nor_prints() -> None:
    waits = ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith

    assert [] == [
        module.name
        for module in DOMAIN
        for node in ast.walk(module.tree)
        if isinstance(node, waits)
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS)
    ]


@pytest.mark.parametrize("name", ["time", "random", "os", "fastapi", "router.ports.clock", "urllib.request"])
def test_the_check_itself_knows_what_is_not_pure(name: str) -> None:
    assert not pure(name)
