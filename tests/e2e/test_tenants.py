"""Tenants and budgets made while the router runs hold from the next call on, survive it, and end when told to."""

import asyncio
import contextlib
import json
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.support.fake_upstream import FakeUpstream
from tests.support.process import finished, served
from tests.support.running import ADMIN, RunningRouter, chat, config_for, http_client, running_router
from tests.support.waiting import pause
from tests.support.wire import CHAT

ROOT = "/admin/v1"
TEN = {"limit_requests": 10, "window": "lifetime"}
TEAM_BUDGET = "team/acme/lab/requests/lifetime"
FILED: Mapping[str, object] = {
    "users": [{"name": "ann", "budget": {"limit_requests": 1, "window": "lifetime"}}],
}


@pytest.fixture
async def router(tmp_path: Path) -> AsyncIterator[RunningRouter]:
    async with FakeUpstream() as upstream, running_router(config_for(upstream, **FILED), tmp_path) as running:
        yield running


async def ask(router: RunningRouter, key: str) -> int:
    async with router.client(key) as client:
        return (await client.post(CHAT, json=chat())).status_code


async def admin(router: RunningRouter, method: str, path: str, body: object = None) -> httpx.Response:
    async with router.client(ADMIN) as client:
        return await client.request(method, ROOT + path, **({} if body is None else {"json": body}))


async def made(router: RunningRouter, path: str, **settings: object) -> dict[str, object]:
    reply = await admin(router, "POST", path, settings)
    assert 201 == reply.status_code, reply.text
    answer: dict[str, object] = reply.json()
    return answer


async def key_of_lab(router: RunningRouter, **budget: object) -> str:
    """Make an organization, a team with a budget, and a key of it."""
    await made(router, "/organizations", name="acme")
    await made(router, "/teams", name="acme/lab", **({"budget": budget} if budget else {}))
    secret: object = (await made(router, "/keys", name="ci", team="acme/lab"))["secret"]
    return str(secret)


async def answered(router: RunningRouter, key: str, status: int) -> None:
    """Within a second."""
    async with asyncio.timeout(1):
        while await ask(router, key) != status:
            await pause(0.02)


async def test_a_budget_of_a_stored_team_refuses_the_call_that_passes_it(router: RunningRouter) -> None:
    key = await key_of_lab(router, **TEN)
    statuses = Counter([await ask(router, key) for _ in range(12)])
    assert {200: 10, 429: 2} == statuses
    shown = (await admin(router, "GET", "/teams/acme/lab")).json()
    assert (TEAM_BUDGET, 10, 10) == (shown["budget"], shown["account"]["used"], shown["account"]["limit"])

    await admin(router, "PATCH", "/teams/acme/lab", {"budget": {"limit_requests": 11}})
    assert [200, 429] == [await ask(router, key), await ask(router, key)]
    await admin(router, "PATCH", "/teams/acme/lab", {"budget": None})
    assert 200 == await ask(router, key)


async def test_a_crowd_passes_a_stored_budget_no_more_often_than_it_says(router: RunningRouter) -> None:
    key = await key_of_lab(router, **TEN)
    async with router.client(key) as client, asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(client.post(CHAT, json=chat())) for _ in range(60)]

    assert {200: 10, 429: 50} == Counter(one.result().status_code for one in asked)


async def test_a_top_up_lets_more_pass_and_ends_by_itself(router: RunningRouter) -> None:
    key = await key_of_lab(router, limit_requests=0, window="lifetime")
    assert 429 == await ask(router, key)
    top_up = await made(
        router, f"/budgets/{quote(TEAM_BUDGET, safe='')}/top_ups", amount=100, reason="demo", **{"for": "2s"}
    )
    assert 200 == await ask(router, key)

    listed = (await admin(router, "GET", f"/budgets/{TEAM_BUDGET}/top_ups")).json()["data"]
    assert [(top_up["id"], 100, "acme/lab", "demo", False)] == [
        (one["id"], one["amount"], one["value"], one["reason"], one["ended"]) for one in listed
    ]
    await pause(2)
    await answered(router, key, 429)
    assert [True] == [
        one["ended"] for one in (await admin(router, "GET", f"/budgets/{TEAM_BUDGET}/top_ups")).json()["data"]
    ]


