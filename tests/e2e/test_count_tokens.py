"""How many tokens a message has, over sockets: its provider counts, or an estimate says that it is one."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support import fake_upstream as fake
from tests.support.dialects import whole
from tests.support.fake_upstream import Reply
from tests.support.pool import Pool, at, pool, served_by
from tests.support.wire import Answer, post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

PATH = "/v1/messages/count_tokens"
TEXT = "Say hello to all of them. " * 20
EXACT = {"input_tokens": 2095, "context_management": {"original_input_tokens": 9}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    models = [
        served_by("claude", at("a", name="claude", model="claude-x")),
        served_by("elsewhere", at("o", name="elsewhere", model="gpt")),
    ]
    keys = [
        {"name": "test", "key": "sk-test-key", "models": ["*"]},
        {"name": "slow", "key": "sk-slow-key", "models": ["*"], "limits": {"rpm": 2}},
        {
            "name": "poor",
            "key": "sk-poor-key",
            "models": ["*"],
            "budget": {"limit_usd": 0.000001, "window": "lifetime"},
        },
        {"name": "narrow", "key": "sk-narrow-key", "models": ["claude"]},
        {"name": "admin", "key": "sk-test-admin", "models": ["*"], "permissions": ["admin"]},
    ]
    folder = tmp_path_factory.mktemp("router")
    async with pool(folder, "a", "o", models=models, keys=keys, members={"a": {"kind": "anthropic"}}) as providers:
        yield providers


@pytest.fixture
def live(running: Pool) -> Pool:
    return running.start_over()


async def ask(live: Pool, *lines: str, path: str = PATH, key: str = "sk-test-key", **body: object) -> Answer:
    asked = {"model": "claude", "messages": [{"role": "user", "content": TEXT}], **body}
    async with wire(live.router.http_port) as caller:
        await caller.send(post(*lines, body=asked, target=path, key=key))
        return await caller.answer()


@pytest.mark.parametrize("path", [PATH, f"{PATH}?beta=true", "/messages/count_tokens"])
async def test_the_provider_counts_what_it_speaks(live: Pool, path: str) -> None:
    live.script(a=whole(EXACT))
    tools = [{"name": "f", "input_schema": {}}]
    lines = ("anthropic-version: 2024-01-01", "anthropic-beta: token-counting-2024-11-01")
    reply = await ask(live, *lines, path=path, tools=tools, fallbacks=["elsewhere"])
    (asked,) = live.upstreams["a"].requests

    assert (200, json.dumps(EXACT).encode()) == (reply.status, bytes(reply.body))
    assert {"model": "claude-x", "messages": [{"role": "user", "content": TEXT}], "tools": tools} == asked.json
    assert ("POST", PATH, "2024-01-01", "token-counting-2024-11-01") == (
        asked.method,
        asked.target,
        asked.headers["anthropic-version"],
        asked.headers["anthropic-beta"],
    )
    assert "x-api-key" in asked.headers
    assert "claude" == reply.headers["x-checkrein-deployment"]
    assert "x-checkrein-notice" not in reply.headers
    assert reply.headers["request-id"] == reply.headers["x-request-id"]


@pytest.mark.parametrize("status", [None, 404, 405, 429, 500, 401])
async def test_where_nobody_counts_an_estimate_says_so(live: Pool, status: int | None) -> None:
    model = "elsewhere" if status is None else "claude"
    if status is not None:
        live.script(a=fake.error(status))
    reply = await ask(live, model=model)
    said = json.loads(reply.body)

    assert (200, "estimated", ["input_tokens"]) == (reply.status, reply.headers["x-checkrein-notice"], list(said))
    assert len(TEXT) // 4 < said["input_tokens"] < len(TEXT) // 4 + 20
    assert "x-checkrein-deployment" not in reply.headers


async def test_what_is_wrong_with_the_request_is_said_in_anthropics_shape(live: Pool) -> None:
    live.script(
        a=Reply(status=400, steps=(b'{"type":"error","error":{"type":"invalid_request_error","message":"m"}}',))
    )
    replies = [
        await ask(live),
        await ask(live, model="nothing"),
        await ask(live, messages=None),
        await ask(live, stream=True),
        await ask(live, key="sk-nobody"),
        await ask(live, key="sk-narrow-key", model="elsewhere"),
        await ask(live, "x-checkrein-timeout: never"),
    ]
    said = [json.loads(reply.body) for reply in replies]

    assert [400, 404, 400, 400, 401, 403, 400] == [reply.status for reply in replies]
    assert {"error"} == {one["type"] for one in said}
    kinds = ["invalid_request_error", "not_found_error"] + ["invalid_request_error"] * 2
    assert [*kinds, "authentication_error", "permission_error", "invalid_request_error"] == [
        one["error"]["type"] for one in said
    ]
    assert all(one["request_id"] == reply.headers["request-id"] for one, reply in zip(said, replies, strict=True))


async def test_its_requests_count_and_nothing_else_does(live: Pool) -> None:
    await live.router.idle()
    rows = len(live.router.rows())
    replies = [await ask(live, model="elsewhere", key="sk-slow-key") for _ in range(3)]
    poor = await ask(live, model="elsewhere", key="sk-poor-key")
    await live.router.idle()

    assert [200, 200, 429, 200] == [reply.status for reply in (*replies, poor)]
    assert "rate_limit_error" == json.loads(replies[2].body)["error"]["type"]
    assert int(replies[2].headers["retry-after"]) > 0
    assert rows == len(live.router.rows())
    assert {0} == {account["used"] + account["reserved"] for account in (await live.router.accounts()).values()}
