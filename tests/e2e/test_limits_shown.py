"""Administrators see over the wire how limits stand while calls are open, and what providers said of theirs."""

import asyncio
from typing import Final

import pytest

from tests.support import fake_upstream as fake
from tests.support.fake_upstream import Handler, Reply, Request
from tests.support.money import KEYS, model
from tests.support.running import ADMIN, KEY, chat
from tests.support.stage import Stage
from tests.support.wire import Answer, post, wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMITED: Final = "sk-test-limited"
LIMITS: Final = "/admin/v1/limits"


@pytest.fixture(scope="module")
def sections() -> dict[str, object]:
    limited = {"name": "limited", "key": LIMITED, "team": "acme/ml", "limits": {"concurrency": 3, "rpm": 60}}
    return {
        "models": [model(limits={"concurrency": 50}), model("openai"), model("anthropic")],
        "keys": [*KEYS, limited],
        "organizations": [
            {"name": "acme", "limits": {"tpm": 60_000}, "teams": [{"name": "ml", "limits": {"output_tpm": 600}}]}
        ],
        "users": [{"name": "ann", "limits": {"input_tpm": 500, "smooth": True}}],
    }


async def shown(stage: Stage, path: str = LIMITS, **query: object) -> dict[str, object]:
    async with stage.router.client(ADMIN) as client:
        reply = await client.get(path, params={name: str(value) for name, value in query.items()})
    assert 200 == reply.status_code, reply.text
    page: dict[str, object] = reply.json()
    return page


async def ask(stage: Stage, members: dict[str, object], key: str = KEY) -> Answer:
    async with wire(stage.router.http_port) as connection:
        await connection.send(post(body=members, key=key))
        return await connection.answer()


async def test_limits_stand_as_the_open_calls_have_taken_them(stage: Stage) -> None:
    before = await in_use(stage)
    go_on = asyncio.Event()
    stage.upstream.script(fake.silence(go_on), fake.silence(go_on))
    async with wire(stage.router.http_port) as first, wire(stage.router.http_port) as second:
        for connection in (first, second):
            await connection.send(post(body=chat(max_completion_tokens=100), key=LIMITED))
        await stage.upstream.received(2)
        during = await in_use(stage)
        rates = await remaining(stage)
        go_on.set()
        await first.answer()
        await second.answer()
    await stage.router.idle()

    assert {"key": 0, "deployment": 0} == before == await in_use(stage)
    assert {"key": 2, "deployment": 2} == during
    assert 58 == rates["key", "limited", "rpm"]
    assert rates["team", "acme/ml", "output_tpm"] < 600
    assert rates["organization", "acme", "tpm"] < 60_000
    assert 500 == rates["user", "ann", "input_tpm"]


async def in_use(stage: Stage) -> dict[str, int]:
    data = (await shown(stage))["data"]
    assert isinstance(data, list)
    return {row["scope"]["kind"]: row["in_use"] for row in data if row["limit"] == "concurrency"}


async def remaining(stage: Stage) -> dict[tuple[str, str, str], int]:
    """Read it two rows at a time."""
    rows: list[dict[str, object]] = []
    after: dict[str, object] = {}
    while True:
        page = await shown(stage, limit=2, **after)
        rows += page["data"]  # type: ignore[arg-type]  # a list
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    return {
        (row["scope"]["kind"], row["scope"]["value"], row["limit"]): row["remaining"]  # type: ignore[index, misc]  # JSON
        for row in rows
    }


async def test_a_scope_is_asked_for_by_kind_and_value(stage: Stage) -> None:
    data = (await shown(stage, kind="user", value="ann"))["data"]

    assert [
        {
            "object": "limit",
            "scope": {"kind": "user", "value": "ann"},
            "limit": "input_tpm",
            "limit_value": 500,
            "remaining": 500,
            "in_use": None,
            "resets_in_ms": 0,
            "smoothing": "leaky",
            "observed": False,
        }
    ] == data


