"""What `anthropic_strictly` finds: the SDK's types miss nothing, and errors are raised as what they are."""

from pathlib import Path
from typing import Final

import pytest

from tests.clients.examples import MODELS, run
from tests.support.running import RunningRouter

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.clients]

SCRIPT: Final = Path(__file__).with_name("anthropic_strictly.py")


@pytest.mark.parametrize("model", list(MODELS))
async def test_the_sdk_misses_nothing(router: RunningRouter, model: str, tmp_path: Path) -> None:
    ran = await run(SCRIPT, router.url, model, tmp_path)

    assert 0 == ran.status, ran.err
    models = sorted([*MODELS, *(f"cut-{name}" for name in MODELS)])
    assert [
        "end_turn end_turn True True",
        "max_tokens max_tokens True True",
        "tool_use tool_use True True",
        "tool_use tool_use True True",
        "end_turn end_turn True True",
        "end_turn end_turn True True",
        "end_turn end_turn True True",
        "message",
        f"{','.join(models)} {model}",
        "NotFoundError not_found_error",
        "BadRequestError invalid_request_error",
        "AuthenticationError authentication_error",
        "APIStatusError api_error",
        "message",
    ] == ran.out.splitlines()
