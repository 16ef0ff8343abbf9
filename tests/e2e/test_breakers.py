"""A breaker that an administrator works is seen in the list and in the metrics at once."""

import pytest

from tests.support.running import ADMIN
from tests.support.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

BREAKERS = "/admin/v1/breakers"


async def test_opened_and_closed_by_hand_it_is_listed_and_counted(stage: Stage) -> None:
    async with stage.router.client(ADMIN) as client:
        listed = (await client.get(BREAKERS)).json()["data"]
        target, deployment = listed[0]["target"], listed[0]["deployment"]
        labels = f'credential="",deployment="{deployment}"'
        seen = []
        for way in ("open", "close", "open", "reset"):
            reply = await client.post(f"{BREAKERS}/{way}", json={"target": target})
            state = await stage.router.metric(f"checkrein_breaker_state{{{labels}}}")
            seen.append((reply.status_code, reply.json()["state"], state))

    assert [(200, "open", 2.0), (200, "closed", 0.0)] * 2 == seen
    assert 2.0 == await stage.router.metric(f'checkrein_breaker_transitions_total{{{labels},to="open"}}')
    assert {"closed"} == {one["state"] for one in listed}