async def test_a_budget_of_the_file_is_topped_up_and_the_top_up_taken_back(router: RunningRouter) -> None:
    key = str((await made(router, "/keys", name="ci", user="ann"))["secret"])
    assert [200, 429] == [await ask(router, key), await ask(router, key)]
    path = "/budgets/user/ann/requests/lifetime/top_ups"
    top_up = await made(router, path, amount=1, **{"for": "1h"})
    assert [200, 429] == [await ask(router, key), await ask(router, key)]

    await made(router, path, amount=5, **{"for": "1h"})
    assert 200 == (await admin(router, "DELETE", f"{path}/{top_up['id']}")).status_code
    assert [200, 200, 200, 200, 429] == [await ask(router, key) for _ in range(5)]
    refused = await admin(router, "PATCH", "/users/ann", {"budget": None})
    assert (409, "conflict") == (refused.status_code, refused.json()["error"]["code"])
    assert "checkrein.yaml:" in refused.json()["error"]["message"]


async def test_a_budget_across_tenants_holds_for_keys_of_the_file_until_it_is_deleted(router: RunningRouter) -> None:
    await made(router, "/budgets", name="every-key", scope={"key": "*"}, limit_requests=1, window="lifetime")
    assert [200, 429] == [await ask(router, "sk-test-key"), await ask(router, "sk-test-key")]
    accounts = (await admin(router, "GET", "/accounts")).json()["data"]
    assert [("test", 1)] == [(one["scope"]["value"], one["used"]) for one in accounts if "every" in one["budget"]]

    assert 200 == (await admin(router, "DELETE", "/budgets/every-key")).status_code
    assert 200 == await ask(router, "sk-test-key")
    await made(router, "/budgets", name="every-key", scope={"key": "*"}, limit_requests=1, window="lifetime")
    assert 429 == await ask(router, "sk-test-key")  # what it posted was kept


async def test_what_somebody_needs_is_not_deleted(router: RunningRouter) -> None:
    await key_of_lab(router, **TEN)
    for path, needed_by in (("/organizations/acme", "key ci"), ("/teams/acme/lab", "key ci")):
        reply = await admin(router, "DELETE", path)
        assert (409, True) == (reply.status_code, needed_by in reply.text)
    await admin(router, "POST", "/keys/ci/revoke")

    assert 409 == (await admin(router, "DELETE", "/organizations/acme")).status_code
    assert 200 == (await admin(router, "DELETE", "/teams/acme/lab")).status_code
    assert 200 == (await admin(router, "DELETE", "/organizations/acme")).status_code
    assert 404 == (await admin(router, "GET", "/organizations/acme")).status_code


async def test_of_fifty_who_make_the_same_at_once_one_does(router: RunningRouter) -> None:
    async with router.client(ADMIN) as client, asyncio.TaskGroup() as tasks:
        body = {"name": "acme"}
        asked = [tasks.create_task(client.post(f"{ROOT}/organizations", json=body)) for _ in range(50)]

    assert {201: 1, 409: 49} == Counter(one.result().status_code for one in asked)
    rows = (await admin(router, "GET", "/audit?kind=organization")).json()["data"]
    assert [("acme", "create", "admin")] == [(one["subject"], one["action"], one["actor"]) for one in rows]


async def test_what_another_connection_writes_is_in_force_within_a_second(router: RunningRouter) -> None:
    """As another process would, without a word to this one."""
    key = await key_of_lab(router)
    assert 200 == await ask(router, key)
    with contextlib.closing(sqlite3.connect(router.folder / "ledger.db")) as store, store:
        settings = json.dumps({"name": "acme/lab", "budget": {"limit_requests": 0}})
        store.execute("UPDATE records SET settings = ? WHERE kind = 'team'", (settings,))
    await answered(router, key, 429)
    with contextlib.closing(sqlite3.connect(router.folder / "ledger.db")) as store, store:
        terms = {"budget": "team/acme/lab/requests/month@UTC", "amount": 5, "until_ns": time.time_ns() + 10**12}
        store.execute("INSERT INTO records VALUES ('top_up', 't', ?, 1, 1, 1)", (json.dumps(terms),))
    await answered(router, key, 200)
    with contextlib.closing(sqlite3.connect(router.folder / "ledger.db")) as store, store:
        store.execute("UPDATE records SET settings = 'nonsense' WHERE kind = 'team'")
    await answered(router, key, 200)

    assert "broken" == (await admin(router, "GET", "/teams/acme/lab")).json()["state"]


