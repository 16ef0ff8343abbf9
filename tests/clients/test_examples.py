"""Each example runs unmodified against the router, through every dialect, and the ledger knows what it did."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.clients.examples import FOLDER, MODELS, run
from tests.support.running import RunningRouter

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

HELLO: Final = "You said: Say hello. which a scripted provider answers without a network"
AFTER: Final = "You said: sunny in Oslo which a scripted provider answers without a"
OSLO: Final = "What is the weather in Oslo?"
TOOL: Final = f'weather {{"city": "{OSLO}"}}'
TOOL_READ: Final = f"weather {{'city': '{OSLO}'}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    says: tuple[str, ...]
    """Lines that it prints, in this order."""
    calls: Mapping[str, int]
    """How many it makes of each route."""


OPENAI: Final = Example(
    says=(
        f"chat: {HELLO}",
        f"chat, streamed: {HELLO}",
        f"chat, tool: {TOOL}",
        f"chat, after the tool: {AFTER}",
        f"responses: {HELLO} 12",
        "responses, streamed: True 12",
        f"responses, tool: {TOOL}",
        "embeddings: [64, 64]",
    ),
    calls={"chat": 4, "responses": 3, "embeddings": 1},
)
OTHERS: Final = {
    "openai_sdk.mjs": Example(
        says=(
            f"chat: {HELLO}",
            f"chat, streamed: {HELLO}",
            f"chat, tool: {TOOL}",
            f"chat, after the tool: {AFTER}",
            f"responses: {HELLO} 12",
            "responses, streamed: true",
            "embeddings: [ 64, 64 ]",
        ),
        calls={"chat": 4, "responses": 2, "embeddings": 1},
    ),
    "anthropic_sdk.py": Example(
        says=(
            f"messages: {HELLO} end_turn 12",
            f"messages, streamed: {HELLO} 12",
            f"messages, tool: {TOOL_READ} tool_use",
            f"messages, after the tool: {AFTER}",
            f"messages, tool streamed: {{'city': '{OSLO}'}}",
        ),
        calls={"messages": 5},
    ),
    "openai_agents.py": Example(
        says=(
            f"the tool was asked for: {OSLO}",
            f"OpenAIResponsesModel: {AFTER}",
            f"the tool was asked for: {OSLO}",
            f"OpenAIResponsesModel, streamed: {AFTER} True",
            f"the tool was asked for: {OSLO}",
            f"OpenAIChatCompletionsModel: {AFTER}",
            f"the tool was asked for: {OSLO}",
            f"OpenAIChatCompletionsModel, streamed: {AFTER} True",
        ),
        calls={"responses": 4, "chat": 4},
    ),
    "langchain_client.py": Example(
        says=(
            *[
                f"{name}{line}"
                for name in ("ChatOpenAI", "ChatOpenAI, responses", "ChatAnthropic")
                for line in (f": {HELLO}", f", streamed: {HELLO}", f", tool: {TOOL_READ} -> {AFTER}")
            ],
            "OpenAIEmbeddings: [64, 64]",
        ),
        calls={"chat": 4, "responses": 4, "messages": 4, "embeddings": 1},
    ),
    "llama_index_client.py": Example(
        says=(f"chat: {HELLO}", f"chat, streamed: {HELLO}", f"tool: sunny: {OSLO}"), calls={"chat": 3}
    ),
    "litellm_client.py": Example(
        says=(
            f"openai: {HELLO}",
            f"openai, streamed: {HELLO}",
            f"anthropic: {HELLO}",
            f"anthropic, streamed: {HELLO}",
            f"tool: {TOOL}",
            f"responses: {HELLO}",
            "embeddings: [64, 64]",
        ),
        calls={"chat": 3, "messages": 2, "responses": 1, "embeddings": 1},
    ),
}

through_every_dialect = pytest.mark.parametrize("model", list(MODELS))


@through_every_dialect
async def test_openais_sdk(router: RunningRouter, model: str, tmp_path: Path) -> None:
    """It is in every environment, so it runs wherever the tests do."""
    await check("openai_sdk.py", OPENAI, router, model, tmp_path)


@pytest.mark.clients
@pytest.mark.parametrize("script", list(OTHERS))
@through_every_dialect
async def test_an_unmodified_client(router: RunningRouter, script: str, model: str, tmp_path: Path) -> None:
    await check(script, OTHERS[script], router, model, tmp_path)


async def test_every_example_of_a_client_is_here() -> None:
    files = {path.name for path in FOLDER.iterdir() if path.suffix in (".py", ".mjs")}

    assert {"openai_sdk.py", *OTHERS} == files - {"demo.py", "demo_real.py", "local_router.py"}


async def check(script: str, example: Example, router: RunningRouter, model: str, folder: Path) -> None:
    before = len(router.rows())
    ran = await run(FOLDER / script, router.url, model, folder)
    await router.idle()
    rows = router.rows()[before:]

    assert (0, "") == (ran.status, ran.left), ran.err
    lines = ran.out.splitlines()
    assert list(example.says) == [line for line in lines if line in example.says], ran.out
    assert example.calls == Counter(row["route"] for row in rows)
    for row in rows:
        assert ("completed", model, 0) == (row["outcome"], row["asked_model"], row["usage_estimated"])
        assert row["input_tokens"]
        assert bool(row["output_tokens"]) == (row["route"] != "embeddings")
        cost = int(str(row["input_tokens"])) * 2_000 + int(str(row["output_tokens"])) * 10_000
        assert cost == row["cost_nano_usd"]
