"""Keys made while the router runs: at once in force here, within a second when somebody else changed them."""

import asyncio
import contextlib
import hashlib
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.support.fake_upstream import FakeUpstream
from tests.support.process import finished, served
from tests.support.running import ADMIN, KEY, RunningRouter, chat, config_for, http_client, running_router
from tests.support.waiting import pause, until
from tests.support.wire import CHAT

KEYS = "/admin/v1/keys"


@pytest.fixture
async def router(tmp_path: Path) -> AsyncIterator[RunningRouter]:
    async with FakeUpstream() as upstream, running_router(config_for(upstream), tmp_path) as running:
        yield running


async def ask(router: RunningRouter, key: str) -> int:
    async with router.client(key) as client:
        return (await client.post(CHAT, json=chat())).status_code


async def admin(router: RunningRouter, method: str, path: str = "", body: object = None) -> httpx.Response:
    async with router.client(ADMIN) as client:
        return await client.request(method, KEYS + path, **({} if body is None else {"json": body}))


async def create(router: RunningRouter, **settings: object) -> str:
    reply = await admin(router, "POST", "", {"name": "ci", **settings})
    assert 201 == reply.status_code, reply.text
    secret: str = reply.json()["secret"]
    return secret


async def refused_within_a_second(router: RunningRouter, key: str) -> None:
    await answered(router, key, 401, within_s=1)


