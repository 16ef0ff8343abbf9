"""A call counts for the user whom its header names, where its key may name one, and for nobody else."""

import asyncio
from typing import Final

import pytest

from tests.support import fake_upstream as fake
from tests.support.money import KEYS, billing, model, request_of
from tests.support.running import ADMIN, KEY, chat
from tests.support.stage import Stage
from tests.support.wire import Answer, post, wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLOSED: Final = "sk-test-closed"
OWNED: Final = "sk-test-owned"
OTHER: Final = "sk-test-other"


@pytest.fixture(scope="module")
def sections() -> dict[str, object]:
    keys = [
        {"name": "closed", "key": CLOSED, "allow": {"set_attribution": False}},
        {"name": "owned", "key": OWNED, "user": "bob"},
        {"name": "other", "key": OTHER},
    ]
    users = [
        {"name": "rated", "limits": {"rpm": 2}},
        {"name": "single", "limits": {"concurrency": 1}},
        {"name": "rich", "budget": {"limit_usd": 1}},
        {"name": "poor", "budget": {"limit_usd": 0}},
    ]
    return {"models": [model()], "keys": [*KEYS, *keys], "users": users}


async def ask(stage: Stage, *lines: str, key: str = KEY, **members: object) -> Answer:
    async with wire(stage.router.http_port) as connection:
        await connection.send(post(*lines, body=chat(**members), key=key))
        return await connection.answer()


def details(reply: Answer) -> dict[str, object]:
    found = reply.error["details"]
    assert isinstance(found, dict)
    return found


async def test_a_users_rate_holds_over_all_keys_that_name_the_user(stage: Stage) -> None:
    replies = [
        await ask(stage, "x-checkrein-user: rated"),
        await ask(stage, "x-litellm-end-user-id: rated", key=OTHER),
        await ask(stage, "x-openwebui-user-id: rated"),
        await ask(stage),
        await ask(stage, "x-checkrein-user: somebody"),
    ]
    await stage.router.idle()

    assert [200, 200, 429, 200, 200] == [reply.status for reply in replies]
    assert ("2", "0") == tuple(replies[1].headers[f"x-ratelimit-{what}-requests"] for what in ("limit", "remaining"))
    assert {"limit": "user/rated/rpm", "scope": "user"}.items() <= details(replies[2]).items()
    assert ["rated", "rated", "rated", None, "somebody"] == [row["user"] for row in stage.rows()]


async def test_a_users_only_place_is_free_again_whatever_ends_the_call(stage: Stage) -> None:
    line = "x-checkrein-user: single"
    for ends in (True, False):
        go_on = asyncio.Event()
        stage.upstream.script(fake.silence(go_on))
        async with wire(stage.router.http_port) as first:
            await first.send(post(line, body=chat()))
            await stage.upstream.received(1 if ends else 3)
            refused = await ask(stage, line, key=OTHER)
            if ends:
                go_on.set()
                await first.answer()
        await stage.router.idle()

        assert (429, "user/single/concurrency") == (refused.status, details(refused)["limit"])
        assert 200 == (await ask(stage, line)).status


async def test_a_users_budget_is_held_and_posted(stage: Stage) -> None:
    stage.upstream.handler = billing(1_000, 100)
    async with wire(stage.router.http_port) as connection:
        reply = await connection.ask(request_of(max_completion_tokens=200), "x-checkrein-user: rich")
    refused = await ask(stage, "x-checkrein-user: poor", max_completion_tokens=200)
    async with stage.router.client(ADMIN) as client:
        accounts = (await client.get("/admin/v1/accounts")).json()["data"]

    assert (200, 429) == (reply.status, refused.status)
    assert "user" == details(refused)["scope"]
    spent = 1_000 * fake.INPUT_NANO_USD + 100 * fake.OUTPUT_NANO_USD
    assert {"rich": spent, "poor": 0} == {one["scope"]["value"]: one["used"] for one in accounts}


@pytest.mark.parametrize(("key", "user", "status"), [(CLOSED, "ann", 403), (OWNED, "ann", 403), (OWNED, "bob", 200)])
async def test_a_user_is_named_only_by_who_may(stage: Stage, key: str, user: str, status: int) -> None:
    reply = await ask(stage, f"x-checkrein-user: {user}", key=key)
    await stage.router.idle()

    assert status == reply.status
    assert (status == 200) == bool(stage.upstream.requests)
    assert [None if key == CLOSED else "bob"] == [row["user"] for row in stage.rows()]


async def test_the_user_of_a_body_is_free_text_and_passes_as_it_came(stage: Stage) -> None:
    reply = await ask(stage, user="poor", key=CLOSED)
    await stage.router.idle()

    assert 200 == reply.status
    assert "poor" == stage.upstream.requests[0].json["user"]
    assert [None] == [row["user"] for row in stage.rows()]


async def test_a_user_that_could_not_be_kept_whole_is_refused_by_the_headers_name(stage: Stage) -> None:
    reply = await ask(stage, f"x-litellm-customer-id: {'x' * 129}")

    assert (400, "x-checkrein-user") == (reply.status, reply.error["param"])
