"""OpenAI's SDK of Node takes recorded replies through the router: translated without an error, others as direct."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from tests.clients.examples import FOLDER
from tests.support.pool import Pool, at, pool, served_by
from tests.support.process import clean_env
from tests.support.recordings import Recording, meant, player, recorded
from tests.support.running import KEY

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.clients]

SCRIPT: Final = Path(__file__).with_name("recorded.mjs")
PATIENCE_S: Final = 50
NOT_AS_OPENAI: Final = ["Anthropic's route of Chat Completions", "Mistral", "Moonshot, an index only later"]
"""Whose streams, among those that pass, Node's SDK cannot put together, at the provider already."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def providers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    """A model of each name at a provider of that dialect."""
    members: dict[str, dict[str, object]] = {
        "chat": {"dialects": ["chat"]},
        "messages": {"kind": "anthropic"},
        "responses": {"dialects": ["responses"]},
    }
    models = [served_by(name, at(name, name=name)) for name in members]
    keys = [{"name": "test", "key": KEY}]
    async with pool(tmp_path_factory.mktemp("router"), *members, models=models, members=members, keys=keys) as running:
        running.script(**dict.fromkeys(members, player()))
        yield running


async def read(url: str, recordings: Sequence[Recording], folder: Path) -> list[Any]:
    """Return what the SDK makes of each reply, or how it fails."""
    node = shutil.which("node")
    if node is None or not (FOLDER / "node_modules").is_dir():
        pytest.skip("SKIPPED: node, or what npm installs, is not on this machine")
    asked = [
        {"model": one.dialect, "messages": [{"role": "user", "content": one.prompt}]}
        | ({} if one.body is not None else {"stream": True})
        for one in recordings
    ]
    process = await asyncio.create_subprocess_exec(
        node,
        str(SCRIPT),
        url,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=clean_env({"CHECKREIN_KEY": KEY, "HOME": str(folder)}),
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            out, _ = await process.communicate("".join(json.dumps(one) + "\n" for one in asked).encode())
    finally:
        if process.returncode is None:
            process.kill()
    found = [json.loads(line) for line in out.splitlines()]
    assert len(recordings) == len(found)
    return found


async def test_node_takes_every_translated_reply(providers: Pool, tmp_path: Path) -> None:
    """T14c, T15: no error, the calls of the source, the finish that agents go by."""
    recordings = recorded("messages", "responses")
    found = await read(f"{providers.router.url}/v1", recordings, tmp_path)

    for recording, reply in zip(recordings, found, strict=True):
        text, calls = meant(recording)
        assert "error" not in reply, (str(recording), reply)
        assert text == (reply["text"] or ""), str(recording)
        assert calls == [(id_, name, json.loads(said or "{}")) for id_, name, said in reply["calls"]], str(recording)
        assert ("tool_calls" == reply["finish"]) is bool(calls), str(recording)


async def test_node_reads_what_passes_as_it_reads_the_provider(providers: Pool, tmp_path: Path) -> None:
    """T14c: the same reply or the same complaint, and nearly always a reply."""
    recordings = recorded("chat")
    through = await read(f"{providers.router.url}/v1", recordings, tmp_path)
    direct = await read(providers.upstreams["chat"].base_url, recordings, tmp_path)
    refused = [recording.provider for recording, reply in zip(recordings, through, strict=True) if "error" in reply]

    assert direct == through
    assert NOT_AS_OPENAI == sorted(refused)


async def test_node_raises_what_a_provider_refused(providers: Pool, tmp_path: Path) -> None:
    """T14c: with a status, in the documented shape."""
    errors = [one for one in recorded("chat", "messages", "responses", failing=True) if one.body is not None]
    one_of_each = {(one.dialect, one.status): one for one in errors}
    for recording in one_of_each.values():
        providers.stage.forgive()
        (reply,) = await read(f"{providers.router.url}/v1", [recording], tmp_path)

        assert reply["error"].endswith("Error"), str(recording)
        assert recording.status == reply["status"] or reply["status"] in (502, 503), str(recording)
