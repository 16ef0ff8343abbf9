"""The typed Python client and its quickstart talk to a running router, and are told what its ledger knows."""

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import yaml
from checkrein import AsyncClient, CallContext
from checkrein.errors import BudgetExhausted, InvalidApiKey, ModelNotFound, Timeout
from checkrein.v1.chat_pb2 import ChatCompletionRequest, ChatContent, ChatMessage
from checkrein.v1.embeddings_pb2 import EmbeddingsRequest

from tests.support.process import ROOT
from tests.support.running import ADMIN, RunningRouter, running_router

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

CLIENTS = ROOT / "clients"
HELLO = "You said: Say hello. which a scripted provider answers without a network"
LOCAL, BROKE = "sk-local", "sk-broke-local"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningRouter]:
    """What the clients' page tells people to serve, on free ports."""
    config = yaml.safe_load((CLIENTS / "router.yaml").read_text())
    config["server"] = {"http": {"port": 0}, "ops": {"port": 0}, "grpc": {"port": 0}, "drain": {"grace": "2s"}}
    config["keys"].append({"name": "root", "key": ADMIN, "permissions": ["admin"]})
    async with running_router(config, tmp_path_factory.mktemp("router")) as running:
        yield running


def asked(model: str = "demo") -> ChatCompletionRequest:
    message = ChatMessage(role="user", content=ChatContent(text="Say hello."))
    return ChatCompletionRequest(model=model, messages=[message])


def at(router: RunningRouter) -> str:
    return f"127.0.0.1:{router.grpc_port}"


async def test_the_quickstart_shows_what_its_page_says(router: RunningRouter) -> None:
    before = len(router.rows())
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", CLIENTS / "python" / "examples" / "quickstart.py", at(router), "demo"),
        env={"CHECKREIN_KEY": LOCAL, "CHECKREIN_POOR_KEY": BROKE, "CHECKREIN_SLOW_MODEL": "slow"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await running.communicate()
    await router.idle(within_s=5)
    whole, streamed, late, refused = router.rows()[before:]

    assert (0, b"") == (running.returncode, complained), said
    lines = said.decode().splitlines()
    assert [f"chat: {HELLO}", f"stream: {HELLO}"] == [lines[0], lines[2]]
    assert lines[1].endswith(f"at quick/demo cost {whole['cost_nano_usd']} nano-USD")
    assert f"  tokens {streamed['output_tokens']} cost {streamed['cost_nano_usd']} nano-USD" == lines[3]
    assert lines[4].startswith("deadline: ")
    assert "in time" not in lines[4]
    assert lines[5].startswith("budget: BUDGET_EXHAUSTED: ")
    assert ["completed", "completed", "failed", "refused"] == [
        row["outcome"] for row in (whole, streamed, late, refused)
    ]


async def test_the_asyncio_client_is_served_in_every_method(router: RunningRouter) -> None:
    async with AsyncClient(at(router), api_key=LOCAL, context=CallContext(agent="a1")) as client:
        reply = await client.chat(asked(), context=CallContext(tags=["t"]))
        async with client.stream(asked()) as stream:
            text = "".join([piece async for piece in stream.text()])
        as_json = await client.chat_json(b'{"model":"demo","messages":[{"role":"user","content":"Say hello."}]}')
        embedded = await client.embeddings(EmbeddingsRequest(model="demo", text="hello"))
        explained = await client.explain(asked())
        listed = await client.models()
        called = await client.call(reply.served.call_id)

    assert HELLO == reply.completion.choices[0].message.content.text == text
    assert stream.summary is not None
    assert stream.summary.cost.total_nano_usd == reply.cost.total_nano_usd
    assert HELLO.encode() in as_json.completion_json
    assert embedded.reply.data[0].floats.values
    assert ("demo", True) == (explained.model, explained.admitted)
    assert ["demo", "slow"] == [model.id for model in listed.models]
    assert (reply.served.call_id, "completed", "a1", ["t"]) == (
        called.call.id, called.call.outcome, called.call.agent, list(called.call.tags),
    )  # fmt: skip


async def test_refusals_are_exceptions_by_their_reason(router: RunningRouter) -> None:
    async with AsyncClient(at(router), api_key=LOCAL) as client:
        with pytest.raises(ModelNotFound) as unknown:
            await client.chat(asked("nobody"))
        with pytest.raises(Timeout):
            await client.chat(asked("slow"), timeout=0.3)
    async with AsyncClient(at(router), api_key=BROKE) as client:
        with pytest.raises(BudgetExhausted) as poor:
            await client.chat(asked())
    async with AsyncClient(at(router), api_key="sk-nobody") as client:
        with pytest.raises(InvalidApiKey):
            await client.chat(asked())

    assert ("MODEL_NOT_FOUND", 404) == (unknown.value.reason, unknown.value.http_status)
    assert poor.value.call_id is not None
    assert "key" == poor.value.details["scope"]
