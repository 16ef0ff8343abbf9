"""A translated reply with tool calls that claims an ordinary end ends in its tool calls, unless told not to."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support import fake_upstream as fake
from tests.support.dialects import event, message, streamed, whole
from tests.support.fake_upstream import Reply, Request
from tests.support.pool import Pool, at, pool, served_by
from tests.support.running import KEY
from tests.support.wire import post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

KEEPS = {"repair": {"finish_reason": "keep"}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}
CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
HELLO = [{"role": "user", "content": "x"}]


def claims_an_end_in_messages(request: Request) -> Reply:
    if not request.json.get("stream"):
        return whole({**message(), "content": [USE], "stop_reason": "end_turn"})
    ends = {"stop_reason": "end_turn", "stop_sequence": None}
    return streamed(
        [
            event("message_start", message={**message(""), "content": [], "stop_reason": None}),
            event("content_block_start", index=0, content_block=USE),
            event("content_block_stop", index=0),
            event("message_delta", delta=ends, usage={"output_tokens": 2}),
            event("message_stop"),
        ]
    )


def claims_an_end_in_chat(request: Request) -> Reply:
    if not request.json.get("stream"):
        said = {"role": "assistant", "content": None, "tool_calls": [CALL]}
        choice = {"index": 0, "message": said, "finish_reason": "stop"}
        usage = {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22}
        return whole({"id": "c", "object": "chat.completion", "created": 1, "choices": [choice], "usage": usage})
    return fake.event_stream(
        fake.chunk(request, {"role": "assistant", "tool_calls": [CALL]}),
        fake.chunk(request, {}, "stop"),
        b"data: [DONE]\n\n",
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def providers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    """Two of each dialect, one of which keeps what it says."""
    members: dict[str, dict[str, object]] = {
        "messages": {"kind": "anthropic"},
        "messages-keeps": {"kind": "anthropic", **KEEPS},
        "chat": {"dialects": ["chat"]},
        "chat-keeps": {"dialects": ["chat"], **KEEPS},
    }
    models = [served_by(name, at(name)) for name in members]
    keys = [{"name": "test", "key": KEY}]
    async with pool(tmp_path_factory.mktemp("router"), *members, models=models, members=members, keys=keys) as running:
        for name in members:
            claims = claims_an_end_in_chat if name.startswith("chat") else claims_an_end_in_messages
            running.script(**{name: claims})
        yield running


async def said(providers: Pool, target: str, model: str, *, stream: bool) -> bytes:
    body = {"model": model, "max_tokens": 9, "messages": HELLO, "stream": stream}
    async with wire(providers.router.http_port) as connection:
        await connection.send(post(body=body, target=target))
        answer = await connection.answer()
    assert 200 == answer.status, answer.body
    return bytes(answer.body)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("target", "model", "reason"),
    [
        ("/v1/chat/completions", "messages", b'"finish_reason":"tool_calls"'),
        ("/v1/chat/completions", "messages-keeps", b'"finish_reason":"stop"'),
        ("/v1/messages", "chat", b'"stop_reason":"tool_use"'),
        ("/v1/messages", "chat-keeps", b'"stop_reason":"end_turn"'),
    ],
)
async def test_agents_go_by_the_reason_unless_the_operator_keeps_it(
    providers: Pool, target: str, model: str, reason: bytes, stream: bool
) -> None:
    """T15: the call is there either way, and there is one reason."""
    body = await said(providers, target, model, stream=stream)

    assert reason in body
    assert 1 == body.count(b'_reason":"'), "one reason"
    assert b"call_1" in body or b"toolu_1" in body


@pytest.mark.parametrize("model", ["chat", "chat-keeps"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_what_passes_keeps_its_reason_either_way(providers: Pool, model: str, stream: bool) -> None:
    """T15: to the byte; nothing is repaired that is not translated."""
    body = await said(providers, "/v1/chat/completions", model, stream=stream)

    assert body.count(b"stop") == 1
    assert b'"tool_calls"}' not in body


async def test_a_responses_reply_has_no_reason_to_keep(providers: Pool) -> None:
    """T15: its calls are items, and it is completed."""
    body = {"model": "chat-keeps", "input": "x"}
    async with wire(providers.router.http_port) as connection:
        await connection.send(post(body=body, target="/v1/responses"))
        answer = await connection.answer()
    response = json.loads(answer.body)

    assert ("completed", ["function_call"]) == (response["status"], [item["type"] for item in response["output"]])
