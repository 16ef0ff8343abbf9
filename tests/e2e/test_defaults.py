"""What `checkrein init` writes holds nobody back: no default limit refuses a client that knows nothing of us."""

import asyncio
import contextlib
import os
import sqlite3
from collections import Counter
from pathlib import Path

import openai
import pytest

from tests.support.process import finished, served

pytestmark = pytest.mark.slow

CALLS = int(os.environ.get("PLAIN_SDK_CALLS", "2000"))
"""Of one run; 10,000 take half a minute, most of it the client's."""
CALLERS = 20
ANY_PORTS = ("--port", "0", "--grpc-port", "0", "--ops-port", "0")
PROMPT = (
    (
        "providers:\n",
        "  - { name: prompt, kind: scripted, script: { first_token: 20ms, tokens_per_s: 0, reply: served } }\n",
    ),
    (
        "what clients name\n",
        "  - { name: prompt, deployments: [{ provider: prompt, model: m, price: { input: 1, output: 1 } }] }\n",
    ),
)
"""Lines of the file, and what is added below: a deployment that answers soon, and lets calls overlap."""


async def ask(sdk: openai.AsyncOpenAI, *, stream: bool) -> str:
    messages = [{"role": "user", "content": "hi"}]
    if not stream:
        whole = await sdk.chat.completions.create(model="prompt", messages=messages)  # type: ignore[arg-type]  # dicts
        return whole.choices[0].message.content or ""
    text = ""
    async for chunk in await sdk.chat.completions.create(model="prompt", messages=messages, stream=True):  # type: ignore[arg-type]  # dicts
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
    return text


async def callers(base_url: str) -> Counter[str]:
    """Make all calls with the SDK as its users make it, half of them streams. Return how often it told what."""
    todo, texts = iter(range(CALLS)), Counter[str]()

    async def caller(sdk: openai.AsyncOpenAI) -> None:
        for number in todo:
            texts[await ask(sdk, stream=bool(number % 2))] += 1

    async with openai.AsyncOpenAI(base_url=base_url, api_key="sk-local") as sdk, asyncio.TaskGroup() as tasks:
        for _ in range(CALLERS):
            tasks.create_task(caller(sdk))
    return texts


@pytest.mark.timeout(180)
async def test_the_openai_sdk_is_refused_nothing_by_any_default(tmp_path: Path) -> None:
    """One row a call: what the SDK would have tried again by itself would be a row more."""
    await finished(tmp_path, "init")
    file = tmp_path / "checkrein.yaml"
    text = file.read_text()
    for line, more in PROMPT:
        assert 1 == text.count(line)
        text = text.replace(line, line + more)
    file.write_text(text)
    async with served(tmp_path, *ANY_PORTS) as router:
        texts = await callers(f"{router.url}/v1")
        assert 0 == await router.stop()

    with contextlib.closing(sqlite3.connect(tmp_path / "checkrein.db")) as store:
        outcomes = store.execute("SELECT outcome, count(*) FROM calls GROUP BY outcome").fetchall()
    assert {"served": CALLS} == texts
    assert [("completed", CALLS)] == outcomes
