"""No file of the project holds a secret, a path of somebody's machine, or the address of a package registry."""

import re
import tempfile
from pathlib import Path
from typing import Final

import pytest

from tests.tidy.tree import ROOT, tracked

REGISTRIES: Final = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs|registry\.yarnpkg|deb\.debian\.org|crates\.io/api|rubygems\.org"
    r"|proxy\.golang\.org|--(?:extra-)?index-url|--find-[l]inks"
)
SECRETS: Final = re.compile(
    r"sk-(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{20,}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,}|xox[abp]-[0-9]{8,}"
    r"|-----BEGIN (?:RSA |EC )?PRIVATE KEY"
)


def machine_paths() -> re.Pattern[str]:
    """Match the home folder, and where this checkout happens to be; CI and each developer look for their own."""
    general = {"/", tempfile.gettempdir()}
    here = sorted({str(path) for path in (ROOT, ROOT.parent, Path.home())} - general)
    return re.compile("|".join(rf"(?<![\w.$}}]){re.escape(path)}/" for path in here))


@pytest.mark.parametrize("pattern", [machine_paths(), REGISTRIES, SECRETS], ids=["path", "registry", "secret"])
def test_no_file_tells_of_the_machine_it_was_written_on(pattern: re.Pattern[str]) -> None:
    texts = {name: (ROOT / name).read_text(encoding="utf-8", errors="replace") for name in tracked()}

    assert {"pyproject.toml", "Makefile", ".ci/run"} <= set(texts)
    assert {} == {name: found[0] for name, text in texts.items() if (found := pattern.search(text))}


def test_the_check_itself_finds_what_it_looks_for() -> None:
    assert machine_paths().search(f"see {ROOT}/notes.txt")
    assert not machine_paths().search(f"https://example.com{ROOT}/notes.txt")
    assert REGISTRIES.search("pip install --index" + "-url x")
    assert REGISTRIES.search("https://pypi" + ".org/simple")
    assert SECRETS.search("sk-" + "aB3" * 8)
    assert not SECRETS.search("sk-upstream-canary-0123456789")
