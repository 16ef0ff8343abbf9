"""Run the `checkrein` command as a process of its own, the way an operator does, and keep all that it says."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
CHECKREIN: Final = (sys.executable, "-m", "router")
_PATIENCE_S: Final = 30
_PORTS: Final = (
    re.compile(r"serving https?://\S+:(\d+)/v1"),
    re.compile(r"metrics and probes on http://\S+:(\d+)"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    status: int
    out: str
    err: str


class Served:
    """A router process that is ready. Its two outputs are files in `folder`, complete once it has stopped."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.http_port = 0
        self.ops_port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def ops_url(self) -> str:
        return f"http://127.0.0.1:{self.ops_port}"

    @property
    def out(self) -> str:
        return (self.folder / "stdout").read_text()

    @property
    def err(self) -> str:
        return (self.folder / "stderr").read_text()

    @property
    def grpc_port(self) -> int:
        return int(re.findall(r"serving gRPC on \S+:(\d+)", self.err)[-1])

    async def said(self, words: str, *, times: int = 1) -> None:
        """Wait until standard error, a file that sends no event, holds `words` so many times."""
        async with asyncio.timeout(_PATIENCE_S):
            while self.err.count(words) < times:
                assert self.process.returncode is None, self.err
                await asyncio.sleep(0.02)

    async def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        """Wait until it has ended, and return its exit status."""
        async with asyncio.timeout(_PATIENCE_S):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def served(
    folder: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    command: Sequence[str] = CHECKREIN,
) -> AsyncIterator[Served]:
    """Run `checkrein serve` in `folder` until the block is left."""
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = await asyncio.create_subprocess_exec(
            *command, "serve", *arguments, stdout=out, stderr=err, cwd=folder, env=clean_env(env)
        )
    router = Served(process, folder)
    try:
        await router.said("ready: all listeners are up")
        ports = [re.findall(pattern, router.err)[-1] for pattern in _PORTS]
        router.http_port, router.ops_port = map(int, ports)
        yield router
    finally:
        with contextlib.suppress(ProcessLookupError):
            await router.stop()


async def finished(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Finished:
    """Run a command in `folder` to its end."""
    process = await asyncio.create_subprocess_exec(
        *CHECKREIN,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env=clean_env(env),
    )
    async with asyncio.timeout(_PATIENCE_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Finished(status=process.returncode, out=out.decode(), err=err.decode())


def clean_env(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this environment without anything that configures a router, and with the checkout to import."""
    ours = ("CHECKREIN", "DATABASE_URL", "REDIS_URL", "OPENAI", "XDG_CONFIG_HOME", "HOME")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"PYTHONPATH": str(ROOT), "HOME": str(ROOT / "nowhere")} | dict(more or {})