async def test_every_change_is_in_the_audit_newest_first_and_in_pages(router: RunningRouter) -> None:
    await key_of_lab(router, **TEN)
    top_up = await made(router, f"/budgets/{TEAM_BUDGET}/top_ups", amount=1, **{"for": "1h"})
    await admin(router, "DELETE", f"/budgets/{TEAM_BUDGET}/top_ups/{top_up['id']}")
    await admin(router, "PATCH", "/teams/acme/lab", {"budget": None})
    first = (await admin(router, "GET", "/audit?limit=4")).json()
    second = (await admin(router, "GET", f"/audit?limit=4&after={first['next']}")).json()
    rows = [(one["kind"], one["action"]) for one in (*first["data"], *second["data"])]

    assert [
        ("team", "update"),
        ("top_up", "delete"),
        ("top_up", "create"),
        ("key", "create"),
        ("team", "create"),
        ("organization", "create"),
    ] == rows
    assert (4, None) == (len(first["data"]), second["next"])
    assert {"name": "acme/lab"} == first["data"][0]["after"]
    assert 2 == len((await admin(router, "GET", "/audit?subject=acme%2Flab")).json()["data"])
    assert "sha256" not in json.dumps([first, second])


async def test_the_document_describes_the_routes_and_the_settings(router: RunningRouter) -> None:
    async with router.client(None) as client:
        document = (await client.get("/openapi.json")).json()

    for kind in ("organizations", "teams", "users", "budgets"):
        body = document["paths"][f"{ROOT}/{kind}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        properties = document["components"]["schemas"][body["$ref"].rpartition("/")[2]]["properties"]
        assert ({"name"}, set()) == ({"name"} & set(properties), {"teams"} & set(properties))
    named = {one.partition('"')[0] for one in json.dumps(document).split('"#/components/schemas/')[1:]}
    assert named <= set(document["components"]["schemas"])
    ids = [one["operationId"] for path in document["paths"].values() for one in path.values() if "operationId" in one]
    assert len(ids) == len(set(ids))


# --- a process that is killed -----------------------------------------------------------------------------------------

FILE_TEXT = """\
version: 1
server: { http: { port: 0 }, grpc: { port: 0 }, ops: { port: 0 } }
store: { url: 'sqlite:///ledger.db' }
providers: [{ name: demo, kind: scripted }]
models: [{ name: small, deployments: [{ provider: demo, model: m, price: { input: 1, output: 1 } }] }]
keys: [{ name: boss, key: sk-boss-key-1, permissions: [admin] }]
"""


@pytest.mark.slow
async def test_what_was_answered_is_there_after_a_crash(tmp_path: Path) -> None:
    (tmp_path / "checkrein.yaml").write_text(FILE_TEXT)
    boss = {"authorization": "Bearer sk-boss-key-1"}
    async with served(tmp_path, "--config", "checkrein.yaml") as router, http_client(router.url, boss) as client:
        await client.post(f"{ROOT}/organizations", json={"name": "acme"})
        await client.post(f"{ROOT}/teams", json={"name": "acme/lab", "budget": TEN})
        secret = (await client.post(f"{ROOT}/keys", json={"name": "ci", "team": "acme/lab"})).json()["secret"]
        mine = {"authorization": f"Bearer {secret}"}
        before = [(await client.post(CHAT, json=chat(), headers=mine)).status_code for _ in range(9)]
        await client.post(f"{ROOT}/budgets/{TEAM_BUDGET}/top_ups", json={"amount": 1, "for": "1h"})
        await router.stop(signal.SIGKILL)
    async with served(tmp_path, "--config", "checkrein.yaml") as router, http_client(router.url, boss) as client:
        after = [(await client.post(CHAT, json=chat(), headers=mine)).status_code for _ in range(3)]
        rows = (await client.get(f"{ROOT}/audit")).json()["data"]

    assert ([200] * 9, [200, 200, 429]) == (before, after)
    assert ["top_up", "key", "team", "organization"] == [one["kind"] for one in rows]


# --- administrators of a team -----------------------------------------------------------------------------------------

LEAD = "sk-lead-of-the-lab"
LAB: Mapping[str, object] = {
    "organizations": [
        {"name": "acme", "teams": [{"name": "lab", "budget": {**TEN}}, {"name": "other", "budget": {**TEN}}]}
    ],
}


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[RunningRouter]:
    async with FakeUpstream() as upstream:
        config = config_for(upstream, **LAB)
        keys = config["keys"]
        assert isinstance(keys, list)
        lead = {"name": "lead", "key": LEAD, "team": "acme/lab", "models": ["small"], "permissions": ["team_admin"]}
        config["keys"] = [*keys, lead]
        async with running_router(config, tmp_path) as running:
            yield running


async def test_a_teams_administrator_keeps_to_its_team(lab: RunningRouter) -> None:
    theirs = await made(lab, "/keys", name="theirs", team="acme/other", budget=TEN)
    powerful = await made(lab, "/keys", name="powerful", team="acme/lab", permissions=["admin"])
    async with lab.client(LEAD) as client:

        async def status(method: str, path: str, body: object = None) -> int:
            reply = await client.request(method, ROOT + path, **({} if body is None else {"json": body}))
            return reply.status_code

        created = await client.post(f"{ROOT}/keys", json={"name": "ci"})
        assert (201, "acme/lab", ["small"]) == (
            created.status_code,
            created.json()["settings"]["team"],
            created.json()["settings"]["models"],
        )
        assert 200 == await ask(lab, created.json()["secret"])
        assert [200] * 3 == [
            await status("PATCH", "/keys/ci", {"limits": {"rpm": 9}}),
            await status("POST", "/keys/ci/rotate", {}),
            await status("POST", "/keys/ci/revoke"),
        ]
        for method, path, body in (
            ("POST", "/keys", {"name": "x", "team": "acme/other"}),
            ("POST", "/keys", {"name": "x", "permissions": ["admin"]}),
            ("POST", "/keys", {"name": "x", "models": ["*"]}),
            ("POST", "/keys", {"name": "x", "mode": "observe"}),
            ("POST", "/keys", {"name": "x", "allow": {"keep_partials": True}}),
            ("PATCH", "/keys/powerful", {"permissions": None}),
            ("POST", "/keys/powerful/rotate", {}),
            ("POST", f"/keys/{powerful['id']}/revoke", None),
            ("GET", "/keys/ci/changes", None),
            ("GET", "/audit", None),
            ("GET", "/organizations", None),
            ("GET", "/teams", None),
            ("GET", "/teams/acme/other", None),
            ("GET", "/ledger/calls", None),
            ("PATCH", "/teams/acme/lab", {"budget": None}),
            ("DELETE", "/teams/acme/lab", None),
            ("POST", "/teams", {"name": "acme/mine"}),
            ("POST", "/budgets", {"name": "b", "scope": {"key": "*"}, "limit_usd": 1}),
            ("POST", f"/budgets/{TEAM_BUDGET}/top_ups", {"amount": 9, "for": "1h"}),
            ("GET", f"/budgets/{TEAM_BUDGET}/top_ups", None),
        ):
            assert 403 == await status(method, path, body), (method, path, body)
        for handle in ("theirs", str(theirs["id"]), "test", "never"):
            assert [404] * 4 == [
                await status("GET", f"/keys/{handle}"),
                await status("PATCH", f"/keys/{handle}", {}),
                await status("POST", f"/keys/{handle}/rotate", {}),
                await status("POST", f"/keys/{handle}/revoke"),
            ], handle
        listed = [one["name"] for one in (await client.get(f"{ROOT}/keys")).json()["data"]]
        accounts = [one["scope"]["value"] for one in (await client.get(f"{ROOT}/accounts")).json()["data"]]
        team = (await client.get(f"{ROOT}/teams/acme/lab")).json()

    assert ["ci", "lead", "powerful"] == listed
    assert ["acme/lab"] == accounts
    assert 1 == team["account"]["used"]


@pytest.mark.slow
async def test_the_commands_do_it_all(tmp_path: Path) -> None:
    (tmp_path / "checkrein.yaml").write_text(FILE_TEXT)
    env = {"CHECKREIN_ADMIN_KEY": "sk-boss-key-1"}
    async with served(tmp_path, "--config", "checkrein.yaml") as router:

        async def run(*arguments: str, status: int = 0) -> str:
            done = await finished(tmp_path, *arguments, "--url", router.url, env=env)
            assert status == done.status, done.err
            return done.out or done.err

        await run("organizations", "create", "acme")
        await run("teams", "create", "acme/lab", "--limit-requests", "0", "--window", "lifetime")
        secret = (await run("keys", "create", "ci", "--team", "acme/lab")).strip()
        mine = {"authorization": f"Bearer {secret}"}
        async with http_client(router.url, mine) as client:
            statuses = [(await client.post(CHAT, json=chat())).status_code]
            await run("budgets", "top-up", TEAM_BUDGET, "--amount", "1", "--for", "1h")
            statuses += [(await client.post(CHAT, json=chat())).status_code for _ in range(2)]
            await run("teams", "update", "acme/lab", "--limit-requests", "2", "--window", "lifetime")
            statuses += [(await client.post(CHAT, json=chat())).status_code]
            await run("keys", "update", "ci", "--model", "none")
            statuses += [(await client.post(CHAT, json=chat())).status_code]
        shown, taken = await run("teams", "show", "acme/lab"), await run("teams", "create", "acme/lab", status=1)
        await run("teams", "delete", "acme/lab", status=1)

    assert [429, 200, 429, 200, 403] == statuses
    assert f"budget:   {TEAM_BUDGET}" in shown
    assert "There is a team 'acme/lab' already" in taken
