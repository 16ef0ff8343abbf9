"""Run an example as a program of its own, with nothing but its address, its key and a model to ask."""

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.support.process import ROOT, clean_env
from tests.support.running import KEY

ASKED_FOR: Final = "TEST_CLIENTS_ENVIRONMENT"
"""The variable that holds the folder of the environment with all SDKs."""
FOLDER: Final = ROOT / "clients" / "examples"
_GUARD: Final = Path(__file__).with_name("loopback_only")
_PATIENCE_S: Final = 50

PRICE: Final = {"input": 2.0, "output": 10.0}
MODELS: Final[Mapping[str, Sequence[str]]] = {
    "demo": (),
    "through-chat": ("chat", "embeddings"),
    "through-messages": ("messages", "embeddings"),
    "through-responses": ("responses", "embeddings"),
}
"""Models by the dialects of their provider; none named is all of them."""

SCRIPTS: Final[Mapping[str, Mapping[str, int]]] = {
    "": {"reply_tokens": 12},
    "cut-": {"reply_tokens": 12, "cut_after_tokens": 3},
}
"""Of each model's provider, and, under a prefix, of another whose streams break."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    status: int
    out: str
    err: str
    left: str
    """What it tried to reach beyond loopback."""


async def run(script: Path, url: str, model: str, folder: Path) -> Ran:
    """Run an example to its end. What it needs and is not here, it is skipped for."""
    record = folder / "left"
    env = clean_env(
        {"CHECKREIN_KEY": KEY, "PYTHONPATH": str(_GUARD), "LEFT_LOOPBACK": str(record), "HOME": str(folder)}
    )
    process = await asyncio.create_subprocess_exec(
        _program_for(script),
        str(script),
        url,
        model,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env=env,
    )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    left = record.read_text() if record.exists() else ""
    return Ran(status=process.returncode, out=out.decode(), err=err.decode(), left=left)


def _program_for(script: Path) -> str:
    if script.suffix == ".mjs":
        node = shutil.which("node")
        if node is None or not (FOLDER / "node_modules").is_dir():
            pytest.skip("SKIPPED: node, or what npm installs, is not on this machine")
        return node
    environment = os.environ.get(ASKED_FOR)
    return sys.executable if environment is None else str(ROOT / environment / "bin" / "python")