async def answered(router: RunningRouter, key: str, status: int, *, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while await ask(router, key) != status:
            await pause(0.02)


async def test_the_life_of_a_key(router: RunningRouter) -> None:
    """T24: made, used, changed, rotated, revoked: each is in force with the next request."""
    secret = await create(router, models=["small"])
    assert 200 == await ask(router, secret)

    await admin(router, "PATCH", "/ci", {"models": ["other"]})
    assert 403 == await ask(router, secret)
    await admin(router, "PATCH", "/ci", {"models": None})
    assert 200 == await ask(router, secret)

    rotated = (await admin(router, "POST", "/ci/rotate", {"overlap": "1s"})).json()
    second = rotated["secret"]
    assert [200, 200] == [await ask(router, secret), await ask(router, second)]
    assert secret.split("-")[1] == second.split("-")[1] == rotated["id"]
    await pause(1.05)
    assert [401, 200] == [await ask(router, secret), await ask(router, second)]

    assert "revoked" == (await admin(router, "POST", "/ci/revoke")).json()["state"]
    assert 401 == await ask(router, second)
    changes = (await admin(router, "GET", "/ci/changes")).json()["data"]
    assert ["revoke", "rotate", "update", "update", "create"] == [one["action"] for one in changes]
    assert {"admin"} == {one["actor"] for one in changes}


async def test_a_budget_of_a_stored_key_holds_from_the_first_call(router: RunningRouter) -> None:
    secret = await create(router, budget={"limit_usd": 0})
    assert 429 == await ask(router, secret)

    await admin(router, "PATCH", "/ci", {"budget": {"limit_usd": 5}})
    assert 200 == await ask(router, secret)
    await admin(router, "PATCH", "/ci", {"budget": {"limit_usd": 0}})
    assert 429 == await ask(router, secret)


async def test_a_key_that_expires_is_refused(router: RunningRouter) -> None:
    secret = await create(router)
    await admin(router, "PATCH", "/ci", {"expires": "2020-01-01"})

    assert 401 == await ask(router, secret)
    assert "expired" == (await admin(router, "GET", "/ci")).json()["state"]


async def test_a_call_that_has_begun_is_finished_after_its_key_is_revoked(tmp_path: Path) -> None:
    demo = {"name": "demo", "kind": "scripted", "script": {"first_token": "700ms", "reply": "done"}}
    model = {"name": "small", "deployments": [{"provider": "demo", "model": "m", "price": {"input": 1, "output": 1}}]}
    async with (
        FakeUpstream() as upstream,
        running_router(config_for(upstream, providers=[demo], models=[model]), tmp_path) as router,
    ):
        secret = await create(router)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(ask(router, secret))
            await until(lambda: router.open_calls, within_s=5)
            await admin(router, "POST", "/ci/revoke")
            assert 401 == await ask(router, secret)

        assert 200 == running.result()


async def test_keys_outlive_a_restart(tmp_path: Path) -> None:
    async with FakeUpstream() as upstream:
        async with running_router(config_for(upstream), tmp_path) as router:
            kept = await create(router)
            gone = (await admin(router, "POST", "", {"name": "gone"})).json()["secret"]
            await admin(router, "POST", "/gone/revoke")
        async with running_router(config_for(upstream), tmp_path) as router:
            assert [200, 401] == [await ask(router, kept), await ask(router, gone)]


async def test_what_another_connection_writes_is_in_force_within_a_second(router: RunningRouter) -> None:
    """T24: as another process would, without a word to this one."""
    secret = await create(router)
    assert 200 == await ask(router, secret)
    with contextlib.closing(sqlite3.connect(router.folder / "ledger.db")) as store, store:
        store.execute("UPDATE stored_keys SET settings = json_set(settings, '$.revoked', json('true'))")

    await refused_within_a_second(router, secret)


async def test_a_key_deleted_from_the_store_is_refused_within_a_second(router: RunningRouter) -> None:
    """T24: also what no API would do."""
    secret = await create(router)
    with contextlib.closing(sqlite3.connect(router.folder / "ledger.db")) as store, store:
        store.execute("DELETE FROM stored_keys")

    await refused_within_a_second(router, secret)


async def test_stored_keys_survive_a_reload_of_the_file(router: RunningRouter) -> None:
    secret = await create(router)
    file = router.folder / "checkrein.yaml"
    config = yaml.safe_load(file.read_text())
    config["keys"].append({"name": "late", "key": "sk-late-key"})
    file.write_text(yaml.safe_dump(config))
    await answered(router, "sk-late-key", 200, within_s=3)

    assert 200 == await ask(router, secret)


async def test_only_administrators_administer(router: RunningRouter) -> None:
    """T11b: no key, a user's, a revoked one, an administrator's, on every route; the body is not looked at before."""
    revoked = await create(router)
    await admin(router, "POST", "/ci/revoke")
    routes = {
        ("GET", ""): 200,
        ("POST", ""): 400,
        ("GET", "/nobody"): 404,
        ("PATCH", "/nobody"): 404,
        ("POST", "/nobody/rotate"): 404,
        ("POST", "/nobody/revoke"): 404,
        ("GET", "/nobody/changes"): 404,
    }
    found = {}
    for method, path in routes:
        statuses = []
        for key in (None, KEY, revoked, ADMIN):
            async with router.client(key) as client:
                body = {"content": b"{"} if method != "GET" and key != ADMIN else {"content": b"{}"}
                statuses.append((await client.request(method, KEYS + path, **body)).status_code)
        found[method, path] = tuple(statuses)

    assert {route: (401, 403, 401, status) for route, status in routes.items()} == found


async def test_the_document_describes_the_routes_and_the_settings(router: RunningRouter) -> None:
    async with router.client(None) as client:
        document = (await client.get("/openapi.json")).json()

    body = document["paths"][KEYS]["post"]["requestBody"]["content"]["application/json"]["schema"]
    schema = document["components"]["schemas"][body["$ref"].rpartition("/")[2]]
    assert {"name", "models", "budget", "limits", "expires"} <= set(schema["properties"])
    assert not {"key", "key_file", "key_sha256"} & set(schema["properties"])
    named = set(json.dumps(document).split('"#/components/schemas/')[1:])
    assert {one.partition('"')[0] for one in named} <= set(document["components"]["schemas"])


# --- the command, and secrets -----------------------------------------------------------------------------------------

FILE_TEXT = """\
version: 1
logging: { level: debug }
server: { http: { port: 0 }, grpc: { port: 0 }, ops: { port: 0 } }
store: { url: 'sqlite:///ledger.db' }
providers: [{ name: demo, kind: scripted }]
models: [{ name: small, deployments: [{ provider: demo, model: m, price: { input: 1, output: 1 } }] }]
organizations:
  - name: acme
    teams:
      - name: research
        budget: { limit_usd: 20 }
keys: [{ name: boss, key: sk-boss-key-1, permissions: [admin] }]
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.slow
async def test_the_command_does_it_all_and_no_secret_is_left_anywhere(tmp_path: Path) -> None:
    """T11a: not in logs, rows, metrics or the texts of errors, at level DEBUG."""
    (tmp_path / "checkrein.yaml").write_text(FILE_TEXT)
    env = {"CHECKREIN_ADMIN_KEY": "sk-boss-key-1"}
    texts: list[str] = []
    async with served(tmp_path, "--config", "checkrein.yaml") as router:

        async def keys(action: str, *arguments: str, status: int = 0) -> str:
            done = await finished(tmp_path, "keys", action, "--url", router.url, *arguments, env=env)
            assert status == done.status, done.err
            texts.append(done.err)
            return done.out

        first = (await keys("create", "ci", "--team", "acme/research", "--profile", "standard")).strip()
        second = (await keys("rotate", "ci", "--overlap", "1h")).strip()
        shown, listed = await keys("show", "ci"), await keys("list")
        await keys("create", "ci", status=1)
        await keys("create", "boss", status=1)
        await keys("rotate", "boss", status=1)
        async with http_client(router.url) as client:
            for secret in (first, second):
                bearer = {"authorization": f"Bearer {secret}"}
                assert 200 == (await client.post(CHAT, json=chat(), headers=bearer)).status_code
                paths = ("/v1/models/none", KEYS, f"{KEYS}/{secret}", "/nowhere")
                texts += [(await client.get(path, headers=bearer)).text for path in paths]
            boss = {"authorization": "Bearer sk-boss-key-1"}
            bodies = ({"name": first}, {"name": "x", "key": second}, {"name": "x", "models": second})
            texts += [(await client.post(KEYS, json=body, headers=boss)).text for body in bodies]
        assert "ci is revoked\n" == await keys("revoke", "ci")
        async with http_client(router.ops_url) as client:
            texts.append((await client.get("/metrics")).text)
    files = contents(tmp_path)

    texts += [shown, listed, router.out, router.err]
    for secret in (first, second):
        hidden = secret.rpartition("-")[2]
        assert 52 == len(hidden)
        assert [] == [text for text in texts if hidden in text]
        assert [] == [name for name, data in files.items() if hidden.encode() in data]
    digests = [hashlib.sha256(secret.encode()).hexdigest() for secret in (first, second)]
    assert [] == [text for text in texts if any(digest in text for digest in digests)]
    assert {"stdout", "stderr", "ledger.db"} <= set(files)
    table = [line.split() for line in shown.splitlines()]
    assert ["key:ci", "rpm", "600", "profile", "standard"] in table
    assert ["team:acme/research", "budget", "20", "usd,", "window", "month", "checkrein.yaml:11"] in table
    assert [["boss", "-", "active", "file", "-"]] == [line.split() for line in listed.splitlines() if "boss" in line]
