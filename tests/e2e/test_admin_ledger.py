"""What went through a router is in its ledger for administrators, at once, page by page, with every column."""

import pytest

from router.adapters.sql.sqlite_reader import open_sqlite_reader
from tests.support.running import ADMIN, KEY, chat
from tests.support.stage import Stage
from tests.support.wire import CHAT

pytestmark = pytest.mark.asyncio(loop_scope="module")

OBSERVED = "sk-test-observed"
CALLS = "/admin/v1/ledger/calls"
ATTEMPTS = "/admin/v1/ledger/attempts"


@pytest.fixture(scope="module")
def sections() -> dict[str, object]:
    budget = {"limit_usd": 1}
    keys = [
        {"name": "test", "key": KEY, "models": ["*"], "budget": budget},
        {"name": "admin", "key": ADMIN, "models": ["*"], "permissions": ["admin"]},
        {"name": "observed", "key": OBSERVED, "models": ["*"], "mode": "observe", "budget": {"limit_usd": 0}},
    ]
    return {"keys": keys}


async def made(stage: Stage, key: str = KEY, **headers: str) -> str:
    async with stage.router.client(key) as client:
        reply = await client.post(CHAT, json=chat(), headers=headers)
    assert 200 == reply.status_code, reply.text
    return reply.headers["x-checkrein-call"]


async def read(stage: Stage, path: str, **query: object) -> dict[str, object]:
    async with stage.router.client(ADMIN) as client:
        reply = await client.get(path, params={name: str(value) for name, value in query.items()})
    assert 200 == reply.status_code, reply.text
    page: dict[str, object] = reply.json()
    return page


def ids(page: dict[str, object]) -> list[str]:
    data = page["data"]
    assert isinstance(data, list)
    return [row.get("id", row.get("call_id")) for row in data]


async def test_calls_are_there_when_they_have_ended_newest_first(stage: Stage) -> None:
    mine = {"x-checkrein-agent": "pager", "x-request-id": "req-pages"}
    made_ids = [await made(stage, **mine) for _ in range(5)]
    page = await read(stage, CALLS, agent="pager", limit=2)
    first = page["data"][0]  # type: ignore[index]  # a list
    pages = [ids(page)]
    while page["next"] is not None:
        page = await read(stage, CALLS, agent="pager", limit=2, after=page["next"])
        pages.append(ids(page))

    assert [made_ids[:2:-1], made_ids[2:0:-1], made_ids[:1]] == pages
    assert ("req-pages", "completed", "test", "small", None) == tuple(
        first[name] for name in ("request_id", "outcome", "key_id", "asked_model", "would_refuse")
    )
    assert 0 < first["cost_nano_usd"] <= first["hold_nano_usd"]
    assert made_ids[::-1] == ids(await read(stage, ATTEMPTS, agent="pager"))


async def test_a_limit_beyond_the_bound_is_no_error(stage: Stage) -> None:
    for path in (CALLS, ATTEMPTS):
        assert "next" in await read(stage, path, limit=10**9)


async def test_what_observing_let_pass_says_why(stage: Stage) -> None:
    call_id = await made(stage, OBSERVED)
    row = (await read(stage, CALLS, key="observed"))["data"][0]  # type: ignore[index]  # a list

    assert (call_id, "completed", "budget_exhausted") == (row["id"], row["outcome"], row["would_refuse"])


async def test_time_bounds_are_half_open(stage: Stage) -> None:
    call_id = await made(stage, **{"x-checkrein-agent": "timed"})
    row = (await read(stage, CALLS, agent="timed"))["data"][0]  # type: ignore[index]  # a list
    second = row["started_at_ms"] // 1_000

    assert [call_id] == ids(await read(stage, CALLS, agent="timed", since=second, until=second + 1))
    assert [] == ids(await read(stage, CALLS, agent="timed", since=second + 1))
    assert [] == ids(await read(stage, CALLS, agent="timed", until=second))


async def test_budgets_show_what_was_posted(stage: Stage) -> None:
    before = await read(stage, "/admin/v1/accounts", limit=1_000)
    call_id = await made(stage)
    cost = (await stage.router.call(call_id))["cost_nano_usd"]
    after = await read(stage, "/admin/v1/accounts", limit=10**9)
    (was,), (now,) = (
        [row for row in page["data"] if row["scope"] == {"kind": "key", "value": "test"}]  # type: ignore[attr-defined]  # a list
        for page in (before, after)
    )

    assert (cost, 0, 10**9, "usd") == (now["used"] - was["used"], now["reserved"], now["limit"], now["unit"])


async def test_the_report_reads_beside_a_server(stage: Stage) -> None:
    before = await observed_calls(stage)
    await made(stage, OBSERVED)
    await made(stage)
    await stage.router.idle()

    assert before + 1 == await observed_calls(stage)


async def observed_calls(stage: Stage) -> int:
    async with await open_sqlite_reader(f"sqlite:///{stage.router.folder / 'ledger.db'}") as reader:
        return sum(total.calls for total in await reader.observed("reason", 0) if total.group == "budget_exhausted")
