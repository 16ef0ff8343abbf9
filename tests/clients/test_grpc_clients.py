"""Each gRPC client of `clients/` is built and told what the ledger knows, and says so when it is told anything else."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
import yaml

from clients.examples.local_router import free_ports
from tests.clients.examples import Ran
from tests.support.process import ROOT, clean_env
from tests.support.running import RunningRouter, running_router

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

FOLDER: Final = ROOT / "clients"
HELLO: Final = "You said: Say hello. which a scripted provider answers without a network"
BUILD_S_MAX: Final = 600
RUN_S_MAX: Final = 50

each_client = pytest.mark.parametrize("client", sorted(path.parent.name for path in FOLDER.glob("*/Makefile")))


@pytest.fixture(scope="module")
def target() -> str:
    return f"127.0.0.1:{free_ports(1)[0]}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router(target: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningRouter]:
    """What README.md tells people to serve, on free ports."""
    config: dict[str, Any] = yaml.safe_load((FOLDER / "router.yaml").read_text())
    grpc = config["server"]["grpc"] | {"port": int(target.rpartition(":")[2])}
    config["server"] = {"http": {"port": 0}, "ops": {"port": 0}, "drain": {"grace": "2s"}, "grpc": grpc}
    async with running_router(config, tmp_path_factory.mktemp("router")) as running:
        yield running


@pytest.mark.timeout(BUILD_S_MAX + RUN_S_MAX)
@each_client
async def test_a_client_is_told_what_the_ledger_knows(router: RunningRouter, target: str, client: str) -> None:
    await build(client)
    await router.idle(within_s=10)
    before = len(router.rows())

    ran = await run(client, target)

    assert (0, "") == (ran.status, ran.err), ran.out
    await router.idle(within_s=10)
    whole, streamed, refused, slow = router.rows()[before:]
    assert [("completed", 0), ("completed", 1)] == [(row["outcome"], row["stream"]) for row in (whole, streamed)]
    assert ("refused", "budget_exhausted") == (refused["outcome"], refused["fault"])
    assert "slow" == slow["asked_model"]
    assert slow["outcome"] != "completed"
    assert [
        f"chat: {HELLO}",
        f"stream: {HELLO}",
        f"usage: {streamed['input_tokens']} input, {streamed['output_tokens']} output",
        f"cost: {streamed['cost_nano_usd']} nano-USD",
        "refused: BUDGET_EXHAUSTED",
        f"message: {await refusal(router)}",
        "deadline: DEADLINE_EXCEEDED",
    ] == ran.out.splitlines()


@pytest.mark.timeout(BUILD_S_MAX + RUN_S_MAX)
@pytest.mark.parametrize(
    ("instead", "says"),
    [
        pytest.param({"CHECKREIN_API_KEY": "sk-unknown"}, "chat: FAILED: UNAUTHENTICATED: ", id="no such key"),
        pytest.param(
            {"CHECKREIN_BROKE_KEY": "sk-local"}, "refused: FAILED: it was answered", id="a key with a budget left"
        ),
        pytest.param(
            {"CHECKREIN_BROKE_KEY": "sk-unknown"},
            "refused: FAILED: UNAUTHENTICATED: ",
            id="no such key for the refusal",
        ),
        pytest.param({"CHECKREIN_SLOW_MODEL": "none"}, "deadline: FAILED: NOT_FOUND: ", id="no such model"),
        pytest.param({"CHECKREIN_SLOW_MODEL": "demo"}, "deadline: FAILED: it was answered", id="a quick model"),
        pytest.param(
            {"CHECKREIN_SLOW_MODEL": ""}, "deadline: FAILED: CHECKREIN_SLOW_MODEL is not set", id="no slow model"
        ),
    ],
)
@each_client
async def test_a_client_says_what_is_not_as_expected_and_fails(
    router: RunningRouter, target: str, client: str, instead: Mapping[str, str], says: str
) -> None:
    await build(client)

    ran = await run(client, target, instead)

    assert 0 != ran.status
    assert ran.err.startswith(says), ran.err


async def test_every_client_has_a_page_and_the_page_of_all_names_it() -> None:
    page = (FOLDER / "README.md").read_text()
    folders = {path.parent.name for path in FOLDER.glob("*/README.md")}

    assert {path.parent.name for path in FOLDER.glob("*/Makefile")} <= folders
    assert set() == {name for name in folders if f"]({name}/README.md)" not in page}


async def test_nodes_packages_have_exact_versions() -> None:
    package = json.loads((FOLDER / "node" / "package.json").read_text())
    versions = package["dependencies"] | package["devDependencies"]

    assert {} == {name: version for name, version in versions.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)}


async def refusal(router: RunningRouter) -> str:
    """What HTTP says to the key whose budget is used up."""
    body = {"model": "demo", "messages": [{"role": "user", "content": "Say hello."}]}
    async with router.client("sk-broke-local") as http:
        reply = await http.post("/v1/chat/completions", json=body)
    message: str = reply.json()["error"]["message"]
    return message


async def build(client: str) -> None:
    """What it needs and is not here, it is skipped for."""
    ready = await make(client, "ready", {}, RUN_S_MAX)
    if ready.status != 0:
        pytest.skip(f"SKIPPED: {client}: {ready.out.strip()}")
    home = {"HOME": str(Path.home())}  # where npm looks for its settings
    if (FOLDER / client / "package.json").exists():
        fetched = await make(client, "node_modules/stamp", home, BUILD_S_MAX)
        if fetched.status != 0:
            pytest.skip(f"SKIPPED: {client}: npm cannot fetch what package.json names: {fetched.err.strip()[-200:]}")
    built = await make(client, "build", home, BUILD_S_MAX)
    assert 0 == built.status, built.out + built.err


async def run(client: str, target: str, instead: Mapping[str, str] | None = None) -> Ran:
    asked = {
        "CHECKREIN_TARGET": target,
        "CHECKREIN_API_KEY": "sk-local",
        "CHECKREIN_BROKE_KEY": "sk-broke-local",
        "CHECKREIN_SLOW_MODEL": "slow",
    }
    return await make(client, "run", asked | dict(instead or {}), RUN_S_MAX)


async def make(client: str, goal: str, env: Mapping[str, str], patience_s: float) -> Ran:
    """Run `make` as a person would, in the client's folder, and not as a part of the `make` that runs the tests."""
    process = await asyncio.create_subprocess_exec(
        "make",
        "--silent",
        goal,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=FOLDER / client,
        env={name: value for name, value in clean_env(env).items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")},
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(patience_s):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, 9)
    assert process.returncode is not None
    return Ran(status=process.returncode, out=out.decode(), err=err.decode(), left="")
