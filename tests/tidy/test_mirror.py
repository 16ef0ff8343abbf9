"""Every module of the router that can run has its own unit tests, found by name."""

import ast
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Final

from tests.tidy.tree import ROOT, Module, modules

TESTED_ELSEWHERE: Final = {
    # The whole behaviour of these is their port's: its contract suite runs over the real thing.
    "router/adapters/ledger_memory.py": "tests/contract/test_ledger.py",
    # Of ports only the errors that they define run, and those the suites raise.
    "router/ports/transport.py": "tests/contract/test_transport.py",
    "router/ports/upstream.py": "tests/contract/test_upstream.py",
}


def test_every_module_that_runs_has_its_unit_tests() -> None:
    assert [] == [f"{name} wants {_test_of(name)}" for name in _running() if not (ROOT / _test_of(name)).is_file()]


def test_an_exception_is_listed_only_while_it_is_one() -> None:
    running = _running()

    assert [] == [pattern for pattern in TESTED_ELSEWHERE if not any(fnmatch(name, pattern) for name in running)]
    assert [] == [name for name in running if _test_of(name) != _mirror(name) and (ROOT / _mirror(name)).exists()]


def test_unit_tests_use_fakes_and_no_mocks() -> None:
    assert [] == [
        module.at(node)
        for module in modules("tests/unit")
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.ImportFrom) and "mock" in f"{node.module} {[alias.name for alias in node.names]}")
        or (isinstance(node, ast.Import) and any("mock" in alias.name for alias in node.names))
    ]


def _running() -> list[str]:
    return [
        module.name
        for module in modules("router")
        if not module.name.endswith(("/__init__.py", "/__main__.py")) and _runs(module)
    ]


def _runs(module: Module) -> bool:
    """Tell whether any function has a body; Protocols, structs and tables have nothing to run."""
    return any(
        not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in node.body
    )


def _test_of(name: str) -> str:
    return next((file for pattern, file in TESTED_ELSEWHERE.items() if fnmatch(name, pattern)), _mirror(name))


def _mirror(name: str) -> str:
    path = PurePosixPath(name).relative_to("router")
    return str(PurePosixPath("tests/unit") / path.parent / f"test_{path.name}")
