"""The commands that the README, the help and CI name are there."""

import re
import subprocess
from typing import Final

import pytest

from tests.tidy.tree import ROOT, read

USING: Final = {"help", "install", "run", "demo", "demo-real", "clean"}
JUDGING: Final = {"test", "check", "fmt", "lint", "types", "proto", "bench", "load"}


def listed() -> set[str]:
    done = subprocess.run(
        ["make", "--silent", "help"], cwd=ROOT, check=True, capture_output=True, text=True, timeout=10
    )
    return {line.split()[0] for line in done.stdout.splitlines()}


def test_help_lists_every_target() -> None:
    phony = set(re.findall(r"^\.PHONY: (.*)", read("Makefile"), re.MULTILINE)[0].split())

    assert phony == listed()
    assert set() == (USING | JUDGING) - phony


@pytest.mark.parametrize(
    "page",
    ["README.md", "CONTRIBUTING.md", "load_tests/README.md", "clients/README.md", "clients/python/README.md"],
)
def test_a_page_names_only_commands_that_exist(page: str) -> None:
    text = read(page)

    assert set() == set(re.findall(r"\bmake ([a-z][a-z-]*)", "\n".join(code(text)))) - listed()
    for script in re.findall(r"(?:clients|load_tests|deploy|docs|tests)/[\w/.-]+\.\w+", "\n".join(code(text))):
        assert (ROOT / script).is_file(), f"{page} names {script}"


def code(markdown: str) -> list[str]:
    """Find what a page sets as code: a sentence may well make do."""
    return re.findall(r"```.*?```|`[^`\n]+`", markdown, re.DOTALL)


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert "exec make test\n" in read(".ci/run")
    assert "make test" in read("README.md")
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_the_test_command_checks_first_and_then_runs_every_test() -> None:
    (prerequisites, recipe) = re.findall(r"^test: ([^#]*?)\s*##.*\n\t(.*)", read("Makefile"), re.MULTILINE)[0]

    assert "check" == prerequisites
    assert "$(BIN)/python -m pytest tests" == recipe
