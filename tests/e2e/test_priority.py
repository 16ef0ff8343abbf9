"""A call says its class, a budget that is low lowers it, and what is only observed does neither."""

import pytest

from tests.support.money import KEYS, model
from tests.support.running import KEY, chat
from tests.support.stage import Stage
from tests.support.wire import Answer, post, wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOW = "sk-test-low"
WATCHED = "sk-test-watched"
"""Its budget is used up, and so is its limit."""


@pytest.fixture(scope="module")
def sections() -> dict[str, object]:
    lower = [{"at_pct": 0, "action": "lower_priority"}]
    small = {**model(), "substitutes": [{"model": "cheap", "when": {"priority": "batch"}}]}
    keys = [
        {"name": "low", "key": LOW, "profile": "standard", "budget": {"limit_usd": 1, "thresholds": lower}},
        {
            "name": "watched",
            "key": WATCHED,
            "budget": {"limit_usd": 0, "thresholds": lower, "observe": True},
            "limits": {"rpm": 1, "observe": True},
        },
    ]
    return {"models": [small, {**model(), "name": "cheap"}], "keys": [*KEYS, *keys]}


async def ask(stage: Stage, *lines: str, key: str = KEY, **members: object) -> Answer:
    async with wire(stage.router.http_port) as connection:
        await connection.send(post(*lines, body=chat(**members), key=key))
        answer = await connection.answer()
    await stage.router.idle()
    return answer


async def test_a_named_class_is_the_calls_and_brings_its_stand_in(stage: Stage) -> None:
    usual, batch = await ask(stage), await ask(stage, "x-checkrein-priority: batch")

    assert ["standard", "batch"] == [row["priority"] for row in stage.rows()]
    assert "x-checkrein-substituted" not in usual.headers
    assert "small->cheap;priority" == batch.headers["x-checkrein-substituted"]


@pytest.mark.parametrize(("name", "status"), [("urgent", 400), ("critical", 403)])
async def test_a_class_that_may_not_be_named_is_refused_by_the_headers_name(
    stage: Stage, name: str, status: int
) -> None:
    answer = await ask(stage, f"x-checkrein-priority: {name}", key=LOW)

    assert (status, "x-checkrein-priority") == (answer.status, answer.error["param"])


async def test_a_budget_that_is_low_lowers_the_class_and_says_so(stage: Stage) -> None:
    answer = await ask(stage, key=LOW)
    (row,) = stage.rows()

    assert (200, "batch", "small->cheap;priority") == (answer.status, row["priority"], row["substituted"])
    assert "priority=batch" == answer.headers["x-checkrein-notice"]


async def test_what_is_only_observed_refuses_nothing_and_says_what_it_would_have(stage: Stage) -> None:
    answers = [await ask(stage, key=WATCHED) for _ in range(2)]

    assert [200, 200] == [answer.status for answer in answers]
    assert ["would_refuse=budget_exceeded", "would_refuse=rate_limit_exceeded,budget_exceeded"] == [
        answer.headers["x-checkrein-notice"] for answer in answers
    ]
    assert ["standard", "standard"] == [row["priority"] for row in stage.rows()]
    assert "x-ratelimit-limit-requests" not in answers[0].headers
