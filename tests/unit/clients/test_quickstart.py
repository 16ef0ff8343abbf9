"""The example of the client's page does what the page says."""

import asyncio
import sys
from pathlib import Path

import grpc
import pytest

from tests.support.grpc_router import FakeRouter, Refusal

QUICKSTART = Path(__file__).parents[3] / "clients" / "python" / "examples" / "quickstart.py"


@pytest.mark.slow
async def test_it_shows_a_chat_a_stream_a_budget_and_a_deadline(router: FakeRouter, target: str) -> None:
    router.refused["sk-poor"] = Refusal(
        status=grpc.StatusCode.RESOURCE_EXHAUSTED, message="Used up.", reason="BUDGET_EXHAUSTED"
    )

    running = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", QUICKSTART, target, "demo"),
        env={"CHECKREIN_KEY": "sk-1", "CHECKREIN_POOR_KEY": "sk-poor"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await running.communicate()

    assert (0, b"") == (running.returncode, complained)
    assert [
        "chat: Hello.",
        "  call call_1 at demo/demo cost 700 nano-USD",
        "stream: Hello.",
        "  tokens 2 cost 700 nano-USD",
        "deadline: DEADLINE_EXCEEDED: The deadline had passed before the call.",
        "budget: BUDGET_EXHAUSTED: Used up.",
    ] == said.decode().splitlines()