@pytest.mark.parametrize("path", [LIMITS, f"{LIMITS}/upstream"])
async def test_only_administrators_see_them(stage: Stage, path: str) -> None:
    async with stage.router.client(KEY) as client:
        assert 403 == (await client.get(path)).status_code


def saying(**said: str) -> Handler:
    """Answer as a healthy provider, with these headers."""
    more = tuple((name.replace("_", "-"), value) for name, value in said.items())

    def handler(request: Request) -> Reply:
        reply = fake.answer(request)
        return Reply(steps=reply.steps, headers=(*reply.headers, *more), framing=reply.framing)

    return handler


async def upstream(stage: Stage, name: str) -> dict[str, dict[str, int | None]]:
    """What is known of a deployment, by unit; `blocked` has the wait that was asked for."""
    data = (await shown(stage, f"{LIMITS}/upstream"))["data"]
    assert isinstance(data, list)
    (row,) = [row for row in data if row["deployment"] == f"fake/{name}"]
    assert ("fake", "default") == (row["provider"], row["credential"])
    units = {unit.pop("unit"): unit for unit in row["units"]}
    return {**units, "blocked": {"ms": row["blocked_ms"]}}


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_openai_says_is_known_from_its_next_reply_on(stage: Stage, streamed: bool) -> None:
    left = 59 - streamed
    stage.upstream.handler = saying(
        x_ratelimit_limit_requests="60",
        x_ratelimit_remaining_requests=str(left),
        x_ratelimit_reset_requests="24h",
        x_ratelimit_limit_tokens="150000",
        x_ratelimit_remaining_tokens="149984",
        x_ratelimit_reset_tokens="6m0s",
    )
    assert 200 == (await ask(stage, chat(model="openai", stream=streamed))).status
    known = await upstream(stage, "openai")

    assert (60, left) == (known["requests"]["limit_value"], known["requests"]["remaining"])
    assert 150_000 == known["tokens"]["limit_value"]
    assert 149_984 <= (known["tokens"]["remaining"] or 0) <= 150_000
    assert 350_000 < (known["tokens"]["resets_in_ms"] or 0) <= 360_000
    assert {"ms": 0} == known["blocked"]
    sample = 'checkrein_upstream_limit_remaining{deployment="fake/openai",unit="requests"}'
    assert left == await stage.router.metric(sample)


async def test_what_anthropic_says_is_known_and_so_is_when_it_wants_to_be_left_alone(stage: Stage) -> None:
    stage.upstream.handler = saying(
        anthropic_ratelimit_input_tokens_limit="40000",
        anthropic_ratelimit_input_tokens_remaining="0",
        anthropic_ratelimit_input_tokens_reset="2999-01-01T00:00:00Z",
        anthropic_ratelimit_output_tokens_remaining="8000",
    )
    assert 200 == (await ask(stage, chat(model="anthropic"))).status
    stage.upstream.script(fake.error(429, "slow down", headers=(("retry-after", "30"),)))
    assert 429 == (await ask(stage, chat(model="anthropic"))).status
    known = await upstream(stage, "anthropic")

    week_ms = 7 * 86_400_000
    assert (40_000, 0) == (known["input_tokens"]["limit_value"], known["input_tokens"]["remaining"])
    assert week_ms - 10_000 < (known["input_tokens"]["resets_in_ms"] or 0) <= week_ms
    assert (None, 8_000) == (known["output_tokens"]["limit_value"], known["output_tokens"]["remaining"])
    assert 20_000 < (known["blocked"]["ms"] or 0) <= 30_000


async def test_a_silent_provider_is_not_in_the_book(stage: Stage) -> None:
    assert 200 == (await ask(stage, chat())).status
    data = (await shown(stage, f"{LIMITS}/upstream"))["data"]

    assert isinstance(data, list)
    assert "fake/small" not in {row["deployment"] for row in data}
