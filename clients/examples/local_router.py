"""Run a router of its own for a demo or a load: in a temporary folder, on free ports, stopped by SIGTERM."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

KEY: Final = "sk-local"
_COMMAND: Final = str(Path(sys.executable).with_name("checkrein"))
_READY_S_MAX: Final = 15.0
_STOP_S_MAX: Final = 30.0
_SETTLE_S_MAX: Final = 5.0
_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRouter:
    """A router that runs until its `with` block ends."""

    url: str
    grpc_port: int
    folder: Path
    process_id: int

    def settled_call(self, call_id: str) -> dict[str, object]:
        """Fetch a call's row once it is settled: a stream ends just before its settlement reaches the ledger."""
        deadline = time.monotonic() + _SETTLE_S_MAX
        while True:
            request = urllib.request.Request(
                f"{self.url}/checkrein/v1/calls/{call_id}", headers={"authorization": f"Bearer {KEY}"}
            )
            with urllib.request.urlopen(request, timeout=_SETTLE_S_MAX) as reply:
                row: dict[str, object] = json.load(reply)
            if row["outcome"] != "open" or time.monotonic() > deadline:
                return row
            time.sleep(_POLL_S)

    def run(self, *arguments: str) -> str:
        """Run a `checkrein` command where this router's ledger is, and return what it prints."""
        done = subprocess.run(
            [_COMMAND, *arguments], cwd=self.folder, env=_environment(self.folder), check=True, capture_output=True
        )
        return done.stdout.decode()


@contextmanager
def local_router(config: str | None = None) -> Iterator[LocalRouter]:
    """Serve `config` (YAML); None: what `checkrein serve` serves by itself, a scripted provider and no network."""
    with tempfile.TemporaryDirectory(prefix="checkrein-") as name:
        folder = Path(name)
        port, grpc_port, ops_port = free_ports(3)
        ports = ["--port", str(port), "--grpc-port", str(grpc_port), "--ops-port", str(ops_port)]
        command = [_COMMAND, "serve", "--host", "127.0.0.1", *ports]
        if config is not None:
            (folder / "demo.yaml").write_text(config, encoding="utf-8")
            command += ["--config", "demo.yaml"]
        log = folder / "router.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=folder, env=_environment(folder), stdout=output, stderr=subprocess.STDOUT
            )
        try:
            _wait_until_ready(process, f"http://127.0.0.1:{ops_port}/readyz", log)
            yield LocalRouter(
                url=f"http://127.0.0.1:{port}", grpc_port=grpc_port, folder=folder, process_id=process.pid
            )
        finally:
            _stop(process)


def free_ports(count: int) -> list[int]:
    """Find ports on loopback that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def table(row: dict[str, object]) -> str:
    """Lay out the fields that have a value, one a line; money also in USD."""
    told = {name: value for name, value in row.items() if value is not None and not isinstance(value, list)}
    cost = row["cost_nano_usd"]
    told["= USD"] = f"{cost / 1e9:.9f}" if isinstance(cost, int) else "no price is known"
    return "\n".join(f"  {name:<20} {value}" for name, value in told.items())


def _environment(folder: Path) -> dict[str, str]:
    """Leave out whatever this machine's own router is configured with."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("CHECKREIN_")}
    for name in ("DATABASE_URL", "REDIS_URL"):
        ours.pop(name, None)
    return ours | {"XDG_CONFIG_HOME": str(folder)}


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _READY_S_MAX
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(_POLL_S)
    raise SystemExit(f"the router did not become ready; it said:\n{log.read_text(encoding='utf-8', errors='replace')}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        print(f"the router did not stop within {_STOP_S_MAX:g} s of SIGTERM and was killed", file=sys.stderr)
