"""Modules of the router keep to the names, sizes and borders of CONTRIBUTING.md."""

import ast
import re
import tomllib
from typing import Final

from tests.tidy.tree import Module, modules, read

FILE_LINES_MAX: Final = 400
FUNCTION_LINES_MAX: Final = 60
BANNED_NAMES: Final = {"utils", "helpers", "common", "misc", "base", "manager", "core"}
BANNED_ENDINGS: Final = ("Manager", "Helper", "Util", "Utils", "Impl")

STATUS_FOLDERS: Final = ("router/facades/", "router/pipeline/", "router/admin/")
STATUS_KEYWORDS: Final = {"status", "status_code", "http"}
STATUS_ALLOWED: Final = {
    "router/facades/http/health.py",  # a probe asks for a bare status: no call has failed, so there is no fault
}

ROUTER: Final = modules("router")


def test_there_are_modules_to_check() -> None:
    assert {"router/__init__.py", "router/domain/faults.py"} <= {module.name for module in ROUTER}


def test_a_module_opens_by_naming_its_duty_in_a_sentence() -> None:
    assert [] == [module.name for module in ROUTER if not _opens_with_a_sentence(module)]


def _opens_with_a_sentence(module: Module) -> bool:
    paragraph = (ast.get_docstring(module.tree) or "").split("\n\n")[0]
    return paragraph.rstrip("`\"')").endswith((".", "!", "?"))


def test_a_file_stops_at_400_lines() -> None:
    sizes = {module.name: len(module.text.splitlines()) for module in ROUTER}

    assert {} == {name: lines for name, lines in sizes.items() if lines > FILE_LINES_MAX}


def test_a_function_stops_at_60_lines() -> None:
    sizes = {
        module.at(node): (node.end_lineno or 0) - node.lineno + 1
        for module in ROUTER
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert {} == {place: lines for place, lines in sizes.items() if lines > FUNCTION_LINES_MAX}


def test_no_module_is_named_for_nothing_in_particular() -> None:
    words = {module.name: set(re.split(r"[/_.]", module.name)) for module in ROUTER}

    assert [] == [name for name, parts in words.items() if parts & BANNED_NAMES]


def test_no_class_is_named_for_nothing_in_particular() -> None:
    assert [] == [
        module.at(node)
        for module in ROUTER
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef) and node.name.endswith(BANNED_ENDINGS)
    ]


def test_exceptions_are_caught_wholesale_only_at_the_borders_that_ruff_is_told_of() -> None:
    ignores = tomllib.loads(read("pyproject.toml"))["tool"]["ruff"]["lint"]["per-file-ignores"]
    borders = {name for name, rules in ignores.items() if "BLE001" in rules}

    assert [] == [
        module.at(node)
        for module in ROUTER
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and module.name not in borders and _catches_wholesale(node)
    ]


def _catches_wholesale(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    return any(isinstance(node, ast.Name) and node.id == "Exception" for node in ast.walk(handler.type))


def test_only_the_table_of_faults_names_a_failing_status() -> None:
    assert [] == [
        module.at(keyword)
        for module in ROUTER
        if module.name.startswith(STATUS_FOLDERS) and module.name not in STATUS_ALLOWED
        for call in ast.walk(module.tree)
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg in STATUS_KEYWORDS and any(_is_failing_status(node) for node in ast.walk(keyword.value))
    ]


def _is_failing_status(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and 400 <= node.value <= 599


def test_what_is_still_to_do_names_its_issue() -> None:
    unfinished = re.compile(r"#.*\b(?:FIXME|XXX|TODO(?!\(#\d+\)))")

    assert [] == [module.name for module in ROUTER if unfinished.search(module.text)]
