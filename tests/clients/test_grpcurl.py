"""A stock client that knows nothing of the router lists its services, checks its health, chats and streams."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from tests.clients.examples import ASKED_FOR
from tests.support.running import KEY, RunningRouter

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.clients, pytest.mark.slow]

CHAT = "checkrein.v1.ChatService"
ASKED = {"chat": {"model": "demo", "messages": [{"role": "user", "content": {"text": "Say hello."}}]}}


async def grpcurl(router: RunningRouter, *words: str, asked: object = None) -> tuple[int, str, str]:
    command = [str(Path(os.environ[ASKED_FOR]) / "bin" / "grpcurl"), "-plaintext"]
    if asked is not None:
        command += ["-d", json.dumps(asked), "-H", f"authorization: Bearer {KEY}"]
    running = await asyncio.create_subprocess_exec(
        *command,
        f"127.0.0.1:{router.grpc_port}",
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await running.communicate()
    assert running.returncode is not None
    return running.returncode, out.decode(), err.decode()


async def test_it_lists_the_services_and_describes_a_method(router: RunningRouter) -> None:
    listed = await grpcurl(router, "list")
    described = await grpcurl(router, "describe", CHAT)

    assert {CHAT, "checkrein.admin.v1.KeyService", "grpc.health.v1.Health"} <= set(listed[1].split())
    assert "rpc StreamChatCompletion" in described[1]


async def test_it_checks_the_health_of_a_service(router: RunningRouter) -> None:
    _, out, err = await grpcurl(router, "grpc.health.v1.Health/Check", asked={"service": CHAT})

    assert {"status": "SERVING"} == json.loads(out), err


async def test_it_chats_and_streams(router: RunningRouter) -> None:
    _, whole, _ = await grpcurl(router, f"{CHAT}/CreateChatCompletion", asked=ASKED)
    _, streamed, _ = await grpcurl(router, f"{CHAT}/StreamChatCompletion", asked=ASKED)
    reply = json.loads(whole)
    messages = [json.loads("{" + part) for part in ("\n" + streamed).split("\n{")[1:]]

    assert reply["completion"]["choices"][0]["message"]["content"]["text"].startswith("You said: Say hello.")
    assert ["served", "chunks"] == [next(iter(message)) for message in messages[:2]]
    assert reply["cost"] == messages[-1]["summary"]["cost"]


async def test_it_shows_the_details_of_a_refusal(router: RunningRouter) -> None:
    status, _, err = await grpcurl(router, f"{CHAT}/CreateChatCompletion", asked={"chat": {"model": "nobody"}})

    assert status != 0
    assert "Code: NotFound" in err
    assert "MODEL_NOT_FOUND" in err
